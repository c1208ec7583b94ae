"""Offsets move the threshold and nothing else; figures that mean nothing are refused."""

import numpy as np
import pytest
import torch

from segmentation.classes import PixelClass
from segmentation.models.unet import UNet
from segmentation.training.metrics import Counts
from segmentation.training.release import (
    ScoredImage,
    best_offsets,
    counts_of,
    everything_counts,
    metric,
    with_offsets,
)


def _timid_image() -> ScoredImage:
    """A crack whose logit is 2 below the background's, on a ground where it is 5 below."""
    truth = np.zeros((9, 11), np.uint8)
    truth[4] = 255
    logits = np.zeros((3, 9, 11), np.float16)
    logits[PixelClass.CRACK] = np.where(truth == 255, -2.0, -5.0)
    logits[PixelClass.RUST] = -9.0
    return ScoredImage(logits, truth)


def test_the_offset_that_finds_the_timid_crack_is_chosen() -> None:
    images = [_timid_image()]

    def f1(pixel_class: PixelClass, offsets: tuple[float, float, float]) -> float:
        return counts_of(images, pixel_class=PixelClass.CRACK, offsets=offsets, tolerance_px=1.0).f1

    offsets = best_offsets(f1, candidates=(-3.0, 0.0, 3.0, 6.0), rounds=2)
    assert offsets[0] == 0.0
    assert offsets[1] == 3.0
    assert f1(PixelClass.CRACK, offsets) == 1.0


def test_calling_everything_damaged_scores_the_share_of_damage() -> None:
    counts = everything_counts([_timid_image()], pixel_class=PixelClass.CRACK, tolerance_px=1.0)
    assert counts.iou == counts.precision == counts.truth_share == pytest.approx(1 / 9)


def test_offsets_go_into_a_copy_of_the_head_and_move_the_logits_by_just_that() -> None:
    net = UNet(base_channels=2, depth=1).eval()
    image = torch.randn(1, 3, 8, 8)
    moved = with_offsets(net, (0.0, 1.5, -0.5))(image) - net(image)
    assert torch.allclose(moved[0, :, 3, 3], torch.tensor([0.0, 1.5, -0.5]), atol=1e-6)


def test_a_head_that_gives_four_maps_a_class_takes_each_offset_four_times() -> None:
    net = UNet(base_channels=2, depth=1).eval()
    net.head = torch.nn.Conv2d(2, 12, 1)
    moved = with_offsets(net, (0.0, 1.5, -0.5)).head.bias
    assert moved is not None
    assert net.head.bias is not None
    assert (moved - net.head.bias).tolist() == pytest.approx([0.0] * 4 + [1.5] * 4 + [-0.5] * 4, abs=1e-6)


def test_a_figure_that_measures_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a number, got nan"):
        metric("walls/test", "IoU", Counts().iou, chance=None, counts=Counts())
