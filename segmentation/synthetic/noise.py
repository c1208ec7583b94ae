"""Random fields that can be evaluated window by window: smooth noise, grain, and relief shading."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image

from segmentation.windows import Window

Floats = npt.NDArray[np.float32]

_BORDER_CELLS = 3
_BICUBIC_STD = 0.8
"""Standard deviation that bicubic interpolation leaves of unit white noise (2-D mean)."""
_GRAIN_ROWS, _GRAIN_COLS = 1021, 1019
"""Primes, so that the repeats of a grain tile never line up with anything else in a scene."""


def resize(field: Floats, shape: tuple[int, int], box: tuple[float, float, float, float] | None = None) -> Floats:
    """Bicubic resampling of ``(H, W)`` float32; `box` is (left, upper, right, lower) in input pixels."""
    picture = Image.fromarray(np.ascontiguousarray(field, np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box=box), np.float32)


@dataclass(frozen=True, slots=True)
class Field:
    """A random field kept at low resolution, about zero mean and unit variance, without a seam between windows."""

    low: Floats
    """Samples ``(h, w)`` with a border of some cells on every side."""
    cell_px: tuple[float, float]
    """Pixels per sample along rows and columns."""

    def window(self, window: Window) -> Floats:
        """The field over `window`, ``(rows, cols)`` float32."""
        cell_rows, cell_cols = self.cell_px
        box = (
            window.col_start / cell_cols + _BORDER_CELLS,
            window.row_start / cell_rows + _BORDER_CELLS,
            window.col_stop / cell_cols + _BORDER_CELLS,
            window.row_stop / cell_rows + _BORDER_CELLS,
        )
        return resize(self.low, window.shape, box)


def fractal_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    coarsest_px: float,
    finest_px: float,
    persistence: float,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Field:
    """Multi-octave value noise over a raster of `shape`; each octave down to `finest_px` weighs `persistence` times
    the one above it; `stretch` (rows, cols) makes it streaky.
    """
    cells = (finest_px * stretch[0], finest_px * stretch[1])
    low_shape = tuple(ceil(n / cell) + 2 * _BORDER_CELLS + 1 for n, cell in zip(shape, cells, strict=True))
    octave_count = max(1, 1 + round(np.log2(max(coarsest_px / finest_px, 1.0))))
    total = np.zeros((1, 1), np.float32)
    variance = 0.0
    for octave in range(octave_count):
        factor = 2 ** (octave_count - 1 - octave)
        size = (ceil(low_shape[0] / factor) + 1, ceil(low_shape[1] / factor) + 1)
        weight = persistence**octave
        noise = rng.standard_normal(size, np.float32) * np.float32(weight)
        previous = (min(total.shape[1], size[1] / 2), min(total.shape[0], size[0] / 2))
        total = noise if octave == 0 else resize(total, size, (0.0, 0.0, *previous)) + noise
        variance += weight**2 * (_BICUBIC_STD**2)
    return Field(total[: low_shape[0], : low_shape[1]] / np.float32(np.sqrt(variance)), cells)


@dataclass(frozen=True, slots=True)
class Grain:
    """White noise of unit variance at full resolution, from one tile that repeats."""

    tile: Floats
    """One period, ``(h, w)``."""

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, int]) -> "Grain":
        """Grain for a raster of `shape`."""
        size = (min(shape[0], _GRAIN_ROWS), min(shape[1], _GRAIN_COLS))
        return cls(rng.standard_normal(size, np.float32))

    def window(self, window: Window) -> Floats:
        """The grain over `window`, ``(rows, cols)`` float32."""
        height, width = self.tile.shape
        rows = np.arange(window.row_start, window.row_stop) % height
        cols = np.arange(window.col_start, window.col_stop) % width
        return np.asarray(self.tile[rows][:, cols], np.float32)


def relief(height: Floats, light: tuple[float, float]) -> Floats:
    """Shading of a height map ``(H, W)`` lit from the side: its slope towards `light` (rows, cols)."""
    shade = np.zeros_like(height)
    shade[1:] += np.float32(light[0]) * (height[1:] - height[:-1])
    shade[:, 1:] += np.float32(light[1]) * (height[:, 1:] - height[:, :-1])
    return shade


def smoothstep(values: Floats, low: float, high: float) -> Floats:
    """0 below `low`, 1 above `high`, a smooth rise between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)
