"""Lines as whole numbers: small, and never off by more than they say."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiLineString, MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

from tasks.report.map_vectors import Paths, encoded_paths, fitting_step_m

ORIGIN = (-120.5, 33.25)


def decoded(paths: Paths, step_m: float, *, closed: bool) -> BaseGeometry:
    """As the page's script reads them."""
    lines = []
    for path in paths:
        points = np.cumsum(np.array(path, np.float64).reshape(-1, 2), axis=0) * step_m + np.array(ORIGIN)
        lines.append(np.vstack([points, points[:1]]) if closed or len(points) == 1 else points)
    return MultiLineString([line.tolist() for line in lines])


def farthest_m(ones: BaseGeometry, others: BaseGeometry) -> float:
    corners = shapely.get_coordinates(ones)
    between = (corners[1:] + corners[:-1]) / 2 if ones.geom_type == "LineString" else corners
    points = shapely.points(np.vstack([corners, between]))
    return float(shapely.distance(points, others).max())


walks = st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=2, max_size=40).map(
    lambda moves: np.cumsum(np.array(moves), axis=0)
)


@given(walk=walks, step_m=st.sampled_from([0.001, 0.013, 0.5, 2.0]))
def test_a_line_and_its_decoded_form_are_at_most_a_step_apart(walk: np.ndarray, step_m: float) -> None:
    line = LineString(walk)
    (paths,) = encoded_paths([line], step_m=step_m, origin=ORIGIN)
    again = decoded(paths, step_m, closed=False)
    assert max(farthest_m(line, again), farthest_m(again, line)) <= step_m * 1.0001


@given(
    radii=st.lists(st.floats(4, 9), min_size=5, max_size=60),
    step_m=st.sampled_from([0.001, 0.05, 0.3]),
    hole=st.booleans(),
)
def test_an_outline_and_its_holes_are_at_most_a_step_off(radii: list[float], step_m: float, hole: bool) -> None:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles)]) * np.array(radii)[:, None]
    polygon = Polygon(ring, [box(-0.7, -0.7, 0.7, 0.7).exterior.coords] if hole else None)
    (paths,) = encoded_paths([polygon], step_m=step_m, origin=ORIGIN)
    assert len(paths) == 1 + hole
    again = decoded(paths, step_m, closed=True)
    assert max(farthest_m(polygon.boundary, again), farthest_m(again, polygon.boundary)) <= step_m * 1.0001


def test_each_geometry_keeps_its_own_paths() -> None:
    geometries = [
        MultiLineString([[(0, 40), (5, 40)], [(0, 41), (0, 47)]]),
        MultiLineString(),
        MultiPolygon([box(1, 50, 4, 55), box(6, 50, 9, 55)]),
        LineString([(-100, 34), (-90, 34)]),
    ]
    paths = encoded_paths(geometries, step_m=0.25, origin=ORIGIN)
    assert [len(one) for one in paths] == [2, 0, 2, 1]
    assert paths[3] == [[82, 3, 40, 0]]


def test_what_is_smaller_than_a_step_stays_as_a_point() -> None:
    specks = [box(2, 40, 2.01, 40.01), LineString([(2, 40), (2.01, 40)])]
    assert encoded_paths(specks, step_m=1.0, origin=(0.0, 0.0)) == [[[2, 40]], [[2, 40]]]


def test_points_on_a_straight_line_are_left_out() -> None:
    line = LineString(np.column_stack([np.linspace(0, 100, 5000), np.full(5000, 40.0)]))
    assert encoded_paths([line], step_m=0.1, origin=(0.0, 0.0)) == [[[0, 400, 1000, 0]]]


def test_the_step_grows_until_the_lines_fit() -> None:
    rng = np.random.default_rng(5)
    lines = [LineString(np.cumsum(rng.normal(0, 0.01, (2000, 2)), axis=0)) for _ in range(11)]
    fine = fitting_step_m(lines, finest_m=0.001, most_points=10**9)
    coarse = fitting_step_m(lines, finest_m=0.001, most_points=1500)
    assert fine == 0.001 < coarse
    count = sum(len(path) // 2 for paths in encoded_paths(lines, step_m=coarse, origin=ORIGIN) for path in paths)
    assert count <= 1500 * 1.2


def test_a_step_too_fine_for_the_distance_is_refused() -> None:
    with pytest.raises(ValueError, match="a step must be at least"):
        encoded_paths([LineString([(0, 0), (1e7, 0)])], step_m=1e-3, origin=(0.0, 0.0))
