"""One table of columns for every layer: typed, with units, and empty where something is not known."""

from dataclasses import replace

import pytest

from segmentation.records import GivenMask
from tasks.layers.columns import Column, geometry_list, make_table
from tasks.layers.defect_table import DEFECT_COLUMNS, cracks_of, rust_of
from tasks.layers.structure_table import RASTER_COLUMNS, STRUCTURE_COLUMNS, structure_table
from tests.tasks.layers.layer_samples import RASTERS, table_of
from tests.tasks.report.samples import RUN, bridge_deck, clean_deck, unseen_pier

ALL_COLUMNS = [*DEFECT_COLUMNS, *STRUCTURE_COLUMNS, *RASTER_COLUMNS]
UNITS_IN_NAMES = {"m": "_m", "mm": "_mm", "m2": "_m2", "deg": "_deg", "px": "_px", "%": "_percent", "m/m2": "_m_per_m2"}


@pytest.mark.parametrize("column", ALL_COLUMNS, ids=lambda column: column.name)
def test_column_has_a_meaning_and_its_unit_in_its_name(column: Column[object]) -> None:
    assert column.description
    if column.unit in UNITS_IN_NAMES and not column.name.startswith("pixel_"):
        assert column.name.endswith(UNITS_IN_NAMES[column.unit])


def test_names_are_unique_in_each_table() -> None:
    for columns in (DEFECT_COLUMNS, STRUCTURE_COLUMNS, RASTER_COLUMNS):
        assert len({column.name for column in columns}) == len(columns)


def test_width_that_may_not_be_stated_is_empty_and_never_zero() -> None:
    table = table_of()
    assert table.column("width_max_mm") == (9.03, None, 4.1, None)
    assert table.column("width_below_resolution") == (False, False, False, True)
    assert table.column("width_resolvable_mm") == (3.0, None, 3.0, 3.0)


def test_defect_names_its_structure_raster_run_and_report() -> None:
    row = {facts.name: values[0] for facts, values in zip(table_of().columns, table_of().values, strict=True)}
    assert row["structure_slug"] == "east-deck"
    assert row["report"] == "structures/east-deck/report.html"
    assert row["gsd_mm"] == 1.5
    assert (row["survey_id"], row["run_key"]) == (RUN.survey_id, RUN.run_key)
    assert (row["severity"], row["severity_rank"]) == ("CS3 poor", 3)


def test_cracks_and_rust_are_taken_apart() -> None:
    assert cracks_of(table_of()).column("id") == ("C-0001", "C-0002", "C-0003")
    assert rust_of(table_of()).column("id") == ("R-0001",)
    assert {type(g).__name__ for g in rust_of(table_of()).geometries} == {"MultiPolygon"}


def test_structure_that_was_not_inspected_has_no_figure_of_damage() -> None:
    table = structure_table([clean_deck(), unseen_pier()], run=RUN, rasters=RASTERS)
    assert table.column("not_inspected_reason") == (None, "no raster covers it")
    assert table.column("worst_state") == ("nothing found", "not inspected")
    for name in ("crack_count", "crack_length_m", "rust_patch_count", "rust_percent"):
        assert table.column(name) == (0, None), name
    assert table.column("crack_width_max_mm") == (None, None)


def test_class_that_was_not_looked_for_has_no_figure() -> None:
    run = replace(RUN, model=None, given_mask=GivenMask("m.tif", "0" * 64, None, only_class="crack"))
    table = structure_table([bridge_deck()], run=run, rasters=RASTERS)
    assert table.column("rust_percent") == (None,)
    assert table.column("crack_count") == (3,)


def test_parts_follow_their_structure_and_lead_to_its_report() -> None:
    part = replace(clean_deck(), structure=replace(clean_deck().structure, id="web", component_of="deck"))
    table = structure_table([replace(bridge_deck(), components=(part,))], run=RUN, rasters=RASTERS)
    assert table.column("component_of") == (None, "deck")
    assert set(table.column("report")) == {"structures/east-deck/report.html"}


def test_value_of_another_kind_is_refused() -> None:
    column: Column[int] = Column("n", "integer", None, "A number", lambda row: float(row))
    with pytest.raises(ValueError, match="column n must hold values of kind integer, got float"):
        make_table("x", "x", [column], [1], geometry_list([None]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_figure_that_is_no_number_is_empty(value: float) -> None:
    column: Column[float] = Column("x_m", "real", "m", "A length", lambda row: row)
    assert make_table("x", "x", [column], [value], geometry_list([None])).column("x_m") == (None,)
