"""Which of several overlapping rasters a place is measured in: the best-seen raster wins.

The rule. Among the rasters that hold valid data at a place, the one with the finer GSD wins; a GSD less than
5 % above the finest of its group counts as equal to it. Among equals the raster wins in which the place lies
farther, in metres, from the edge of its valid data; among equals in that too (within half a pixel), the first
by name. So each place is owned by one raster, and a defect on it is counted once.

Valid data is known on a low-resolution grid. Where no raster's grid says valid (the ragged rim of a raster),
the raster whose valid data is nearest wins, so that no pixel of a rim is left to nobody.

Rasters in a local frame have no place on the earth and never overlap others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, map_coordinates

from segmentation.georeference import Floats, Georeference
from segmentation.windows import Window

Bools = npt.NDArray[np.bool_]

EQUAL_GSD_RATIO: Final = 1.05
"""Rasters whose GSD differs by less than this ratio see equally well."""

_CELL_PX: Final = 8
"""Cells of this side are decided as one where their corners leave no doubt."""
_NODE_PX: Final = 64
"""Distance of the nodes between which coordinates of another CRS are interpolated."""
_STEEPNESS: Final = 1.5
"""Largest change of an interpolated distance to the edge per metre (1 along an axis, √2 across)."""


@dataclass(frozen=True, slots=True)
class RasterView:
    """What ownership needs to know of one raster."""

    name: str
    """File name, unique in the survey."""
    georeference: Georeference
    """Its place."""
    gsd_m: float
    """GSD at its centre, metres per pixel."""
    edge_distance_m: npt.NDArray[np.float32]
    """``(h, w)`` of `edge_distance` on a grid of equal cells that covers the whole raster."""


def edge_distance(validity_lowres: Bools, *, step_m: float | tuple[float, float]) -> npt.NDArray[np.float32]:
    """Metres from each cell's centre to the edge of valid data, float32 ``(h, w)``: > 0 inside, < 0 outside.

    `validity_lowres` bool ``(h, w)`` says of each cell whether *all* its pixels are valid; the raster's frame
    is an edge. `step_m` is the side of a cell in metres, or its (height, width).
    """
    step = (step_m, step_m) if isinstance(step_m, int | float) else step_m
    padded = np.pad(validity_lowres, 1)
    half = min(step) / 2
    inside = distance_transform_edt(padded, sampling=step) - half
    if padded.any():
        outside = half - distance_transform_edt(~padded, sampling=step)
    else:
        outside = np.full(padded.shape, -np.hypot(padded.shape[0] * step[0], padded.shape[1] * step[1]))
    signed: npt.NDArray[np.float32] = np.where(padded, inside, outside)[1:-1, 1:-1].astype(np.float32)
    return signed


def owned(views: Sequence[RasterView], index: int, window: Window) -> Bools:
    """Which pixels of a window of raster `index` are measured in it and not in another, bool ``(H, W)``.

    Raises ValueError where two views have one name, since the rule could not part them.
    """
    result = np.ones(window.shape, np.bool_)
    for rivalry in _rivalries(views, index, window):
        rivalry.concede(result)
    return result


def owned_pixels(
    views: Sequence[RasterView], index: int, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]
) -> Bools:
    """`owned` of single pixels (row, col) of raster `index`, each ``(N,)``, wherever in it they lie, bool ``(N,)``.

    In two CRS it agrees with `owned` but for what that interpolates: a few thousandths of a pixel at the seam.
    """
    result = np.ones(rows.shape, np.bool_)
    if rows.size == 0:
        return result
    window = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    for rivalry in _rivalries(views, index, window):
        result &= rivalry.keeps(rows.astype(np.float64) + 0.5, cols.astype(np.float64) + 0.5)
    return result


def _rivalries(views: Sequence[RasterView], index: int, window: Window) -> Iterator["_Rivalry"]:
    """The rasters that a window of raster `index` can reach."""
    if len({view.name for view in views}) != len(views):
        raise ValueError(f"rasters must have unique names, got {[view.name for view in views]}")
    mine = views[index]
    groups = _gsd_groups(views)
    for other_index, other in enumerate(views):
        if other_index == index or mine.georeference.is_local or other.georeference.is_local or window.area_px == 0:
            continue
        rivalry = _Rivalry(mine, other, finer=groups[other_index] - groups[index], window=window)
        if rivalry.overlap():
            yield rivalry


def _gsd_groups(views: Sequence[RasterView]) -> list[int]:
    """Group number per raster, finest first. Grouped from the finest on, so that "equal" is the same for all."""
    group, finest = 0, 0.0
    groups = [0] * len(views)
    for index in sorted(range(len(views)), key=lambda k: (views[k].gsd_m, views[k].name)):
        gsd_m = views[index].gsd_m
        if finest == 0.0:
            finest = gsd_m
        elif gsd_m >= finest * EQUAL_GSD_RATIO:
            group, finest = group + 1, gsd_m
        groups[index] = group
    return groups


class _Rivalry:
    """Two rasters over one window of the first: which pixels go to the second."""

    def __init__(self, mine: RasterView, other: RasterView, *, finer: int, window: Window) -> None:
        self.mine, self.other, self.window = mine, other, window
        self.finer = finer
        """> 0: mine is the finer; < 0: the other is; 0: they see equally well."""
        self.map = _PixelMap(mine.georeference, other.georeference, window)
        # Half a pixel, far below what the edge distance can tell, and the same seen from either raster.
        self.name_bonus_m = min(mine.gsd_m, other.gsd_m) / 2 * (1 if mine.name < other.name else -1)

    def overlap(self) -> bool:
        """Whether the window can reach the other raster at all."""
        rows, cols = self.map(*_corners(self.window))
        frame = self.other.georeference
        if not (np.isfinite(rows).all() and np.isfinite(cols).all()):
            return False
        return bool(rows.min() < frame.height and rows.max() > 0 and cols.min() < frame.width and cols.max() > 0)

    def concede(self, result: Bools) -> None:
        """Clear the pixels of `result` ``(H, W)`` that the other raster wins."""
        if self._same():
            if self.name_bonus_m < 0:
                result[:] = False
            return
        height, width = self.window.shape
        rows = np.minimum(np.arange(0, height + _CELL_PX, _CELL_PX, dtype=np.float64), height) + self.window.row_start
        cols = np.minimum(np.arange(0, width + _CELL_PX, _CELL_PX, dtype=np.float64), width) + self.window.col_start
        lead, inside = self._lead(*np.meshgrid(rows, cols, indexing="ij"))
        slack = 2 * _STEEPNESS * _CELL_PX * self.mine.gsd_m * 1.5
        lost = _all_corners((lead < -slack) & inside)
        safe = _all_corners(lead > slack) | self._surely_outside(inside)
        lost_px = np.repeat(np.repeat(lost, _CELL_PX, 0), _CELL_PX, 1)[:height, :width]
        result &= ~lost_px
        cell_rows, cell_cols = np.nonzero(~(lost | safe))
        self._concede_cells(result, cell_rows, cell_cols)

    def keeps(self, rows: Floats, cols: Floats) -> Bools:
        """Which places, ``(N,)`` in my pixel-corner coordinates, the other raster does not win."""
        if self._same():
            return np.full(rows.shape, self.name_bonus_m >= 0)
        lead, inside = self._lead(rows, cols)
        kept: Bools = (lead >= 0) | ~inside
        return kept

    def _concede_cells(self, result: Bools, cell_rows: npt.NDArray[np.intp], cell_cols: npt.NDArray[np.intp]) -> None:
        """Decide cells pixel by pixel."""
        steps = np.arange(_CELL_PX)
        for part in range(0, cell_rows.size, 4096):
            at = slice(part, part + 4096)
            rows = np.broadcast_to(
                cell_rows[at, None, None] * _CELL_PX + steps[:, None], (len(cell_rows[at]), 8, 8)
            ).ravel()
            cols = np.broadcast_to(cell_cols[at, None, None] * _CELL_PX + steps, (len(cell_cols[at]), 8, 8)).ravel()
            real = (rows < result.shape[0]) & (cols < result.shape[1])
            rows, cols = rows[real], cols[real]
            lead, inside = self._lead(rows + (self.window.row_start + 0.5), cols + (self.window.col_start + 0.5))
            lost = (lead < 0) & inside
            result[rows[lost], cols[lost]] = False

    def _lead(self, rows: Floats, cols: Floats) -> tuple[Floats, Bools]:
        """By how many metres mine wins at places in its pixel coordinates (< 0: the other wins), and whether the
        other raster's frame holds them. Antisymmetric in the two rasters, so that both come to one verdict."""
        other_rows, other_cols = self.map(rows, cols)
        frame = self.other.georeference
        inside = (other_rows >= 0) & (other_rows < frame.height) & (other_cols >= 0) & (other_cols < frame.width)
        mine = _distance_at(self.mine, rows, cols)
        other = _distance_at(self.other, other_rows, other_cols)
        if self.finer > 0:
            return mine - np.minimum(other, 0.0), inside
        if self.finer < 0:
            return np.minimum(mine, 0.0) - other, inside
        return mine - other + self.name_bonus_m, inside

    def _surely_outside(self, inside: Bools) -> Bools:
        """Cells that do not touch the other raster's frame. A frame is larger than a cell: no corner of the cell
        inside, and none of its neighbours', means that no part of it is."""
        near = _any_corner(inside)
        grown = near.copy()
        grown[1:] |= near[:-1]
        grown[:-1] |= near[1:]
        wide = grown.copy()
        wide[:, 1:] |= grown[:, :-1]
        wide[:, :-1] |= grown[:, 1:]
        outside: Bools = ~wide
        return outside

    def _same(self) -> bool:
        """Whether both show the same frame with the same validity: then only the name parts them."""
        return (
            self.finer == 0
            and self.mine.georeference == self.other.georeference
            and np.array_equal(self.mine.edge_distance_m, self.other.edge_distance_m)
        )


class _PixelMap:
    """Pixel-corner coordinates of one raster in those of another, over one window."""

    def __init__(self, mine: Georeference, other: Georeference, window: Window) -> None:
        self._mine, self._other, self._window = mine, other, window
        self._nodes: tuple[Floats, Floats] | None = None
        if mine.crs_wkt != other.crs_wkt:
            height, width = window.shape
            rows = np.arange(0, height + 2 * _NODE_PX, _NODE_PX, dtype=np.float64) + window.row_start
            cols = np.arange(0, width + 2 * _NODE_PX, _NODE_PX, dtype=np.float64) + window.col_start
            lons, lats = mine.lonlat_from_pixel(*np.meshgrid(rows, cols, indexing="ij"))
            self._nodes = other.pixel_from_lonlat(lons, lats)

    def __call__(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        if self._nodes is None:
            return self._other.pixel_from_crs(*self._mine.crs_from_pixel(rows, cols))
        at = np.stack([(rows - self._window.row_start) / _NODE_PX, (cols - self._window.col_start) / _NODE_PX])
        mapped = [map_coordinates(node, at, order=1, mode="nearest") for node in self._nodes]
        return mapped[0], mapped[1]


def _distance_at(view: RasterView, rows: Floats, cols: Floats) -> Floats:
    """Metres to the edge of valid data at pixel-corner coordinates of the raster itself, < 0 outside the data:
    bilinear between the cells' centres, and no more than the distance to the raster's frame."""
    cell_rows, cell_cols = view.edge_distance_m.shape
    height, width = view.georeference.height, view.georeference.width
    scale = view.georeference.centre_scale()
    at = np.stack([rows * (cell_rows / height) - 0.5, cols * (cell_cols / width) - 0.5])
    found = map_coordinates(view.edge_distance_m, at, output=np.float64, order=1, mode="nearest")
    to_frame_m = np.minimum(
        np.minimum(rows, height - rows) * scale.gsd_y_m, np.minimum(cols, width - cols) * scale.gsd_x_m
    )
    distance: Floats = np.minimum(found, to_frame_m)
    return distance


def _corners(window: Window) -> tuple[Floats, Floats]:
    rows = np.array([window.row_start, window.row_start, window.row_stop, window.row_stop], np.float64)
    cols = np.array([window.col_start, window.col_stop, window.col_start, window.col_stop], np.float64)
    return rows, cols


def _all_corners(nodes: Bools) -> Bools:
    return nodes[:-1, :-1] & nodes[1:, :-1] & nodes[:-1, 1:] & nodes[1:, 1:]


def _any_corner(nodes: Bools) -> Bools:
    return nodes[:-1, :-1] | nodes[1:, :-1] | nodes[:-1, 1:] | nodes[1:, 1:]
