"""The history of one structure: every survey with its grades, and how each stable defect has grown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tasks.compare.chain import comparison_records
from tasks.compare.previous import SurveyRun
from tasks.layers.columns import Cell, Column, LayerTable, geometry_list, make_table
from tasks.report.record import finite
from tasks.report.wording import clean_text

_POWERS: Final = {
    "length_m": 1,
    "length_uncertainty_m": 1,
    "max_width_mm": 1,
    "width_uncertainty_mm": 1,
    "area_m2": 2,
    "area_uncertainty_m2": 2,
}
"""Sizes of a defect, and the power of a survey's scale in each."""


@dataclass(frozen=True, slots=True)
class HistorySurvey:
    """One survey of the structure."""

    survey_id: str
    run_key: str
    captured_at: str | None
    published_at: str
    coverage_percent: float | None
    crack_length_m: float | None
    max_crack_width_mm: float | None
    rust_area_m2: float | None
    grades: tuple[str, ...]
    """Standard and grade, one each."""
    compared_with: str | None
    """Run key of the older survey that it was compared with; None: not compared."""

    @property
    def date(self) -> str:
        """When it was flown, else published."""
        return self.captured_at or self.published_at


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One stable defect in one survey."""

    stable_id: str
    defect_class: str
    survey_id: str
    run_key: str
    date: str
    change: str | None
    """What became of it since the survey before; None at the first."""
    sizes: dict[str, float | None]
    """As that survey states them."""
    scale: float = 1.0
    """Lengths of the last survey over those of this one, by their registrations; 1 where they are not chained."""

    def size(self, name: str) -> float | None:
        """A size in the scale of the last survey: surveys a percent apart in scale show no growth by that."""
        stated = self.sizes[name]
        return None if stated is None else stated * self.scale ** _POWERS[name]


@dataclass(frozen=True, slots=True)
class StructureHistory:
    """All that is known of one structure over time."""

    structure: str
    surveys: tuple[HistorySurvey, ...]
    """The oldest first."""
    points: tuple[HistoryPoint, ...]
    """By stable id, the oldest first."""


def history_of(structure: str, runs: Sequence[SurveyRun]) -> StructureHistory:
    """The history of the structure of that id or name over the surveys that list it; empty where none does."""
    surveys, changes = [], []
    for one in runs:
        lines = [s for s in one.run.structure_lines() if structure in (s["id"], s["name"])]
        if not lines:
            continue
        report = one.run.structure(lines[0]).report
        records = comparison_records(one.run)
        found = [(record, _structure_of(record, lines[0]["id"])) for record in records]
        own = next(((record, part) for record, part in found if part is not None), None)
        surveys.append(_survey(one, report, own[0]["older"]["run_key"] if own else None))
        if own is not None:
            changes.append((own[0], own[1]))
    surveys.sort(key=lambda survey: (survey.date, survey.run_key))
    return StructureHistory(structure, tuple(surveys), _points(surveys, changes))


def _structure_of(record: dict[str, Any], structure_id: str) -> dict[str, Any] | None:
    for one in record["structures"]:
        if one["structure"]["id"] == structure_id and one["not_compared"] is None:
            part: dict[str, Any] = one
            return part
    return None


def _survey(one: SurveyRun, report: dict[str, Any], compared_with: str | None) -> HistorySurvey:
    return HistorySurvey(
        survey_id=one.run.survey_id,
        run_key=one.run.run_key,
        captured_at=one.captured_at,
        published_at=one.published_at,
        coverage_percent=report["structure"]["coverage_percent"],
        crack_length_m=report["cracks"]["total_length_m"],
        max_crack_width_mm=report["cracks"]["max_width_mm"],
        rust_area_m2=report["rust"]["area_m2"],
        grades=tuple(clean_text(f"{grade['standard']}: {grade['grade']}") for grade in report["grades"]),
        compared_with=compared_with,
    )


def _points(
    surveys: Sequence[HistorySurvey], changes: Sequence[tuple[dict[str, Any], Any]]
) -> tuple[HistoryPoint, ...]:
    by_run, scales = {survey.run_key: survey for survey in surveys}, _scales(surveys, changes)
    order = {survey.run_key: number for number, survey in enumerate(surveys)}
    heirs: dict[str, str] = {}
    points: dict[tuple[str, str], HistoryPoint] = {}
    for record, part in changes:
        for change in part["changes"]:
            heirs |= dict.fromkeys(change["absorbed_ids"], change["stable_id"])
            for which in ("newer", "older"):
                run_key, size = record[which]["run_key"], change[f"{which}_size"]
                survey = by_run.get(run_key)
                if survey is None or (size is None and which == "older"):
                    continue
                key = (change["stable_id"], run_key)
                if which == "older" and key in points:
                    continue  # as its own survey states it
                points[key] = HistoryPoint(
                    change["stable_id"],
                    change["class"],
                    survey.survey_id,
                    run_key,
                    survey.date,
                    change["change"] if which == "newer" else None,
                    # A comparison states the older sizes in the newer scale.
                    _sizes(size, scale=1.0 if which == "newer" else float(part["registration"]["scale"])),
                    scales[run_key],
                )
    return tuple(
        sorted(points.values(), key=lambda p: (heirs.get(p.stable_id, p.stable_id), p.stable_id, order[p.run_key]))
    )


def _sizes(size: Mapping[str, float | None] | None, *, scale: float) -> dict[str, float | None]:
    """The sizes of a comparison's record, divided by a scale."""
    stated = {name: None if size is None else size.get(name) for name in _POWERS}
    return {name: finite(None if value is None else value / scale ** _POWERS[name]) for name, value in stated.items()}


def _scales(surveys: Sequence[HistorySurvey], changes: Sequence[tuple[dict[str, Any], Any]]) -> dict[str, float]:
    """Lengths of the last survey over those of each, by run key."""
    scales = {survey.run_key: 1.0 for survey in surveys}
    of_newer = {record["newer"]["run_key"]: (record["older"]["run_key"], part) for record, part in changes}
    for survey in reversed(surveys):
        if survey.run_key in of_newer:
            older_key, part = of_newer[survey.run_key]
            scales[older_key] = round(scales[survey.run_key] * float(part["registration"]["scale"]), 7)
    return scales


def growth_table(history: StructureHistory) -> LayerTable:
    """The growth curves as a table: a row for each stable defect in each survey."""
    description = f"Growth of the defects of {history.structure}"
    return make_table("history", description, _COLUMNS, history.points, geometry_list([None] * len(history.points)))


@dataclass(frozen=True, slots=True)
class _Size:
    name: str

    def __call__(self, point: HistoryPoint) -> Cell:
        value = point.sizes[self.name]
        return None if value is None else float(value)


_COLUMNS: Final[tuple[Column[HistoryPoint], ...]] = (
    Column("stable_id", "text", None, "Stable id of the defect", lambda point: point.stable_id),
    Column("class", "text", None, "crack or rust", lambda point: point.defect_class),
    Column("date", "text", None, "When the survey was flown, else published", lambda point: point.date),
    Column("survey_id", "text", None, "The survey", lambda point: point.survey_id),
    Column("run_key", "text", None, "Its run", lambda point: point.run_key),
    Column("change", "text", None, "What became of it since the survey before", lambda point: point.change),
    Column("length_m", "real", "m", "Length of a crack", _Size("length_m")),
    Column("length_uncertainty_m", "real", "m", "± of that", _Size("length_uncertainty_m")),
    Column("max_width_mm", "real", "mm", "Largest width of a crack", _Size("max_width_mm")),
    Column("width_uncertainty_mm", "real", "mm", "± of that", _Size("width_uncertainty_mm")),
    Column("area_m2", "real", "m2", "Area", _Size("area_m2")),
    Column("area_uncertainty_m2", "real", "m2", "± of that of a rust patch", _Size("area_uncertainty_m2")),
    Column("scale_to_last", "real", "1", "Lengths of the last survey over those of this one", lambda p: p.scale),
)
