"""Two surveys of one painted surface with known damage in each: what came, what grew, what stayed, what was repaired.

The surface, its joints and its damage are the same in both; light, noise, GSD and the georeference are each survey's
own, and a strip of the surface was not covered the second time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from shapely.geometry import LineString, Polygon

from segmentation.classes import NODATA, PixelClass
from segmentation.comparison.similarity import IDENTITY, Similarity
from segmentation.synthetic.cracks import walk
from segmentation.synthetic.noise import Floats, fractal_field
from segmentation.synthetic.photograph import light_gradient
from segmentation.synthetic.strokes import Points, Stroke, composite, coverage, polygon_opacity
from segmentation.windows import Window

NEW, GROWN, STATIC, REPAIRED, NOT_SEEN = "NEW", "GROWN", "STATIC", "REPAIRED", "NOT SEEN"
_COUNTS: Final = {NEW: 10, GROWN: 10, STATIC: 15, REPAIRED: 5, NOT_SEEN: 4}
_CELLS: Final = (6, 8)
"""Rows and columns of cells, a defect in each at most; the last column is not covered the second time."""
_CELL_M: Final = 0.72
_MASTER_GSD_M: Final = 0.0015
PaintSurface = Callable[[np.random.Generator, tuple[int, int]], Floats]


@dataclass(frozen=True, slots=True)
class PairDefect:
    """One defect of the surface, in metres from its middle, x to the right and y upwards."""

    change: str
    """What became of it."""
    pixel_class: PixelClass
    older: LineString | Polygon | None
    """Centre line or outline at the first survey; None: it was not there."""
    newer: LineString | Polygon | None
    """The same at the second survey; None: it was repaired."""
    width_m: float
    """Width of a crack; 0 for rust."""

    @property
    def older_size(self) -> float:
        """Length in m or area in m² at the first survey; 0 where it was not there."""
        return self._size(self.older)

    @property
    def newer_size(self) -> float:
        """Length in m or area in m² at the second survey; 0 where it was repaired."""
        return self._size(self.newer)

    def _size(self, geometry: LineString | Polygon | None) -> float:
        if geometry is None:
            return 0.0
        return float(geometry.length if self.pixel_class == PixelClass.CRACK else geometry.area)


@dataclass(frozen=True, slots=True)
class PaintedSurvey:
    """One survey of the surface."""

    image: npt.NDArray[np.uint8]
    """RGB ``(H, W, 3)``."""
    mask: npt.NDArray[np.uint8]
    """Class ids ``(H, W)`` of a perfect detector; `NODATA` where nothing was covered."""
    gsd_m: float
    corner_m: tuple[float, float]
    """(x, y) of the upper left corner as the georeference states it, from the middle of the surface."""
    stated_from_true: Similarity
    """How its georeference errs: where a true place is stated to be."""


@dataclass(frozen=True, slots=True)
class SurveyPair:
    """Both surveys with the truth."""

    older: PaintedSurvey
    newer: PaintedSurvey
    defects: tuple[PairDefect, ...]
    half_width_m: float
    """Half the surface's width."""
    half_height_m: float


def joined_slabs(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Brightness ``(H, W)`` of concrete slabs, 0 to 255: blotches, pores, joints."""
    whole = Window(0, shape[0], 0, shape[1])
    blotches = fractal_field(rng, shape, coarsest_px=600, finest_px=12, persistence=0.75).window(whole)
    pores = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 1.2)
    surface: Floats = 150.0 + 7.0 * blotches + 14.0 * pores
    for at in (shape[0] // 3, 2 * shape[0] // 3):
        surface[at : at + 6] -= 18.0
    for at in (shape[1] // 4, shape[1] // 2, 3 * shape[1] // 4):
        surface[:, at : at + 6] -= 18.0
    return surface


@dataclass(frozen=True, slots=True)
class PairTraits:
    """What kind of surface and damage a pair is of."""

    surface: PaintSurface = joined_slabs
    """Paints the undamaged surface ``(H, W)`` at 1.5 mm a pixel, 0 to 255."""
    crack_width_m: tuple[float, float] = (0.005, 0.010)
    """Between which the widths of the cracks are drawn."""
    counts: Mapping[str, int] = field(default_factory=lambda: dict(_COUNTS))
    """How many defects of each change, 42 at most but for those not seen, of which there are 6 at most."""


def survey_pair(
    seed: int,
    *,
    error: Similarity,
    older_gsd_m: float = 0.0015,
    newer_gsd_m: float = 0.0015,
    other_light: bool = True,
    traits: PairTraits | None = None,
) -> SurveyPair:
    """A pair of surveys, 5.8 by 4.3 m; the newer one's georeference errs by `error` against the older one's."""
    rng = np.random.default_rng(seed)
    traits = traits or PairTraits()
    defects = _defects(rng, traits)
    half_width_m, half_height_m = _CELLS[1] * _CELL_M / 2, _CELLS[0] * _CELL_M / 2
    surface = traits.surface(rng, (round(2 * half_height_m / _MASTER_GSD_M), round(2 * half_width_m / _MASTER_GSD_M)))
    halves = (half_width_m, half_height_m)
    uncovered_from_m = half_width_m - _CELL_M
    older = _painted(rng, surface, halves, [(d, d.older) for d in defects], older_gsd_m, IDENTITY, light=None)
    newer = _painted(
        rng,
        surface,
        halves,
        [(d, d.newer) for d in defects],
        newer_gsd_m,
        error,
        light=0.3 if other_light else None,
        uncovered_from_m=uncovered_from_m,
    )
    return SurveyPair(older, newer, defects, half_width_m, half_height_m)


def _defects(rng: np.random.Generator, traits: PairTraits) -> tuple[PairDefect, ...]:
    rows, cols = _CELLS
    covered = [(row, col) for row in range(rows) for col in range(cols - 1)]
    uncovered = [(row, cols - 1) for row in range(rows)]
    rng.shuffle(covered)
    rng.shuffle(uncovered)
    made = []
    for change, count in traits.counts.items():
        cells = uncovered if change == NOT_SEEN else covered
        growths = rng.permutation(np.linspace(0.05, 0.5, count)) if change == GROWN else np.zeros(count)
        for number in range(count):
            row, col = cells.pop()
            middle = ((col - (cols - 1) / 2) * _CELL_M, (row - (rows - 1) / 2) * _CELL_M)
            growth = float(growths[number])
            is_rust = number % 4 == 3
            made.append(_rust(rng, change, middle, growth) if is_rust else _crack(rng, change, middle, growth, traits))
    return tuple(made)


def _crack(
    rng: np.random.Generator, change: str, middle: tuple[float, float], growth: float, traits: PairTraits
) -> PairDefect:
    length_m, heading = rng.uniform(0.26, 0.36), rng.uniform(0, np.pi)
    step_m = 0.004
    whole_m = length_m * (1 + growth)
    start = (middle[1] - np.sin(heading) * whole_m / 2, middle[0] - np.cos(heading) * whole_m / 2)
    # The walk gives its steps the same length, so that a prefix of the line is the line before it grew.
    path = walk(rng, start=start, heading_rad=heading, length_px=whole_m, step_px=step_m, wander=0.25, jitter=0.2)
    points = path[:, ::-1]
    before = points[: max(2, round(len(points) / (1 + growth)))]
    older = None if change == NEW else LineString(before)
    newer = None if change == REPAIRED else LineString(points)
    return PairDefect(change, PixelClass.CRACK, older, newer, float(rng.uniform(*traits.crack_width_m)))


def _rust(rng: np.random.Generator, change: str, middle: tuple[float, float], growth: float) -> PairDefect:
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    wobble = sum(rng.normal(0, 0.12 / k) * np.cos(k * angles + rng.uniform(0, 6.3)) for k in range(2, 7))
    radius = rng.uniform(0.07, 0.12) * (1 + np.asarray(wobble))
    outline = np.column_stack([np.cos(angles) * radius, np.sin(angles) * radius])
    older = None if change == NEW else Polygon(outline + middle)
    newer = None if change == REPAIRED else Polygon(outline * np.sqrt(1 + growth) + middle)
    return PairDefect(change, PixelClass.RUST, older, newer, 0.0)


def _painted(
    rng: np.random.Generator,
    surface: Floats,
    halves: tuple[float, float],
    found: list[tuple[PairDefect, LineString | Polygon | None]],
    gsd_m: float,
    error: Similarity,
    *,
    light: float | None,
    uncovered_from_m: float | None = None,
) -> PaintedSurvey:
    half_width_m, half_height_m = halves
    height, width = round(2 * half_height_m / gsd_m), round(2 * half_width_m / gsd_m)
    corner = (-half_width_m, half_height_m)

    def pixels_of(points: Points) -> Points:
        stated = error.of(points)
        return np.column_stack([(corner[1] - stated[:, 1]) / gsd_m, (stated[:, 0] - corner[0]) / gsd_m])

    grey, known = _seen_from(surface, halves, (height, width), gsd_m, corner, error)
    if uncovered_from_m is not None:
        cols = np.arange(width) + 0.5
        known &= (corner[0] + cols * gsd_m < uncovered_from_m)[None, :]
    image = np.repeat(grey[..., None], 3, axis=2) * np.array([1.0, 0.98, 0.94], np.float32)
    mask = np.zeros((height, width), np.uint8)
    for defect, geometry in found:
        if geometry is not None:
            _paint(image, mask, defect, geometry, pixels_of, px_per_m=error.scale / gsd_m)
    if light is not None:
        image *= np.float32(0.8) * light_gradient(rng, (height, width), light)[..., None]
    image += rng.normal(0, 2.0, image.shape).astype(np.float32)
    image[~known] = 0
    mask[~known] = NODATA
    return PaintedSurvey(np.clip(np.rint(image), 0, 255).astype(np.uint8), mask, gsd_m, corner, error)


def _seen_from(
    surface: Floats,
    halves: tuple[float, float],
    shape: tuple[int, int],
    gsd_m: float,
    corner: tuple[float, float],
    error: Similarity,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The surface as a raster of its own scale shows it, and which of its pixels lie on the surface."""
    to_stated = np.array([[gsd_m, 0, corner[0] + gsd_m / 2], [0, -gsd_m, corner[1] - gsd_m / 2], [0, 0, 1.0]])
    fine = _MASTER_GSD_M
    to_master = np.array([[1 / fine, 0, halves[0] / fine - 0.5], [0, -1 / fine, halves[1] / fine - 0.5], [0, 0, 1.0]])
    whole = to_master @ error.inverse().matrix() @ to_stated
    flip = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])
    matrix = flip @ whole @ flip
    blurred = ndimage.gaussian_filter(surface, 0.4 * max(0.0, gsd_m / fine - 1) + 1e-3)
    grey = ndimage.affine_transform(blurred, matrix[:2, :2], matrix[:2, 2], shape, order=1, cval=np.nan)
    known = np.isfinite(grey)
    return np.nan_to_num(grey).astype(np.float32), known


def _paint(
    image: Floats,
    mask: npt.NDArray[np.uint8],
    defect: PairDefect,
    geometry: LineString | Polygon,
    pixels_of: Callable[[Points], Points],
    *,
    px_per_m: float,
) -> None:
    """Lay a defect on a picture and its mask, in place."""
    line = geometry.exterior if isinstance(geometry, Polygon) else geometry
    points = pixels_of(np.asarray(line.coords, np.float64))
    if defect.pixel_class == PixelClass.CRACK:
        stroke = Stroke(points, np.full(len(points), defect.width_m * px_per_m))
        window = stroke.window(3).clip(*mask.shape)
        opacity, colour = coverage(stroke, window), np.array([62, 58, 54], np.float32)
    else:
        low, high = np.floor(points.min(axis=0)).astype(int) - 3, np.ceil(points.max(axis=0)).astype(int) + 3
        window = Window(int(low[0]), int(high[0]), int(low[1]), int(high[1])).clip(*mask.shape)
        opacity, colour = polygon_opacity(window, points, soft_px=0.6), np.array([126, 74, 40], np.float32)
    here = window.slices()
    composite(image[here], opacity * np.float32(0.9), colour)
    mask[here][opacity >= 0.5] = defect.pixel_class
