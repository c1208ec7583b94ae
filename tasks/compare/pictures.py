"""A change in two pictures side by side: the same place and scale, registered, each survey's damage outlined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw

from segmentation.classes import PixelClass
from segmentation.comparison.grids import GridToPlane, grid_around
from segmentation.comparison.records import Change, DefectChange, SurveyDefect
from segmentation.comparison.registration import IMAGERY
from tasks.compare.imagery import PlanePictures, RunImagery
from tasks.compare.places import rasters_near
from tasks.compare.structure import StructureComparison
from tasks.report.pictures import Picture, draw_scale_bar, encode, outline_mask, scale_bar

_SIDE_PX = 420
_LEAST_REACH_PX = 70
_MOST_BYTES = 48_000
_ORDER = (Change.GROWN, Change.NEW, Change.REPAIRED, Change.NOT_SEEN)


@dataclass(frozen=True, slots=True)
class ChangePictures:
    """One change before and after."""

    stable_id: str
    older: Picture
    newer: Picture


def pictured_changes(one: StructureComparison, *, most: int) -> tuple[DefectChange, ...]:
    """The changes worth a look, at most so many: in turn of what has grown most, come, been repaired, not been seen."""
    sides = {d.id: d for d in one.older_defects}, {d.id: d for d in one.newer_defects}
    queues = [
        sorted((c for c in one.changes if c.change == kind), key=lambda c: (-_weight(c, sides), c.stable_id))
        for kind in _ORDER
    ]
    chosen: list[DefectChange] = []
    while len(chosen) < most and any(queues):
        chosen += [queue.pop(0) for queue in queues if queue][: most - len(chosen)]
    return tuple(sorted(chosen, key=lambda c: _ORDER.index(c.change)))


def change_pictures(
    one: StructureComparison, changes: Sequence[DefectChange], older: RunImagery, newer: RunImagery
) -> tuple[ChangePictures, ...]:
    """The pictures of some changes of a structure that was compared."""
    if one.registration is None or one.plane is None or one.older_plane is None or one.extent is None:
        return ()
    back = one.registration.older_to_newer.inverse().matrix()
    then = PlanePictures(older, rasters_near(older.run, one.older_plane, one.extent), one.older_plane, of=IMAGERY)
    now = PlanePictures(newer, rasters_near(newer.run, one.plane, one.extent), one.plane, of=IMAGERY)
    sides = {d.id: d for d in one.older_defects}, {d.id: d for d in one.newer_defects}
    made = []
    for change in changes:
        before, after = (
            [side[i] for i in ids] for side, ids in zip(sides, (change.older_ids, change.newer_ids), strict=True)
        )
        grid = _grid([defect.geometry for defect in (*before, *after)], one.registration.gsd_m)
        shape = (_SIDE_PX, _SIDE_PX)
        made.append(
            ChangePictures(
                change.stable_id,
                _picture(then.colours(back @ grid, shape), before, grid),
                _picture(now.colours(grid, shape), after, grid),
            )
        )
    return tuple(made)


def _weight(change: DefectChange, sides: tuple[Mapping[str, SurveyDefect], Mapping[str, SurveyDefect]]) -> float:
    """How much there is to see of it."""
    growths = [g for g in (change.length_m, change.area_m2, change.max_width_mm) if g is not None and g.uncertainty]
    if change.change == Change.GROWN and growths:
        return max(g.difference / g.uncertainty for g in growths)
    parts = [sides[0][i] for i in change.older_ids] + [sides[1][i] for i in change.newer_ids]
    return sum(part.length_m if part.length_m is not None else part.geometry.length for part in parts)


def _grid(geometries: Sequence[shapely.Geometry], gsd_m: float) -> GridToPlane:
    left, bottom, right, top = shapely.total_bounds(geometries)
    reach_m = max(1.35 * max(right - left, top - bottom), _LEAST_REACH_PX * gsd_m)
    middle = np.array([(left + right) / 2, (bottom + top) / 2])
    return grid_around(middle, side_px=(_SIDE_PX, _SIDE_PX), step_m=reach_m / _SIDE_PX)


def _picture(rgb: npt.NDArray[np.uint8], parts: Sequence[SurveyDefect], grid: GridToPlane) -> Picture:
    mask = Image.new("L", (rgb.shape[1], rgb.shape[0]), 0)
    draw = ImageDraw.Draw(mask)
    step_m = float(grid[0, 0])
    to_grid = np.linalg.inv(grid)
    for part in parts:
        geometry = shapely.transform(part.geometry, lambda xy: xy @ to_grid[:2, :2].T + to_grid[:2, 2])
        for piece in shapely.get_parts(geometry):
            if part.pixel_class == PixelClass.CRACK:
                width = max(3, round((part.max_width_mm or 0.0) / 1000 / step_m))
                draw.line([tuple(xy) for xy in piece.coords], fill=int(part.pixel_class), width=width)
            elif piece.geom_type == "Polygon":
                draw.polygon([tuple(xy) for xy in piece.exterior.coords], fill=int(part.pixel_class))
    image = Image.fromarray(outline_mask(rgb, np.asarray(mask)))
    draw_scale_bar(image, scale_bar(step_m, image.width))
    return encode(image, max_bytes=_MOST_BYTES)
