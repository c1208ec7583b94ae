"""The overview: every defect drawn where it is, numbers that can be read, sheets where one picture is not enough."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely import affinity
from shapely.geometry import MultiPolygon, box

from segmentation.classes import NOT_INSPECTED, PixelClass
from segmentation.georeference import Georeference
from segmentation.records import Defect, StructureResult
from tasks.report.labels import Label, Room
from tasks.report.overview_figures import Overview, overview_of
from tasks.report.pictures import CLASS_COLOURS, Picture, RasterPictures
from tasks.report.places import frames_of
from tasks.report.sheets import Extent, plan_sheets
from tests.tasks.report.samples import (
    GEOREFERENCE,
    RASTER,
    ArrayPictures,
    bridge_deck,
    crack,
    lonlat,
    noise_pictures,
    rust,
)

LEFT_PX, TOP_PX = 92, 12
"""The rulers' margin, left of and above what is drawn."""


def overview(
    result: StructureResult,
    *,
    pictures: RasterPictures | None,
    georeference: Georeference = GEOREFERENCE,
    pictured_count: int = 3,
) -> Overview:
    return overview_of(
        result,
        list(enumerate(result.defects, start=1)),
        {RASTER: georeference},
        frames_of(result.structure, {RASTER: georeference}),
        pictures,
        pictured_count=pictured_count,
        max_bytes=4_000_000,
    )


def grey() -> ArrayPictures:
    pictures = noise_pictures()
    pictures.rgb[:] = 128
    return pictures


def pixels(picture: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(Image.open(BytesIO(picture.jpeg))).astype(np.int64)


def with_defects(*defects: Defect, footprint_px: tuple[float, float, float, float] | None = None) -> StructureResult:
    deck = bridge_deck()
    footprint = lonlat(box(*footprint_px)) if footprint_px is not None else None
    raster_name = None if footprint_px is not None else RASTER
    structure = replace(deck.structure, footprint=footprint, raster_name=raster_name)
    return replace(deck, structure=structure, defects=defects)


def colour_box(picture: Picture, pixel_class: PixelClass) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what is drawn in the colour of a class, without the rulers."""
    near = np.abs(pixels(picture) - np.array(CLASS_COLOURS[pixel_class])).sum(axis=2) < 90
    rows, cols = np.nonzero(near)
    return cols.min() - LEFT_PX, rows.min() - TOP_PX, cols.max() - LEFT_PX, rows.max() - TOP_PX


def test_patch_is_drawn_where_it_is_and_numbered() -> None:
    result = with_defects(rust("R-1", row=600, col=900, side_px=300))
    (figure,) = overview(result, pictures=grey(), pictured_count=0).figures
    per_px = 1500 / 3000
    expected = (900 * per_px, 600 * per_px, 1200 * per_px, 900 * per_px)
    assert colour_box(figure.picture, PixelClass.RUST) == pytest.approx(expected, abs=4)
    assert [spot.number for spot in figure.picture.spots] == [1]


def test_tall_raster_without_a_footprint_is_turned_with_all_that_is_drawn_on_it() -> None:
    tall = replace(GEOREFERENCE, width=900)
    pictures = grey()
    pictures.rgb = pictures.rgb[:, :900]
    pictures.mask = pictures.mask[:, :900]
    pictures.rgb[1800:1900, 50:150] = (0, 200, 0)
    result = with_defects(rust("R-1", row=300, col=400, side_px=200))
    (figure,) = overview(result, pictures=pictures, georeference=tall, pictured_count=0).figures
    assert figure.picture.turned
    assert "Turned a quarter to the left" in figure.note
    per_px = 1500 / 2000
    expected = (300 * per_px, (900 - 600) * per_px, 500 * per_px, (900 - 400) * per_px)
    assert colour_box(figure.picture, PixelClass.RUST) == pytest.approx(expected, abs=4)
    green = pixels(figure.picture)[round((900 - 100) * per_px) + TOP_PX, round(1850 * per_px) + LEFT_PX]
    assert np.abs(green - (0, 200, 0)).max() < 20, "(row 1850, col 100) lies right and low"


def test_structure_that_is_turned_in_its_raster_fills_the_width_of_the_page() -> None:
    deck = with_defects(footprint_px=(0, 0, 1, 1))
    slanted = lonlat(affinity.rotate(box(700, 900, 2300, 1100), 30))
    result = replace(deck, structure=replace(deck.structure, footprint=slanted))
    (figure,) = overview(result, pictures=grey()).figures
    assert figure.picture.width_px > 2.5 * figure.picture.height_px


def test_what_was_not_inspected_is_hatched_inside_the_footprint_alone() -> None:
    pictures = grey()
    pictures.mask[:, :1500] = NOT_INSPECTED
    result = with_defects(footprint_px=(500, 500, 2500, 1500))
    (figure,) = overview(result, pictures=pictures).figures
    assert [entry.css for entry in figure.key] == ["key-crack", "key-rust", "key-outline", "key-unseen"]
    shown = pixels(figure.picture)
    middle = shown[shown.shape[0] // 2, LEFT_PX : LEFT_PX + 1500].mean(axis=1)
    hatched = np.abs(middle - 128) > 25
    assert hatched[100:700].mean() > 0.8, "the left half of the footprint"
    assert hatched[800:1400].mean() < 0.02, "the right half was inspected"
    assert hatched[3:20].mean() < 0.2, "what lies outside the footprint is not hatched"


def test_footprint_beyond_the_raster_is_hatched_and_what_is_wholly_inspected_is_not() -> None:
    beyond = with_defects(footprint_px=(1500, 500, 4500, 1500))
    (figure,) = overview(beyond, pictures=grey()).figures
    assert "key-unseen" in [entry.css for entry in figure.key]
    inside = with_defects(footprint_px=(500, 500, 2500, 1500))
    (figure,) = overview(inside, pictures=grey()).figures
    assert "key-unseen" not in [entry.css for entry in figure.key]


def crowd(count: int) -> tuple[Defect, ...]:
    return tuple(rust(f"R-{n:04d}", row=20 + 37 * (n % 52), col=20 + 31 * (n // 52), side_px=12) for n in range(count))


def test_many_defects_get_sheets_with_a_key_and_the_table_names_the_sheet() -> None:
    result = with_defects(*crowd(1000), footprint_px=(10, 10, 2980, 1980))
    drawn = overview(result, pictures=grey())
    names = [figure.name for figure in drawn.figures]
    assert names[0] == "Key"
    assert names[1:] == [f"Sheet {letter}" for letter in "ABCDEFGH"[: len(names) - 1]]
    assert 2 <= len(names) - 1 <= 8
    assert set(drawn.sheets) == set(range(1, 1001)), "each defect lies on one sheet"
    key, *sheets = drawn.figures
    assert {spot.number for spot in key.picture.spots} == {1, 2, 3}, "the key numbers the pictured alone"
    numbered = [spot.number for sheet in sheets for spot in sheet.picture.spots]
    assert len(numbered) == len(set(numbered))
    assert {1, 2, 3} <= set(numbered)
    assert f"{len(set(numbered))} of 1000 carry their number" in drawn.note


def test_defect_without_geometry_is_a_dot() -> None:
    lost = replace(rust("R-1", row=600, col=900, side_px=300), pixel_geometry=MultiPolygon([]), geometry=None)
    (figure,) = overview(with_defects(lost), pictures=grey(), pictured_count=0).figures
    assert [spot.number for spot in figure.picture.spots] == [1]
    left, top, right, bottom = colour_box(figure.picture, PixelClass.RUST)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((1050 / 2, 750 / 2), abs=3)


def test_defects_of_a_raster_without_room_for_a_picture_are_counted() -> None:
    names = [f"r{n}.tif" for n in range(6)]
    defects = [
        replace(crack(f"C-{n}", row=400, col=300, length_px=200, max_width_mm=5.0), raster_name=name)
        for n, name in enumerate(names)
    ]
    result = with_defects(*defects, footprint_px=(10, 10, 2980, 1980))
    georeferences = dict.fromkeys(names, GEOREFERENCE)
    drawn = overview_of(
        result,
        list(enumerate(defects, start=1)),
        georeferences,
        frames_of(result.structure, georeferences),
        grey(),
        pictured_count=2,
        max_bytes=4_000_000,
    )
    assert [figure.raster for figure in drawn.figures] == names[:4]
    assert "2 defects lie in further rasters without an overview" in drawn.note
    assert not drawn.note.startswith("Every defect is")


@given(
    anchors=st.lists(st.tuples(st.floats(0, 1500), st.floats(0, 900)), max_size=60),
    pictured=st.integers(0, 60),
)
def test_labels_lie_inside_the_picture_and_on_no_other(anchors: list[tuple[float, float]], pictured: int) -> None:
    room = Room(1500, 900)
    labels = [Label(n, at, 20.0, 14.0, n < pictured) for n, at in enumerate(anchors)]
    placed = room.place(labels)
    assert len({one.label.number for one in placed}) == len(placed)
    for index, one in enumerate(placed):
        assert 20 <= one.x <= 1480
        assert 14 <= one.y <= 886
        for other in placed[:index]:
            assert abs(one.x - other.x) >= 40 or abs(one.y - other.y) >= 28


def test_one_label_stands_beside_what_it_names() -> None:
    (one,) = Room(400, 300).place([Label(7, (200.0, 150.0), 20.0, 14.0, pictured=False)])
    assert abs(one.y - 150) < 30
    assert abs(one.x - 200) < 30


@settings(max_examples=40)
@given(
    length=st.floats(1, 2000),
    width=st.floats(1, 2000),
    count=st.integers(0, 500),
    seed=st.integers(0, 99),
)
def test_sheets_cover_the_structure_once_and_are_no_ribbons(length: float, width: float, count: int, seed: int) -> None:
    assume(width <= 3 * length)  # "along" is the longer side, but for the margins
    extent = Extent(-1.0, length, -2.0, width)
    points = np.random.default_rng(seed).uniform((-1.0, -1.99), (length - 1e-6, width), (count, 2))
    plan = plan_sheets(extent, points, turned=False, gsd_m=1e-5, max_sheets=8, first_sheet=0, side_px=1500)
    assert len(plan.parts) in (0, plan.grid[0] * plan.grid[1])
    assert len(plan.parts) <= 8
    assert plan.parts or plan.grid == (1, 1)
    if plan.parts:
        held = np.stack([part.holds(points) for part in plan.parts])
        assert (held.sum(axis=0) == 1).all()
        assert sum(part.extent.length_m * part.extent.width_m for part in plan.parts) == pytest.approx(
            extent.length_m * extent.width_m
        )
    for sheet in (plan.whole, *plan.parts):
        assert sheet.width_px <= 1500
        assert sheet.height_px <= 1500 / 0.8 * 1.02
        corner = np.array([[sheet.extent.along_stop, sheet.extent.across_start, 1.0]]).T
        assert (sheet.from_frame() @ corner)[:2, 0] == pytest.approx((sheet.width_px, sheet.height_px), abs=1.01)


def test_sheet_is_never_finer_than_the_pixels_of_the_raster() -> None:
    points = np.random.default_rng(1).uniform(0, (20, 2), (500, 2))
    plan = plan_sheets(Extent(0, 20, 0, 2), points, turned=False, gsd_m=0.02, max_sheets=8, first_sheet=0, side_px=1500)
    assert plan.parts == ()
