"""The report of one structure before any layout: HTML and PDF are both laid out from this one record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from segmentation.georeference import Georeference
from segmentation.records import Defect, RunIdentity, StructureResult
from tasks.report.findings import (
    DefectDetail,
    DefectRow,
    Fact,
    GradeRow,
    defect_detail,
    defect_row,
    grade_rows,
    grade_states,
    key_facts,
    summary_sentence,
)
from tasks.report.method import Threshold, glossary, limits_paragraphs, thresholds_of
from tasks.report.origin import origin_fact
from tasks.report.pictures import Picture, RasterPictures, native_pictures, overview_picture
from tasks.report.places import footprint_in_raster, native_window, overview_rasters, overview_window, place_of
from tasks.report.severity import Severity, unseen_reason, worst_severity
from tasks.report.tables import ComponentRow, LimitRow, component_rows, limit_rows
from tasks.report.wording import clean_text, coverage_text, number_text, with_unit

_NATIVE_SIDE_PX: Final = 640
_OVERVIEW_SIDE_PX: Final = 1600
_OVERVIEW_COUNT: Final = 4
_ROW_BYTES: Final = 900
"""Upper bound of one row of the defect table, long names included."""
_PAGE_BYTES: Final = 120_000
"""Upper bound of everything else that is text: style sheet, glossary, profiles."""
_MOST_WARNINGS: Final = 60
_ROWS_SHARE: Final = 0.4
_OVERVIEW_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class OverviewFigure:
    """The structure in one raster."""

    raster: str
    picture: Picture
    alt: str
    note: str
    """What is not drawn, and why; empty where all is."""


@dataclass(frozen=True, slots=True)
class DefectFigure:
    """One of the worst defects with its pictures."""

    detail: DefectDetail
    plain: Picture | None
    outlined: Picture | None
    caption: str


@dataclass(frozen=True, slots=True)
class _Budget:
    """How much of the file the table and the pictures may fill."""

    rows: int
    overview_bytes: int
    native_bytes: int


@dataclass(frozen=True, slots=True)
class StructureReport:
    """Everything a report of one structure states, in words, tables and finished pictures."""

    title: str
    """The structure's name, or its id where it has none."""
    facts: tuple[Fact, ...]
    """The title block."""
    severity: Severity
    reason: str | None
    """Why nothing was inspected; None where it was."""
    sentence: str
    """The condition in one sentence."""
    key_facts: tuple[Fact, ...]
    grades: tuple[GradeRow, ...]
    states: tuple[str, ...]
    """Names of the condition states, in the order of each grade row's quantities."""
    limit_rows: tuple[LimitRow, ...]
    components: tuple[ComponentRow, ...]
    partial: bool
    """Whether some of the footprint was not inspected, or is not known."""
    coverage: str
    overviews: tuple[OverviewFigure, ...]
    figures: tuple[DefectFigure, ...]
    """The worst defects, worst first."""
    rows: tuple[DefectRow, ...]
    """All defects, worst first, as far as they fit."""
    defect_count: int
    limits: tuple[str, ...]
    """Paragraphs on method, limits of measurement and seam proof."""
    thresholds: tuple[Threshold, ...]
    warnings: tuple[str, ...]
    glossary: tuple[tuple[str, str], ...]
    run: RunIdentity

    @property
    def worst_numbers(self) -> frozenset[int]:
        """Numbers of the defects that are pictured."""
        return frozenset(figure.detail.row.number for figure in self.figures)


def structure_report(
    result: StructureResult,
    *,
    run: RunIdentity,
    georeferences: Mapping[str, Georeference],
    pictures: RasterPictures | None,
    seam_proof: str | None,
    worst_count: int,
    max_html_bytes: int,
) -> StructureReport:
    """What is said of one structure, with pictures small enough for an HTML file of at most `max_html_bytes`.

    `georeferences` holds the run's rasters by name; `pictures` is None where only a mask was measured; `seam_proof` is
    a sentence. Raises KeyError for a defect of an unknown raster, ValueError where the pictures do not fit.
    """
    reason = unseen_reason(result)
    numbered = [] if reason is not None else list(enumerate(result.defects, start=1))
    worst = numbered[:worst_count]
    budget = _budget(len(numbered), len(worst), max_html_bytes=max_html_bytes)
    return StructureReport(
        title=clean_text(result.structure.name) or clean_text(result.structure.id),
        facts=title_facts(result, run),
        severity=worst_severity(result),
        reason=clean_text(reason) if reason is not None else None,
        sentence=summary_sentence(result, run),
        key_facts=tuple(key_facts(result, run)),
        grades=tuple(grade_rows(result)),
        states=tuple(grade_states(result)),
        limit_rows=tuple(limit_rows(result)),
        components=tuple(component_rows(result, run)),
        partial=result.footprint_area_m2 is None or result.coverage_percent < 100,
        coverage=coverage_text(result.coverage_percent),
        overviews=tuple(_overviews(result, numbered, georeferences, pictures, max_bytes=budget.overview_bytes)),
        figures=tuple(
            _defect_figure(number, defect, georeferences, pictures, max_bytes=budget.native_bytes)
            for number, defect in worst
        ),
        rows=tuple(defect_row(number, defect, georeferences) for number, defect in numbered[: budget.rows]),
        defect_count=len(numbered),
        limits=tuple(limits_paragraphs(result, run, seam_proof=seam_proof)),
        thresholds=tuple(thresholds_of([result])),
        warnings=_warnings(result, run),
        glossary=tuple(glossary(run)),
        run=run,
    )


def title_facts(result: StructureResult, run: RunIdentity) -> tuple[Fact, ...]:
    """The title block: what was inspected, when, by whom, with which model."""
    structure = result.structure
    given = " · ".join(clean_text(word) for word in (structure.kind, structure.material) if word.strip())
    gsd = with_unit(result.gsd_mm, "mm per pixel") if result.gsd_mm is not None else "none, not inspected"
    return (
        Fact("Structure id", clean_text(structure.id)),
        Fact("Kind", given or "not stated"),
        Fact("Survey", clean_text(run.survey_id)),
        Fact("Captured", clean_text(run.captured_at) if run.captured_at else "not stated"),
        Fact("Operator", clean_text(run.operator) if run.operator else "not stated"),
        Fact("GSD", gsd),
        Fact(*origin_fact(run)),
        Fact("Run key", clean_text(run.run_key)),
        Fact("spanscan", clean_text(run.spanscan_version)),
    )


def _warnings(result: StructureResult, run: RunIdentity) -> tuple[str, ...]:
    warnings = [clean_text(warning, most_chars=500) for warning in dict.fromkeys(run.warnings)]
    if len(warnings) > _MOST_WARNINGS:
        more = len(warnings) - _MOST_WARNINGS
        warnings = [*warnings[:_MOST_WARNINGS], f"{more} more warnings stand in report.json."]
    if result.structure.problem is not None:
        warnings.insert(0, clean_text(result.structure.problem))
    if unseen_reason(result) is None and result.footprint_area_m2 is not None and result.coverage_percent < 100:
        missing = f"Only {coverage_text(result.coverage_percent)} of the footprint was inspected; "
        warnings.insert(0, missing + "the rest may be damaged without being listed here.")
    return tuple(dict.fromkeys(warnings))


def _budget(defect_count: int, worst_count: int, *, max_html_bytes: int) -> _Budget:
    rows = min(defect_count, int(max_html_bytes * _ROWS_SHARE) // _ROW_BYTES)
    left = max_html_bytes - _PAGE_BYTES - rows * _ROW_BYTES - worst_count * 30_000
    overview_bytes = int(left * _OVERVIEW_SHARE)
    native_bytes = (left - overview_bytes) // max(1, 2 * worst_count)
    return _Budget(rows, overview_bytes, native_bytes)


def _overviews(
    result: StructureResult,
    numbered: Sequence[tuple[int, Defect]],
    georeferences: Mapping[str, Georeference],
    pictures: RasterPictures | None,
    *,
    max_bytes: int,
) -> list[OverviewFigure]:
    if pictures is None or unseen_reason(result) is not None:
        return []
    names = overview_rasters(result, georeferences)
    shown = names[:_OVERVIEW_COUNT]
    left_out = sum(1 for _, defect in numbered if defect.raster_name not in shown)
    figures = []
    for name in shown:
        own = [(number, defect) for number, defect in numbered if defect.raster_name == name]
        georeference = georeferences[name]
        outline = footprint_in_raster(result.structure.footprint, georeference)
        window = overview_window(outline, [defect for _, defect in own], georeference, margin_share=0.03)
        if window is None:
            continue
        picture = overview_picture(
            pictures,
            name,
            window,
            georeference,
            outline=outline,
            numbered=own,
            max_side_px=_OVERVIEW_SIDE_PX,
            max_bytes=max_bytes // len(shown),
        )
        drawn = f"{len(own)} numbered defects" if own else "no defect found in it"
        alt = f"Overview of {clean_text(result.structure.name)} in {clean_text(name)}, its outline in white, {drawn}"
        figures.append(OverviewFigure(clean_text(name), picture, alt, _overview_note(picture, left_out)))
        left_out = 0
    return figures


def _overview_note(picture: Picture, left_out: int) -> str:
    notes = ["Turned a quarter to the left: the raster's top is at the left."] if picture.turned else []
    if picture.unlabelled_count:
        notes.append(f"{picture.unlabelled_count} defects are drawn without their number for want of room.")
    if left_out:
        notes.append(f"{left_out} defects lie in further rasters without an overview; the table gives their places.")
    return " ".join(notes)


def _defect_figure(
    number: int,
    defect: Defect,
    georeferences: Mapping[str, Georeference],
    pictures: RasterPictures | None,
    *,
    max_bytes: int,
) -> DefectFigure:
    detail = defect_detail(number, defect, georeferences)
    if pictures is None:
        return DefectFigure(detail, None, None, "")
    georeference = georeferences[defect.raster_name]
    window, whole = native_window(place_of(defect, georeference), defect, georeference, max_side_px=_NATIVE_SIDE_PX)
    plain, outlined = native_pictures(
        pictures, defect.raster_name, window, georeference, max_side_px=_NATIVE_SIDE_PX, max_bytes=max_bytes
    )
    size = "Native resolution" if plain.enlargement == 1 else f"Native pixels, enlarged {plain.enlargement}×"
    rows, cols = window.shape
    scale = georeference.scale_at((window.row_start + window.row_stop) / 2, (window.col_start + window.col_stop) / 2)
    side = f"{number_text(cols * scale.gsd_x_m, digits=2)} × {number_text(rows * scale.gsd_y_m, digits=2)} m"
    centre = "around its widest point" if defect.crack is not None else "of it"
    part = "" if whole else f" This is the part {centre}; the overview shows the whole."
    return DefectFigure(detail, plain, outlined, f"{size}, {side}.{part}")
