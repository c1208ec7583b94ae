"""Scale bars of the right length, outlines that leave the damage visible, reads in windows."""

import base64
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segmentation.classes import PixelClass
from segmentation.windows import Window
from tasks.report.pictures import (
    CLASS_COLOURS,
    Picture,
    ScaleBar,
    draw_scale_bar,
    encode,
    native_pictures,
    outline_mask,
    scale_bar,
)
from tasks.report.places import native_window, pixel_of
from tests.tasks.report.samples import GEOREFERENCE, GSD_M, RASTER, crack, noise_pictures


def decoded(picture: Picture) -> Image.Image:
    head, _, body = picture.data_uri.partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(body) == picture.jpeg
    return Image.open(BytesIO(picture.jpeg))


@pytest.mark.parametrize(
    ("m_per_px", "width_px", "expected"),
    [
        pytest.param(0.001, 1000, ScaleBar(0.2, 200.0, "200 mm"), id="one-millimetre-pixels"),
        pytest.param(0.002, 640, ScaleBar(0.2, 100.0, "200 mm"), id="two-millimetre-pixels"),
        pytest.param(0.05, 1600, ScaleBar(20.0, 400.0, "20 m"), id="five-centimetre-pixels"),
        pytest.param(0.0001, 640, ScaleBar(0.01, 100.0, "10 mm"), id="enlarged-pixels"),
        pytest.param(0.004, 1000, ScaleBar(1.0, 250.0, "1 m"), id="a-metre-is-said-in-metres"),
    ],
)
def test_scale_bar_has_a_round_length(m_per_px: float, width_px: int, expected: ScaleBar) -> None:
    bar = scale_bar(m_per_px, width_px)
    assert bar.label == expected.label
    assert bar.length_m == expected.length_m
    assert bar.length_px == pytest.approx(expected.length_px)


@given(st.floats(1e-5, 10), st.integers(32, 4000))
def test_scale_bar_keeps_its_length_and_fits(m_per_px: float, width_px: int) -> None:
    bar = scale_bar(m_per_px, width_px)
    assert bar.length_px * m_per_px == pytest.approx(bar.length_m)
    assert 0.11 * width_px <= bar.length_px <= 0.3 * width_px * (1 + 1e-6)
    unit = 1.0 if bar.label.endswith(" m") else 0.001
    assert float(bar.label.split()[0]) * unit == pytest.approx(bar.length_m)


def test_drawn_bar_is_as_long_as_it_says() -> None:
    image = Image.new("RGB", (640, 480), (128, 128, 128))
    bar = scale_bar(GSD_M, image.width)
    draw_scale_bar(image, bar)
    white = (np.asarray(image) == 255).all(axis=2)
    runs = [np.flatnonzero(row) for row in white]
    widest = max(int(run[-1] - run[0] + 1) for run in runs if run.size)
    assert widest == round(bar.length_px) == 133
    assert bar.label == "200 mm"


def test_outline_surrounds_the_damage_and_leaves_it_visible() -> None:
    rgb = np.full((300, 300, 3), 120, np.uint8)
    mask = np.zeros((300, 300), np.uint8)
    mask[100:103, 50:250] = PixelClass.CRACK
    mask[200:240, 100:140] = PixelClass.RUST
    drawn = outline_mask(rgb, mask)
    assert (drawn[mask > 0] == 120).all(), "the damaged pixels keep their colours"
    for pixel_class, colour in CLASS_COLOURS.items():
        rows, cols = np.nonzero((drawn == colour).all(axis=2))
        inside_rows, inside_cols = np.nonzero(mask == pixel_class)
        assert rows.min() < inside_rows.min()
        assert rows.max() > inside_rows.max()
        assert cols.min() < inside_cols.min()
        assert cols.max() > inside_cols.max()
        assert abs(rows - inside_rows[0]).max() < 60, "an outline stays with its own defect"


def test_outline_of_no_damage_changes_nothing() -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    mask = np.full((40, 50), 254, np.uint8)
    np.testing.assert_array_equal(outline_mask(rgb, mask), rgb)


def test_small_window_is_enlarged_by_whole_pixels() -> None:
    pictures = noise_pictures()
    plain, outlined = native_pictures(
        pictures, RASTER, Window(1200, 1360, 2000, 2160), GEOREFERENCE, max_side_px=640, max_bytes=2_000_000
    )
    assert (plain.width_px, plain.height_px, plain.enlargement) == (640, 640, 4)
    assert decoded(plain).size == decoded(outlined).size == (640, 640)
    assert [read[1] for read in pictures.reads] == [Window(1200, 1360, 2000, 2160)] * 2


def test_native_picture_refuses_a_window_that_would_be_decimated() -> None:
    with pytest.raises(ValueError, match="at most 640 px"):
        native_pictures(
            noise_pictures(), RASTER, Window(0, 700, 0, 700), GEOREFERENCE, max_side_px=640, max_bytes=10**6
        )


@pytest.mark.parametrize("max_bytes", [300_000, 45_000, 6_700])
def test_noise_is_squeezed_into_its_bytes(max_bytes: int) -> None:
    image = Image.fromarray(np.random.default_rng(3).integers(0, 255, (640, 640, 3), dtype=np.uint8))
    picture = encode(image, max_bytes=max_bytes)
    assert len(picture.jpeg) <= max_bytes
    assert min(decoded(picture).size) >= 32


def test_picture_that_cannot_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not fit into 100 bytes"):
        encode(Image.new("RGB", (640, 640)), max_bytes=100)


@given(
    row=st.integers(13, 1980), col=st.integers(0, 2890), length=st.integers(10, 109), side=st.sampled_from([160, 640])
)
def test_native_window_holds_a_small_defect_whole(row: int, col: int, length: int, side: int) -> None:
    defect = crack("C-1", row=row, col=col, length_px=length, max_width_mm=4.0)
    window, whole = native_window(defect, GEOREFERENCE, max_side_px=side)
    assert whole
    assert window.clip(GEOREFERENCE.height, GEOREFERENCE.width) == window
    seen = defect.window.clip(GEOREFERENCE.height, GEOREFERENCE.width)
    assert window.intersect(seen) == seen
    assert max(window.shape) <= side


def test_native_window_of_a_long_crack_shows_its_widest_point() -> None:
    defect = crack("C-1", row=1500, col=500, length_px=1400, max_width_mm=4.0)
    row, col = pixel_of(defect)
    window, whole = native_window(defect, GEOREFERENCE, max_side_px=640)
    assert not whole
    assert window.shape == (640, 640)
    assert window.row_start < row < window.row_stop
    assert window.col_start < col < window.col_stop
