"""Whether a repeated surface lies on itself about as well elsewhere: bricks, slabs and planks look alike a period on.

Tiles that agree on a shift by one period of such a surface agree as well as on the true one, with as small a residual.
What tells them apart is what does not repeat: the surface's own texture. So the periods of the newer picture are looked
up in its autocorrelation, and where the older one, moved by a period, correlates about as well, nothing is trusted.
"""

from functools import lru_cache
from math import ceil, hypot
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from segmentation.comparison.grids import Extent, grid_around, tile_centres
from segmentation.comparison.held import HeldPictures
from segmentation.comparison.local_shifts import Picture, Spectrum, Surface, crossed
from segmentation.comparison.similarity import Similarity

Floats = npt.NDArray[np.float32]
Offset = tuple[float, float]
"""(x, y) in metres."""

_TILE_PX: Final = 256
_TILES_PER_SIDE: Final = 2
_WHOLE_PX, _LEAST_PX = 384, 48
_LEAST_PERIOD_PX: Final = 8
_MOST_PERIOD_SHARE: Final = 0.45
"""Of a picture's side: beyond it too little of the picture lies on itself."""
_LEAST_LIKENESS: Final = 0.2
"""Autocorrelation from which a surface counts as repeated."""
_MOST_PERIODS: Final = 3
_NEAR_PX: Final = 3
_LEAST_SHARPNESS: Final = 8.0
"""Height over the noise of the correlation, in standard deviations, from which it is one at all."""
_AS_WELL: Final = 0.6
"""Height of the correlation a period away over that of the fit from which it lies about as well."""


def elsewhere(
    older: HeldPictures, newer: HeldPictures, extent: Extent, fit: Similarity, *, gsd_m: float
) -> float | None:
    """How far away, in metres, the older survey lies on the newer one about as well as by `fit`; None: nowhere."""
    periods = _periods(newer, extent, gsd_m=gsd_m)
    if not periods:
        return None
    shape = (_TILE_PX, _TILE_PX)
    # Summed as spectra: what lies the same in all tiles adds up, at one transform for all.
    here = np.zeros((_TILE_PX, _TILE_PX // 2 + 1), np.complex64)
    there = [np.zeros_like(here) for _ in periods]
    back = fit.inverse().matrix()
    for centre in tile_centres(extent, tile_m=_TILE_PX * gsd_m, per_side=_TILES_PER_SIDE):
        ours = newer.surface(_tile(centre, gsd_m), shape)
        own = older.surface(back @ _tile(centre, gsd_m), shape)
        if ours is None or own is None:
            continue
        here += _crossed(ours, own)
        for total, ((x, y), _) in zip(there, periods, strict=True):
            ways = (np.array([centre[0] + sign * x, centre[1] + sign * y]) for sign in (1, -1))
            moved = (older.surface(back @ _tile(way, gsd_m), shape) for way in ways)
            other = next((one for one in moved if one is not None), None)
            if other is not None:
                total += _crossed(ours, other)
    height = _height(_correlation(here), _NEAR_PX)
    for total, ((x, y), reach_px) in zip(there, periods, strict=True):
        correlation = _correlation(total)
        away = _height(correlation, reach_px)
        if away >= _AS_WELL * height and away >= _LEAST_SHARPNESS * float(correlation.std()):
            return hypot(x, y)
    return None


def _periods(newer: HeldPictures, extent: Extent, *, gsd_m: float) -> list[tuple[Offset, int]]:
    """Shifts by which a surface is much like itself, the likest first, and pixels by which each may be off."""
    tile = _TILE_PX * gsd_m
    found: list[tuple[float, Offset, int]] = []
    surfaces = [
        newer.surface(_tile(centre, gsd_m), (_TILE_PX, _TILE_PX))
        for centre in tile_centres(extent, tile_m=tile, per_side=_TILES_PER_SIDE)
    ]
    known = [_likeness(one.fine) for one in surfaces if one is not None]
    if known:
        found += _maxima(np.mean(known, axis=0, dtype=np.float32), gsd_m, reach_px=_NEAR_PX)
    step_m = extent.longest_m / _WHOLE_PX
    if step_m > 1.5 * gsd_m:
        rows, cols = (max(_LEAST_PX, ceil(2 * half / step_m)) for half in (extent.half_height_m, extent.half_width_m))
        whole = newer.surface(grid_around(np.zeros(2), side_px=(rows, cols), step_m=step_m), (rows, cols))
        if whole is not None:
            found += _maxima(_likeness(whole.fine), step_m, reach_px=_NEAR_PX + ceil(1.5 * step_m / gsd_m))
    found.sort(reverse=True)
    return [(offset, reach_px) for _, offset, reach_px in found[:_MOST_PERIODS]]


def _likeness(fine: Picture) -> Floats:
    """The autocorrelation ``(H, W)``, 1 in its middle, as if each shift had the whole picture to compare."""
    held = fine != 0
    shared = _shared_of_whole(*fine.shape) if held.all() else _shared(held)
    like = fft.fftshift(_with_itself(fine) / shared)
    (down, right), (row, col) = (side // 2 for side in fine.shape), (side // 2 for side in like.shape)
    part = like[row - down : row + down + 1, col - right : col + right + 1]
    return np.asarray(part / max(float(like[row, col]), 1e-12), np.float32)


def _with_itself(values: Floats) -> Floats:
    """The correlation of ``(H, W)`` with itself by shift, right up to half of each side: so far it does not wrap."""
    rows, cols = (fft.next_fast_len(side + side // 2 + 1, real=True) for side in values.shape)
    spectrum = fft.rfft2(values, (rows, cols))
    correlation: Floats = fft.irfft2(spectrum.real**2 + spectrum.imag**2, (rows, cols))
    return correlation


def _shared(held: npt.NDArray[np.bool_]) -> Floats:
    """Known pixels that a picture and itself have in common at each shift, as `_with_itself` gives it."""
    return np.asarray(np.maximum(_with_itself(held.astype(np.float32)), 0.05 * held.sum()), np.float32)


@lru_cache(maxsize=4)
def _shared_of_whole(rows: int, cols: int) -> Floats:
    return _shared(np.ones((rows, cols), np.bool_))


def _maxima(like: Floats, step_m: float, *, reach_px: int) -> list[tuple[float, Offset, int]]:
    """The local maxima of an autocorrelation away from its middle: (likeness, shift, `reach_px`), of each pair one."""
    rows, cols = like.shape
    down, right = (np.arange(side, dtype=np.float32) - side // 2 for side in (rows, cols))
    smooth = ndimage.gaussian_filter(like, 0.7)
    allowed = (smooth >= _LEAST_LIKENESS) & (down[:, None] ** 2 + right**2 >= _LEAST_PERIOD_PX**2)
    allowed &= (np.abs(down)[:, None] <= _MOST_PERIOD_SHARE * rows) & (np.abs(right) <= _MOST_PERIOD_SHARE * cols)
    allowed &= (down[:, None] > 0) | ((down[:, None] == 0) & (right > 0))
    if not allowed.any():
        return []
    at = np.argwhere(allowed & (smooth == ndimage.maximum_filter(smooth, 9)))
    return [
        (float(smooth[row, col]), (float(right[col]) * step_m, -float(down[row]) * step_m), reach_px)
        for row, col in at.tolist()
    ]


def _tile(centre: npt.NDArray[np.float64], gsd_m: float) -> npt.NDArray[np.float64]:
    return grid_around(centre, side_px=(_TILE_PX, _TILE_PX), step_m=gsd_m)


def _crossed(ours: Surface, theirs: Surface) -> Spectrum:
    """The cross-power spectra of both parts, together."""
    first, second = (crossed(one, other, least=1e-6) for one, other in zip(ours.spectra, theirs.spectra, strict=True))
    return first + second


def _correlation(spectrum: Spectrum) -> Floats:
    """The phase correlation ``(H, W)`` of a sum of cross-power spectra, no shift in its middle."""
    surface = fft.irfft2(spectrum, (_TILE_PX, _TILE_PX))
    return np.asarray(fft.fftshift(ndimage.gaussian_filter(surface, 1.0, mode="wrap")), np.float32)


def _height(correlated: Floats, reach_px: int) -> float:
    """The highest correlation within `reach_px` of no shift."""
    rows, cols = (side // 2 for side in correlated.shape)
    return float(correlated[rows - reach_px : rows + reach_px + 1, cols - reach_px : cols + reach_px + 1].max())
