"""Geometries of the layers: multi-part, oriented, and cut at the antimeridian."""

import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, MultiLineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from tasks.layers.geometry import bounds_of, layer_geometries

TAVEUNI = Polygon([(179.9999, -16.8), (-179.9999, -16.8), (-179.9999, -16.7999), (179.9999, -16.7999)])
"""A deck in Fiji on both sides of the antimeridian, 21 m wide."""


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        Polygon(),
        MultiLineString(),
        LineString([(0, np.inf), (1, 1)]),
        shapely.from_wkt("LINESTRING (nan 0, 1 1)"),
    ],
    ids=["none", "empty-polygon", "empty-lines", "beyond-the-crs", "not-a-number"],
)
def test_what_has_no_place_is_none(geometry: BaseGeometry | None) -> None:
    assert layer_geometries([geometry]).tolist() == [None]


def test_single_parts_become_multi_parts_and_order_is_kept() -> None:
    one, none, other = layer_geometries([LineString([(0, 0), (1, 1)]), None, box(0, 0, 1, 1)])
    assert (one.geom_type, none, other.geom_type) == ("MultiLineString", None, "MultiPolygon")


def test_rings_are_turned() -> None:
    clockwise = Polygon([(0, 0), (0, 1), (1, 1), (1, 0)], [[(0.2, 0.2), (0.4, 0.2), (0.4, 0.4), (0.2, 0.4)]])
    (part,) = layer_geometries([clockwise])[0].geoms
    assert part.exterior.is_ccw
    assert not part.interiors[0].is_ccw


def test_no_geometry_at_all() -> None:
    assert layer_geometries([]).shape == (0,)
    assert bounds_of(layer_geometries([])) is None


def test_polygon_across_the_antimeridian_is_cut_there() -> None:
    (cut,) = layer_geometries([TAVEUNI])
    assert sorted(part.bounds for part in cut.geoms) == [
        pytest.approx((-180, -16.8, -179.9999, -16.7999)),
        pytest.approx((179.9999, -16.8, 180, -16.7999)),
    ]
    assert cut.is_valid


def test_longitudes_beyond_180_come_back() -> None:
    east, across = layer_geometries([box(180.1, 0, 180.2, 1), box(-180.1, 0, -179.9, 1)])
    assert east.bounds == pytest.approx((-179.9, 0, -179.8, 1))
    assert sorted(part.bounds[0] for part in across.geoms) == pytest.approx([-180, 179.9])


def test_crack_across_the_antimeridian_keeps_its_length() -> None:
    (cut,) = layer_geometries([LineString([(179.9999, 0), (-179.9999, 0)])])
    assert cut.geom_type == "MultiLineString"
    assert shapely.length(cut) == pytest.approx(0.0002)


def test_bounds_across_the_antimeridian_run_from_west_to_east() -> None:
    assert bounds_of(layer_geometries([TAVEUNI])) == pytest.approx((179.9999, -16.8, -179.9999, -16.7999))


def test_bounds_elsewhere_are_plain() -> None:
    assert bounds_of(layer_geometries([box(-1, 50, 1, 51), None, Point(2, 52)])) == (-1, 50, 2, 52)
