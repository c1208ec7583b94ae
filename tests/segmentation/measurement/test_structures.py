"""Each pixel of a raster belongs to one structure or to none."""

from dataclasses import replace
from math import cos, radians, sin

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from shapely.geometry import MultiPolygon, Point, Polygon, box

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.georeference import Georeference
from segmentation.measurement.overlaps import shares_under_earlier
from segmentation.measurement.structures import StructureIndex, count_inspected, footprint_area_m2
from segmentation.records import Structure
from segmentation.windows import Window
from tasks.layers.geometry import cut_at_antimeridian

GSD = 0.01
C, S = cos(radians(30)) * GSD, sin(radians(30)) * GSD
RASTER = Georeference(300, 400, (C, S, 576600.0, S, -C, 5188100.0), CRS.from_epsg(32615).to_wkt())
WHOLE = Window(0, 300, 0, 400)


def in_lonlat(polygon: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """A footprint given as (col, row) of the raster."""
    return shapely.transform(polygon, lambda p: np.stack(RASTER.lonlat_from_pixel(p[:, 1], p[:, 0]), axis=1))


def structure(name: str, footprint: Polygon | MultiPolygon | None, **more: str | None) -> Structure:
    return Structure(name, name, name, "deck", "concrete", footprint and in_lonlat(footprint), **more)


def index_of(*structures: Structure, georeference: Georeference = RASTER, name: str = "a.tif") -> StructureIndex:
    return StructureIndex(structures, georeference, raster_name=name)


def by_pixel_centre(polygons: list[Polygon | MultiPolygon]) -> np.ndarray:
    """The truth, pixel by pixel."""
    found = np.full(WHOLE.shape, -1)
    for number in reversed(range(len(polygons))):
        rows, cols = np.meshgrid(np.arange(300) + 0.5, np.arange(400) + 0.5, indexing="ij")
        found[shapely.contains_xy(polygons[number], cols, rows)] = number
    return found


def test_pixels_belong_to_the_polygon_that_holds_their_centre() -> None:
    with_hole = Polygon(
        [(20.2, 30.7), (250.1, 40.3), (240.4, 200.6), (30.3, 180.8)],
        [[(60.3, 60.1), (100.2, 62.4), (95.3, 110.6)]],
    )
    two_parts = MultiPolygon([box(270.3, 20.4, 330.2, 90.6), box(280.3, 150.4, 390.2, 260.6)])
    overlapping = Point(240.2, 190.3).buffer(60)
    polygons = [with_hole, two_parts, overlapping]
    index = index_of(*(structure(f"S{n}", p) for n, p in enumerate(polygons)))
    found, truth = index.indices(WHOLE), by_pixel_centre(polygons)
    # A centre within rounding of an edge may fall to either side.
    assert np.count_nonzero(found != truth) <= 3
    assert found.dtype == np.int32


def test_a_window_gives_the_same_as_the_whole_raster() -> None:
    index = index_of(structure("A", Point(150, 150).buffer(90)), structure("B", Point(230, 160).buffer(90)))
    whole = index.indices(WHOLE)
    for window in (Window(13, 101, 17, 211), Window(120, 121, 0, 400), Window(140, 150, 140, 150), Window(0, 5, 0, 5)):
        assert (index.indices(window) == whole[window.slices()]).all()


def test_of_touching_structures_every_pixel_goes_to_one_and_no_line_is_left_between() -> None:
    index = index_of(structure("A", box(50, 50, 150.5, 250)), structure("B", box(150.5, 50, 300, 250)))
    found = index.indices(WHOLE)
    assert (found[55:245, 55:295] >= 0).all()
    assert np.count_nonzero(found[55:245] == 0) > 0
    assert np.count_nonzero(found[55:245] == 1) > 0


def test_a_structure_with_a_problem_is_never_matched() -> None:
    bad = structure("A", box(0, 0, 400, 300), problem="self-intersection")
    assert (index_of(bad, structure("B", box(0, 0, 400, 300))).indices(WHOLE) == 1).all()


def test_a_structure_without_footprint_is_the_raster_it_names() -> None:
    mine, other = structure("A", None, raster_name="b.tif"), structure("B", None, raster_name="a.tif")
    assert (index_of(mine, other).indices(WHOLE) == 1).all()


def test_a_raster_in_a_local_frame_matches_only_by_its_name() -> None:
    local = Georeference(300, 400, (0.001, 0, 0, 0, -0.001, 0), None, 1.0)
    found = index_of(
        structure("A", box(0, 0, 400, 300)), structure("B", None, raster_name="f.tif"), georeference=local, name="f.tif"
    ).indices(WHOLE)
    assert (found == 1).all()


def test_structures_elsewhere_leave_the_raster_empty() -> None:
    index = index_of(structure("A", box(4000, 3000, 4100, 3100)))
    assert (index.indices(WHOLE) == -1).all()
    assert index.footprint_window(0) is None


def test_the_window_of_a_footprint_holds_all_its_pixels() -> None:
    index = index_of(structure("A", Point(380, 150).buffer(60.3)))
    window = index.footprint_window(0)
    assert window is not None
    inside = index.indices(WHOLE) == 0
    assert inside[window.slices()].sum() == inside.sum() > 0
    assert window.clip(300, 400) == window


def test_what_of_a_footprint_counts_for_those_before_it_is_known() -> None:
    one, two = structure("A", box(0, 0, 100, 100)), structure("B", box(50, 0, 150, 100))
    under_both = structure("C", box(60, 50, 160, 150))
    beside, whole = structure("D", box(100, -100, 200, 0)), structure("E", box(10, 10, 20, 20))
    part = replace(structure("F", box(0, 0, 50, 50)), component_of="A")
    shares = shares_under_earlier([one, two, under_both, beside, whole, part, structure("G", None, problem="none")])
    told = {own_id: share for own_id, share in shares.items() if share > 1e-6}
    assert told == pytest.approx({"B": 0.5, "C": 0.45, "E": 1.0}, abs=1e-6)


def test_footprints_side_by_side_are_under_no_other() -> None:
    row = [structure(f"S{k}", box(k * 10, 0, k * 10 + 10, 300)) for k in range(40)]
    assert all(share < 1e-6 for share in shares_under_earlier(row).values())
    assert shares_under_earlier([]) == {}


def test_what_a_hostile_file_hides_is_not_sought_to_the_end() -> None:
    """A few thousand combs, each crossing all others, would take days: a pair costs the product of its vertices."""
    steps = np.repeat(np.linspace(0, 100, 100), 2)
    teeth = np.tile([5.0, 95.0, 95.0, 5.0], 50)
    combs = [Polygon(np.column_stack(ends)) for ends in ((steps, teeth), (teeth, steps))]
    many = [structure(f"S{k}", combs[k % 2]) for k in range(200)]
    assert len(shares_under_earlier(many)) < 20


def test_areas_are_geodesic_with_holes_and_parts() -> None:
    ring = Polygon(box(10, 10, 210, 210).exterior.coords, [box(60, 60, 110, 110).exterior.coords])
    both = MultiPolygon([ring, box(250, 10, 350, 110)])
    expected = (200**2 - 50**2 + 100**2) * RASTER.centre_scale().pixel_area_m2
    assert footprint_area_m2(structure("A", both), georeference=None) == pytest.approx(expected, rel=1e-4)


def test_the_area_of_a_raster_as_structure_and_of_an_unusable_one() -> None:
    named = structure("A", None, raster_name="a.tif")
    assert footprint_area_m2(named, georeference=RASTER) == pytest.approx(300 * 400 * GSD**2, rel=1e-3)
    assert footprint_area_m2(named, georeference=None) is None
    assert footprint_area_m2(structure("B", box(0, 0, 9, 9), problem="x"), georeference=RASTER) is None


def test_only_pixels_that_were_looked_at_and_are_owned_count_as_inspected() -> None:
    mask = np.array([[0, 1, 2, NODATA, NOT_INSPECTED, 0]], np.uint8)
    indices = np.array([[0, 0, 2, 2, 2, -1]], np.int32)
    owned = np.array([[True, False, True, True, True, True]])
    assert count_inspected(mask, indices=indices, owned=owned, structures=3).tolist() == [1, 0, 1]


def test_a_component_takes_its_pixels_inside_its_own_structure_alone() -> None:
    first, second = box(20, 20, 200, 250), box(150, 20, 390, 250)
    girder, sticking_out, twin = box(40.2, 40, 90, 240), box(140, 100, 260, 130), box(80, 60, 120, 200)
    index = index_of(
        structure("A", first),
        structure("B", second),
        structure("G", girder, component_of="A"),
        structure("H", sticking_out, component_of="B"),
        structure("I", twin, component_of="A"),
    )
    truth = by_pixel_centre([first, second])
    inside = {number: by_pixel_centre([shape]) == 0 for number, shape in ((2, girder), (3, sticking_out), (4, twin))}
    truth[inside[4] & (truth == 0)] = 4
    truth[inside[2] & ((truth == 0) | (truth == 4))] = 2
    truth[inside[3] & (truth == 1)] = 3
    found = index.indices(WHOLE)
    assert np.count_nonzero(found != truth) <= 3
    assert set(np.unique(found)) == {-1, 0, 1, 2, 3, 4}
    for window in (Window(13, 101, 17, 211), Window(95, 140, 120, 300), Window(0, 5, 0, 5)):
        assert (index.indices(window) == found[window.slices()]).all()


def test_components_without_their_structure_in_the_raster_match_nothing() -> None:
    lost = structure("G", box(20, 20, 90, 90), component_of="A")
    assert (index_of(lost).indices(WHOLE) == -1).all()
    bad = structure("A", box(0, 0, 400, 300), problem="self-intersection")
    assert (index_of(bad, lost).indices(WHOLE) == -1).all()


@settings(max_examples=40, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(*(st.integers(0, 39) for _ in range(4)), st.sampled_from([None, "S0", "S1"])), min_size=1, max_size=7
    )
)
def test_every_pixel_counts_once_and_a_structure_keeps_its_pixels_whatever_its_components(
    boxes: list[tuple[int, int, int, int, str | None]],
) -> None:
    shapes = [
        structure(
            f"S{n}", box(c * 10, r * 7, c * 10 + w * 5 + 5, r * 7 + h * 5 + 5), component_of=whole if n > 1 else None
        )
        for n, (c, r, w, h, whole) in enumerate(boxes)
    ]
    alone = [one for one in shapes if one.component_of is None]
    found = index_of(*shapes).indices(WHOLE)
    without = index_of(*alone).indices(WHOLE)
    ids = np.array([one.component_of or one.id for one in shapes] + [""])
    assert (ids[found] == np.array([one.id for one in alone] + [""])[without]).all()


def test_ten_thousand_structures_each_hold_their_pixels() -> None:
    many = [
        structure(f"S{k}", box(k % 100 * 4, k // 100 * 3, k % 100 * 4 + 4, k // 100 * 3 + 3)) for k in range(10_000)
    ]
    rows, cols = np.indices(WHOLE.shape)
    assert np.count_nonzero(index_of(*many).indices(WHOLE) != rows // 3 * 100 + cols // 4) <= 3


@pytest.mark.parametrize("lon", [9.0, 179.99999, -92.0])
def test_a_footprint_that_only_touches_the_raster_or_lies_over_the_date_line_is_found(lon: float) -> None:
    place = Georeference(300, 400, (1e-7, 0.0, lon, 0.0, -1e-7, 47.0), CRS.from_epsg(4326).to_wkt())
    west, north = lon - 1e-5, 47.0 + 1e-5
    corner = Structure("A", "A", "a", "deck", "concrete", box(west, 47.0 - 1e-6, lon + 1e-6, north))
    far = Structure("B", "B", "b", "deck", "concrete", box(lon - 1.0, 46.0, lon - 0.9, 46.1))
    found = StructureIndex((far, corner), place, raster_name="a.tif").indices(WHOLE)
    assert set(np.unique(found[:10, :10])) == {1}
    assert np.count_nonzero(found == 1) == pytest.approx(100, abs=20)


DATE_LINE = {
    "degrees that go on beyond 180": (4326, (1e-7, 0.0, 179.99998, 0.0, -1e-7, -17.0)),
    "degrees that begin before -180": (4326, (1e-7, 0.0, -180.00002, 0.0, -1e-7, -17.0)),
    "a projection that knows nothing of it": (32660, (0.01, 0.0, 819449.6, 0.0, -0.01, -1882000.3)),
}


@pytest.mark.parametrize(("epsg", "transform"), DATE_LINE.values(), ids=DATE_LINE)
def test_a_footprint_cut_at_the_antimeridian_holds_its_pixels_on_both_sides(
    epsg: int, transform: tuple[float, float, float, float, float, float]
) -> None:
    place = Georeference(300, 400, transform, CRS.from_epsg(epsg).to_wkt())
    truth = box(50, 40, 350, 260)
    lonlat = shapely.transform(truth, lambda p: np.stack(place.lonlat_from_pixel(p[:, 1], p[:, 0]), axis=1))
    cut = cut_at_antimeridian(lonlat)
    assert isinstance(cut, MultiPolygon)
    assert shapely.bounds(cut)[2] - shapely.bounds(cut)[0] == pytest.approx(360)
    split = Structure("A", "A", "a", "deck", "concrete", cut)
    found = StructureIndex((split,), place, raster_name="a.tif").indices(WHOLE)
    assert np.count_nonzero((found == 0) != (by_pixel_centre([truth]) == 0)) <= 2


@pytest.mark.parametrize("lon", [-170.0, 190.0])
def test_a_raster_counted_from_0_to_360_holds_the_structures_of_its_place(lon: float) -> None:
    place = Georeference(300, 400, (1e-7, 0.0, lon, 0.0, -1e-7, 47.0), CRS.from_epsg(4326).to_wkt())
    one = Structure("A", "A", "a", "deck", "concrete", box(-170.0 + 1e-6, 47.0 - 2e-6, -170.0 + 3e-6, 47.0 - 1e-6))
    found = StructureIndex((one,), place, raster_name="a.tif").indices(WHOLE)
    assert np.count_nonzero(found == 0) == pytest.approx(200, abs=20)
