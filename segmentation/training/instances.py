"""Average precision of instances: which findings match which pieces of damage, by area or along centre lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segmentation.classes import PixelClass
from segmentation.training.metrics import Bools, centre_line, distance_px

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

OVERLAPS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Least overlaps of a match, those of the COCO benchmark; the first is the usual one."""


@dataclass(frozen=True, slots=True, eq=False)
class InstanceMatches:
    """Findings of some images against the pieces of damage there; adds up over images."""

    confidence: Floats
    """``(P,)`` mean probability of each finding."""
    matched: Bools
    """``(P, len(OVERLAPS))`` whether it matches a piece of damage of its own."""
    pieces: int
    """Pieces of damage there are."""

    def __add__(self, other: "InstanceMatches") -> "InstanceMatches":
        return InstanceMatches(
            np.concatenate([self.confidence, other.confidence]),
            np.concatenate([self.matched, other.matched]),
            self.pieces + other.pieces,
        )

    @property
    def ap50(self) -> float:
        """Average precision with matches of at least half overlap; NaN without a piece of damage."""
        return interpolated_precision(self.confidence, self.matched[:, 0], pieces=self.pieces)

    @property
    def ap(self) -> float:
        """Mean of the average precision over all of `OVERLAPS`; NaN without a piece of damage."""
        return float(
            np.mean(
                [
                    interpolated_precision(self.confidence, self.matched[:, k], pieces=self.pieces)
                    for k in range(len(OVERLAPS))
                ]
            )
        )


NO_INSTANCES: Final = InstanceMatches(np.empty(0), np.empty((0, len(OVERLAPS)), np.bool_), 0)
"""Of no image."""


def instance_labels(
    mask: Bools, *, pixel_class: PixelClass, join_px: float, min_crack_length_px: float, min_rust_area_px: int
) -> Labels:
    """Instances ``(H, W)`` numbered from 1, 0 elsewhere: connected pixels, parts within `join_px` of each other as one.

    What the product would leave out as specks is left out: rust of fewer pixels, cracks whose centre line has fewer.
    """
    joined = mask if join_px <= 0 else distance_px(mask) <= join_px / 2
    labels = cc3d.connected_components(joined.astype(np.uint8), connectivity=8).astype(np.int64) * mask
    if pixel_class == PixelClass.CRACK:
        sizes = np.bincount(labels[centre_line(mask)], minlength=int(labels.max()) + 1)
        keep = sizes >= min_crack_length_px
    else:
        keep = np.bincount(labels.ravel()) >= min_rust_area_px
    keep[0] = False
    numbers = np.cumsum(keep) * keep
    return np.asarray(numbers[labels], np.int64)


def area_overlaps(said: Labels, true: Labels) -> Floats:
    """Intersection over union ``(P, T)`` of each finding with each piece of damage, from their labels ``(H, W)``."""
    shared = _pairs(said, true, shape=(_count(said), _count(true)))
    areas = np.bincount(said.ravel(), minlength=_count(said) + 1)[1:, None]
    union = areas + np.bincount(true.ravel(), minlength=_count(true) + 1)[None, 1:] - shared
    return np.asarray(shared / np.maximum(union, 1), np.float64)


def line_overlaps(said: Labels, true: Labels, *, tolerance_px: float) -> Floats:
    """Overlap ``(P, T)`` of the centre lines of each finding and each piece of damage, within a tolerance.

    The centre-line IoU of `Counts.cl_iou`, for each pair; a pixel of one line counts for the nearest other line only.
    """
    shape = (_count(said), _count(true))
    said_line, true_line = said * centre_line(said > 0), true * centre_line(true > 0)
    near = _pairs(said_line, _nearest(true_line, tolerance_px), shape=shape)
    back = _pairs(_nearest(said_line, tolerance_px), true_line, shape=shape)
    said_length = np.bincount(said_line.ravel(), minlength=shape[0] + 1)[1:, None]
    true_length = np.bincount(true_line.ravel(), minlength=shape[1] + 1)[None, 1:]
    return np.asarray(near / np.maximum(said_length + true_length - back, 1), np.float64)


def match_instances(overlaps: Floats, confidence: Floats, *, least: Sequence[float] = OVERLAPS) -> Bools:
    """Which findings ``(P, len(least))`` match: the surest first, each takes the free piece that it overlaps most."""
    matched = np.zeros((len(confidence), len(least)), np.bool_)
    if overlaps.size == 0:
        return matched
    for column, threshold in enumerate(least):
        free = np.ones(overlaps.shape[1], np.bool_)
        for finding in np.argsort(-confidence, kind="stable"):
            candidates = np.where(free, overlaps[finding], -1.0)
            best = int(candidates.argmax())
            if candidates[best] >= threshold:
                free[best], matched[finding, column] = False, True
    return matched


def mean_per_instance(values: npt.NDArray[np.uint8], labels: Labels) -> Floats:
    """Mean of a quantised probability ``(H, W)`` over each instance ``(P,)``, as a number of [0, 1]."""
    count = _count(labels)
    totals = np.bincount(labels.ravel(), weights=values.ravel().astype(np.float64), minlength=count + 1)[1:]
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return np.asarray(totals / np.maximum(sizes, 1) / 255, np.float64)


def interpolated_precision(confidence: Floats, matched: Bools, *, pieces: int) -> float:
    """Area below the precision-recall curve of ranked findings, precision made monotone (PASCAL VOC 2010 and later).

    NaN without a piece of damage. Findings of equal confidence come as one.
    """
    if pieces == 0:
        return float("nan")
    if confidence.size == 0:
        return 0.0
    order = np.argsort(-confidence, kind="stable")
    last_of_equals = np.append(np.diff(confidence[order]) != 0, True)
    found = matched[order].cumsum()[last_of_equals]
    called = np.arange(1, confidence.size + 1)[last_of_equals]
    precision = np.maximum.accumulate((found / called)[::-1])[::-1]
    return float((np.diff(found, prepend=0) * precision).sum() / pieces)


def _nearest(labels: Labels, tolerance_px: float) -> Labels:
    """Label of the nearest labelled pixel within a tolerance, 0 where there is none."""
    if not labels.any():
        return labels
    distance, (rows, cols) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    return np.where(distance <= tolerance_px, labels[rows, cols], 0)


def _pairs(one: Labels, other: Labels, *, shape: tuple[int, int]) -> Labels:
    """Pixels ``(P, T)`` in which each pair of labels falls together."""
    both = (one > 0) & (other > 0)
    flat = (one[both] - 1) * shape[1] + other[both] - 1
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)


def _count(labels: Labels) -> int:
    return int(labels.max()) if labels.size else 0
