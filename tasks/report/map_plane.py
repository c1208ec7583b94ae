"""The plane of the survey's map: metres to the east and to the north, for all that has a place on the earth or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import atan2, degrees, hypot, isfinite
from typing import Final

import numpy as np
import shapely
from pyproj import Transformer
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Floats, Georeference
from segmentation.records import StructureResult
from tasks.report.places import lonlat_outline, raster_outline

_GAP_SHARE: Final = 0.06
"""Room between rasters of local frames, as a share of the largest one's longer side."""

Bounds = tuple[float, float, float, float]
"""(west, south, east, north) in metres."""


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """Where a raster of a local frame is put: x = scale · X + shift_x, y = ± scale · Y + shift_y."""

    shift_x_m: float
    shift_y_m: float
    downwards: bool
    """Whether its frame counts Y downwards; it is turned over, so that the picture is not mirrored."""


@dataclass(frozen=True, slots=True)
class MapPlane:
    """A plane that is true to scale near its middle: azimuthal equidistant on WGS 84.

    Rasters without a place on the earth lie side by side, north up as in their own frame, below what has one.
    """

    lon: float
    """Longitude of the point (0, 0)."""
    lat: float
    """Latitude of the point (0, 0)."""
    local: Mapping[str, LocalPlace]
    """By raster name."""
    bounds: Bounds
    """All that lies on it."""

    def of_lonlat(self, lonlat: Floats) -> Floats:
        """Metres ``(N, 2)`` of WGS 84 points ``(N, 2)``."""
        x, y = _to_plane(self.lon, self.lat).transform(lonlat[:, 0], lonlat[:, 1])
        return np.column_stack([x, y])

    def of_pixels(self, name: str, georeference: Georeference, col_row: Floats) -> Floats:
        """Metres ``(N, 2)`` of (col, row) points ``(N, 2)`` of a raster."""
        if not georeference.is_local:
            return self.of_lonlat(np.column_stack(georeference.lonlat_from_pixel(col_row[:, 1], col_row[:, 0])))
        return _placed(_frame(georeference, col_row), self.local[name])

    def pixels_at(self, name: str, georeference: Georeference, xy: Floats) -> Floats:
        """(col, row) ``(N, 2)`` of a raster at points ``(N, 2)`` of the plane; not finite where it has none."""
        if not georeference.is_local:
            lons, lats = _to_plane(self.lon, self.lat).transform(xy[:, 0], xy[:, 1], direction="INVERSE")
            rows, cols = georeference.pixel_from_lonlat(lons, lats)
            return np.column_stack([cols, rows])
        place, scale = self.local[name], georeference.metres_per_unit or 1.0
        ys = (xy[:, 1] - place.shift_y_m) / scale
        rows, cols = georeference.pixel_from_crs((xy[:, 0] - place.shift_x_m) / scale, -ys if place.downwards else ys)
        return np.column_stack([cols, rows])


def map_plane(results: Sequence[StructureResult], georeferences: Mapping[str, Georeference]) -> MapPlane | None:
    """The plane of the rasters and of the usable footprints; None where there are neither."""
    lonlat = [lonlat_outline(georeference) for georeference in georeferences.values()]
    lonlat += [footprint_of(result) for result in results]
    corners = [shapely.get_coordinates(outline) for outline in lonlat if outline is not None and not outline.is_empty]
    points = np.concatenate([*corners, np.empty((0, 2))])
    points = points[np.isfinite(points).all(axis=1)]
    lon, lat = _middle(points) if len(points) else (0.0, 0.0)
    boxes: list[Bounds] = []
    if len(points):
        boxes.append(_bounds(np.column_stack(_to_plane(lon, lat).transform(points[:, 0], points[:, 1]))))
    frames = {name: georeference for name, georeference in sorted(georeferences.items()) if georeference.is_local}
    local, local_bounds = _shelves(frames, below=boxes[0] if boxes else None)
    boxes += local_bounds
    if not boxes:
        return None
    lows, highs = np.array(boxes)[:, :2].min(axis=0), np.array(boxes)[:, 2:].max(axis=0)
    return MapPlane(lon, lat, local, (float(lows[0]), float(lows[1]), float(highs[0]), float(highs[1])))


def footprint_of(result: StructureResult) -> BaseGeometry | None:
    """The footprint where it can be drawn."""
    footprint = result.structure.footprint
    if footprint is None or footprint.is_empty or not footprint.is_valid or result.structure.problem is not None:
        return None
    return footprint if all(isfinite(bound) for bound in footprint.bounds) else None


def outline_on(
    plane: MapPlane, result: StructureResult, georeferences: Mapping[str, Georeference]
) -> BaseGeometry | None:
    """A structure's outline in metres of the plane; None for one without a usable outline."""
    if result.structure.footprint is not None:
        footprint = footprint_of(result)
        return None if footprint is None else shapely.transform(footprint, plane.of_lonlat)
    name = result.structure.raster_name or ""
    return raster_on(plane, name, georeferences[name]) if name in georeferences else None


def raster_on(plane: MapPlane, name: str, georeference: Georeference) -> Polygon:
    """The rectangle of a raster in metres of the plane."""
    return Polygon(plane.of_pixels(name, georeference, shapely.get_coordinates(raster_outline(georeference))))


def _shelves(frames: Mapping[str, Georeference], *, below: Bounds | None) -> tuple[dict[str, LocalPlace], list[Bounds]]:
    """Rasters of local frames in rows, left to right, about as wide in all as high."""
    boxes = {name: _frame_bounds(georeference) for name, georeference in frames.items()}
    sides = [(east - west, north - south) for west, south, east, north in boxes.values()]
    if not sides:
        return {}, []
    gap = _GAP_SHARE * max(max(side) for side in sides)
    widest = max(1.6 * sum(wide * high for wide, high in sides) ** 0.5, max(wide for wide, _ in sides))
    left = x = below[0] if below is not None else 0.0
    top = below[1] - 2 * gap if below is not None else 0.0
    row_height, placed, bounds = 0.0, {}, []
    for name, (west, south, east, north) in boxes.items():
        if x > left and x + (east - west) > left + widest:
            x, top, row_height = left, top - row_height - 2 * gap, 0.0
        placed[name] = LocalPlace(x - west, top - north, _downwards(frames[name]))
        bounds.append((x, top - (north - south), x + (east - west), top))
        x += (east - west) + gap
        row_height = max(row_height, north - south)
    return placed, bounds


def _frame(georeference: Georeference, col_row: Floats) -> Floats:
    return np.column_stack(georeference.crs_from_pixel(col_row[:, 1], col_row[:, 0])) * (
        georeference.metres_per_unit or 1.0
    )


def _frame_bounds(georeference: Georeference) -> Bounds:
    corners = shapely.get_coordinates(raster_outline(georeference))
    return _bounds(_placed(_frame(georeference, corners), LocalPlace(0.0, 0.0, _downwards(georeference))))


def _placed(frame: Floats, place: LocalPlace) -> Floats:
    ys = -frame[:, 1] if place.downwards else frame[:, 1]
    return np.column_stack([frame[:, 0] + place.shift_x_m, ys + place.shift_y_m])


def _downwards(georeference: Georeference) -> bool:
    a, b, _, d, e, _ = georeference.transform
    return a * e - b * d > 0


def _bounds(points: Floats) -> Bounds:
    (west, south), (east, north) = points.min(axis=0), points.max(axis=0)
    return float(west), float(south), float(east), float(north)


def _middle(lonlat: Floats) -> tuple[float, float]:
    """The middle of points on the earth, also where they lie on both sides of 180°."""
    lons, lats = np.radians(lonlat).T
    x, y, z = np.cos(lats) * np.cos(lons), np.cos(lats) * np.sin(lons), np.sin(lats)
    low, high = (np.array([f(v) for v in (x, y, z)]) for f in (np.min, np.max))
    x0, y0, z0 = (low + high) / 2
    return round(degrees(atan2(y0, x0)), 7), round(degrees(atan2(z0, hypot(x0, y0))), 7)


@lru_cache(maxsize=8)
def _to_plane(lon: float, lat: float) -> Transformer:
    plane = f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m +no_defs"
    return Transformer.from_crs("EPSG:4326", plane, always_xy=True)
