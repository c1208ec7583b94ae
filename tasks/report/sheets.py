"""Into which sheets the overview of a structure is cut, and where their pixels lie: plain data, no picture."""

from dataclasses import dataclass
from math import ceil, isfinite, log
from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.georeference import Floats, Georeference
from segmentation.windows import Window
from tasks.report.places import RasterFrame, StructureFrame, on_structure

Affine = npt.NDArray[np.float64]
"""An affine map of the plane as a ``(3, 3)`` matrix on (x, y, 1)."""

SHEET_NAMES: Final = "ABCDEFGH"
_WIDEST: Final = 6.0
"""A sheet longer than this many times its height would be a ribbon: the structure is cut along."""
_BEST: Final = 2.0
"""Length over height that a sheet should have, to share an upright page with others."""
_TALLEST: Final = 1.1
"""Length over height below which a sheet would fill a page alone, or be shown smaller than the others."""
_TALLEST_WHOLE: Final = 0.8
_TALL: Final = 1.25
"""A raster without a footprint that is taller than this share of its width is turned a quarter to the left."""
_BUCKET_PX: Final = (150, 90)
_BUCKET_HOLDS: Final = 4
"""Numbers that can be read in one bucket of pixels."""
_CROWDED_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Extent:
    """A rectangle in the coordinates of a structure, metres."""

    along_start: float
    along_stop: float
    across_start: float
    across_stop: float

    @property
    def length_m(self) -> float:
        """Size along."""
        return self.along_stop - self.along_start

    @property
    def width_m(self) -> float:
        """Size across."""
        return self.across_stop - self.across_start

    def cell(self, grid: tuple[int, int], row: int, col: int) -> "Extent":
        """A cell of a grid of (along, across) cells; row 0 has the largest across, col 0 the least along."""
        length, width = self.length_m / grid[0], self.width_m / grid[1]
        return Extent(
            self.along_start + col * length,
            self.along_start + (col + 1) * length,
            self.across_stop - (row + 1) * width,
            self.across_stop - row * width,
        )


@dataclass(frozen=True, slots=True)
class Sheet:
    """One picture of an overview: a rectangle of the structure drawn with "along" to the right and "across" upwards."""

    name: str
    """Its letter; empty for the whole."""
    extent: Extent
    width_px: int
    height_px: int
    turned: bool
    """Whether it is turned a quarter to the left: "across" to the left and "along" upwards."""

    @property
    def m_per_px(self) -> float:
        """Metres per pixel of the picture, the same along and across."""
        return (self.extent.width_m if self.turned else self.extent.length_m) / self.width_px

    def from_frame(self) -> Affine:
        """The map from (along, across) in metres to (x, y) in pixels of the picture."""
        scale, extent = 1 / self.m_per_px, self.extent
        if self.turned:
            return np.array(
                [[0, -scale, extent.across_stop * scale], [-scale, 0, extent.along_stop * scale], [0, 0, 1]], np.float64
            )
        return np.array(
            [[scale, 0, -extent.along_start * scale], [0, -scale, extent.across_stop * scale], [0, 0, 1]], np.float64
        )

    def holds(self, points: Floats) -> npt.NDArray[np.bool_]:
        """Which of the (along, across) points ``(n, 2)`` lie on it, borders half-open."""
        extent = self.extent
        inside: npt.NDArray[np.bool_] = (
            (points[:, 0] >= extent.along_start)
            & (points[:, 0] < extent.along_stop)
            & (points[:, 1] > extent.across_start)
            & (points[:, 1] <= extent.across_stop)
        )
        return inside


@dataclass(frozen=True, slots=True)
class SheetPlan:
    """The sheets of one raster's overview; where there are several, the whole is the key to them."""

    whole: Sheet
    parts: tuple[Sheet, ...]
    """The sheets that make up the whole; empty where one picture is enough."""
    grid: tuple[int, int]
    """Number of sheets side by side along and across."""


def plan_sheets(
    extent: Extent, anchors: Floats, *, turned: bool, gsd_m: float, max_sheets: int, first_sheet: int, side_px: int
) -> SheetPlan:
    """The fewest sheets on which the numbers of the defects find room and that are no ribbons.

    `anchors` ``(n, 2)`` are the defects' places (along, across), worst first; `side_px` is the width of each picture.
    A sheet is never finer than the raster's pixels, and there are at most `max_sheets` of them, named from the letter
    at `first_sheet` on.
    """
    whole = _sheet("", extent, turned=turned, side_px=side_px)
    if turned or not len(anchors):
        return SheetPlan(whole, (), (1, 1))
    grid = _choose_grid(extent, anchors, gsd_m=gsd_m, max_sheets=max_sheets, side_px=side_px)
    if grid == (1, 1):
        return SheetPlan(whole, (), grid)
    cells = ((row, col) for row in range(grid[1]) for col in range(grid[0]))
    parts = (
        _sheet(name, extent.cell(grid, row, col), turned=False, side_px=side_px)
        for name, (row, col) in zip(SHEET_NAMES[first_sheet:], cells, strict=False)
    )
    return SheetPlan(whole, tuple(parts), grid)


def _sheet(name: str, extent: Extent, *, turned: bool, side_px: int) -> Sheet:
    length, width = (extent.width_m, extent.length_m) if turned else (extent.length_m, extent.width_m)
    full = length >= _TALLEST_WHOLE * width
    width_px = side_px if full else max(1, round(side_px * length / (_TALLEST_WHOLE * width)))
    return Sheet(name, extent, width_px, max(1, ceil(width_px * width / length - 1e-9)), turned)


def _choose_grid(extent: Extent, anchors: Floats, *, gsd_m: float, max_sheets: int, side_px: int) -> tuple[int, int]:
    grids = []
    for along in range(1, max_sheets + 1):
        for across in range(1, max_sheets // along + 1):
            aspect = (extent.length_m / along) / (extent.width_m / across)
            fine = extent.length_m / along / side_px >= gsd_m
            if (along, across) == (1, 1) or (aspect >= _TALLEST and fine):
                grids.append((along * across, aspect > _WIDEST, abs(log(aspect / _BEST)), (along, across)))
    best = (1, 1)
    least = np.inf
    for _, ribbon, _, grid in sorted(grids):
        crowding = _crowding(extent, anchors, grid, side_px) + (1.0 if ribbon else 0.0)
        if crowding < least - 0.02:
            best, least = grid, crowding
        if least <= _CROWDED_SHARE:
            break
    return best


def _crowding(extent: Extent, anchors: Floats, grid: tuple[int, int], side_px: int) -> float:
    """Share of the defects whose numbers would find no room near them."""
    px_per_m = side_px * grid[0] / extent.length_m
    buckets = np.floor(anchors * px_per_m / np.array(_BUCKET_PX)).astype(np.int64)
    counts = np.unique(buckets, axis=0, return_counts=True)[1]
    return float(np.maximum(counts - _BUCKET_HOLDS, 0).sum() / len(anchors))


def raster_to_frame(frame: StructureFrame, georeference: Georeference, window: Window) -> Affine | None:
    """The affine map from (col, row) to (along, across) that fits best in `window`, by least squares on nine points.

    A structure is small beside the earth: what is not affine of a map projection is left out. None where the raster's
    CRS gives no place on the earth for all of the window.
    """
    rows, cols = np.meshgrid(
        np.linspace(window.row_start, window.row_stop, 3), np.linspace(window.col_start, window.col_stop, 3)
    )
    pixels = np.column_stack([cols.ravel(), rows.ravel(), np.ones(9)])
    along, across = on_structure(frame, georeference, rows.ravel(), cols.ravel())
    if not (np.isfinite(along).all() and np.isfinite(across).all()):
        return None
    fit = np.linalg.lstsq(pixels, np.column_stack([along, across]), rcond=None)[0]
    return np.vstack([fit.T, [0.0, 0.0, 1.0]])


def is_turned(frame: StructureFrame, extent: Extent) -> bool:
    """Whether the overview is turned to fill the page's width: where no footprint chose the direction."""
    return isinstance(frame, RasterFrame) and extent.width_m > _TALL * extent.length_m


def mapped(affine: Affine, points: Floats) -> Floats:
    """Points ``(n, 2)`` under an affine map."""
    moved: Floats = points @ affine[:2, :2].T + affine[:2, 2]
    return moved


def inverse(affine: Affine) -> Affine:
    """The map back."""
    return np.asarray(np.linalg.inv(affine), np.float64)


def pixel_window(sheet: Sheet, to_frame: Affine, *, height: int, width: int) -> Window | None:
    """The raster's pixels that a sheet shows, clipped to the raster; None where it shows none."""
    corners = np.array(
        [[0, 0], [sheet.width_px, 0], [0, sheet.height_px], [sheet.width_px, sheet.height_px]], np.float64
    )
    points = mapped(inverse(sheet.from_frame() @ to_frame), corners)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    if not all(map(isfinite, (left, top, right, bottom))):
        return None
    window = Window(int(top) - 2, ceil(bottom) + 2, int(left) - 2, ceil(right) + 2).clip(height, width)
    return window if window.area_px > 0 else None
