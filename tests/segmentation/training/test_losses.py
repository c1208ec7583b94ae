"""A set that labels one class teaches nothing about the others."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segmentation.classes import PixelClass
from segmentation.training.labels import UNKNOWN, anything_but, labels_from_damage, labels_from_mask, only
from segmentation.training.losses import marginal_cross_entropy, marginal_dice

BACKGROUND, CRACK, RUST = PixelClass
WEIGHTS = torch.tensor([1.0, 3.0, 5.0])


def _gradient(label: int) -> torch.Tensor:
    """Gradient of both losses by the logits of one pixel of this label, ``(3,)``, beside known pixels."""
    logits = torch.tensor([[0.3, -0.2, 0.7], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).T.reshape(1, 3, 1, 3)
    logits = logits.clone().requires_grad_()
    labels = torch.tensor([[[label, only(CRACK), only(RUST)]]], dtype=torch.uint8)
    loss = marginal_cross_entropy(logits, labels, class_weights=WEIGHTS) + marginal_dice(logits, labels)
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
    loss = marginal_cross_entropy(logits, labels, class_weights=torch.ones(3))
    gradient = torch.autograd.grad(loss, logits)[0].flatten()
    p = logits.detach().flatten().softmax(0)
    # d/dz of -log(p_b + p_r): p_c - p_c/(p_b + p_r), in proportion to the probabilities
    assert torch.allclose(gradient[0] / gradient[2], p[0] / p[2])


@given(seed=st.integers(0, 1000))
def test_for_known_classes_it_is_the_weighted_cross_entropy(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 5, 7, generator=generator)
    classes = torch.randint(0, 3, (2, 5, 7), generator=generator)
    labels = (1 << classes).to(torch.uint8)
    expected = torch.nn.functional.cross_entropy(logits, classes, weight=WEIGHTS)
    assert torch.allclose(marginal_cross_entropy(logits, labels, class_weights=WEIGHTS), expected, atol=1e-5)


@pytest.mark.parametrize("loss", ["cross-entropy", "dice"])
def test_a_batch_of_unknown_pixels_has_no_loss(loss: str) -> None:
    logits, labels = torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), UNKNOWN, dtype=torch.uint8)
    value = (
        marginal_dice(logits, labels)
        if loss == "dice"
        else marginal_cross_entropy(logits, labels, class_weights=WEIGHTS)
    )
    assert float(value) == 0.0


def test_dice_of_a_perfect_answer_is_nearly_nothing_and_of_the_opposite_nearly_one() -> None:
    truth = torch.zeros(1, 8, 8, dtype=torch.long)
    truth[:, :4] = CRACK
    right = 40.0 * torch.nn.functional.one_hot(truth, 3).permute(0, 3, 1, 2)
    labels = (1 << truth).to(torch.uint8)
    assert float(marginal_dice(right, labels)) < 0.01
    assert float(marginal_dice(-right, labels)) > 0.9


@pytest.mark.parametrize(("others_absent", "elsewhere"), [(False, 0b101), (True, 0b001)], ids=["unseen", "absent"])
def test_labels_of_a_crack_set(others_absent: bool, elsewhere: int) -> None:
    damage, ignore = np.array([[True, False, False]]), np.array([[False, False, True]])
    labels = labels_from_damage(damage, ignore, pixel_class=CRACK, others_absent=others_absent)
    assert labels.tolist() == [[0b010, elsewhere, 0b111]]


def test_labels_of_a_full_mask_leave_out_what_is_no_class() -> None:
    mask = np.array([[0, 1, 2, 254, 255]], np.uint8)
    assert labels_from_mask(mask).tolist() == [[0b001, 0b010, 0b100, 0b111, 0b111]]
