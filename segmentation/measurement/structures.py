"""Where the structures and their components lie in a raster, and how large they are.

One rule for every pixel: it belongs to the structure whose footprint holds its centre; where footprints
overlap, to the first of them in the file. Inside its structure it belongs to the component that holds its centre,
the first in the file again, or to none. So each pixel belongs to one structure or to none, and whatever is
summed over structures, or over the components of one and its rest, counts nothing twice.
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
from shapely.geometry.polygon import LinearRing

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.georeference import Floats, Georeference
from segmentation.records import Structure
from segmentation.windows import Window

Bools = npt.NDArray[np.bool_]
Geometries = npt.NDArray[np.object_]

OUTSIDE = -1
"""Index of a pixel that lies on no structure."""

_WGS84 = Geod(ellps="WGS84")
_EDGE_STEP_DEG = 0.0005
"""Footprint edges are cut to about 50 m: a line straight in degrees is then straight in the raster within 0.1 mm."""
_FRAME_NODES = 33
_LARGE_DEG = 1.0
"""A raster that spans more is compared with every footprint: its edges may bend in longitude and latitude."""


class StructureIndex:
    """The structures and components that can lie in one raster, by place.

    Structures with a `problem` are never matched; footprints in longitude and latitude are never matched in
    a raster with a local frame. A structure without a footprint is the whole raster that it names.
    """

    def __init__(self, structures: Sequence[Structure], georeference: Georeference, *, raster_name: str) -> None:
        """Place the footprints of `structures` into the raster `raster_name`."""
        self.structures = tuple(structures)
        """All structures and components, in the order of the file: what `indices` counts."""
        placed = _in_pixels(self.structures, georeference, raster_name)
        parent_number = {s.id: number for number, s in enumerate(self.structures) if s.component_of is None}
        self._by_number = placed
        self._own = _Layer({n: shape for n, shape in placed.items() if self.structures[n].component_of is None})
        self._components = _Layer({n: shape for n, shape in placed.items() if self.structures[n].component_of})
        self._parent = {
            n: parent_number.get(self.structures[n].component_of or "", OUTSIDE) for n in self._components.numbers
        }

    def indices(self, window: Window) -> npt.NDArray[np.int32]:
        """Index of the component, or else the structure, that each pixel belongs to, int32 ``(H, W)``; −1 for none."""
        found = self._own.paint(window)
        by_parent: dict[int, list[int]] = {}
        for number in self._components.within(window):
            by_parent.setdefault(self._parent[number], []).append(number)
        for parent, numbers in by_parent.items():
            area = _bounding_window([self._by_number[number] for number in numbers]).intersect(window)
            if area is None or parent == OUTSIDE:
                continue
            at = area.within(window)
            inside = found[at] == parent
            if inside.any():
                painted = _paint([(number, self._by_number[number]) for number in numbers], area)
                found[at] = np.where(inside & (painted != OUTSIDE), painted, found[at])
        return found

    def footprint_window(self, index: int) -> Window | None:
        """Smallest window of the raster that holds structure `index`; None where it does not lie in the raster."""
        shape = self._by_number.get(index)
        return None if shape is None else _bounding_window([shape])


class _Layer:
    """Footprints in pixels with their numbers, found by place."""

    def __init__(self, shapes: dict[int, BaseGeometry]) -> None:
        self.numbers = np.array(sorted(shapes), np.int64)
        self._shapes = np.array([shapes[number] for number in sorted(shapes)], np.object_)
        self._tree = shapely.STRtree(self._shapes)

    def within(self, window: Window) -> list[int]:
        """Numbers of the footprints that meet a window, ascending."""
        return [int(number) for number in self.numbers[self._hits(window)]]

    def paint(self, window: Window) -> npt.NDArray[np.int32]:
        """Number of the first footprint that holds each pixel's centre, −1 for none."""
        hits = self._hits(window)
        if hits.size and self._shapes[hits[0]].covers(_box(window)):
            return np.full(window.shape, self.numbers[hits[0]], np.int32)
        return _paint([(int(self.numbers[hit]), self._shapes[hit]) for hit in hits], window)

    def _hits(self, window: Window) -> npt.NDArray[np.int64]:
        if self.numbers.size == 0 or window.area_px == 0:
            return np.empty(0, np.int64)
        return np.sort(self._tree.query(_box(window), predicate="intersects"))


def count_inspected(
    mask: npt.NDArray[np.uint8], *, indices: npt.NDArray[np.int32], owned: npt.NDArray[np.bool_], structures: int
) -> npt.NDArray[np.int64]:
    """Number of inspected pixels of each of `structures` structures in one window, int64 ``(structures,)``.

    `mask` uint8, `indices` (of `StructureIndex.indices`) and `owned` are ``(H, W)``. Inspected is a pixel that this
    raster owns and that is neither NODATA nor NOT_INSPECTED. A component's pixels count as its own alone.
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
        # pyproj signs the area of a ring by its direction, which a file may give either way.
        total += _ring_area_m2(part.exterior) - sum(_ring_area_m2(hole) for hole in part.interiors)
    return total


def _ring_area_m2(ring: LinearRing) -> float:
    lons, lats = shapely.get_coordinates(ring).T
    area, _ = _WGS84.polygon_area_perimeter(lons, lats)
    return abs(float(area))


def _in_pixels(
    structures: Sequence[Structure], georeference: Georeference, raster_name: str
) -> dict[int, BaseGeometry]:
    """The part of each footprint inside the raster as (col, row), by the structure's number; without those outside."""
    frame = box(0, 0, georeference.width, georeference.height)
    named = {
        number: frame
        for number, one in enumerate(structures)
        if one.problem is None and one.footprint is None and one.raster_name == raster_name
    }
    if georeference.is_local:
        return named
    numbers = [n for n, one in enumerate(structures) if one.problem is None and one.footprint is not None]
    footprints = np.array([structures[number].footprint for number in numbers], np.object_)
    near = np.flatnonzero(_near(footprints, georeference))
    placed = _moved(footprints[near], georeference)
    shapely.prepare(frame)
    fit = shapely.is_valid(placed) & shapely.intersects(frame, placed)
    whole = fit & shapely.covers(frame, placed)
    found = {numbers[near[at]]: placed[at] for at in np.flatnonzero(whole)}
    for at in np.flatnonzero(fit & ~whole):
        cut = placed[at].intersection(frame)
        polygons = [part for part in getattr(cut, "geoms", [cut]) if isinstance(part, Polygon)]
        if polygons:
            found[numbers[near[at]]] = MultiPolygon(polygons)
    return named | found


def _near(footprints: Geometries, georeference: Georeference) -> Bools:
    """Which footprints can meet the raster, by their bounds in longitude and latitude; all where that is in doubt."""
    nodes = np.linspace(0, 1, _FRAME_NODES)
    rows, cols = np.meshgrid(nodes * georeference.height, nodes * georeference.width, indexing="ij")
    lons, lats = georeference.lonlat_from_pixel(rows, cols)
    span = max(np.ptp(lons), np.ptp(lats))
    if not np.isfinite(span) or span > _LARGE_DEG or footprints.size == 0:
        return np.ones(footprints.size, np.bool_)
    margin = 0.05 * span + 1e-6
    west, south, east, north = shapely.bounds(footprints).T
    # The antimeridian is one line with two longitudes, and a raster on one side of it ends beside footprints on both.
    reach = (lons.min() - margin, lons.max() + margin)
    meets = [(east >= reach[0] + turn) & (west <= reach[1] + turn) for turn in (-360, 0, 360)]
    near: Bools = np.logical_or.reduce(meets) & (north >= lats.min() - margin) & (south <= lats.max() + margin)
    return near


def _moved(footprints: Geometries, georeference: Georeference) -> Geometries:
    """Footprints as (col, row); an empty polygon for each that the raster's CRS cannot hold."""

    def to_pixels(lonlat: Floats) -> Floats:
        rows, cols = georeference.pixel_from_lonlat(lonlat[:, 0], lonlat[:, 1])
        return np.stack([cols, rows], 1)

    placed: Geometries = np.asarray(shapely.transform(shapely.segmentize(footprints, _EDGE_STEP_DEG), to_pixels))
    # Parts on either side of the antimeridian are one footprint, and share an edge in pixels.
    for at in np.flatnonzero(~shapely.is_valid(placed)):
        parts = shapely.get_parts(placed[at])
        if len(parts) > 1 and shapely.is_valid(parts).all():
            placed[at] = shapely.union_all(parts)
    coordinates, owner = shapely.get_coordinates(placed, return_index=True)
    lost = np.unique(owner[~np.isfinite(coordinates).all(axis=1)])
    placed[lost] = Polygon()
    return placed


def _paint(shapes: Sequence[tuple[int, BaseGeometry]], window: Window) -> npt.NDArray[np.int32]:
    """Number of the first of `shapes` that holds each pixel's centre, int32 ``(H, W)``; −1 for none."""
    painted = np.full(window.shape, OUTSIDE, np.int32)
    if shapes:
        # Painted in reverse, the first of the file comes last and so lies on top.
        rasterize(
            [(shape, number) for number, shape in reversed(shapes)],
            out=painted,
            transform=Affine.translation(window.col_start, window.row_start),
            all_touched=False,
        )
    return painted


def _box(window: Window) -> Polygon:
    return box(window.col_start, window.row_start, window.col_stop, window.row_stop)


def _bounding_window(shapes: Sequence[BaseGeometry]) -> Window:
    bounds = shapely.bounds(np.array(shapes, np.object_))
    col_start, row_start = np.floor(bounds[:, :2].min(axis=0)).astype(int)
    col_stop, row_stop = np.ceil(bounds[:, 2:].max(axis=0)).astype(int)
    return Window(int(row_start), int(row_stop), int(col_start), int(col_stop))
