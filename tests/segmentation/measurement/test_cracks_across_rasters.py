"""A crack that runs over the seam of two rasters is one crack with one length, whichever raster shows which part."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from pyproj import CRS
from shapely.geometry import MultiLineString

from segmentation.georeference import Georeference
from segmentation.measurement.across_rasters import joined_across_rasters
from segmentation.measurement.cuts import MeasuredComponent
from segmentation.records import CrackEnd, Defect
from segmentation.windows import Window
from tests.segmentation.measurement.test_cracks_joining import crack

GSD_M = 0.002
WKT = CRS.from_epsg(32633).to_wkt()
WEST = Georeference(1000, 1000, (GSD_M, 0.0, 500000.0, 0.0, -GSD_M, 5400000.0), WKT)
EAST_SHIFT_PX = 800


def east(*, turned_deg: float = 0.0, gsd_m: float = GSD_M) -> Georeference:
    """A raster whose first pixel lies 800 px east of the west one's, turned about that corner."""
    c, s = np.cos(np.radians(turned_deg)) * gsd_m, np.sin(np.radians(turned_deg)) * gsd_m
    return Georeference(1000, 1000, (c, s, 500000.0 + EAST_SHIFT_PX * GSD_M, s, -c, 5400000.0), WKT)


def part(start: float, stop: float, *, ends: bool, raster: str = "west.tif", row: float = 300.0) -> Defect:
    """A level crack from `start` to `stop`, columns of the west raster; cut off at both ends or open at them."""
    one = crack(row, start, stop)
    assert one.crack is not None
    return replace(one, raster_name=raster, crack=one.crack if ends else replace(one.crack, ends=()))


def seen_in(one: Defect, raster: Georeference) -> Defect:
    """The same crack as the east raster shows it."""
    assert one.crack is not None
    lines = [np.asarray(line.coords) for line in one.pixel_geometry.geoms]
    rows_cols = [raster.pixel_from_crs(*WEST.crs_from_pixel(line[:, 1], line[:, 0])) for line in lines]
    geometry = MultiLineString([np.stack([cols, rows], axis=1) for rows, cols in rows_cols])
    ends = tuple(
        CrackEnd(*(float(x) for x in raster.pixel_from_crs(*WEST.crs_from_pixel(e.row, e.col))), e.heading_deg)
        for e in one.crack.ends
    )
    left, top, right, bottom = (int(x) for x in geometry.bounds)
    window = Window(top, bottom + 1, left, right + 1)
    return replace(
        one, raster_name="east.tif", window=window, pixel_geometry=geometry, crack=replace(one.crack, ends=ends)
    )


def joined(parts: list[Defect], raster: Georeference, gap_px: float = 24.0) -> list[Defect]:
    measured = joined_across_rasters(
        [MeasuredComponent(defects=(one,)) for one in parts],
        georeferences={"west.tif": WEST, "east.tif": raster},
        gap_px=gap_px,
    )
    return [defect for one in measured for defect in one.defects]


@dataclass(frozen=True)
class Seam:
    id: str
    raster: Georeference


SEAMS = [
    Seam("two-rasters-of-one-grid", east()),
    Seam("a-raster-turned-by-10-degrees", east(turned_deg=10)),
    Seam("a-raster-of-half-the-gsd", east(gsd_m=GSD_M / 2)),
]


@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.id)
def test_a_crack_cut_by_the_seam_is_one_crack_with_one_length(seam: Seam) -> None:
    west, beyond = part(700, 900, ends=False), seen_in(part(900, 1100, ends=False), seam.raster)
    (whole,) = joined([west, beyond], seam.raster)
    assert whole.crack is not None
    assert whole.crack.length_m == pytest.approx(400 * GSD_M, rel=1e-3)
    assert whole.crack.bridged_gaps == 0, "the seam is no gap"
    assert whole.area_m2 == pytest.approx(west.area_m2 + beyond.area_m2)
    frame = WEST if whole.raster_name == "west.tif" else seam.raster
    assert whole.window.row_stop <= frame.height
    assert whole.window.col_stop <= frame.width


def test_the_whole_is_listed_in_the_raster_that_shows_its_widest_place() -> None:
    west, beyond = part(700, 900, ends=False), seen_in(part(900, 1100, ends=False), east())
    assert beyond.crack is not None
    wide = replace(beyond, crack=replace(beyond.crack, max_width_mm=9.0))
    (whole,) = joined([west, wide], east())
    assert whole.raster_name == "east.tif"
    assert whole.crack is not None
    assert whole.crack.max_width_mm == 9.0
    assert whole.pixel_geometry.bounds[0] >= 0, "what lies outside that raster is not drawn in it"


def test_rasters_that_lie_beside_each_other_by_a_pixel_still_show_one_crack_and_the_gap_counts_as_length() -> None:
    beyond = seen_in(part(903, 1100, ends=False, row=301.0), east())
    (whole,) = joined([part(700, 900, ends=False), beyond], east())
    assert whole.crack is not None
    assert whole.crack.length_m == pytest.approx((200 + 197 + 10**0.5) * GSD_M, rel=1e-3)
    assert whole.crack.bridged_gaps == 1


def test_rasters_that_lie_five_pixels_beside_each_other_still_show_one_crack() -> None:
    beyond = seen_in(part(900, 1100, ends=False, row=305.0), east())
    (whole,) = joined([part(700, 900, ends=False), beyond], east())
    assert whole.crack is not None
    assert whole.crack.length_m == pytest.approx(400 * GSD_M, rel=0.015)


def test_what_both_rasters_show_at_the_seam_counts_once_and_the_ends_there_are_no_ends_of_the_whole() -> None:
    beyond = seen_in(part(898, 1100, ends=True), east())
    (whole,) = joined([part(700, 902, ends=True), beyond], east())
    assert whole.crack is not None
    assert whole.crack.length_m == pytest.approx(400 * GSD_M, rel=1e-4)
    assert len(whole.crack.ends) == 2


def test_what_ends_before_the_seam_or_goes_elsewhere_stays_apart() -> None:
    far = seen_in(part(940, 1100, ends=True), east())
    assert len(joined([part(700, 900, ends=True), far], east())) == 2
    beside = seen_in(part(900, 1100, ends=True, row=320.0), east())
    assert len(joined([part(700, 900, ends=True), beside], east())) == 2
    other = replace(seen_in(part(900, 1100, ends=False), east()), structure_id="B")
    assert len(joined([part(700, 900, ends=False), other], east())) == 2
    assert len(joined([part(700, 900, ends=False), seen_in(part(900, 1100, ends=False), east())], east(), 0.0)) == 2


def test_three_parts_make_one_crack_whatever_their_order() -> None:
    parts = [
        part(600, 820, ends=False),
        seen_in(part(820, 880, ends=False), east()),
        part(880, 990, ends=False),
    ]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        (whole,) = joined([parts[k] for k in order], east())
        assert whole.crack is not None
        assert whole.crack.length_m == pytest.approx(390 * GSD_M, rel=1e-3)


def test_rasters_without_a_place_on_the_earth_are_never_joined() -> None:
    local = Georeference(1000, 1000, (GSD_M, 0.0, 0.0, 0.0, -GSD_M, 0.0), None, 1.0)
    parts = [part(700, 900, ends=False), replace(part(900, 990, ends=False), raster_name="east.tif")]
    measured = joined_across_rasters(
        [MeasuredComponent(defects=tuple(parts))],
        georeferences={"west.tif": local, "east.tif": local},
        gap_px=24.0,
    )
    assert measured[0].defects == tuple(parts)
