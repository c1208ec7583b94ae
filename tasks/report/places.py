"""Where things lie: the place of a defect in raster, structure and world, and the pixels of a structure in a raster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import atan2, ceil, degrees, floor, hypot, isfinite, nan
from typing import Final

import numpy as np
import shapely
from pyproj import Geod
from shapely.geometry import MultiPoint, Polygon, box
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Floats, Georeference
from segmentation.records import Defect, Structure, StructureResult
from segmentation.windows import Window

_EARTH: Final = Geod(ellps="WGS84")
_EVEN_SHARE: Final = 0.999
"""Sides that differ by less are equal: then the one nearer to east counts as the longer."""


@dataclass(frozen=True, slots=True)
class Place:
    """The point that stands for a defect: the widest point of a crack, a point inside a rust patch."""

    row: float
    """Row in raster pixels."""
    col: float
    """Column in raster pixels."""
    lon: float | None
    """WGS 84 longitude; None for a local frame."""
    lat: float | None
    """WGS 84 latitude; None for a local frame."""
    along_m: float
    """Metres along the structure, in its frame."""
    across_m: float
    """Metres across it."""


@dataclass(frozen=True, slots=True)
class FootprintFrame:
    """Metres along and across a footprint, from a corner of the smallest rectangle around it.

    With d and α the geodesic distance and azimuth of a point from the footprint's first vertex (WGS 84), and
    east = d·sin α, north = d·cos α (azimuthal equidistant, off by less than 1e-6 of a distance of 10 km)::

        along  =  east·sin(heading) + north·cos(heading) − along_offset_m
        across = −east·cos(heading) + north·sin(heading) − across_offset_m

    so that "across" points to the left of "along", and neither is negative inside the footprint. The heading is that of
    the rectangle's longer side: of its two directions the one from north-west over north and east to south-east, so
    that structures along east or north keep theirs whatever the last digit of their corners.
    """

    lon: float
    """Longitude of the footprint's first vertex."""
    lat: float
    """Its latitude."""
    heading_deg: float
    """Direction of "along", clockwise from north."""
    along_offset_m: float
    across_offset_m: float
    length_m: float
    """Extent of the footprint along."""
    width_m: float
    """Extent across."""

    @property
    def origin(self) -> tuple[float, float]:
        """(longitude, latitude) of the corner from which both are counted."""
        along, across = self.along_offset_m, self.across_offset_m
        azimuth = self.heading_deg - degrees(atan2(across, along))
        lon, lat, _ = _EARTH.fwd(self.lon, self.lat, azimuth, hypot(along, across))
        return float(lon), float(lat)

    def at_lonlat(self, lons: Floats, lats: Floats) -> tuple[Floats, Floats]:
        """(along, across) in metres of WGS 84 points."""
        starts = np.full(len(lons), self.lon), np.full(len(lons), self.lat)
        azimuths, _, distances = _EARTH.inv(*starts, lons, lats)
        turns = np.radians(azimuths - self.heading_deg)
        along, across = distances * np.cos(turns), -distances * np.sin(turns)
        return along - self.along_offset_m, across - self.across_offset_m


@dataclass(frozen=True, slots=True)
class RasterFrame:
    """Metres from the lower left corner of a raster, where no footprint gives a frame.

    along = column × `gsd_x_m` to the right, across = (height − row) × `gsd_y_m` upwards.
    """

    gsd_x_m: float
    """GSD along the rows in the middle of the raster."""
    gsd_y_m: float
    """GSD along the columns there."""
    height_px: int
    width_px: int

    @property
    def length_m(self) -> float:
        """Extent of the raster along."""
        return self.width_px * self.gsd_x_m

    @property
    def width_m(self) -> float:
        """Extent of the raster across."""
        return self.height_px * self.gsd_y_m

    def at_pixel(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """(along, across) in metres of pixel-corner coordinates of the raster."""
        return cols * self.gsd_x_m, (self.height_px - rows) * self.gsd_y_m


StructureFrame = FootprintFrame | RasterFrame


def on_structure(
    frame: StructureFrame, georeference: Georeference, rows: Floats, cols: Floats
) -> tuple[Floats, Floats]:
    """(along, across) in metres of pixel-corner coordinates of a raster."""
    if isinstance(frame, RasterFrame):
        return frame.at_pixel(rows, cols)
    return frame.at_lonlat(*georeference.lonlat_from_pixel(rows, cols))


def frames_of(structure: Structure, georeferences: Mapping[str, Georeference]) -> dict[str, StructureFrame]:
    """By raster name, the frame in which places on the structure are stated: one and the same for all rasters
    where it has a footprint, each raster's own where it has none or the raster is in a local frame.
    """
    footprint = structure.footprint
    frame = footprint_frame(footprint) if footprint is not None and not footprint.is_empty else None
    return {
        name: raster_frame(georeference) if frame is None or georeference.is_local else frame
        for name, georeference in georeferences.items()
    }


def footprint_frame(footprint: BaseGeometry) -> FootprintFrame:
    """The frame of a footprint in WGS 84 that is not empty."""
    corners = shapely.get_coordinates(footprint)
    lon, lat = float(corners[0, 0]), float(corners[0, 1])
    plane = FootprintFrame(lon, lat, 90.0, 0.0, 0.0, 0.0, 0.0)  # along is east, across is north
    east, north = plane.at_lonlat(corners[:, 0], corners[:, 1])
    heading_deg = _heading_of(MultiPoint(np.column_stack([east, north])))
    turned = FootprintFrame(lon, lat, heading_deg, 0.0, 0.0, 0.0, 0.0)
    along, across = turned.at_lonlat(corners[:, 0], corners[:, 1])
    return FootprintFrame(
        lon, lat, heading_deg, float(along.min()), float(across.min()), float(np.ptp(along)), float(np.ptp(across))
    )


def raster_frame(georeference: Georeference) -> RasterFrame:
    """The frame of a raster."""
    scale = georeference.centre_scale()
    return RasterFrame(scale.gsd_x_m, scale.gsd_y_m, georeference.height, georeference.width)


def _heading_of(points: MultiPoint) -> float:
    """Direction of the longer side of the smallest rectangle around (east, north) points, degrees from north."""
    smallest = points.minimum_rotated_rectangle
    if smallest.geom_type != "Polygon":
        return 90.0
    ring = smallest.exterior.coords
    sides = [(ring[i + 1][0] - ring[i][0], ring[i + 1][1] - ring[i][1]) for i in (0, 1)]
    longest = max(hypot(*side) for side in sides)
    headings = [(degrees(atan2(*side)) + 45) % 180 - 45 for side in sides if hypot(*side) >= _EVEN_SHARE * longest]
    return float(min(headings, key=lambda heading: abs(heading - 90)) % 360)


def pixel_of(defect: Defect) -> tuple[float, float]:
    """(row, col) of the point that stands for a defect; the middle of its window where its geometry has none."""
    if defect.crack is not None:
        row, col = defect.crack.widest_at
    elif not defect.pixel_geometry.is_empty:
        point = defect.pixel_geometry.representative_point()
        row, col = float(point.y), float(point.x)
    else:
        row = col = nan
    if isfinite(row) and isfinite(col):
        return row, col
    window = defect.window
    return (window.row_start + window.row_stop) / 2, (window.col_start + window.col_stop) / 2


def places_of(
    defects: Sequence[Defect], georeferences: Mapping[str, Georeference], frames: Mapping[str, StructureFrame]
) -> list[Place]:
    """The place of each defect in its raster, on the structure and on the earth; KeyError for an unknown raster."""
    places: dict[int, Place] = {}
    for name in dict.fromkeys(defect.raster_name for defect in defects):
        own = [index for index, defect in enumerate(defects) if defect.raster_name == name]
        georeference = georeferences[name]
        rows, cols = np.array([pixel_of(defects[index]) for index in own], np.float64).T
        along, across = (values.tolist() for values in on_structure(frames[name], georeference, rows, cols))
        if georeference.is_local:
            lons: list[float | None] = [None] * len(own)
            lats = lons
        else:
            lons, lats = (values.tolist() for values in georeference.lonlat_from_pixel(rows, cols))
        for at, index in enumerate(own):
            places[index] = Place(float(rows[at]), float(cols[at]), lons[at], lats[at], along[at], across[at])
    return [places[index] for index in range(len(defects))]


def raster_outline(georeference: Georeference) -> Polygon:
    """The raster's rectangle as (col, row)."""
    return box(0, 0, georeference.width, georeference.height)


def footprint_in_raster(footprint: BaseGeometry | None, georeference: Georeference) -> BaseGeometry | None:
    """The footprint as (col, row) of the raster, not clipped to it; the raster's rectangle where there is none.

    None where they cannot be laid on each other: the raster is in a local frame, or its CRS ends before the footprint.
    """
    if footprint is None:
        return raster_outline(georeference)
    if georeference.is_local:
        return None

    def to_pixels(lonlat: Floats) -> Floats:
        rows, cols = georeference.pixel_from_lonlat(lonlat[:, 0], lonlat[:, 1])
        return np.column_stack([cols, rows])

    outline = shapely.transform(footprint, to_pixels)
    return outline if all(isfinite(bound) for bound in outline.bounds) else None


def lonlat_outline(georeference: Georeference) -> Polygon | None:
    """The raster's rectangle in WGS 84; None for a local frame."""
    if georeference.is_local:
        return None
    rows = np.array([0, 0, georeference.height, georeference.height], np.float64)
    cols = np.array([0, georeference.width, georeference.width, 0], np.float64)
    lons, lats = georeference.lonlat_from_pixel(rows, cols)
    return Polygon(list(zip(lons.tolist(), lats.tolist(), strict=True)))


def overview_window(
    outline: BaseGeometry | None, defects: Sequence[Defect], georeference: Georeference, *, margin_share: float
) -> Window | None:
    """The part of the raster that shows the outline and the defects, with a margin; None where it shows neither."""
    bounds = [geometry.bounds for geometry in (outline,) if geometry is not None and not geometry.is_empty]
    bounds += [(d.window.col_start, d.window.row_start, d.window.col_stop, d.window.row_stop) for d in defects]
    if not bounds:
        return None
    low_col, low_row = min(b[0] for b in bounds), min(b[1] for b in bounds)
    high_col, high_row = max(b[2] for b in bounds), max(b[3] for b in bounds)
    margin_px = margin_share * max(high_col - low_col, high_row - low_row)
    window = Window(
        floor(low_row - margin_px), ceil(high_row + margin_px), floor(low_col - margin_px), ceil(high_col + margin_px)
    ).clip(georeference.height, georeference.width)
    return window if window.area_px > 0 else None


def overview_rasters(result: StructureResult, georeferences: Mapping[str, Georeference]) -> tuple[str, ...]:
    """The rasters whose pictures show the structure: those with defects, most defects first; without defects
    the one that holds most of the footprint.
    """
    counts: dict[str, int] = {}
    for defect in result.defects:
        counts[defect.raster_name] = counts.get(defect.raster_name, 0) + 1
    if counts:
        return tuple(sorted(counts, key=lambda name: (-counts[name], name)))
    if result.structure.raster_name is not None:
        return (result.structure.raster_name,) if result.structure.raster_name in georeferences else ()
    shares = {name: _seen_share(result.structure.footprint, place) for name, place in georeferences.items()}
    best = max(sorted(shares), key=lambda name: shares[name], default=None)
    return (best,) if best is not None and shares[best] > 0 else ()


def _seen_share(footprint: BaseGeometry | None, georeference: Georeference) -> float:
    outline = footprint_in_raster(footprint, georeference) if footprint is not None else None
    if outline is None or not outline.is_valid or outline.area == 0:
        return 0.0
    return float(outline.intersection(raster_outline(georeference)).area / outline.area)


def native_window(defect: Defect, georeference: Georeference, *, max_side_px: int) -> tuple[Window, bool]:
    """The square window that shows a defect pixel by pixel, and whether it shows the whole of it.

    The side is 1.6 times the defect's, at least a quarter of `max_side_px` and at most `max_side_px`; then it is
    centred on the point that stands for it. It is moved, not cut, at the raster's edge.
    """
    rows, cols = defect.window.shape
    whole = max(rows, cols) <= max_side_px
    side_px = min(max(ceil(1.6 * max(rows, cols)), max_side_px // 4), max_side_px)
    if whole:
        centre_row = (defect.window.row_start + defect.window.row_stop) / 2
        centre_col = (defect.window.col_start + defect.window.col_stop) / 2
    else:
        centre_row, centre_col = pixel_of(defect)
    row_start, row_stop = _interval(centre_row, side_px, georeference.height)
    col_start, col_stop = _interval(centre_col, side_px, georeference.width)
    return Window(row_start, row_stop, col_start, col_stop), whole


def _interval(centre: float, side_px: int, limit_px: int) -> tuple[int, int]:
    side_px = min(side_px, limit_px)
    start = min(max(floor(centre - side_px / 2), 0), limit_px - side_px)
    return start, start + side_px
