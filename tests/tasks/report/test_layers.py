"""GeoJSON and CSV: opened again, they say what the records say, and no cell is a formula."""

import csv
import json
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import shape

from tasks.report.layers import COLUMNS, defects_csv, defects_geojson, inert
from tests.tasks.report.samples import HOSTILE_NAME, bridge_deck, unseen_pier


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline="")))


def test_geojson_lies_where_the_defects_lie() -> None:
    collection = defects_geojson([bridge_deck(), unseen_pier()])
    json.dumps(collection, allow_nan=False)
    assert "crs" not in collection, "RFC 7946 is WGS 84 alone"
    for feature, defect in zip(collection["features"], bridge_deck().defects, strict=True):
        assert feature["id"] == defect.id
        assert defect.geometry is not None
        assert shape(feature["geometry"]).hausdorff_distance(defect.geometry) < 1e-9
        assert set(feature["properties"]) == set(COLUMNS)


def test_geojson_outer_rings_run_counter_clockwise() -> None:
    patch = next(f for f in defects_geojson([bridge_deck()])["features"] if f["properties"]["class"] == "rust")
    assert shape(patch["geometry"]).exterior.is_ccw


def test_geojson_of_a_local_frame_has_no_geometry() -> None:
    deck = bridge_deck()
    local = replace(deck, defects=tuple(replace(defect, geometry=None) for defect in deck.defects))
    assert [f["geometry"] for f in defects_geojson([local])["features"]] == [None] * 4
    assert {row["lon_deg"] for row in rows_of(defects_csv([local]))} == {""}


def test_width_below_resolution_is_an_empty_cell() -> None:
    rows = rows_of(defects_csv([bridge_deck()]))
    assert [row["width_max_mm"] for row in rows] == ["9.03", "", "4.1", ""]
    assert [row["width_below_resolution"] for row in rows] == ["false", "false", "false", "true"]
    assert [row["width_resolvable_mm"] for row in rows] == ["3.0", "", "3.0", "3.0"]


def test_structure_that_was_not_inspected_has_no_row() -> None:
    assert rows_of(defects_csv([unseen_pier()])) == []
    assert defects_csv([unseen_pier()]).startswith("id,class,structure_id")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r", " =", "＝", "＠"])
def test_name_that_looks_like_a_formula_is_inert(start: str) -> None:
    name = f"{start}cmd|' /C calc'!A0"
    (row, *_) = rows_of(defects_csv([bridge_deck(name=name)]))
    assert row["structure_name"] == "'" + name


@given(st.text(max_size=30))
def test_no_text_cell_starts_as_a_formula(name: str) -> None:
    assert not inert(name).lstrip().startswith(("=", "+", "-", "@"))


def test_hostile_name_stays_in_its_cell() -> None:
    rows = rows_of(defects_csv([bridge_deck(name=HOSTILE_NAME + '\n",="x')]))
    assert len(rows) == 4
    assert rows[0]["structure_name"] == (HOSTILE_NAME + '\n",="x').replace("\0", "\ufffd")
    assert rows[0]["raster"] == "deck_east.tif"


def test_own_figures_stay_figures() -> None:
    deck = bridge_deck()
    west = replace(deck, defects=(deck.defects[0],))
    (row,) = rows_of(defects_csv([west]))
    assert float(row["lon_deg"]) == pytest.approx(8.536, abs=1e-3)
    assert float(row["lat_deg"]) == pytest.approx(47.4025, abs=1e-3)
