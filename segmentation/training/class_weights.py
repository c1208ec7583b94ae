"""Class weights from class counts: inverse frequency, over a whole data set or crop by crop."""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.training.content_tables import Integers
from segmentation.training.labels import UNKNOWN, only

Floats = npt.NDArray[np.float32]
ClassWeighting = Literal["data-set", "crop"]
"""Where weights come from when they are not given: the frequencies of the whole data set, or of each crop."""

COUNTED: Final = (*(only(c) for c in PixelClass if c != PixelClass.BACKGROUND), UNKNOWN)
"""Labels whose pixels are counted; every other label weighs as background, as in the cross-entropy."""


def class_counts(counted: Integers, areas_px: Integers) -> Integers:
    """``(N, C)`` pixels that weigh as each class, from counts ``(N, K)`` of `COUNTED` in `areas_px` ``(N,)`` pixels."""
    background = areas_px - counted.sum(1)
    return np.concatenate([background[:, None], counted[:, :-1]], 1)


def inverse_frequency(counts: npt.ArrayLike, *, highest: float) -> Floats:
    """Weights ``(…, C)`` in inverse proportion to pixel counts ``(…, C)``; the commonest class of each row has 1.

    No weight exceeds `highest`, so that a crop with a single damaged pixel does not learn from that one alone.
    A class without a pixel has 1: its weight is never used.

    >>> inverse_frequency([[900, 90, 0], [10, 990, 0]], highest=20.0).tolist()
    [[1.0, 10.0, 1.0], [20.0, 1.0, 1.0]]
    """
    pixels = np.asarray(counts, np.float64)
    if pixels.shape[-1] != len(CLASS_NAMES) or (pixels < 0).any() or not highest >= 1:
        got = f"{pixels.shape} and {highest}"
        raise ValueError(f"counts must be (…, {len(CLASS_NAMES)}) and >= 0, highest >= 1, got {got}")
    commonest = pixels.max(-1, keepdims=True)
    weights = np.divide(commonest, pixels, out=np.ones_like(pixels), where=pixels > 0)
    return np.asarray(np.minimum(weights, highest), np.float32)
