"""Where the structures lie in a raster, and how large they are.

One rule for every pixel: it belongs to the structure whose footprint holds its centre; where footprints
overlap, to the first of them in the file. So each pixel belongs to one structure or to none, and whatever is
summed over structures counts nothing twice.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from pyproj import Geod
from rasterio.features import rasterize
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.georeference import Georeference
from segmentation.records import Structure
from segmentation.windows import Window

OUTSIDE = -1
"""Index of a pixel that lies on no structure."""

_WGS84 = Geod(ellps="WGS84")
_EDGE_STEP_DEG = 0.0005
"""Footprint edges are cut to about 50 m: a line straight in degrees is then straight in the raster within 0.1 mm."""


class StructureIndex:
    """The structures that can lie in one raster, by place.

    Structures with a `problem` are never matched; footprints in longitude and latitude are never matched in
    a raster with a local frame. A structure without a footprint is the whole raster that it names.
    """

    def __init__(self, structures: Sequence[Structure], georeference: Georeference, *, raster_name: str) -> None:
        """Place the footprints of `structures` into the raster `raster_name`."""
        self.structures = tuple(structures)
        """All structures, in the order of the file: what `indices` counts."""
        frame = box(0, 0, georeference.width, georeference.height)
        placed = [
            (number, footprint)
            for number, structure in enumerate(self.structures)
            if (footprint := _in_pixels(structure, georeference, raster_name, frame)) is not None
        ]
        self._numbers = np.array([number for number, _ in placed], np.int64)
        self._footprints = [footprint for _, footprint in placed]
        self._tree = shapely.STRtree(self._footprints)

    def indices(self, window: Window) -> npt.NDArray[np.int32]:
        """Index of the structure that each pixel of a window belongs to, int32 ``(H, W)``; −1 outside all of them."""
        found = np.full(window.shape, OUTSIDE, np.int32)
        if not self._footprints or window.area_px == 0:
            return found
        area = box(window.col_start, window.row_start, window.col_stop, window.row_stop)
        hits = np.sort(self._tree.query(area, predicate="intersects"))
        if hits.size == 0:
            return found
        if self._footprints[hits[0]].covers(area):
            found[:] = self._numbers[hits[0]]
            return found
        # Painted in reverse, the first of the file comes last and so lies on top.
        rasterize(
            [(self._footprints[hit], int(self._numbers[hit])) for hit in hits[::-1]],
            out=found,
            transform=Affine.translation(window.col_start, window.row_start),
            all_touched=False,
        )
        return found

    def footprint_window(self, index: int) -> Window | None:
        """Smallest window of the raster that holds structure `index`; None where it does not lie in the raster."""
        at = np.flatnonzero(self._numbers == index)
        if at.size == 0:
            return None
        col_start, row_start, col_stop, row_stop = self._footprints[int(at[0])].bounds
        return Window(
            int(np.floor(row_start)), int(np.ceil(row_stop)), int(np.floor(col_start)), int(np.ceil(col_stop))
        )


def count_inspected(
    mask: npt.NDArray[np.uint8], *, indices: npt.NDArray[np.int32], owned: npt.NDArray[np.bool_], structures: int
) -> npt.NDArray[np.int64]:
    """Number of inspected pixels of each of `structures` structures in one window, int64 ``(structures,)``.

    `mask` uint8, `indices` (of `StructureIndex.indices`) and `owned` are ``(H, W)``. Inspected is a pixel that this
    raster owns and that is neither NODATA nor NOT_INSPECTED.
    """
    seen = owned & (indices >= 0) & (mask != NODATA) & (mask != NOT_INSPECTED)
    counts: npt.NDArray[np.int64] = np.bincount(indices[seen], minlength=structures).astype(np.int64)
    return counts


def footprint_area_m2(structure: Structure, *, georeference: Georeference | None) -> float | None:
    """Geodesic area of a structure's footprint on WGS 84; None where it has a problem.

    `georeference` is that of the raster which a structure without a footprint is; None where there is none.
    """
    if structure.problem is not None:
        return None
    if structure.footprint is None:
        if georeference is None:
            return None
        return georeference.width * georeference.height * georeference.centre_scale().pixel_area_m2
    total = 0.0
    for part in getattr(structure.footprint, "geoms", [structure.footprint]):
        # pyproj takes the area of a ring by its direction: holes count off only where they run the other way.
        area, _ = _WGS84.geometry_area_perimeter(orient(part))
        total += abs(area)
    return total


def _in_pixels(
    structure: Structure, georeference: Georeference, raster_name: str, frame: BaseGeometry
) -> BaseGeometry | None:
    """The footprint's part inside the raster as (col, row), or None where there is none."""
    if structure.problem is not None:
        return None
    if structure.footprint is None:
        return frame if structure.raster_name == raster_name else None
    if georeference.is_local:
        return None

    def to_pixels(lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        rows, cols = georeference.pixel_from_lonlat(lonlat[:, 0], lonlat[:, 1])
        return np.stack([cols, rows], 1)

    placed = shapely.transform(shapely.segmentize(structure.footprint, _EDGE_STEP_DEG), to_pixels)
    coordinates = shapely.get_coordinates(placed)
    if not np.isfinite(coordinates).all() or not placed.is_valid or not placed.intersects(frame):
        return None
    if frame.covers(placed):
        return placed
    cut = placed.intersection(frame)
    polygons = [part for part in getattr(cut, "geoms", [cut]) if isinstance(part, Polygon)]
    return MultiPolygon(polygons) if polygons else None
