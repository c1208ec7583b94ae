"""The changes as one typed table, from which the CSV and the GeoJSON layer are written."""

from dataclasses import dataclass
from typing import Any, Final

from shapely.geometry import shape

from segmentation.comparison.records import Change
from tasks.layers.columns import Cell, Column, LayerTable, make_table
from tasks.layers.defect_table import cracks_of, rust_of
from tasks.layers.geometry import layer_geometries
from tasks.layers.geopackage import StyledLayer
from tasks.layers.qml import changes_qml

CHANGE_RANKS: Final = {
    Change.GROWN.value: 4,
    Change.NEW.value: 3,
    Change.REPAIRED.value: 2,
    Change.NOT_SEEN.value: 1,
    Change.STATIC.value: 0,
}
"""What a reader looks at first."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One change with what its row says besides."""

    structure: dict[str, Any]
    change: dict[str, Any]
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure of a growth; None where there is none."""

    of: str
    figure: str

    def __call__(self, row: ChangeRow) -> Cell:
        growth = row.change[self.of]
        value: Cell = None if growth is None else growth[self.figure]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@dataclass(frozen=True, slots=True)
class _Size:
    """A size as one survey measured the whole of it."""

    survey: str
    figure: str

    def __call__(self, row: ChangeRow) -> Cell:
        size = row.change[f"{self.survey}_size"]
        value = None if size is None else size[self.figure]
        return None if value is None else float(value)


def change_table(record: dict[str, Any]) -> LayerTable:
    """Every change of every structure that was compared, of `comparison_json`."""
    rows = [ChangeRow(one["structure"], change, record) for one in record["structures"] for change in one["changes"]]
    geometries = layer_geometries(
        [None if row.change["geometry"] is None else shape(row.change["geometry"]) for row in rows]
    )
    older, newer = record["older"]["survey_id"], record["newer"]["survey_id"]
    return make_table("changes", f"Changes of defects from survey {older} to {newer}", COLUMNS, rows, geometries)


def change_layers(table: LayerTable) -> tuple[StyledLayer, ...]:
    """The layers of the GeoPackage, in which QGIS shows what became of each defect."""
    return (
        StyledLayer(rust_of(table), "MultiPolygon", changes_qml("fill")),
        StyledLayer(cracks_of(table), "MultiLineString", changes_qml("line")),
    )


def _text(key: str, name: str, meaning: str) -> Column[ChangeRow]:
    return Column(name, "text", None, meaning, lambda row: row.change[key])


def _ids(key: str, name: str, meaning: str) -> Column[ChangeRow]:
    return Column(name, "text", None, meaning, lambda row: ", ".join(row.change[key]) or None)


def _growth_columns(key: str, unit: str, what: str) -> list[Column[ChangeRow]]:
    stem = key.removesuffix(f"_{unit}")
    scaled = f"{what}, where both surveys inspected it"
    return [
        Column(f"{stem}_older_{unit}", "real", unit, f"Older {scaled}, in the newer scale", _Figure(key, "older")),
        Column(f"{stem}_newer_{unit}", "real", unit, f"Newer {scaled}", _Figure(key, "newer")),
        Column(f"{stem}_growth_{unit}", "real", unit, f"Growth of the {what}", _Figure(key, "difference")),
        Column(f"{stem}_growth_uncertainty_{unit}", "real", unit, "± of that, about 95 %", _Figure(key, "uncertainty")),
        Column(f"{stem}_growth_percent", "real", "%", f"Growth of the {what} in percent", _Figure(key, "percent")),
        Column(f"{stem}_growth_significant", "boolean", None, "Whether it exceeds its ±", _Figure(key, "significant")),
    ]


COLUMNS: Final[tuple[Column[ChangeRow], ...]] = (
    _text("stable_id", "id", "Stable id, which lives on from survey to survey"),
    _text("change", "change", "NEW, GROWN, STATIC, REPAIRED or NOT SEEN"),
    Column(
        "change_rank",
        "integer",
        None,
        "4 grown, 3 new, 2 repaired, 1 not seen, 0 static",
        lambda row: CHANGE_RANKS[row.change["change"]],
    ),
    _text("class", "class", "crack or rust"),
    Column("structure_id", "text", None, "Id of the structure", lambda row: row.structure["id"]),
    Column("structure_name", "text", None, "Name of the structure", lambda row: row.structure["name"]),
    _ids("older_ids", "older_ids", "Its parts in the older survey's reports"),
    _ids("newer_ids", "newer_ids", "Its parts in the newer survey's reports"),
    _ids("absorbed_ids", "absorbed_ids", "Stable ids that go on in this one"),
    _text("unseen_in", "unseen_in", "older or newer: which survey did not see its place"),
    Column(
        "inspected_share_0_to_1",
        "real",
        "1",
        "Share of its place that the other survey inspected",
        lambda row: float(row.change["inspected_share"]),
    ),
    *_growth_columns("length_m", "m", "length of a crack"),
    *_growth_columns("max_width_mm", "mm", "largest width of a crack"),
    *_growth_columns("area_m2", "m2", "area of rust"),
    Column("older_length_m", "real", "m", "All of its length in the older survey", _Size("older", "length_m")),
    Column("newer_length_m", "real", "m", "All of its length in the newer survey", _Size("newer", "length_m")),
    Column("older_area_m2", "real", "m2", "All of its area in the older survey", _Size("older", "area_m2")),
    Column("newer_area_m2", "real", "m2", "All of its area in the newer survey", _Size("newer", "area_m2")),
    Column("remarks", "text", None, "What must be known besides", lambda row: "; ".join(row.change["remarks"]) or None),
    Column("older_survey", "text", None, "The older survey", lambda row: row.record["older"]["survey_id"]),
    Column("older_run_key", "text", None, "Its run", lambda row: row.record["older"]["run_key"]),
    Column("newer_survey", "text", None, "The newer survey", lambda row: row.record["newer"]["survey_id"]),
    Column("newer_run_key", "text", None, "Its run", lambda row: row.record["newer"]["run_key"]),
)
"""Attributes of a change. What is not known is empty, never 0."""
