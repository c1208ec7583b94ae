"""Which pixels of a mask are which defect: the mask knows classes alone, the decisions are on defects."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage
from shapely.geometry import MultiPolygon, box
from shapely.geometry.base import BaseGeometry

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.georeference import Floats, Georeference
from segmentation.measurement.rust import measure_rust
from segmentation.records import Defect
from segmentation.windows import Window

Mask = npt.NDArray[np.uint8]
Owners = npt.NDArray[np.int32]

NOBODY: Final = -1
_EIGHT_NEIGHBOURS: Final = np.ones((3, 3), np.int8)
_LEAST_HALF_PX: Final = 0.5


class DefectIndex:
    """The defects of a run by the place of their windows."""

    def __init__(self, defects: Iterable[Defect]) -> None:
        self._of_raster: dict[str, list[Defect]] = {}
        for defect in defects:
            self._of_raster.setdefault(defect.raster_name, []).append(defect)
        self._trees = {
            name: shapely.STRtree([_box(defect.window) for defect in own]) for name, own in self._of_raster.items()
        }

    def within(self, raster_name: str, window: Window) -> list[Defect]:
        """The defects of a raster whose windows share a pixel with `window`, in the order given."""
        if raster_name not in self._trees:
            return []
        near = sorted(self._trees[raster_name].query(_box(window)).tolist())
        own = self._of_raster[raster_name]
        return [own[number] for number in near if own[number].window.intersect(window) is not None]


def owners(mask: Mask, window: Window, defects: Sequence[Defect]) -> Owners:
    """The defect of each damaged pixel as its index in `defects`, int32 ``(H, W)``; `NOBODY` elsewhere.

    `mask` holds the class ids ``(H, W)`` of `window`. A connected piece belongs to the defect of its class whose lines
    or outline lie in it; where these are several, as at the border of two structures, each pixel to the nearest. A
    piece in which none lies (a speck, what lies outside every structure) is nobody's.
    """
    owner = np.full(mask.shape, NOBODY, np.int32)
    for pixel_class in DEFECT_CLASSES:
        inside = mask == pixel_class
        numbered = [(n, d) for n, d in enumerate(defects) if d.pixel_class is pixel_class]
        if numbered and inside.any():
            seeds = np.where(inside, _drawn(numbered, window), NOBODY)
            _spread(owner, inside, seeds)
    return owner


def outlined_as_rust(crack: Defect, georeference: Georeference, pixels: npt.NDArray[np.bool_]) -> Defect:
    """A crack as the rust patch that somebody says it is: the outline of its `pixels`, bool ``(H, W)`` of its window.

    The area stays the one that was measured. Where no pixel is set, the centre lines are widened to that area.
    """
    if pixels.any():
        scale = georeference.centre_scale()
        origin = (crack.window.row_start, crack.window.col_start)
        outline: BaseGeometry = measure_rust(pixels, scale=scale, origin=origin).outline
    else:
        outline = _widened(crack, georeference)
    return replace(
        crack,
        pixel_class=PixelClass.RUST,
        pixel_geometry=outline,
        geometry=None if crack.geometry is None else _in_lonlat(outline, georeference),
        crack=None,
        below_resolution=False,
        condition_state=None,
        possible_states=(),
    )


def _spread(owner: Owners, inside: npt.NDArray[np.bool_], seeds: Owners) -> None:
    """Give each connected piece of `inside` to its seed, or each of its pixels to the nearest of several."""
    pieces, _ = ndimage.label(inside, structure=_EIGHT_NEIGHBOURS)
    for number, where in enumerate(ndimage.find_objects(pieces), start=1):
        own = pieces[where] == number
        here = np.where(own, seeds[where], NOBODY)
        found = np.unique(here[here != NOBODY])
        if found.size == 1:
            owner[where][own] = found[0]
        elif found.size > 1:
            nearest = ndimage.distance_transform_edt(here == NOBODY, return_distances=False, return_indices=True)
            owner[where][own] = here[tuple(nearest)][own]


def _drawn(numbered: Sequence[tuple[int, Defect]], window: Window) -> Owners:
    shapes = [(defect.pixel_geometry, number) for number, defect in numbered if not defect.pixel_geometry.is_empty]
    if not shapes:
        return np.full(window.shape, NOBODY, np.int32)
    drawn: Owners = rasterize(
        shapes,
        out_shape=window.shape,
        fill=NOBODY,
        transform=Affine.translation(window.col_start, window.row_start),
        all_touched=True,
        dtype="int32",
    )
    return drawn


def _widened(crack: Defect, georeference: Georeference) -> BaseGeometry:
    row, col = crack.window.row_start, crack.window.col_start
    area_px = crack.area_m2 / georeference.scale_at(row, col).pixel_area_m2
    half_px = max(_LEAST_HALF_PX, area_px / max(1.0, crack.pixel_geometry.length) / 2)
    shape = crack.pixel_geometry.buffer(half_px)
    return MultiPolygon([shape] if shape.geom_type == "Polygon" else list(shape.geoms))


def _in_lonlat(outline: BaseGeometry, georeference: Georeference) -> BaseGeometry:
    def to_lonlat(col_row: Floats) -> Floats:
        return np.column_stack(georeference.lonlat_from_pixel(col_row[:, 1], col_row[:, 0]))

    return shapely.transform(outline, to_lonlat)


def _box(window: Window) -> BaseGeometry:
    return box(window.col_start, window.row_start, window.col_stop, window.row_stop)
