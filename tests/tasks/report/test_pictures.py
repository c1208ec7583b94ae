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
    overview_picture,
    scale_bar,
)
from tasks.report.places import footprint_in_raster, native_window, overview_window, place_of
from tests.tasks.report.samples import GEOREFERENCE, GSD_M, RASTER, bridge_deck, crack, noise_pictures, rust


def decoded(picture: Picture) -> Image.Image:
    head, _, body = picture.data_uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(BytesIO(base64.b64decode(body)))


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


@pytest.mark.parametrize("max_bytes", [400_000, 60_000, 9_000])
def test_noise_is_squeezed_into_its_bytes(max_bytes: int) -> None:
    image = Image.fromarray(np.random.default_rng(3).integers(0, 255, (640, 640, 3), dtype=np.uint8))
    picture = encode(image, max_bytes=max_bytes)
    assert len(picture.data_uri) <= max_bytes
    assert min(decoded(picture).size) >= 32


def test_picture_that_cannot_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not fit into 100 bytes"):
        encode(Image.new("RGB", (640, 640)), max_bytes=100)


@given(
    row=st.integers(13, 1980), col=st.integers(0, 2890), length=st.integers(10, 109), side=st.sampled_from([160, 640])
)
def test_native_window_holds_a_small_defect_whole(row: int, col: int, length: int, side: int) -> None:
    defect = crack("C-1", row=row, col=col, length_px=length, max_width_mm=4.0)
    window, whole = native_window(place_of(defect, GEOREFERENCE), defect, GEOREFERENCE, max_side_px=side)
    assert whole
    assert window.clip(GEOREFERENCE.height, GEOREFERENCE.width) == window
    seen = defect.window.clip(GEOREFERENCE.height, GEOREFERENCE.width)
    assert window.intersect(seen) == seen
    assert max(window.shape) <= side


def test_native_window_of_a_long_crack_shows_its_widest_point() -> None:
    defect = crack("C-1", row=1500, col=500, length_px=1400, max_width_mm=4.0)
    place = place_of(defect, GEOREFERENCE)
    window, whole = native_window(place, defect, GEOREFERENCE, max_side_px=640)
    assert not whole
    assert window.shape == (640, 640)
    assert window.row_start < place.row < window.row_stop
    assert window.col_start < place.col < window.col_stop


def test_overview_draws_every_defect_and_its_number() -> None:
    deck = bridge_deck()
    outline = footprint_in_raster(deck.structure.footprint, GEOREFERENCE)
    window = overview_window(outline, deck.defects, GEOREFERENCE, margin_share=0.03)
    assert window is not None
    pictures = noise_pictures()
    pictures.rgb[:] = 128
    numbered = list(enumerate(deck.defects, start=1))
    picture = overview_picture(
        pictures,
        RASTER,
        window,
        GEOREFERENCE,
        outline=outline,
        numbered=numbered,
        max_side_px=1500,
        max_bytes=3_000_000,
    )
    assert picture.unlabelled_count == 0
    assert [read[2] for read in pictures.reads] == [1500]
    drawn = np.asarray(decoded(picture)).astype(int)
    per_px = picture.width_px / window.shape[1]
    for defect in deck.defects:
        x = round(((defect.window.col_start + 3) - window.col_start) * per_px)
        rows = slice(
            round((defect.window.row_start - window.row_start) * per_px) - 3,
            round((defect.window.row_stop - window.row_start) * per_px) + 3,
        )
        distance = np.abs(drawn[rows, x - 2 : x + 3] - np.array(CLASS_COLOURS[defect.pixel_class])).sum(axis=2).min()
        assert distance < 90, f"{defect.id} is not drawn in its colour"


def test_tall_overview_is_turned_with_all_that_is_drawn_on_it() -> None:
    patch = rust("R-1", row=300, col=1400, side_px=200)
    pictures = noise_pictures()
    pictures.rgb[:] = 128
    pictures.rgb[1800:1900, 1010:1100] = (0, 200, 0)
    picture = overview_picture(
        pictures,
        RASTER,
        Window(0, 2000, 1000, 1700),
        GEOREFERENCE,
        outline=None,
        numbered=[(1, patch)],
        max_side_px=2000,
        max_bytes=3_000_000,
    )
    assert picture.turned
    assert (picture.width_px, picture.height_px) == (2000, 700)
    drawn = np.asarray(decoded(picture)).astype(int)
    assert np.abs(drawn[650, 1850] - (0, 200, 0)).max() < 20, "(row 1850, col 1050) lies right and low"
    yellow = np.abs(drawn - np.array(CLASS_COLOURS[PixelClass.RUST])).sum(axis=2) < 60
    rows, cols = np.nonzero(yellow[:, 250:])
    assert (cols.min() + 250, cols.max() + 250) == pytest.approx((300, 500), abs=6)
    assert rows.max() == pytest.approx(700 - 400, abs=6)


def test_overview_counts_the_numbers_it_has_no_room_for() -> None:
    crowd = [(n, rust(f"R-{n}", row=200 + n % 20, col=300 + n // 20, side_px=10)) for n in range(1, 800)]
    picture = overview_picture(
        noise_pictures(),
        RASTER,
        Window(0, 2000, 0, 3000),
        GEOREFERENCE,
        outline=None,
        numbered=crowd,
        max_side_px=600,
        max_bytes=1_000_000,
    )
    assert 0 < picture.unlabelled_count < 799
