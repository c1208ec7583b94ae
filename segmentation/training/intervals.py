"""How far a figure could be another on other images of the same kind: the bootstrap over images."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from segmentation.training.metrics import Counts

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits between which a figure lies in a share of the draws."""

    low: float
    high: float


def image_draws(images: int, *, draws: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each image is in each draw with replacement, int64 ``(draws, images)``."""
    if images < 1 or draws < 1:
        raise ValueError(f"images and draws must be at least 1, got {images} and {draws}")
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=draws)


def interval_of_sums(
    rows: npt.ArrayLike, statistic: Callable[[Floats], float], *, drawn: npt.NDArray[np.int64], level: float = 0.95
) -> Interval | None:
    """Percentile interval of a statistic of the summed rows ``(images, F)`` over draws of the images.

    Efron's percentile method; images are taken to be independent, so several crops of one wall make it too narrow.
    None for a single image and where the statistic is undefined in more than half of the draws.
    """
    table = np.asarray(rows, np.float64)
    if len(table) != drawn.shape[1]:
        raise ValueError(f"each image must have one row, got {len(table)} rows for {drawn.shape[1]} images")
    if len(table) < 2:
        return None
    values = np.array([statistic(total) for total in drawn @ table])
    known = values[np.isfinite(values)]
    if known.size < values.size / 2:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def interval_of_counts(
    counts: Sequence[Counts], statistic: Callable[[Counts], float], *, drawn: npt.NDArray[np.int64]
) -> Interval | None:
    """`interval_of_sums` of a figure of pooled `Counts`."""
    rows = [astuple(one) for one in counts]
    return interval_of_sums(rows, lambda total: statistic(Counts(*(int(value) for value in total))), drawn=drawn)
