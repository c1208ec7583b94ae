"""Whether a repeated surface lies on itself about as well elsewhere: bricks, slabs and planks look alike a period on.

Tiles that agree on a shift by one period of such a surface agree as well as on the true one, with as small a residual.
What tells them apart is what does not repeat: the surface's own texture. So the periods of the newer picture are looked
up in its autocorrelation, and where the older one, moved by a period, correlates about as well, nothing is trusted.
"""

from math import ceil, hypot
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from segmentation.comparison.grids import Extent, ReadPlane, grid_around, tile_centres
from segmentation.comparison.local_shifts import Picture, features
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
    read_older: ReadPlane, read_newer: ReadPlane, extent: Extent, fit: Similarity, *, gsd_m: float
) -> float | None:
    """How far away, in metres, the older survey lies on the newer one about as well as by `fit`; None: nowhere."""
    periods = _periods(read_newer, extent, gsd_m=gsd_m)
    if not periods:
        return None
    shape = (_TILE_PX, _TILE_PX)
    here = np.zeros(shape, np.float32)
    there = [np.zeros(shape, np.float32) for _ in periods]
    back = fit.inverse().matrix()
    for centre in tile_centres(extent, tile_m=_TILE_PX * gsd_m, per_side=_TILES_PER_SIDE):
        ours = _spectra(read_newer(_tile(centre, gsd_m), shape))
        own = _spectra(read_older(back @ _tile(centre, gsd_m), shape))
        if ours is None or own is None:
            continue
        here += _correlated(ours, own)
        for total, ((x, y), _) in zip(there, periods, strict=True):
            ways = (np.array([centre[0] + sign * x, centre[1] + sign * y]) for sign in (1, -1))
            moved = (_spectra(read_older(back @ _tile(way, gsd_m), shape)) for way in ways)
            other = next((one for one in moved if one is not None), None)
            if other is not None:
                total += _correlated(ours, other)
    height = _height(here, _NEAR_PX)
    for total, ((x, y), reach_px) in zip(there, periods, strict=True):
        away = _height(total, reach_px)
        if away >= _AS_WELL * height and away >= _LEAST_SHARPNESS * float(total.std()):
            return hypot(x, y)
    return None


def _periods(read: ReadPlane, extent: Extent, *, gsd_m: float) -> list[tuple[Offset, int]]:
    """Shifts by which a surface is much like itself, the likest first, and pixels by which each may be off."""
    tile = _TILE_PX * gsd_m
    found: list[tuple[float, Offset, int]] = []
    surfaces = [
        features(read(_tile(centre, gsd_m), (_TILE_PX, _TILE_PX)))
        for centre in tile_centres(extent, tile_m=tile, per_side=_TILES_PER_SIDE)
    ]
    known = [_likeness(one[0]) for one in surfaces if one is not None]
    if known:
        found += _maxima(np.mean(known, axis=0, dtype=np.float32), gsd_m, reach_px=_NEAR_PX)
    step_m = extent.longest_m / _WHOLE_PX
    if step_m > 1.5 * gsd_m:
        rows, cols = (max(_LEAST_PX, ceil(2 * half / step_m)) for half in (extent.half_height_m, extent.half_width_m))
        whole = features(read(grid_around(np.zeros(2), side_px=(rows, cols), step_m=step_m), (rows, cols)))
        if whole is not None:
            found += _maxima(_likeness(whole[0]), step_m, reach_px=_NEAR_PX + ceil(1.5 * step_m / gsd_m))
    found.sort(reverse=True)
    return [(offset, reach_px) for _, offset, reach_px in found[:_MOST_PERIODS]]


def _likeness(surface: Picture) -> Floats:
    """The autocorrelation ``(H, W)``, 1 in its middle, as if each shift had the whole picture to compare."""
    shape = tuple(2 * side for side in surface.shape)
    held = (surface != 0).astype(np.float32)
    spectrum, of_held = fft.rfft2(surface, shape), fft.rfft2(held, shape)
    shared = np.maximum(fft.irfft2(np.abs(of_held) ** 2, shape), 0.05 * held.sum())
    like = fft.fftshift(fft.irfft2(np.abs(spectrum) ** 2, shape) / shared)
    rows, cols = surface.shape
    middle = like[rows, cols]
    part = like[rows - rows // 2 : rows + rows // 2 + 1, cols - cols // 2 : cols + cols // 2 + 1]
    return np.asarray(part / max(float(middle), 1e-12), np.float32)


def _maxima(like: Floats, step_m: float, *, reach_px: int) -> list[tuple[float, Offset, int]]:
    """The local maxima of an autocorrelation away from its middle: (likeness, shift, `reach_px`), of each pair one."""
    rows, cols = like.shape
    down, right = np.mgrid[:rows, :cols].astype(np.float32)
    down, right = down - rows // 2, right - cols // 2
    far = np.hypot(down, right)
    smooth = ndimage.gaussian_filter(like, 0.7)
    allowed = (far >= _LEAST_PERIOD_PX) & (np.abs(down) <= _MOST_PERIOD_SHARE * rows)
    allowed &= (np.abs(right) <= _MOST_PERIOD_SHARE * cols) & ((down > 0) | ((down == 0) & (right > 0)))
    peaks = allowed & (smooth >= _LEAST_LIKENESS) & (smooth == ndimage.maximum_filter(smooth, 9))
    at = np.argwhere(peaks)
    return [
        (float(smooth[row, col]), (float(right[row, col]) * step_m, -float(down[row, col]) * step_m), reach_px)
        for row, col in at.tolist()
    ]


def _tile(centre: npt.NDArray[np.float64], gsd_m: float) -> npt.NDArray[np.float64]:
    return grid_around(centre, side_px=(_TILE_PX, _TILE_PX), step_m=gsd_m)


def _spectra(picture: Picture) -> list[npt.NDArray[np.complex64]] | None:
    """The spectra of what of a picture the light does not change; None where nothing is to be seen."""
    found = features(picture)
    return None if found is None else [fft.rfft2(one) for one in found]


def _correlated(ours: list[npt.NDArray[np.complex64]], theirs: list[npt.NDArray[np.complex64]]) -> Floats:
    """The sum of both phase correlations, no shift in its middle."""
    total = np.zeros((_TILE_PX, _TILE_PX), np.float32)
    for one, other in zip(ours, theirs, strict=True):
        product = one * np.conj(other)
        total += fft.irfft2(product / (np.abs(product) + 1e-6 * np.abs(product).max()), total.shape)
    return np.asarray(fft.fftshift(ndimage.gaussian_filter(total, 1.0, mode="wrap")), np.float32)


def _height(correlated: Floats, reach_px: int) -> float:
    """The highest correlation within `reach_px` of no shift."""
    rows, cols = (side // 2 for side in correlated.shape)
    return float(correlated[rows - reach_px : rows + reach_px + 1, cols - reach_px : cols + reach_px + 1].max())
