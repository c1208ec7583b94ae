"""The history of one structure: every survey with its grades, and how each stable defect has grown."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from tasks.compare.chain import comparison_records
from tasks.compare.previous import SurveyRun
from tasks.layers.columns import Cell, Column, LayerTable, geometry_list, make_table
from tasks.report.wording import clean_text

_CURVES: Final = 10
_SIZES: Final = ("length_m", "length_uncertainty_m", "max_width_mm", "width_uncertainty_mm", "area_m2")


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
    by_run = {survey.run_key: survey for survey in surveys}
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
                    {name: None if size is None else size[name] for name in _SIZES},
                )
    return tuple(
        sorted(points.values(), key=lambda p: (heirs.get(p.stable_id, p.stable_id), p.stable_id, order[p.run_key]))
    )


def growth_table(history: StructureHistory) -> LayerTable:
    """The growth curves as a table: a row for each stable defect in each survey."""
    description = f"Growth of the defects of {history.structure}"
    return make_table("history", description, _COLUMNS, history.points, geometry_list([None] * len(history.points)))


def growth_png(history: StructureHistory) -> bytes:
    """The curves of the defects that have grown most, cracks by length and rust by area, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), dpi=130, layout="constrained")
    for axis, (kind, size, label) in zip(
        figure.subplots(1, 2), (("crack", "length_m", "length, m"), ("rust", "area_m2", "area, m²")), strict=True
    ):
        dates = {survey.run_key: number for number, survey in enumerate(history.surveys)}
        for stable_id, curve in _curves(history, kind, size)[:_CURVES]:
            axis.plot(
                [dates[point.run_key] for point in curve],
                [point.sizes[size] for point in curve],
                marker="o",
                linewidth=1.4,
                label=stable_id,
            )
        axis.set_title(f"{kind}: grown most")
        axis.set_ylabel(label)
        axis.set_xticks(range(len(history.surveys)), [survey.date[:10] for survey in history.surveys], rotation=30)
        axis.grid(alpha=0.3)
        axis.set_ylim(bottom=0)
        if axis.lines:
            axis.legend(fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        else:
            axis.text(0.5, 0.5, "no curve yet", ha="center", va="center", transform=axis.transAxes)
    figure.suptitle(clean_text(history.structure)[:80])
    png = BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _curves(history: StructureHistory, kind: str, size: str) -> list[tuple[str, list[HistoryPoint]]]:
    curves: dict[str, list[HistoryPoint]] = {}
    for point in history.points:
        if point.defect_class == kind and point.sizes[size] is not None:
            curves.setdefault(point.stable_id, []).append(point)
    known = [(stable_id, curve) for stable_id, curve in curves.items() if len(curve) > 1]
    return sorted(known, key=lambda one: -((one[1][-1].sizes[size] or 0.0) - (one[1][0].sizes[size] or 0.0)))


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
)
