"""The plane of the survey's map: true to scale, never mirrored, nothing on top of another."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod
from shapely.geometry import Polygon, box

from segmentation.georeference import Georeference
from tasks.report.map_plane import MapPlane, footprint_of, map_plane, outline_on, raster_on
from tests.tasks.report.samples import GEOREFERENCE, GEOREFERENCES, bridge_deck, clean_deck

COS, SIN = 0.8, 0.6


def placed(epsg: int, transform: tuple[float, float, float, float, float, float]) -> Georeference:
    return Georeference(height=701, width=1103, transform=transform, crs_wkt=CRS.from_epsg(epsg).to_wkt())


def facade(*, width: int, height: int, gsd_m: float = 0.005, downwards: bool = True) -> Georeference:
    transform = (gsd_m, 0.0, 0.0, 0.0, gsd_m if downwards else -gsd_m, 0.0)
    return Georeference(height=height, width=width, transform=transform, crs_wkt=None, metres_per_unit=1.0)


@dataclass(frozen=True)
class Case:
    name: str
    georeference: Georeference


CASES = (
    Case("north-up metres", placed(32632, (0.01, 0, 465_000, 0, -0.01, 5_250_000))),
    Case("turned by 37 degrees", placed(32632, (0.01 * COS, 0.01 * SIN, 465_000, 0.01 * SIN, -0.01 * COS, 5_250_000))),
    Case("web mercator at 60 degrees", placed(3857, (0.02, 0, 1_100_000, 0, -0.02, 8_400_000))),
    Case("degrees", placed(4326, (1e-7, 0, 8.5, 0, -1e-7, 47.4))),
    Case("across the date line", placed(32601, (0.01, 0, 165_000, 0, -0.01, 100_000))),
    Case("southern", placed(32733, (0.01, 0, 500_000, 0, -0.01, 6_200_000))),
    Case("local, counted downwards", facade(width=1103, height=701)),
    Case("local, counted upwards", facade(width=1103, height=701, downwards=False)),
)


def plane_of(georeferences: dict[str, Georeference]) -> MapPlane:
    plane = map_plane([], georeferences)
    assert plane is not None
    return plane


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_distances_on_the_plane_are_those_on_the_ground(case: Case) -> None:
    georeference = case.georeference
    plane = plane_of({"a": georeference})
    ends = np.array([[0.0, 0.0], [1103.0, 701.0], [1103.0, 0.0]])
    xy = plane.of_pixels("a", georeference, ends)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        on_plane = float(np.hypot(*(xy[one] - xy[other])))
        if georeference.is_local:
            on_ground = float(np.hypot(*(ends[one] - ends[other]))) * 0.005
        else:
            lons, lats = georeference.lonlat_from_pixel(ends[:, 1], ends[:, 0])
            on_ground = Geod(ellps="WGS84").inv(lons[one], lats[one], lons[other], lats[other])[2]
        assert on_plane == pytest.approx(on_ground, rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_raster_is_mirrored(case: Case) -> None:
    corner, right, down = plane_of({"a": case.georeference}).of_pixels(
        "a", case.georeference, np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    )
    across, along = right - corner, down - corner
    assert across[0] * along[1] - across[1] * along[0] < 0, "rows run to the right of columns, as in a picture"


@given(case=st.sampled_from(CASES), col=st.floats(0, 1103), row=st.floats(0, 701))
def test_a_pixel_is_found_again_from_its_place(case: Case, col: float, row: float) -> None:
    plane = plane_of({"a": case.georeference, "b": facade(width=50, height=70)})
    xy = plane.of_pixels("a", case.georeference, np.array([[col, row]]))
    assert plane.pixels_at("a", case.georeference, xy) == pytest.approx(np.array([[col, row]]), abs=1e-3)


@given(
    sides=st.lists(st.tuples(st.integers(20, 900), st.integers(20, 900)), min_size=1, max_size=9),
    with_place=st.booleans(),
)
def test_local_rasters_lie_beside_each_other_and_beside_what_has_a_place(
    sides: list[tuple[int, int]], with_place: bool
) -> None:
    rasters = {f"f{number}": facade(width=wide, height=high) for number, (wide, high) in enumerate(sides)}
    if with_place:
        rasters["deck"] = GEOREFERENCE
    plane = plane_of(rasters)
    outlines = [raster_on(plane, name, georeference) for name, georeference in rasters.items()]
    together = shapely.union_all(outlines)
    assert together.area == pytest.approx(sum(outline.area for outline in outlines), rel=1e-9)
    assert box(*plane.bounds).buffer(1e-6).covers(together)


def test_a_structure_lies_where_its_footprint_or_its_raster_is() -> None:
    deck = bridge_deck()
    whole = replace(deck, structure=replace(deck.structure, footprint=None, raster_name="deck_east.tif"))
    plane = map_plane([deck], GEOREFERENCES)
    assert plane is not None
    footprint, raster = outline_on(plane, deck, GEOREFERENCES), outline_on(plane, whole, GEOREFERENCES)
    assert footprint is not None
    assert raster is not None
    assert footprint.area == pytest.approx((2860 - 150) * (1890 - 120) * 0.0015**2, rel=1e-3)
    assert raster.area == pytest.approx(3000 * 2000 * 0.0015**2, rel=1e-3)
    assert raster.covers(footprint)


@pytest.mark.parametrize(
    "footprint",
    [Polygon(), Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), None],
    ids=["empty", "crossing itself", "none at all"],
)
def test_an_unusable_footprint_is_not_drawn(footprint: Polygon | None) -> None:
    deck = clean_deck()
    assert footprint_of(replace(deck, structure=replace(deck.structure, footprint=footprint))) is None


def test_nothing_at_all_has_no_plane() -> None:
    assert map_plane([], {}) is None
