"""Each place of overlapping rasters is owned by one of them, by the rule in the module's docstring."""

from math import cos, radians, sin
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from segmentation.georeference import Georeference
from segmentation.measurement.ownership import RasterView, edge_distance, owned, owned_pixels
from segmentation.windows import Window

UTM = CRS.from_epsg(32615).to_wkt()
REAL = Path(__file__).parents[4] / "shared" / "data" / "drone_brighton_beach" / "geotiff"
STEP_PX = 16


def rotated(
    angle_deg: float, gsd_m: float, x: float, y: float, height: int, width: int, crs: str = UTM
) -> Georeference:
    c, s = cos(radians(angle_deg)) * gsd_m, sin(radians(angle_deg)) * gsd_m
    return Georeference(height, width, (c, s, x, s, -c, y), crs)


def view(name: str, georeference: Georeference, validity: np.ndarray | None = None) -> RasterView:
    shape = (georeference.height // STEP_PX, georeference.width // STEP_PX)
    valid = np.ones(shape, bool) if validity is None else validity
    gsd_m = georeference.centre_scale().gsd_m
    step = (georeference.height / shape[0] * gsd_m, georeference.width / shape[1] * gsd_m)
    return RasterView(name, georeference, gsd_m, edge_distance(valid, step_m=step))


def whole(georeference: Georeference) -> Window:
    return Window(0, georeference.height, 0, georeference.width)


def times_owned(views: list[RasterView], places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(times owned, times seen) of places (lon, lat), by the pixel that holds each."""
    times, seen = np.zeros(len(places), int), np.zeros(len(places), int)
    for index, one in enumerate(views):
        mine = owned(views, index, whole(one.georeference))
        rows, cols = one.georeference.pixel_from_lonlat(places[:, 0], places[:, 1])
        inside = (rows >= 0) & (rows < one.georeference.height) & (cols >= 0) & (cols < one.georeference.width)
        at = np.floor(rows[inside]).astype(int), np.floor(cols[inside]).astype(int)
        times[inside] += mine[at]
        seen += inside
    return times, seen


def assert_each_place_has_one_owner(views: list[RasterView], seed: int) -> None:
    """Up to one pixel at the seam: places whose pixel a seam crosses are so few that their share tells."""
    rng = np.random.default_rng(seed)
    places = np.concatenate(
        [
            np.stack(
                one.georeference.lonlat_from_pixel(
                    rng.uniform(0, one.georeference.height, 40_000), rng.uniform(0, one.georeference.width, 40_000)
                ),
                axis=1,
            )
            for one in views
        ]
    )
    times, seen = times_owned(views, places)
    assert (seen >= 1).all()
    # A seam of some raster lengths, one pixel wide, holds about this share of all places.
    side = min(min(one.georeference.height, one.georeference.width) for one in views)
    assert np.mean(times != 1) < 4.0 / side, (np.mean(times == 0), np.mean(times > 1))


def test_two_rotated_rasters_of_one_gsd_share_each_place_once() -> None:
    views = [
        view("a.tif", rotated(17.0, 0.01, 576600.0, 5188100.0, 640, 960)),
        view("b.tif", rotated(-31.0, 0.0103, 576603.0, 5188101.0, 800, 720)),
        view("c.tif", rotated(80.0, 0.0101, 576602.0, 5188098.0, 640, 640)),
    ]
    assert_each_place_has_one_owner(views, 1)


def test_the_finer_raster_wins_wherever_it_sees() -> None:
    fine = view("z.tif", rotated(30.0, 0.008, 576601.0, 5188100.0, 480, 480))
    coarse = view("a.tif", rotated(0.0, 0.01, 576600.0, 5188102.0, 800, 960))
    assert_each_place_has_one_owner([fine, coarse], 2)
    assert owned([fine, coarse], 0, whole(fine.georeference)).all()


def test_a_raster_in_another_crs_is_met_by_longitude_and_latitude() -> None:
    utm = rotated(12.0, 0.01, 576600.0, 5188100.0, 640, 800)
    lon, lat = utm.lonlat_from_pixel(np.array([100.0]), np.array([120.0]))
    degrees = Georeference(
        640, 640, (1.3e-7, 0.0, float(lon[0]), 0.0, -9.0e-8, float(lat[0])), CRS.from_epsg(4326).to_wkt()
    )
    assert_each_place_has_one_owner([view("a.tif", utm), view("b.tif", degrees)], 3)


def test_holes_in_the_valid_data_go_to_the_raster_that_sees_there() -> None:
    place = rotated(0.0, 0.01, 576600.0, 5188100.0, 640, 640)
    holed = np.ones((40, 40), bool)
    holed[10:20, 10:20] = False
    a = view("a.tif", place, holed)
    b = view("b.tif", rotated(0.0, 0.0125, 576599.0, 5188101.0, 720, 720))
    mine = owned([a, b], 0, whole(place))
    assert not mine[164:316, 164:316].any()
    assert mine[:150].all()
    assert_each_place_has_one_owner([a, b], 4)


def test_three_gsds_in_steps_of_four_percent_still_have_one_order() -> None:
    views = [
        view("a.tif", rotated(0.0, 0.0108, 576600.0, 5188100.0, 480, 640)),
        view("b.tif", rotated(10.0, 0.0104, 576601.0, 5188101.0, 480, 640)),
        view("c.tif", rotated(20.0, 0.0100, 576600.5, 5188100.0, 480, 640)),
    ]
    assert_each_place_has_one_owner(views, 5)


def test_the_same_frame_twice_goes_to_the_first_by_name() -> None:
    place = rotated(0.0, 0.01, 576600.0, 5188100.0, 320, 320)
    views = [view("b.tif", place), view("a.tif", place)]
    assert not owned(views, 0, whole(place)).any()
    assert owned(views, 1, whole(place)).all()


def test_rasters_side_by_side_with_one_upper_edge_leave_nothing_to_nobody() -> None:
    views = [
        view("a.tif", rotated(0.0, 0.01, 576600.0, 5188100.0, 480, 800)),
        view("b.tif", rotated(0.0, 0.01, 576604.0, 5188100.0, 480, 800)),
    ]
    assert_each_place_has_one_owner(views, 6)


def test_a_window_gives_the_same_as_the_whole_raster() -> None:
    views = [
        view("a.tif", rotated(17.0, 0.01, 576600.0, 5188100.0, 640, 960)),
        view("b.tif", rotated(-31.0, 0.0103, 576603.0, 5188101.0, 800, 720)),
    ]
    entire = owned(views, 0, whole(views[0].georeference))
    for window in (Window(101, 203, 11, 517), Window(333, 334, 400, 641), Window(0, 640, 0, 1)):
        assert (owned(views, 0, window) == entire[window.slices()]).all()


def test_single_pixels_have_the_owner_that_their_window_gives_them() -> None:
    utm = rotated(17.0, 0.01, 576600.0, 5188100.0, 640, 960)
    lon, lat = utm.lonlat_from_pixel(np.array([100.0]), np.array([120.0]))
    degrees = Georeference(
        640, 640, (1.3e-7, 0.0, float(lon[0]), 0.0, -9.0e-8, float(lat[0])), CRS.from_epsg(4326).to_wkt()
    )
    views = [
        view("a.tif", utm),
        view("b.tif", rotated(-31.0, 0.0103, 576603.0, 5188101.0, 800, 720)),
        view("c.tif", degrees),
    ]
    rng = np.random.default_rng(8)
    for index, one in enumerate(views):
        rows = rng.integers(0, one.georeference.height, 20_000)
        cols = rng.integers(0, one.georeference.width, 20_000)
        found = owned_pixels(views, index, rows, cols)
        assert 0 < found.mean() < 1
        assert np.count_nonzero(found != owned(views, index, whole(one.georeference))[rows, cols]) <= 4
    twins = [view("b.tif", utm), view("a.tif", utm)]
    at = np.array([3, 5])
    assert [owned_pixels(twins, index, at, at).tolist() for index in (0, 1)] == [[False, False], [True, True]]
    assert owned_pixels(views, 0, at[:0], at[:0]).shape == (0,)


def test_local_frames_and_distant_rasters_own_all_of_themselves() -> None:
    place = rotated(0.0, 0.01, 576600.0, 5188100.0, 320, 320)
    far = rotated(0.0, 0.005, 577600.0, 5188100.0, 320, 320)
    local = Georeference(320, 320, (0.001, 0, 576600.0, 0, -0.001, 5188100.0), None, 1.0)
    views = [view("a.tif", place), view("b.tif", far), view("c.tif", local)]
    assert owned(views, 0, whole(place)).all()
    assert owned(views, 2, whole(local)).all()


def test_the_distance_to_the_edge_is_half_a_cell_beside_it_and_negative_outside() -> None:
    validity = np.ones((5, 6), bool)
    validity[2, 3] = False
    distance = edge_distance(validity, step_m=2.0)
    assert distance[0].tolist() == [1.0] * 6
    assert distance[2, 3] == -1.0
    assert distance[2, 2] == 1.0


def test_names_must_part_rasters() -> None:
    one = view("a.tif", rotated(0.0, 0.01, 576600.0, 5188100.0, 320, 320))
    with pytest.raises(ValueError, match="unique names"):
        owned([one, one], 0, Window(0, 1, 0, 1))


def test_the_real_survey_has_one_owner_per_place() -> None:
    if not REAL.is_dir():
        pytest.skip(f"the survey of real rasters is not here: {REAL}")
    import rasterio

    views = []
    for path in sorted(REAL.glob("*.tif")):
        with rasterio.open(path) as raster:
            place = Georeference(raster.height, raster.width, tuple(raster.transform)[:6], raster.crs.to_wkt())
        views.append(view(path.name, place))
    assert len(views) >= 2
    assert_each_place_has_one_owner(views, 7)
