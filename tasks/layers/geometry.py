"""Geometries as layers take them: multi-part, counter-clockwise, rounded, cut where they cross the antimeridian."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely
from shapely import GeometryType
from shapely.geometry.base import BaseGeometry

from tasks.layers.columns import Geometries, geometry_list

DEGREE_DECIMALS: Final = 9
"""0.1 mm on the ground, a tenth of a small pixel."""
_MULTI: Final = {
    GeometryType.POINT: shapely.multipoints,
    GeometryType.LINESTRING: shapely.multilinestrings,
    GeometryType.POLYGON: shapely.multipolygons,
}


def layer_geometries(geometries: Sequence[BaseGeometry | None]) -> Geometries:
    """WGS 84 geometries as RFC 7946 wants them, ``(N,)``: multi-part, outer rings counter-clockwise, 9 decimals.

    None for one that is None, empty or not finite. One that spans more than 180° of longitude, or leaves -180 … 180, is
    taken to cross the antimeridian and is cut there.
    """
    array = geometry_list(geometries)
    array[shapely.is_empty(array)] = None
    coordinates, numbers = shapely.get_coordinates(array, return_index=True)
    array[numbers[~np.isfinite(coordinates).all(axis=1)]] = None
    bounds = shapely.bounds(array)
    for number in np.flatnonzero((bounds[:, 2] - bounds[:, 0] > 180) | (np.abs(bounds[:, [0, 2]]) > 180).any(axis=1)):
        array[number] = cut_at_antimeridian(array[number])
    types = shapely.get_type_id(array)
    for single, multi in _MULTI.items():
        for number in np.flatnonzero(types == single):
            array[number] = multi([array[number]])
    array = shapely.orient_polygons(shapely.force_2d(array))
    return np.asarray(shapely.transform(array, lambda xy: np.round(xy, DEGREE_DECIMALS)), dtype=object)


def cut_at_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """A geometry whose longitudes jump between 180 and -180, or run beyond them, in parts on either side of the line.

    As RFC 7946, 3.1.9, asks; an empty side has no part.
    """
    unrolled = shapely.transform(geometry, lambda xy: np.column_stack([np.mod(xy[:, 0], 360), xy[:, 1]]))
    west, east = shapely.box(0, -90, 180, 90), shapely.box(180, -90, 360, 90)
    beyond = shapely.transform(unrolled.intersection(east), lambda xy: np.column_stack([xy[:, 0] - 360, xy[:, 1]]))
    return shapely.union_all([unrolled.intersection(west), beyond])


def bounds_of(geometries: Geometries) -> tuple[float, float, float, float] | None:
    """West, south, east, north of `layer_geometries`; west is greater than east where they lie on both sides of the
    antimeridian and nowhere near Greenwich (RFC 7946, 5.2). None where nothing has a place.
    """
    parts = shapely.get_parts(geometries[~shapely.is_missing(geometries)])
    bounds = shapely.bounds(parts)
    if not len(bounds):
        return None
    south, north = float(bounds[:, 1].min()), float(bounds[:, 3].max())
    is_east = bounds[:, 0] >= 0
    is_split = (
        is_east.any() and not is_east.all() and (bounds[:, 0][is_east].min() - bounds[:, 2][~is_east].max()) > 180
    )
    if is_split:
        return float(bounds[is_east, 0].min()), south, float(bounds[~is_east, 2].max()), north
    return float(bounds[:, 0].min()), south, float(bounds[:, 2].max()), north
