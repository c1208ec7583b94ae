"""Where things lie: the place of a defect, and the pixels of a structure in a raster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, nan

import numpy as np
import shapely
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Floats, Georeference
from segmentation.records import Defect, StructureResult
from segmentation.windows import Window


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


def place_of(defect: Defect, georeference: Georeference) -> Place:
    """The place of one defect in its raster and on the earth."""
    row, col = pixel_of(defect)
    if georeference.is_local:
        return Place(row, col, None, None)
    lons, lats = georeference.lonlat_from_pixel(np.array([row]), np.array([col]))
    return Place(row, col, float(lons[0]), float(lats[0]))


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


def native_window(place: Place, defect: Defect, georeference: Georeference, *, max_side_px: int) -> tuple[Window, bool]:
    """The square window that shows a defect pixel by pixel, and whether it shows the whole of it.

    The side is 1.6 times the defect's, at least a quarter of `max_side_px` and at most `max_side_px`; then it is
    centred on `place`. It is moved, not cut, at the raster's edge.
    """
    rows, cols = defect.window.shape
    whole = max(rows, cols) <= max_side_px
    side_px = min(max(ceil(1.6 * max(rows, cols)), max_side_px // 4), max_side_px)
    if whole:
        centre_row = (defect.window.row_start + defect.window.row_stop) / 2
        centre_col = (defect.window.col_start + defect.window.col_stop) / 2
    else:
        centre_row, centre_col = place.row, place.col
    row_start, row_stop = _interval(centre_row, side_px, georeference.height)
    col_start, col_stop = _interval(centre_col, side_px, georeference.width)
    return Window(row_start, row_stop, col_start, col_stop), whole


def _interval(centre: float, side_px: int, limit_px: int) -> tuple[int, int]:
    side_px = min(side_px, limit_px)
    start = min(max(floor(centre - side_px / 2), 0), limit_px - side_px)
    return start, start + side_px
