"""Pictures as grids in the plane of a structure: what is read of a survey, where, and how it is resampled."""

from collections.abc import Callable
from dataclasses import dataclass
from math import floor
from typing import Final

import numpy as np
import numpy.typing as npt
from skimage.transform import warp

from segmentation.comparison.local_shifts import Picture
from segmentation.comparison.similarity import Points

_CENTRES: Final = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
_UNTURNED_PX: Final = 1e-6
"""A picture whose far side is turned or scaled by less is moved alone."""

GridToPlane = npt.NDArray[np.float64]
"""Matrix ``(3, 3)`` of (column, row, 1) of a picture, at pixel corners, to (x, y, 1) in the plane."""
ReadPlane = Callable[[GridToPlane, tuple[int, int]], Picture]
"""Reads a picture ``(H, W)`` float32 of one survey, NaN where it has no data."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The part of the plane that is registered: a rectangle around its origin."""

    half_width_m: float
    half_height_m: float

    @property
    def longest_m(self) -> float:
        """Its longer side."""
        return 2 * max(self.half_width_m, self.half_height_m)


def tile_centres(extent: Extent, *, tile_m: float, per_side: int) -> Points:
    """Middles ``(N, 2)`` of at most `per_side`² tiles spread evenly over the extent, overlapping by half at most."""
    axes = []
    for half in (extent.half_width_m, extent.half_height_m):
        room = max(0.0, half - tile_m / 2)
        count = min(per_side, 1 + int(2 * room / (tile_m / 2) + 1e-9))
        axes.append(np.linspace(-room, room, count) if count > 1 else np.zeros(1))
    xs, ys = np.meshgrid(axes[0], axes[1])
    return np.column_stack([xs.ravel(), ys.ravel()])


def grid_around(centre: Points, *, side_px: tuple[int, int], step_m: float) -> GridToPlane:
    """The matrix of a picture of ``(H, W)`` pixels of `step_m` around a place, rows downwards."""
    height, width = side_px
    return np.array(
        [
            [step_m, 0.0, centre[0] - step_m * width / 2],
            [0.0, -step_m, centre[1] + step_m * height / 2],
            [0.0, 0.0, 1.0],
        ]
    )


def resampled(picture: Picture, to_picture: GridToPlane, shape: tuple[int, int]) -> Picture:
    """A picture as a grid of `shape` sees it, bilinear, NaN beyond it and beside what is not known.

    `to_picture` ``(3, 3)`` maps (column, row, 1) of the grid to those of the picture, both at pixel corners.
    """
    matrix = np.linalg.inv(_CENTRES) @ to_picture @ _CENTRES
    if np.abs(matrix[:2, :2] - np.eye(2)).max() * max(shape) < _UNTURNED_PX:
        moved = _moved(picture, float(matrix[1, 2]), float(matrix[0, 2]), shape)
        if moved is not None:
            return moved
    seen = warp(picture, matrix, output_shape=shape, order=1, cval=np.nan, clip=False, preserve_range=True)
    return np.asarray(seen, np.float32)


def _moved(picture: Picture, down: float, right: float, shape: tuple[int, int]) -> Picture | None:
    """`resampled` where the grid is only moved by so many pixels, with less to do; None where it reaches beyond."""
    row, col = floor(down), floor(right)
    part = picture[row : row + shape[0] + 1, col : col + shape[1] + 1] if min(row, col) >= 0 else picture[:0]
    if part.shape != (shape[0] + 1, shape[1] + 1):
        return None
    below, beside = np.float32(down - row), np.float32(right - col)
    along = part[:, :-1] + beside * (part[:, 1:] - part[:, :-1])
    return along[:-1] + below * (along[1:] - along[:-1])
