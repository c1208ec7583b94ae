"""From a trained net to weights worth shipping: offsets chosen on validation, figures measured on test, a card.

The rule from probabilities to classes is argmax, everywhere. So a threshold is moved by adding an offset to the
bias of a class in the net's head, never by a second rule.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.models.card import TestMetric
from segmentation.models.unet import UNet
from segmentation.training.augmentation import resized_to
from segmentation.training.datasets import DAMAGE_VALUE, IGNORE_VALUE, DataSetSpec, LabelledImage
from segmentation.training.metrics import Counts, score_masks
from segmentation.training.validation import whole_image_logits

Logits = npt.NDArray[np.float16]
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """Logits of one image beside its truth."""

    logits: Logits
    """``(C, H, W)``."""
    truth: Mask
    """``(H, W)``: 255 damage, 128 ignore, 0 else."""


def scored_images(
    module: UNet, spec: DataSetSpec, items: Sequence[LabelledImage], *, scale: float, device: str, mixed_precision: bool
) -> list[ScoredImage]:
    """Logits of a set's images, resized by `scale`, with their truth; `module` must be in eval mode."""
    scored = []
    for item in items:
        height, width = (max(1, round(n * scale)) for n in item.damage.shape)
        image, damage, ignore = resized_to(
            item.image, item.damage, item.ignore, height=height, width=width, line_labels=spec.line_labels
        )
        logits = whole_image_logits(module, image, device=device, mixed_precision=mixed_precision)
        truth = np.where(ignore, IGNORE_VALUE, np.where(damage, DAMAGE_VALUE, 0)).astype(np.uint8)
        scored.append(ScoredImage(logits.astype(np.float16), truth))
    return scored


def counts_of(
    images: Sequence[ScoredImage], *, pixel_class: PixelClass, offsets: Sequence[float], tolerance_px: float
) -> Counts:
    """Counts of one class over images, with an offset per class added to the logits before argmax."""
    total = Counts()
    shift = np.asarray(offsets, np.float32)[:, None, None]
    for image in images:
        predicted = (image.logits + shift).argmax(0).astype(np.uint8)
        total += score_masks(
            predicted, image.truth, pixel_class=pixel_class, truth_value=DAMAGE_VALUE,
            ignore_value=IGNORE_VALUE, tolerance_px=tolerance_px,
        )  # fmt: skip
    return total


def best_offsets(
    score: Callable[[PixelClass, tuple[float, float, float]], float], *, candidates: Sequence[float], rounds: int
) -> tuple[float, float, float]:
    """Offsets of (background, crack, rust) that score best, one class after the other; the background keeps 0.

    `score` is asked for a class of damage and the offsets tried, and must be computed on validation data alone.
    """
    offsets = [0.0, 0.0, 0.0]
    for _ in range(rounds):
        for pixel_class in DEFECT_CLASSES:
            tried = [(*offsets[:pixel_class], c, *offsets[pixel_class + 1 :]) for c in candidates]
            scores = [score(pixel_class, (t[0], t[1], t[2])) for t in tried]
            offsets[pixel_class] = candidates[int(np.argmax(scores))]
    return offsets[0], offsets[1], offsets[2]


def with_offsets(module: UNet, offsets: Sequence[float]) -> UNet:
    """A copy in eval mode whose head adds `offsets` to the logits.

    A head that gives several maps a class, which are spread over its pixels afterwards, takes each offset that often.
    """
    shifted = deepcopy(module).eval()
    bias = shifted.head.bias
    if bias is None or bias.numel() % len(offsets):
        raise ValueError(f"the head must have a bias of {len(offsets)} classes to take the offsets, got {bias}")
    with torch.no_grad():
        bias.add_(torch.tensor(offsets, dtype=bias.dtype).repeat_interleave(bias.numel() // len(offsets)))
    return shifted


def metric(split: str, name: str, value: float, *, chance: float | None, counts: Counts, note: str = "") -> TestMetric:
    """A figure for the card, rounded to four digits; NaN (nothing to measure) is refused."""
    if not np.isfinite(value):
        raise ValueError(f"{split}: {name} must be a number, got {value}")
    return TestMetric(split, name, round(value, 4), None if chance is None else round(chance, 4), counts.images, note)


def everything_counts(images: Sequence[ScoredImage], *, pixel_class: PixelClass, tolerance_px: float) -> Counts:
    """Counts of an answer that calls every pixel damaged: the level of chance for IoU and F1."""
    certain = [0.0, 0.0, 0.0]
    certain[pixel_class] = 1e6
    return counts_of(images, pixel_class=pixel_class, offsets=certain, tolerance_px=tolerance_px)
