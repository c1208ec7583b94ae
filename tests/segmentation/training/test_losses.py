"""Losses against hand-computed values, finite differences and labels that leave things open."""

from collections.abc import Callable
from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from segmentation.classes import PixelClass
from segmentation.training.centre_lines import soft_skeleton
from segmentation.training.class_weights import class_counts, inverse_frequency
from segmentation.training.labels import UNKNOWN, anything_but, labels_from_damage, labels_from_mask, only
from segmentation.training.losses import (
    LossConfig,
    centre_line_dice,
    combined_loss,
    marginal_cross_entropy,
    marginal_tversky,
)

BACKGROUND, CRACK, RUST = PixelClass
WEIGHTS = torch.tensor([1.0, 3.0, 5.0])
ALL_TERMS = LossConfig(
    cross_entropy=1.0, focal_gamma=1.5, region=0.7, missed_share=0.7, centre_line=0.4, centre_line_px=2
)

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "cross-entropy": lambda z, y: marginal_cross_entropy(z, y, class_weights=WEIGHTS.to(z), gamma=0.0),
    "focal": lambda z, y: marginal_cross_entropy(z, y, class_weights=WEIGHTS.to(z), gamma=2.0),
    "dice": lambda z, y: marginal_tversky(z, y, missed_share=0.5),
    "tversky": lambda z, y: marginal_tversky(z, y, missed_share=0.8),
    "centre-line": lambda z, y: centre_line_dice(z, y, rounds=2),
}
all_losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def _gradient(label: int) -> Tensor:
    """Gradient of cross-entropy and Dice by the logits of one pixel of this label, ``(3,)``, beside known pixels."""
    logits = torch.tensor([[0.3, -0.2, 0.7], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).T.reshape(1, 3, 1, 3)
    logits = logits.clone().requires_grad_()
    labels = torch.tensor([[[label, only(CRACK), only(RUST)]]], dtype=torch.uint8)
    loss = LOSSES["cross-entropy"](logits, labels) + LOSSES["dice"](logits, labels)
    return torch.autograd.grad(loss, logits)[0][0, :, 0, 0]


def test_not_crack_pushes_crack_down_and_rust_not() -> None:
    background, crack, rust = _gradient(anything_but(CRACK)).tolist()
    assert crack > 0
    assert background < 0
    assert rust < 0


def test_not_rust_pushes_rust_down_and_crack_not() -> None:
    _, crack, rust = _gradient(anything_but(RUST)).tolist()
    assert rust > 0
    assert crack < 0


def test_known_background_pushes_both_down() -> None:
    background, crack, rust = _gradient(only(BACKGROUND)).tolist()
    assert background < 0 < min(crack, rust)


def test_an_unknown_pixel_teaches_nothing() -> None:
    assert torch.equal(_gradient(UNKNOWN), torch.zeros(3))


def test_not_crack_leaves_the_odds_of_background_against_rust_alone() -> None:
    logits = torch.tensor([0.3, -0.2, 0.7]).reshape(1, 3, 1, 1).requires_grad_()
    labels = torch.full((1, 1, 1), anything_but(CRACK), dtype=torch.uint8)
    gradient = torch.autograd.grad(LOSSES["cross-entropy"](logits, labels), logits)[0].flatten()
    p = logits.detach().flatten().softmax(0)
    # d/dz of -log(p_b + p_r): p_c - p_c/(p_b + p_r), in proportion to the probabilities
    assert torch.allclose(gradient[0] / gradient[2], p[0] / p[2])


@given(seed=st.integers(0, 1000))
def test_for_known_classes_it_is_the_weighted_cross_entropy(seed: int) -> None:
    logits, classes = _random_answer(seed)
    expected = torch.nn.functional.cross_entropy(logits, classes, weight=WEIGHTS)
    assert torch.allclose(LOSSES["cross-entropy"](logits, (1 << classes).to(torch.uint8)), expected, atol=1e-5)


def test_cross_entropy_and_focal_loss_of_two_pixels_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])).T.reshape(1, 3, 1, 2)
    labels = torch.tensor([[[only(CRACK), anything_but(CRACK)]]], dtype=torch.uint8)
    # weights 3 (crack) and 1 (background's, where it is open); q = 0.25 and 0.2 + 0.6
    plain = (3 * -log(0.25) + -log(0.8)) / 4
    focal = (3 * 0.75**2 * -log(0.25) + 0.2**2 * -log(0.8)) / 4
    assert float(LOSSES["cross-entropy"](logits, labels)) == pytest.approx(plain, rel=1e-5)
    assert float(LOSSES["focal"](logits, labels)) == pytest.approx(focal, rel=1e-5)


def test_tversky_of_three_pixels_by_hand() -> None:
    p = torch.tensor([[0.3, 0.7, 0.0], [0.6, 0.4, 0.0], [0.9, 0.1, 0.0]])
    logits = torch.log(p.clamp_min(1e-12)).T.reshape(1, 3, 1, 3)
    labels = torch.tensor([[[only(CRACK), anything_but(CRACK), anything_but(RUST)]]], dtype=torch.uint8)
    # the third pixel may be a crack or not: it takes no part. hit 0.7, false 0.4, missed 0.3
    expected = 1 - (0.7 + 0.5) / (0.7 + 0.2 * 0.4 + 0.8 * 0.3 + 0.5)
    assert float(LOSSES["tversky"](logits, labels)) == pytest.approx(expected, rel=1e-5)


def test_weights_of_each_crop_count_for_that_crop_alone() -> None:
    logits, classes = _random_answer(4)
    labels = (1 << classes).to(torch.uint8)
    per_crop = torch.stack([WEIGHTS, torch.ones(3)])
    both = marginal_cross_entropy(logits, labels, class_weights=per_crop, gamma=0.0)
    sums = [w[c].sum() for w, c in zip(per_crop, classes, strict=True)]
    alone = [
        marginal_cross_entropy(logits[i : i + 1], labels[i : i + 1], class_weights=per_crop[i], gamma=0.0)
        for i in range(2)
    ]
    assert torch.allclose(both, (sums[0] * alone[0] + sums[1] * alone[1]) / (sums[0] + sums[1]))


@all_losses
def test_gradients_are_those_of_finite_differences(loss: Loss) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    choices = torch.tensor([only(BACKGROUND), only(CRACK), only(RUST), anything_but(CRACK), UNKNOWN])
    labels = choices[torch.randint(0, 5, (2, 4, 5), generator=generator)].to(torch.uint8)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), logits, eps=1e-6, atol=1e-5)


@all_losses
@pytest.mark.parametrize("label", [UNKNOWN, anything_but(RUST)], ids=["all-ignored", "nothing-known-but-not-rust"])
def test_without_damage_a_loss_is_a_number_with_a_finite_gradient(loss: Loss, label: int) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    value = loss(logits, torch.full((2, 4, 4), label, dtype=torch.uint8))
    gradient = torch.autograd.grad(value, logits)[0]
    assert bool(torch.isfinite(value))
    assert bool(torch.isfinite(gradient).all())
    if label == UNKNOWN:
        assert float(value.detach()) == 0.0
        assert not bool(gradient.any())


@all_losses
def test_a_perfect_answer_costs_nearly_nothing_and_its_opposite_much(loss: Loss) -> None:
    truth = torch.zeros(1, 12, 12, dtype=torch.long)
    truth[:, 5:8] = CRACK
    right = 40.0 * torch.nn.functional.one_hot(truth, 3).permute(0, 3, 1, 2)
    labels = (1 << truth).to(torch.uint8)
    assert float(loss(right, labels)) < 0.01
    assert float(loss(-right, labels)) > 0.9


def test_a_gap_costs_the_centre_line_loss_more_than_a_thinner_line() -> None:
    truth = torch.zeros(1, 24, 48, dtype=torch.long)
    truth[:, 9:15] = CRACK
    gap, thin = truth.clone(), truth.clone()
    gap[:, :, 20:30] = BACKGROUND
    thin[:, 9] = thin[:, 14] = thin[:, 10] = BACKGROUND  # loses more pixels than the gap
    assert int((thin != truth).sum()) > 2 * int((gap != truth).sum())

    def cost(said: Tensor) -> float:
        logits = 40.0 * torch.nn.functional.one_hot(said, 3).permute(0, 3, 1, 2)
        return float(centre_line_dice(logits, (1 << truth).to(torch.uint8), rounds=4))

    assert cost(gap) > 2 * cost(thin)


def test_the_soft_skeleton_of_a_bar_is_its_middle_line() -> None:
    bar = torch.zeros(1, 15, 31)
    bar[:, 6:9, 4:27] = 1
    skeleton = soft_skeleton(bar, rounds=3)[0]
    assert torch.equal(skeleton[7, 6:25], torch.ones(19))
    assert float(skeleton[[5, 9]].sum()) == 0


def test_labels_of_a_valid_net_are_cropped_to_its_answer() -> None:
    logits, classes = _random_answer(5)
    labels = (1 << classes).to(torch.uint8)
    around = torch.full((2, 5 + 8, 7 + 8), only(RUST), dtype=torch.uint8)
    around[:, 4:-4, 4:-4] = labels
    exact = combined_loss(logits, labels, config=ALL_TERMS, class_weights=WEIGHTS)
    assert torch.equal(combined_loss(logits, around, config=ALL_TERMS, class_weights=WEIGHTS), exact)
    with pytest.raises(ValueError, match="same margin on both sides"):
        combined_loss(logits, around[:, 1:], config=ALL_TERMS, class_weights=WEIGHTS)


def test_the_terms_add_up_with_their_weights() -> None:
    logits, classes = _random_answer(6)
    labels = (1 << classes).to(torch.uint8)
    told = combined_loss(logits, labels, config=ALL_TERMS, class_weights=WEIGHTS)
    cross_entropy = marginal_cross_entropy(logits, labels, class_weights=WEIGHTS, gamma=1.5)
    region = marginal_tversky(logits, labels, missed_share=0.7)
    assert torch.allclose(told, cross_entropy + 0.7 * region + 0.4 * centre_line_dice(logits, labels, rounds=2))


@pytest.mark.parametrize(
    ("field", "value"), [("region", -1.0), ("missed_share", 1.5), ("centre_line_px", 0), ("focal_gamma", float("nan"))]
)
def test_a_weight_that_means_nothing_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        replace(ALL_TERMS, **{field: value})


def test_a_loss_of_no_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="must be > 0"):
        replace(ALL_TERMS, cross_entropy=0.0, region=0.0, centre_line=0.0)


def test_inverse_frequency_is_bounded_and_leaves_out_what_does_not_occur() -> None:
    counted = np.array([[10, 0, 890]])  # crack, rust, unknown of a crop of 1000: 100 are left
    counts = class_counts(counted, np.array([1000]))
    assert counts.tolist() == [[100, 10, 0]]
    assert inverse_frequency(counts, highest=20.0).tolist() == [[1.0, 10.0, 1.0]]
    assert inverse_frequency(counts, highest=4.0).tolist() == [[1.0, 4.0, 1.0]]


@pytest.mark.parametrize(("others_absent", "elsewhere"), [(False, 0b101), (True, 0b001)], ids=["unseen", "absent"])
def test_labels_of_a_crack_set(others_absent: bool, elsewhere: int) -> None:
    damage, ignore = np.array([[True, False, False]]), np.array([[False, False, True]])
    labels = labels_from_damage(damage, ignore, pixel_class=CRACK, others_absent=others_absent)
    assert labels.tolist() == [[0b010, elsewhere, 0b111]]


def test_labels_of_a_full_mask_leave_out_what_is_no_class() -> None:
    mask = np.array([[0, 1, 2, 254, 255]], np.uint8)
    assert labels_from_mask(mask).tolist() == [[0b001, 0b010, 0b100, 0b111, 0b111]]


def _random_answer(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 5, 7, generator=generator)
    return logits, torch.randint(0, 3, (2, 5, 7), generator=generator)
