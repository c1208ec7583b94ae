"""A painted line covers what its length and width say."""

from dataclasses import dataclass
from math import cos, pi, radians, sin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import contains_xy
from shapely.geometry import MultiPoint, Polygon

from segmentation.synthetic.strokes import Stroke, convex_spans, coverage, polygon_opacity, spots
from segmentation.windows import Window


@dataclass(frozen=True)
class Line:
    name: str
    width_px: float
    angle_deg: float


LINES = (
    Line("hairline-along-the-rows", 0.6, 0.0),
    Line("one-pixel-at-30-degrees", 1.0, 30.0),
    Line("three-pixels-diagonal", 3.0, 45.0),
    Line("seven-pixels-upright", 7.0, 90.0),
    Line("eleven-pixels-at-an-odd-angle", 11.0, 17.0),
)


def straight(line: Line, length_px: float) -> Stroke:
    angle = radians(line.angle_deg)
    end = (40.3 + length_px * sin(angle), 40.7 + length_px * cos(angle))
    return Stroke(np.array([(40.3, 40.7), end]), np.full(2, line.width_px))


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_covered_area_is_length_times_width_and_two_round_ends(line: Line) -> None:
    stroke = straight(line, 211.0)
    painted = float(coverage(stroke, Window(0, 300, 0, 300)).sum())
    assert painted == pytest.approx(211.0 * line.width_px + pi * line.width_px**2 / 4, rel=0.025)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_two_windows_show_what_one_shows(line: Line) -> None:
    stroke = straight(line, 211.0)
    whole = coverage(stroke, Window(0, 300, 0, 300))
    left, right = coverage(stroke, Window(0, 300, 0, 113)), coverage(stroke, Window(0, 300, 113, 300))
    np.testing.assert_array_equal(np.hstack([left, right]), whole)


@given(st.floats(0.3, 50.0), st.integers(2, 40), st.integers(0, 10_000))
def test_resampling_keeps_length_mean_width_and_ends(step_px: float, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stroke = Stroke(rng.uniform(0, 100, (count, 2)), rng.uniform(1, 9, count))
    fine = stroke.resampled(step_px)
    assert fine.steps_px.max() <= step_px * (1 + 1e-9)
    assert fine.length_px == pytest.approx(stroke.length_px)
    assert fine.mean_width_px == pytest.approx(stroke.mean_width_px)
    np.testing.assert_array_equal(fine.vertices[[0, -1]], stroke.vertices[[0, -1]])


@given(st.integers(0, 10_000))
def test_convex_spans_are_the_pixels_whose_centre_lies_inside(seed: int) -> None:
    hull = MultiPoint(np.random.default_rng(seed).uniform(-10, 47, (7, 2))).convex_hull
    assert isinstance(hull, Polygon)
    corners = np.array(hull.exterior.coords)[:-1]
    painted = np.zeros((31, 37), bool)
    first, spans = convex_spans(corners, 31, 37)
    for row, (start, stop) in enumerate(spans, start=first):
        painted[row, start:stop] = True
    rows, cols = np.mgrid[0:31, 0:37] + 0.5
    np.testing.assert_array_equal(painted, contains_xy(hull, rows, cols))


@pytest.mark.parametrize("soft_px", [0.0, 1.0, 6.0, 20.0])
def test_a_soft_polygon_keeps_its_area_and_knows_nothing_of_the_window(soft_px: float) -> None:
    square = np.array([[100.0, 100.0], [100.0, 200.0], [200.0, 200.0], [200.0, 100.0]])
    whole = polygon_opacity(Window(0, 300, 0, 300), square, soft_px=soft_px)
    assert float(whole.sum()) == pytest.approx(100 * 100, rel=0.05)
    part = polygon_opacity(Window(0, 300, 148, 300), square, soft_px=soft_px)
    np.testing.assert_allclose(part, whole[:, 148:], atol=0.03)


def test_a_spot_covers_the_area_of_its_ellipse() -> None:
    disc = spots(
        Window(0, 64, 0, 64), np.array([[31.3, 32.2]]), np.array([14.0]), np.array([0.4]), flatness=0.5, soft_px=1.0
    )
    assert float(disc.sum()) == pytest.approx(pi * 14.0 * 7.0, rel=0.04)
