"""Where a pixel lies and how large it is: one formula for every coordinate reference system.

The scale is the geodesic size of a pixel at the place in question (`pyproj.Geod` on WGS 84), never the
raster's own units: web-mercator at 60° N is off by 2.00, US survey feet by 3.28, degrees by 10⁵.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import hypot, pi, sqrt

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError

Floats = npt.NDArray[np.float64]

_WGS84 = Geod(ellps="WGS84")
_HALF_STEP_PX = 16.0
"""Wide enough that the nanometres of rounding in CRS coordinates stay below 1e-6 of a millimetre pixel."""


@dataclass(frozen=True, slots=True)
class PixelScale:
    """Metres on the ground for one pixel step, as a Jacobian; right for rotated, mirrored and non-square pixels.

    >>> PixelScale(0.002, 0.0, 0.0, -0.002).length_m(d_row=3.0, d_col=4.0)
    0.01
    """

    east_per_col_m: float
    """Metres to the east for one step along a column index."""
    east_per_row_m: float
    """Metres to the east for one step along a row index."""
    north_per_col_m: float
    """Metres to the north for one step along a column index."""
    north_per_row_m: float
    """Metres to the north for one step along a row index (negative where the raster is north-up)."""

    def length_m(self, d_row: float, d_col: float) -> float:
        """Length of a pixel displacement in metres."""
        return hypot(
            self.east_per_col_m * d_col + self.east_per_row_m * d_row,
            self.north_per_col_m * d_col + self.north_per_row_m * d_row,
        )

    def lengths_m(self, d_rows: Floats, d_cols: Floats) -> Floats:
        """`length_m` of many displacements at once, ``(N,)`` → ``(N,)``."""
        return np.hypot(
            self.east_per_col_m * d_cols + self.east_per_row_m * d_rows,
            self.north_per_col_m * d_cols + self.north_per_row_m * d_rows,
        )

    @property
    def pixel_area_m2(self) -> float:
        """Area of one pixel on the ground."""
        return abs(self.east_per_col_m * self.north_per_row_m - self.east_per_row_m * self.north_per_col_m)

    @property
    def gsd_m(self) -> float:
        """Ground sampling distance: the side of a square of one pixel's area, metres per pixel."""
        return sqrt(self.pixel_area_m2)

    @property
    def gsd_x_m(self) -> float:
        """Metres for one step along the columns."""
        return self.length_m(0.0, 1.0)

    @property
    def gsd_y_m(self) -> float:
        """Metres for one step along the rows."""
        return self.length_m(1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Georeference:
    """Place of a raster on the earth, or in a local metric frame where it has none.

    `transform` is the affine map of (col, row) at pixel corners to CRS coordinates in GDAL's order of
    `affine.Affine`: x = a·col + b·row + c, y = d·col + e·row + f.
    """

    height: int
    """Rows of the raster."""
    width: int
    """Columns of the raster."""
    transform: tuple[float, float, float, float, float, float]
    """(a, b, c, d, e, f) of the affine map."""
    crs_wkt: str | None
    """WKT of the CRS; None where the survey's manifest gave the GSD instead."""
    metres_per_unit: float | None = None
    """Set for a local frame (engineering CRS, or none): metres per CRS unit. None: geodesic."""

    @property
    def is_local(self) -> bool:
        """Whether the raster has no place on the earth: a façade ortho in a frame of its own."""
        return self.metres_per_unit is not None

    def crs_from_pixel(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """CRS coordinates (x, y) of pixel-corner coordinates (0.5 is a pixel's centre)."""
        a, b, c, d, e, f = self.transform
        return a * cols + b * rows + c, d * cols + e * rows + f

    def pixel_from_crs(self, xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
        """(rows, cols) in pixel-corner coordinates of CRS coordinates."""
        a, b, c, d, e, f = self.transform
        det = a * e - b * d
        dx, dy = xs - c, ys - f
        return (a * dy - d * dx) / det, (e * dx - b * dy) / det

    def lonlat_from_pixel(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """WGS 84 (longitude, latitude) of pixel-corner coordinates; raises ValueError for a local frame."""
        xs, ys = self.crs_from_pixel(rows, cols)
        lon, lat = (np.asarray(v, np.float64) for v in _to_wgs84(self._earth_crs()).transform(xs, ys))
        # Rasters in degrees go on beyond the antimeridian, or count from 0 to 360.
        return np.where(np.abs(lon) > 180, lon - 360 * np.round(lon / 360), lon), lat

    def pixel_from_lonlat(self, lons: Floats, lats: Floats) -> tuple[Floats, Floats]:
        """(rows, cols) in pixel-corner coordinates of WGS 84 points; raises ValueError for a local frame.

        Of the places that a longitude has in a raster in degrees, the one nearest to its middle.
        """
        xs, ys = (np.asarray(v, np.float64) for v in _from_wgs84(self._earth_crs()).transform(lons, lats))
        turn = _full_turn(self._earth_crs())
        if turn is not None and np.isfinite(xs).any():
            middle, _ = self.crs_from_pixel(np.array(self.height / 2), np.array(self.width / 2))
            turns = np.round((middle - xs) / turn)
            xs = np.where(turns == 0, xs, xs + turn * turns)
        return self.pixel_from_crs(xs, ys)

    def scale_at(self, row: float, col: float) -> PixelScale:
        """Scale of the pixel at (row, col), from a central difference over 32 pixels.

        North and east are those of (row, col): near a pole they are others 16 pixels away.
        """
        if self.metres_per_unit is not None:
            a, b, _, d, e, _ = (v * self.metres_per_unit for v in self.transform)
            return PixelScale(a, b, d, e)
        rows = np.array([row, row, row - _HALF_STEP_PX, row + _HALF_STEP_PX])
        cols = np.array([col - _HALF_STEP_PX, col + _HALF_STEP_PX, col, col])
        lon, lat = self.lonlat_from_pixel(np.append(rows, row), np.append(cols, col))
        east_m, north_m = _east_north_m(lon[4], lat[4], lon[:4], lat[:4])
        per_col = east_m[1] - east_m[0], north_m[1] - north_m[0]
        per_row = east_m[3] - east_m[2], north_m[3] - north_m[2]
        step = 2 * _HALF_STEP_PX
        return PixelScale(*(float(v) / step for v in (per_col[0], per_row[0], per_col[1], per_row[1])))

    def centre_scale(self) -> PixelScale:
        """Scale at the middle of the raster: the GSD that is stated for it."""
        return self.scale_at(self.height / 2, self.width / 2)

    def _earth_crs(self) -> str:
        if self.crs_wkt is None or self.is_local:
            raise ValueError("a raster in a local frame must not be asked for longitude and latitude")
        return self.crs_wkt


def metres_per_unit_of_local_crs(crs_wkt: str) -> float | None:
    """Metres per unit of a CRS that has no place on the earth (engineering CRS); None where it has one."""
    try:
        crs = CRS.from_wkt(crs_wkt)
    except CRSError as error:
        raise ValueError(f"the CRS must be readable WKT, got {crs_wkt[:60]!r}") from error
    if not crs.is_engineering:
        return None
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0


@lru_cache(maxsize=64)
def _to_wgs84(crs_wkt: str) -> Transformer:
    return Transformer.from_crs(crs_wkt, "EPSG:4326", always_xy=True)


@lru_cache(maxsize=64)
def _from_wgs84(crs_wkt: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs_wkt, always_xy=True)


@lru_cache(maxsize=64)
def _full_turn(crs_wkt: str) -> float | None:
    """360° in units of a geographic CRS; None for others, whose projection sees to it."""
    crs = CRS.from_wkt(crs_wkt)
    return 2 * pi / crs.axis_info[0].unit_conversion_factor if crs.is_geographic else None


def _east_north_m(lon: float, lat: float, lons: Floats, lats: Floats) -> tuple[Floats, Floats]:
    """Metres to the east and to the north from one place to others, by the azimuths at that one."""
    from_lons, from_lats = np.full_like(lons, lon), np.full_like(lats, lat)
    azimuths_deg, _, distances_m = _WGS84.inv(from_lons, from_lats, lons, lats)
    return distances_m * np.sin(np.radians(azimuths_deg)), distances_m * np.cos(np.radians(azimuths_deg))
