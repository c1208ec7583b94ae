"""Precision and recall at every threshold of a probability, from exact counts of its 256 levels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEVELS = 256
"""A stored probability is ``level / 255``."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelHistogram:
    """Pixels by the level of their probability; adds up over images."""

    positives: Ints
    """``(256,)`` true pixels."""
    negatives: Ints
    """``(256,)`` the other counted pixels."""

    def __post_init__(self) -> None:
        if self.positives.shape != (LEVELS,) or self.negatives.shape != (LEVELS,):
            raise ValueError(f"counts must be ({LEVELS},), got {self.positives.shape} and {self.negatives.shape}")

    def __add__(self, other: "PixelHistogram") -> "PixelHistogram":
        return PixelHistogram(self.positives + other.positives, self.negatives + other.negatives)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Precision and recall of calling damage what has at least a probability."""

    threshold: float
    """The least probability, a multiple of 1/255."""
    precision: float
    recall: float
    f1: float


def pixel_histogram(probability: npt.NDArray[np.uint8], truth: Bools, *, counted: Bools) -> PixelHistogram:
    """Count a quantised probability ``(H, W)`` (255 is 1) by its truth ``(H, W)``, on the pixels `counted` alone."""
    if not probability.shape == truth.shape == counted.shape:
        raise ValueError(
            f"probability, truth and counted must be of one shape, got {probability.shape}, {truth.shape}, "
            f"{counted.shape}"
        )
    return PixelHistogram(
        np.bincount(probability[truth & counted], minlength=LEVELS).astype(np.int64),
        np.bincount(probability[~truth & counted], minlength=LEVELS).astype(np.int64),
    )


def operating_points(histogram: PixelHistogram) -> tuple[OperatingPoint, ...]:
    """The 256 points of the precision-recall curve, by ascending threshold; the first calls everything damage.

    Precision is NaN where nothing is called damage, recall where nothing is.
    """
    found, called = _found_and_called(histogram)
    precision, recall = _share(found, called), _share(found, found[0])
    f1 = _share(2 * found, called + found[0])
    return tuple(
        OperatingPoint(level / (LEVELS - 1), float(precision[level]), float(recall[level]), float(f1[level]))
        for level in range(LEVELS)
    )


def best_point(histogram: PixelHistogram) -> OperatingPoint | None:
    """The point of the largest F1, the highest threshold among equals; None where no pixel is true.

    It is chosen on the very images it is stated for, so it is an upper bound for a threshold chosen beforehand.
    """
    if not histogram.positives.any():
        return None
    return max(operating_points(histogram), key=lambda point: (point.f1, point.threshold))


def average_precision(histogram: PixelHistogram) -> float:
    """Sum of precision times gain in recall, highest level first, not interpolated; NaN without a true pixel."""
    if not histogram.positives.any():
        return float("nan")
    found, called = _found_and_called(histogram)
    gained = np.diff(np.append(found, 0)) * -1
    return float((gained * _share(found, np.maximum(called, 1))).sum() / found[0])


def _found_and_called(histogram: PixelHistogram) -> tuple[Ints, Ints]:
    """``(256,)`` true pixels, and all pixels, of at least each level."""
    found = histogram.positives[::-1].cumsum()[::-1]
    return found, found + histogram.negatives[::-1].cumsum()[::-1]


def _share(part: Ints, whole: Ints | np.int64) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(part / whole, np.float64)
