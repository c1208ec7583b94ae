"""Places in structure coordinates: metres along and across a footprint of known size."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from shapely import affinity
from shapely.geometry import MultiPolygon, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Floats
from tasks.report.places import FootprintFrame, RasterFrame, footprint_frame, frames_of, places_of
from tests.tasks.report.samples import GEOREFERENCE, GEOREFERENCES, GSD_M, RASTER, bridge_deck, rust

EARTH = Geod(ellps="WGS84")


def on_earth(plan_m: BaseGeometry, *, lon: float = 11.0, lat: float = 47.0) -> BaseGeometry:
    """A plan in metres east and north of a point, in WGS 84."""

    def to_lonlat(east_north: Floats) -> Floats:
        east, north = east_north[:, 0], east_north[:, 1]
        azimuths, distances = np.degrees(np.arctan2(east, north)), np.hypot(east, north)
        lons, lats, _ = EARTH.fwd(np.full(len(east), lon), np.full(len(east), lat), azimuths, distances)
        return np.column_stack([lons, lats])

    return shapely.transform(plan_m, to_lonlat)


@dataclass(frozen=True)
class FrameCase:
    id: str
    plan_m: BaseGeometry
    length_m: float
    width_m: float
    heading_deg: float


@pytest.mark.parametrize(
    "case",
    [
        FrameCase("a-deck-along-east", box(5, 7, 105, 20), 100, 13, 90),
        FrameCase("a-deck-along-north", box(0, 0, 11, 130), 130, 11, 0),
        FrameCase("a-deck-turned-by-30-degrees", affinity.rotate(box(0, 0, 170, 19), 30), 170, 19, 60),
        FrameCase("a-deck-that-runs-to-the-south-east", affinity.rotate(box(0, 0, 170, 19), -35), 170, 19, 125),
        FrameCase("a-square-counts-from-its-southern-edge", box(0, 0, 23, 23), 23, 23, 90),
        FrameCase("two-spans", MultiPolygon([box(0, 0, 40, 9), box(60, 0, 101, 9)]), 101, 9, 90),
    ],
    ids=lambda case: case.id,
)
def test_frame_lies_along_the_footprint(case: FrameCase) -> None:
    frame = footprint_frame(on_earth(case.plan_m))
    assert frame.length_m == pytest.approx(case.length_m, rel=1e-4)
    assert frame.width_m == pytest.approx(case.width_m, rel=1e-4)
    assert abs((frame.heading_deg - case.heading_deg + 90) % 180 - 90) < 0.01


@settings(max_examples=40)
@given(
    angle=st.floats(0, 360),
    lon=st.floats(-179.9, 179.9),
    lat=st.floats(-75, 75),
    along=st.floats(0, 300),
    across=st.floats(0, 40),
)
def test_distances_on_the_structure_are_those_on_the_ground(
    angle: float, lon: float, lat: float, along: float, across: float
) -> None:
    deck = affinity.rotate(box(0, 0, 300, 40), angle, origin=(0, 0))
    point = affinity.rotate(Point(along, across), angle, origin=(0, 0))
    frame = footprint_frame(on_earth(deck, lon=lon, lat=lat))
    lons, lats = shapely.get_coordinates(on_earth(point, lon=lon, lat=lat)).T
    found_along, found_across = (float(value[0]) for value in frame.at_lonlat(lons, lats))
    straight, turned_about = (along, across), (300 - along, 40 - across)
    assert (
        min(
            abs(found_along - straight[0]) + abs(found_across - straight[1]),
            abs(found_along - turned_about[0]) + abs(found_across - turned_about[1]),
        )
        < 0.001
    ), "counted from one of the two corners from which across lies to the left of along"


@given(angle=st.floats(0, 360))
def test_no_corner_is_negative_and_the_origin_is_at_nought(angle: float) -> None:
    footprint = on_earth(affinity.rotate(Polygon([(0, 0), (90, 0), (90, 14), (40, 22), (0, 14)]), angle))
    frame = footprint_frame(footprint)
    along, across = frame.at_lonlat(*shapely.get_coordinates(footprint).T)
    assert (along.min(), across.min()) == pytest.approx((0, 0), abs=1e-6)
    assert (along.max(), across.max()) == pytest.approx((frame.length_m, frame.width_m), abs=1e-6)
    lon, lat = frame.origin
    at_origin = frame.at_lonlat(np.array([lon]), np.array([lat]))
    assert [float(value[0]) for value in at_origin] == pytest.approx([0, 0], abs=1e-4)
    assert 0 <= frame.heading_deg < 360
    assert (frame.heading_deg + 45.001) % 360 < 180.002


@pytest.mark.parametrize("degrees", [-0.001, 0.0, 0.001])
@pytest.mark.parametrize("heading", [0, 90])
def test_a_hair_of_rotation_does_not_turn_the_axes_about(heading: int, degrees: float) -> None:
    deck = affinity.rotate(box(0, 0, 100, 10), 90 - heading + degrees)
    assert abs((footprint_frame(on_earth(deck)).heading_deg - heading + 180) % 360 - 180) < 0.01


def test_defect_is_placed_in_metres_from_the_corner_of_its_footprint() -> None:
    deck = bridge_deck()
    patch = rust("R-1", row=1000, col=1150, side_px=100)
    (place,) = places_of([patch], GEOREFERENCES, frames_of(deck.structure, GEOREFERENCES))
    assert place.along_m == pytest.approx((1200 - 150) * GSD_M, abs=0.03), "the grid's north is not quite the earth's"
    assert place.across_m == pytest.approx((1890 - 1050) * GSD_M, abs=0.03)


def test_without_a_footprint_places_count_from_the_lower_left_corner_of_the_raster() -> None:
    structure = replace(bridge_deck().structure, footprint=None, raster_name=RASTER)
    local = replace(GEOREFERENCE, crs_wkt=None, metres_per_unit=1.0)
    for georeference in (GEOREFERENCE, local):
        frames = frames_of(structure, {RASTER: georeference})
        assert isinstance(frames[RASTER], RasterFrame)
        (place,) = places_of([rust("R-1", row=1000, col=1150, side_px=100)], {RASTER: georeference}, frames)
        assert place.along_m == pytest.approx(1200 * GSD_M, rel=1e-3)
        assert place.across_m == pytest.approx((2000 - 1050) * GSD_M, rel=1e-3)
        assert (place.lon is None) == georeference.is_local


def test_raster_in_a_local_frame_keeps_its_own_coordinates_beside_a_footprint() -> None:
    local = replace(GEOREFERENCE, crs_wkt=None, metres_per_unit=1.0)
    frames = frames_of(bridge_deck().structure, {RASTER: GEOREFERENCE, "facade.tif": local})
    assert isinstance(frames[RASTER], FootprintFrame)
    assert isinstance(frames["facade.tif"], RasterFrame)
