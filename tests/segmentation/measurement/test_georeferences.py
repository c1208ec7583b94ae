"""Damage has one size on the ground, in whatever raster: rotated, mirrored, non-square, in degrees or in feet."""

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
import pytest
from pyproj import CRS, Transformer

from segmentation.georeference import Georeference
from segmentation.measurement.cracks import measure_crack
from segmentation.measurement.rust import measure_rust
from tests.segmentation.measurement.rendering import centre_of, ground_of, render, straight

SIDE_PX = 180
LENGTH_M = 0.110
WIDTH_M = 0.006
RADIUS_M = 0.045


@dataclass(frozen=True)
class Case:
    id: str
    epsg: int
    lonlat: tuple[float, float]
    matrix: tuple[float, float, float, float]
    """CRS units per (column, row) step: x by column, x by row, y by column, y by row."""

    def georeference(self) -> Georeference:
        x, y = Transformer.from_crs(4326, self.epsg, always_xy=True).transform(*self.lonlat)
        a, b, d, e = self.matrix
        corner = (x - (a + b) * SIDE_PX / 2, y - (d + e) * SIDE_PX / 2)
        return Georeference(SIDE_PX, SIDE_PX, (a, b, corner[0], d, e, corner[1]), CRS.from_epsg(self.epsg).to_wkt())


MM = 0.001
TURN = (cos(radians(30)) * MM, sin(radians(30)) * MM)
US_FOOT_M = 1200 / 3937
DEGREE_NORTH_M = 111_194.0
CASES = [
    Case("north-up-control", 32615, (-92.0, 46.8), (MM, 0, 0, -MM)),
    Case("rotated-by-30-degrees", 32615, (-92.0, 46.8), (TURN[0], TURN[1], TURN[1], -TURN[0])),
    Case("mirrored", 32615, (-92.0, 46.8), (-MM, 0, 0, -MM)),
    Case("south-up", 32615, (-92.0, 46.8), (MM, 0, 0, MM)),
    Case("pixels-of-1-by-0.7", 32615, (-92.0, 46.8), (MM, 0, 0, -0.7 * MM)),
    Case("rotated-pixels-of-1-by-0.7", 32615, (-92.0, 46.8), (TURN[0], 0.7 * TURN[1], TURN[1], -0.7 * TURN[0])),
    Case("degrees", 4326, (-92.0, 46.8), (MM / DEGREE_NORTH_M / cos(radians(46.8)), 0, 0, -MM / DEGREE_NORTH_M)),
    Case("square-degrees-at-50-north", 4326, (8.0, 50.0), (1.2e-8, 0, 0, -1.2e-8)),
    Case("web-mercator-at-60-north", 3857, (25.0, 60.0), (2 * MM, 0, 0, -2 * MM)),
    Case("us-survey-feet", 2263, (-74.0, 40.7), (MM / US_FOOT_M, 0, 0, -MM / US_FOOT_M)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_crack_has_its_length_and_width(case: Case) -> None:
    scale = case.georeference().scale_at(SIDE_PX / 2, SIDE_PX / 2)
    for angle in (0.0, 37.0, 101.0):
        line = straight(centre_of(scale, (SIDE_PX, SIDE_PX)), length_m=LENGTH_M, angle_deg=angle)
        rendered = render([line], width_m=WIDTH_M, shape=(SIDE_PX, SIDE_PX), scale=scale)
        measure = measure_crack(
            rendered.pixels,
            image=rendered.image,
            probability=rendered.probability,
            scale=scale,
            origin=(0, 0),
            min_width_px=2.0,
        ).measure
        assert measure.length_m == pytest.approx(LENGTH_M, rel=0.01)
        assert measure.mean_width_mm == pytest.approx(WIDTH_M * 1e3, abs=0.2)
        assert measure.width_method == "profile"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_patch_has_its_area(case: Case) -> None:
    scale = case.georeference().scale_at(SIDE_PX / 2, SIDE_PX / 2)
    rows, cols = np.meshgrid(np.arange(SIDE_PX) + 0.5, np.arange(SIDE_PX) + 0.5, indexing="ij")
    away = ground_of(scale, rows, cols) - np.array(centre_of(scale, (SIDE_PX, SIDE_PX)))
    result = measure_rust(np.hypot(away[..., 0], away[..., 1]) <= RADIUS_M, scale=scale, origin=(0, 0))
    assert result.area_m2 == pytest.approx(np.pi * RADIUS_M**2, rel=0.01)


@pytest.mark.parametrize("away_m", [(0.0, 0.0), (0.2, -0.3), (5.0, 3.0), (-100.0, 80.0)])
def test_a_pixel_has_its_size_at_the_pole_too(away_m: tuple[float, float]) -> None:
    """Symptom: 0 mm. Cause: north was taken 16 pixels away, where over the pole it points elsewhere."""
    x, y = away_m
    place = Georeference(400, 600, (0.002, 0.0, x - 0.6, 0.0, -0.002, y + 0.4), CRS.from_epsg(3413).to_wkt())
    scale = place.centre_scale()
    at_pole = 0.002 / 0.969858  # scale factor of the polar stereographic projection that is true at 70° north
    assert (scale.gsd_x_m, scale.gsd_y_m, scale.gsd_m) == pytest.approx((at_pole, at_pole, at_pole), rel=1e-5)
