"""Which pixels are which defect: on a mask that was painted, measured and cut by structure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiLineString, MultiPolygon, box

from segmentation.classes import PixelClass
from segmentation.records import Defect
from segmentation.windows import Window
from tasks.review.defect_pixels import NOBODY, DefectIndex, outlined_as_rust, owners
from tests.tasks.report.samples import GEOREFERENCE, crack, rust
from tests.tasks.review.runs import HEIGHT, WIDTH, Reviewed, painted

WHOLE = Window(0, HEIGHT, 0, WIDTH)


@pytest.mark.slow
def test_every_painted_pixel_is_that_of_one_defect_and_areas_agree(reviewed: Reviewed) -> None:
    mask = painted()
    owner = owners(mask, WHOLE, reviewed.defects)
    assert ((owner != NOBODY) == (mask > 0)).all()
    pixel_m2 = reviewed.kept.of.rasters[0].georeference.centre_scale().pixel_area_m2
    for number, defect in enumerate(reviewed.defects):
        own = owner == number
        assert (mask[own] == defect.pixel_class).all()
        assert own.sum() * pixel_m2 == pytest.approx(defect.area_m2, rel=1e-4)


@pytest.mark.slow
def test_a_crack_across_two_structures_is_parted_between_its_two_defects(reviewed: Reviewed) -> None:
    owner = owners(painted(), WHOLE, reviewed.defects)
    shared = np.unique(owner[340:346, 250:450])
    assert len(shared) == 2
    assert len({reviewed.defects[number].structure_id for number in shared}) == 2


@given(st.integers(0, 380), st.integers(0, 660), st.integers(1, 300), st.integers(1, 300))
def test_a_window_says_of_its_pixels_what_the_whole_says_or_nothing(top: int, left: int, rows: int, cols: int) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[100:106, 50:350] = PixelClass.CRACK
    mask[200:280, 300:420] = PixelClass.RUST
    line = MultiLineString([LineString([(52, 103), (348, 103)])])
    defects = [
        Defect("C-1", PixelClass.CRACK, "s", "r", Window(100, 106, 50, 350), line, None, 1.0, 1.0, None, False),
        Defect(
            "R-1", PixelClass.RUST, "s", "r", Window(200, 280, 300, 420), MultiPolygon([box(300, 200, 420, 280)]),
            None, 1.0, 1.0, None, False,
        ),
    ]  # fmt: skip
    window = Window(top, top + rows, left, left + cols).clip(HEIGHT, WIDTH)
    whole = owners(mask, WHOLE, defects)[window.slices()]
    part = owners(mask[window.slices()], window, defects)
    assert ((part == whole) | (part == NOBODY)).all()
    assert ((part == whole) | (mask[window.slices()] == PixelClass.CRACK)).all(), "an outline leaves no pixel out"


def test_a_speck_is_nobodys() -> None:
    mask = np.zeros((50, 50), np.uint8)
    mask[10:12, 10:12] = PixelClass.CRACK
    patch = rust("R-1", row=0, col=0, side_px=40)
    assert (owners(mask, Window(0, 50, 0, 50), [patch]) == NOBODY).all()


def test_the_index_finds_what_shares_a_pixel_and_not_what_only_touches() -> None:
    near, far = rust("R-1", row=0, col=0, side_px=10), rust("R-2", row=0, col=20, side_px=10)
    index = DefectIndex([near, far])
    assert index.within(near.raster_name, Window(0, 5, 9, 20)) == [near]
    assert index.within("another.tif", Window(0, 5, 9, 20)) == []


def test_a_crack_as_rust_has_its_area_and_outline_and_no_width() -> None:
    found = crack("C-0001", row=403, col=300, length_px=600, max_width_mm=9.0)
    pixels = np.zeros(found.window.shape, np.bool_)
    pixels[10:16, 5:590] = True
    patch = outlined_as_rust(found, GEOREFERENCE, pixels)
    assert (patch.pixel_class, patch.crack, patch.area_m2) == (PixelClass.RUST, None, found.area_m2)
    assert patch.pixel_geometry.area == pixels.sum()
    assert patch.pixel_geometry.bounds == (305.0, 400.0, 890.0, 406.0)
    assert patch.geometry is not None
    widened = outlined_as_rust(found, GEOREFERENCE, np.zeros((1, 1), np.bool_))
    assert widened.pixel_geometry.geom_type == "MultiPolygon"
    assert widened.pixel_geometry.is_valid
