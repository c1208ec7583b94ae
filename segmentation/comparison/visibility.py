"""Whether what one survey found is to be seen in the other's picture, though it was not found there.

A detector misses parts of cracks; a crack that the older survey missed is not new. Beside its line a crack is darker
than its surroundings, and a patch of rust differs across its outline: where the other survey's picture shows at least
half of that contrast at the same place, the damage was there. Contrast is relative to the brightness, so that other
light does not matter, and the registered surveys lie within a fraction of a pixel of each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.comparison.grids import GridToPlane, ReadPlane, grid_around
from segmentation.comparison.matching import Samples
from segmentation.comparison.records import SurveyDefect

Floats = npt.NDArray[np.float64]

_STEP_PX: Final = 3.0
_SMOOTHED: Final = 9
"""Samples along a line that are averaged: texture is as strong as a pale crack in each of them."""
_LEAST_CONTRAST: Final = 0.04
"""Below this relative contrast the survey that found it shows it too poorly to ask the other for it."""
_VISIBLE_STRENGTH: Final = 0.5
_CELL_PX: Final = 700
_MARGIN_PX: Final = 12
_MOST_SAMPLES: Final = 3000
_GAIN_GAP_PX: Final = 2.0
"""Beside an outline, what is as soft as the outline itself."""
_LEAST_GAIN_PX: Final = 30


@dataclass(frozen=True, slots=True)
class Visible:
    """What the other survey's picture shows along a defect."""

    samples: Samples
    strength: Floats
    """Its contrast over that in the picture of the survey that found it, ``(N,)``; 0 where it is not known."""

    @property
    def share(self) -> float:
        """Share of the defect that it shows."""
        total = float(self.samples.weights.sum())
        return self.shown_m(np.ones(len(self.strength), bool)) / total if total else 0.0

    def shown_m(self, among: npt.NDArray[np.bool_]) -> float:
        """Length that it shows of the places ``(N,)`` that are marked; what lies beside them does not count."""
        starts = np.flatnonzero(np.diff(among.astype(np.int8), prepend=0) == 1)
        stops = np.flatnonzero(np.diff(among.astype(np.int8), append=0) == -1) + 1
        shown_m = 0.0
        for start, stop in zip(starts, stops, strict=True):
            smooth = ndimage.uniform_filter1d(self.strength[start:stop], _SMOOTHED, mode="nearest")
            shown_m += float(self.samples.weights[start:stop][smooth >= _VISIBLE_STRENGTH].sum())
        return shown_m


Look = Callable[[SurveyDefect], Visible | None]
"""Tells what the other survey's picture shows of a defect of one; None where that cannot be told."""


def looked_for(defect: SurveyDefect, read_own: ReadPlane, read_other: ReadPlane, *, gsd_m: float) -> Visible | None:
    """What `read_other` shows of a defect that `read_own` shows; both read pictures in the newer survey's plane."""
    samples, normals = _sampled(defect, step_m=_STEP_PX * gsd_m)
    if not len(samples.weights) or len(samples.weights) > _MOST_SAMPLES:
        return None
    near_m, far_m = _offsets(defect, gsd_m)
    own, other = (
        _contrasts(read, samples.points, normals, near_m, far_m, gsd_m=gsd_m) for read in (read_own, read_other)
    )
    known = np.isfinite(own) & np.isfinite(other)
    if not known.any():
        return None
    typical = float(np.median(own[known]))
    if abs(typical) < _LEAST_CONTRAST:
        return None
    along = ndimage.uniform_filter1d(np.where(known, own, typical), _SMOOTHED, mode="nearest")
    expected = np.clip(along * np.sign(typical), _LEAST_CONTRAST, abs(typical))
    return Visible(samples, np.where(known, np.clip(other * np.sign(typical) / expected, -1.0, 2.0), 0.0))


LookAtGain = Callable[[Sequence[SurveyDefect], Sequence[SurveyDefect]], bool]
"""Whether what the second of two findings of a patch has beyond the first looks like the patch in the older picture."""


def gain_was_there(
    before: Sequence[SurveyDefect], now: Sequence[SurveyDefect], read_older: ReadPlane, *, gsd_m: float
) -> bool:
    """Whether the older picture shows, where a patch is now found beyond what was found before, the patch already.

    Its brightness there is held against that of what both found and that of the surroundings; False where the three
    cannot be told apart, or where the gain is a seam narrower than the outline's own softness.
    """
    then, today = (shapely.union_all([defect.geometry for defect in side]) for side in (before, now))
    gained = shapely.buffer(shapely.difference(today, shapely.buffer(then, _GAIN_GAP_PX * gsd_m)), -0.5 * gsd_m)
    common = shapely.intersection(shapely.buffer(then, -gsd_m), today)
    around = shapely.difference(
        shapely.buffer(today, 3 * _GAIN_GAP_PX * gsd_m), shapely.buffer(today, _GAIN_GAP_PX * gsd_m)
    )
    brightness = [_mean_brightness(read_older, part, gsd_m=gsd_m) for part in (gained, common, around)]
    if any(one is None for one in brightness):
        return False
    there, patch, beside = (float(one or 0.0) for one in brightness)
    if abs(patch - beside) < _LEAST_CONTRAST * max(patch + beside, 1e-6):
        return False
    return abs(there - patch) < abs(there - beside)


def _mean_brightness(read: ReadPlane, part: BaseGeometry, *, gsd_m: float) -> float | None:
    """Over an area, seen at a step that keeps the picture small; None where less than some pixels of it are known."""
    if part.is_empty:
        return None
    left, bottom, right, top = shapely.bounds(part)
    step_m = max(gsd_m, max(right - left, top - bottom) / _CELL_PX)
    side_px = (ceil((top - bottom) / step_m) + 2, ceil((right - left) / step_m) + 2)
    grid = grid_around(np.array([(left + right) / 2, (bottom + top) / 2]), side_px=side_px, step_m=step_m)
    rows, cols = np.mgrid[: side_px[0], : side_px[1]] + 0.5
    points = np.column_stack([cols.ravel(), rows.ravel()]) @ grid[:2, :2].T + grid[:2, 2]
    inside = shapely.contains_xy(part, points[:, 0], points[:, 1]).reshape(side_px)
    values = read(grid, side_px)[inside]
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size >= _LEAST_GAIN_PX else None


def in_older(read_older: ReadPlane, older_of_newer: GridToPlane) -> ReadPlane:
    """The older survey's pictures, asked for by places of the newer one."""

    def read(grid: GridToPlane, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        return read_older(older_of_newer @ grid, shape)

    return read


def _sampled(defect: SurveyDefect, *, step_m: float) -> tuple[Samples, Floats]:
    """Points along a defect's lines or outline, and the unit normals there ``(N, 2)``."""
    geometry = defect.geometry
    lines = shapely.get_parts(geometry if defect.pixel_class == PixelClass.CRACK else geometry.boundary)
    points, normals, weights = [np.zeros((0, 2))], [np.zeros((0, 2))], [np.zeros(0)]
    for line, length_m in zip(lines, shapely.length(lines), strict=True):
        count = max(1, round(length_m / step_m))
        at = (np.arange(count) + 0.5) * length_m / count
        ahead, behind = (
            shapely.get_coordinates(shapely.line_interpolate_point(line, np.clip(at + way, 0, length_m)))
            for way in (step_m, -step_m)
        )
        along = ahead - behind
        along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-12)[:, None]
        points.append(shapely.get_coordinates(shapely.line_interpolate_point(line, at)))
        normals.append(np.column_stack([-along[:, 1], along[:, 0]]))
        weights.append(np.full(count, length_m / count))
    return Samples(np.concatenate(points), np.concatenate(weights)), np.concatenate(normals)


def _offsets(defect: SurveyDefect, gsd_m: float) -> tuple[Floats, Floats]:
    """Distances along the normal that are compared: on a crack and beside it, within an outline and without."""
    if defect.pixel_class != PixelClass.CRACK:
        return np.array([-2.5, -4.5]) * gsd_m, np.array([2.5, 4.5]) * gsd_m
    width_m = defect.area_m2 / defect.length_m if defect.length_m else gsd_m
    beside = width_m / 2 + np.array([2.0, 3.5]) * gsd_m
    return np.array([-0.25, 0.0, 0.25]) * width_m, np.concatenate([-beside, beside])


def _contrasts(
    read: ReadPlane, points: Floats, normals: Floats, near_m: Floats, far_m: Floats, *, gsd_m: float
) -> Floats:
    """(far − near) / (far + near) of the brightness at each point, ``(N,)``; NaN where it is not known."""
    contrasts = np.full(len(points), np.nan)
    margin_m = float(np.abs(far_m).max()) + _MARGIN_PX * gsd_m
    cells = np.floor(points / (_CELL_PX * gsd_m)).astype(np.int64)
    _, numbers = np.unique(cells, axis=0, return_inverse=True)
    for number in range(int(numbers.max()) + 1):
        own = np.flatnonzero(numbers.ravel() == number)
        low, high = points[own].min(axis=0) - margin_m, points[own].max(axis=0) + margin_m
        side_px = (ceil((high[1] - low[1]) / gsd_m), ceil((high[0] - low[0]) / gsd_m))
        grid = grid_around((low + high) / 2, side_px=side_px, step_m=gsd_m)
        picture = read(grid, side_px)
        near, far = (_brightness(picture, grid, points[own], normals[own], offsets) for offsets in (near_m, far_m))
        contrasts[own] = (far - near) / np.maximum(far + near, 1e-6)
    return contrasts


def _brightness(
    picture: npt.NDArray[np.float32], grid: GridToPlane, points: Floats, normals: Floats, offsets_m: Floats
) -> Floats:
    """Mean brightness over some offsets along the normals, ``(N,)``."""
    places = points[:, None, :] + offsets_m[None, :, None] * normals[:, None, :]
    to_picture = np.linalg.inv(grid)
    at = places @ to_picture[:2, :2].T + to_picture[:2, 2] - 0.5
    values = ndimage.map_coordinates(picture, [at[..., 1], at[..., 0]], order=1, cval=np.nan)
    mean: Floats = np.asarray(values, np.float64).mean(axis=1)
    return mean
