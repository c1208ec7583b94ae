"""Masks of two patterns, compared strip by strip."""

from typing import Any

import numpy as np
import zarr

_STRIP_ROWS = 2048


def differing_share(first: str, second: str, *, margin_px: int) -> float:
    """Share of the pixels in which two Zarr arrays of class ids differ, `margin_px` or more from the raster's edges.

    Near its edges the patterns see different things: a mirrored raster, a repeated pixel, or zeros.
    """
    left: Any = zarr.open_array(first, mode="r")
    right: Any = zarr.open_array(second, mode="r")
    height, width = left.shape
    cols = slice(margin_px, width - margin_px)
    differing = total = 0
    for row in range(margin_px, height - margin_px, _STRIP_ROWS):
        rows = slice(row, min(row + _STRIP_ROWS, height - margin_px))
        unequal = np.asarray(left[rows, cols]) != np.asarray(right[rows, cols])
        differing += int(unequal.sum())
        total += unequal.size
    return differing / total if total else 0.0
