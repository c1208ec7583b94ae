"""CSV: a header with units, a row per defect, and no cell that is a formula."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.records import StructureResult
from tasks.layers.csv_table import inert, write_csv
from tests.tasks.layers.layer_samples import table_of, without_place
from tests.tasks.report.samples import HOSTILE_NAME, bridge_deck, unseen_pier


def text_of(folder: Path, *results: StructureResult) -> str:
    write_csv(folder / "x.csv", table_of(*results))
    return (folder / "x.csv").read_bytes().decode("utf-8")


def rows_of(folder: Path, *results: StructureResult) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text_of(folder, *results), newline="")))


def test_width_below_resolution_is_an_empty_cell(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, bridge_deck())
    assert [row["width_max_mm"] for row in rows] == ["9.03", "", "4.1", ""]
    assert [row["width_below_resolution"] for row in rows] == ["false", "false", "false", "true"]
    assert [row["width_resolvable_mm"] for row in rows] == ["3.0", "", "3.0", "3.0"]


def test_structure_that_was_not_inspected_has_no_row(tmp_path: Path) -> None:
    text = text_of(tmp_path, unseen_pier())
    assert text.startswith("id,class,structure_id")
    assert text.count("\r\n") == 1


def test_local_frame_has_no_position(tmp_path: Path) -> None:
    assert {row["lon_deg"] for row in rows_of(tmp_path, without_place(bridge_deck()))} == {""}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", "＠"])
def test_name_that_looks_like_a_formula_is_inert(start: str, tmp_path: Path) -> None:
    name = f"{start}cmd|' /C calc'!A0"
    (row, *_) = rows_of(tmp_path, bridge_deck(name=name))
    assert row["structure_name"] == "'" + name


@given(st.text(max_size=30))
def test_no_text_cell_starts_as_a_formula(name: str) -> None:
    assert not inert(name).lstrip().startswith(("=", "+", "-", "@"))


def test_hostile_name_stays_in_its_cell(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, bridge_deck(name=HOSTILE_NAME + '\n",="x'))
    assert len(rows) == 4
    assert rows[0]["structure_name"].endswith('橋 جسر Brücke ",="x')
    assert rows[0]["raster"] == "deck_east.tif"


def test_own_figures_stay_figures(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, replace(bridge_deck(), defects=(bridge_deck().defects[0],)))
    assert float(row["lon_deg"]) == pytest.approx(8.536, abs=1e-3)
    assert float(row["lat_deg"]) == pytest.approx(47.4025, abs=1e-3)
    below_zero = replace(bridge_deck(), defects=(replace(bridge_deck().defects[3], condition_state=None),))
    assert [r["severity_rank"] for r in rows_of(tmp_path, below_zero)] == ["-1"], (
        "a negative figure of ours is a figure"
    )
