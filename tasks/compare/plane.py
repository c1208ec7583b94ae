"""The metric plane in which both surveys of a structure are laid on each other, from the structure's middle."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pyproj import Transformer

from segmentation.comparison.grids import GridToPlane
from segmentation.comparison.similarity import Points
from segmentation.georeference import Georeference


@dataclass(frozen=True)
class EarthPlane:
    """Metres to the east and north of a place: azimuthal equidistant, off by less than 1e-6 within 10 km."""

    lon: float
    lat: float

    @cached_property
    def _there(self) -> Any:
        # The steps spelled out: to look up two CRS and the way between them takes fifty times as long.
        return Transformer.from_pipeline(
            "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad "
            f"+step +proj=aeqd +lat_0={self.lat!r} +lon_0={self.lon!r} +ellps=WGS84"
        )

    def __reduce__(self) -> tuple[type["EarthPlane"], tuple[float, float]]:
        return type(self), (self.lon, self.lat)  # another process makes its own transformers, where it needs them

    def of_lonlat(self, lonlat: Points) -> Points:
        """WGS 84 points ``(N, 2)`` in metres."""
        return np.column_stack(self._there.transform(lonlat[:, 0], lonlat[:, 1]))

    def to_lonlat(self, points: Points) -> Points:
        """Points ``(N, 2)`` in metres as WGS 84 (longitude, latitude)."""
        return np.column_stack(self._there.transform(points[:, 0], points[:, 1], direction="INVERSE"))

    def of_pixels(self, georeference: Georeference, cols_rows: Points) -> Points:
        """Pixel-corner coordinates (column, row) ``(N, 2)`` of a raster in metres."""
        return self.of_lonlat(np.column_stack(georeference.lonlat_from_pixel(cols_rows[:, 1], cols_rows[:, 0])))

    def to_pixels(self, georeference: Georeference, points: Points) -> Points:
        """Points in metres as (column, row) of a raster."""
        lonlat = self.to_lonlat(points)
        rows, cols = georeference.pixel_from_lonlat(lonlat[:, 0], lonlat[:, 1])
        return np.column_stack([cols, rows])


@dataclass(frozen=True)
class LocalPlane:
    """Metres in the local frame of a raster without a place on the earth, from a place in it."""

    x_m: float
    y_m: float

    def of_pixels(self, georeference: Georeference, cols_rows: Points) -> Points:
        """Pixel-corner coordinates (column, row) ``(N, 2)`` of a raster in metres."""
        unit_m = georeference.metres_per_unit or 1.0
        xs, ys = georeference.crs_from_pixel(cols_rows[:, 1], cols_rows[:, 0])
        return np.column_stack([xs * unit_m - self.x_m, ys * unit_m - self.y_m])

    def to_pixels(self, georeference: Georeference, points: Points) -> Points:
        """Points in metres as (column, row) of a raster."""
        unit_m = georeference.metres_per_unit or 1.0
        rows, cols = georeference.pixel_from_crs((points[:, 0] + self.x_m) / unit_m, (points[:, 1] + self.y_m) / unit_m)
        return np.column_stack([cols, rows])


Plane = EarthPlane | LocalPlane


def grid_to_pixels(plane: Plane, georeference: Georeference, grid: GridToPlane, shape: tuple[int, int]) -> GridToPlane:
    """The affine matrix ``(3, 3)`` of (column, row) of a small grid in the plane to (column, row) of a raster."""
    height, width = shape
    corners = np.array([[0.0, 0.0], [width, 0.0], [0.0, height]])
    points = corners @ grid[:2, :2].T + grid[:2, 2]
    at = plane.to_pixels(georeference, points)
    matrix = np.eye(3)
    matrix[:2, 0] = (at[1] - at[0]) / width
    matrix[:2, 1] = (at[2] - at[0]) / height
    matrix[:2, 2] = at[0]
    return matrix
