"""The report of one structure before any layout: HTML and PDF are both laid out from this one record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import escape

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
from tasks.report.histograms import Histogram, histograms_of
from tasks.report.method import Threshold, glossary, limits_paragraphs, not_inspected_sentences, thresholds_of
from tasks.report.origin import origin_fact
from tasks.report.overview_figures import Overview, OverviewFigure, overview_of
from tasks.report.pictures import Picture, RasterPictures, native_pictures
from tasks.report.places import frames_of, native_window, places_of
from tasks.report.review import ReviewSection, StructureReview, review_section
from tasks.report.severity import Severity, unseen_reason, worst_severity
from tasks.report.tables import ComponentRow, LimitRow, component_rows, limit_rows
from tasks.report.wording import clean_text, coverage_text, number_text, with_unit

_NATIVE_SIDE_PX: Final = 640
_ROW_BYTES: Final = 520
"""Upper bound of one row of the defect table, but for the name of its raster."""
_FIGURE_BYTES: Final = 12_000
"""Upper bound of the text and the profile of one pictured defect."""
_PAGE_BYTES: Final = 400_000
"""Upper bound of everything else that is text: style sheet, glossary, warnings, links in the overview."""
_MOST_ROWS: Final = 2_000
"""A longer table is read by nobody on paper; data files hold every defect."""
_MOST_WARNINGS: Final = 60
_FEW: Final = 24
_SHARES: Final = {True: (0.4, 0.4), False: (0.15, 0.2)}
"""For few pictured defects and for many: share of the file for the table, share of the pictures for the overview."""


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
    not_inspected: tuple[str, ...]
    """What this survey does not tell of the structure, a sentence each."""
    overviews: tuple[OverviewFigure, ...]
    overview_note: str
    """Which defects the overview numbers; empty without one."""
    histograms: tuple[Histogram, ...]
    """How widths and areas are spread; empty where nothing was found."""
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
    review: ReviewSection | None = None
    """What a person decided, and the machine's figures beside the reviewed ones; None in the machine's own report."""

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
    review: StructureReview | None = None,
) -> StructureReport:
    """What is said of one structure, with pictures small enough for an HTML file of at most `max_html_bytes`.

    With `review` the `result` is the reviewed one. `georeferences` holds the run's rasters by name; `pictures` is None
    where only a mask was measured; `seam_proof` is a sentence. Raises KeyError for a defect of an unknown raster,
    ValueError where the pictures do not fit.
    """
    reason = unseen_reason(result)
    section = review_section(result, review, run) if review is not None else None
    defects = result.defects if reason is None else ()
    numbered = list(enumerate(defects, start=1))
    budget = _budget(len(defects), min(worst_count, len(defects)), georeferences, max_html_bytes=max_html_bytes)
    frames = frames_of(result.structure, georeferences)
    overview = Overview((), "", {})
    if reason is None:
        overview = overview_of(
            result,
            numbered,
            georeferences,
            frames,
            pictures,
            pictured_count=worst_count,
            max_bytes=budget.overview_bytes,
        )
    shown = defects[: max(budget.rows, worst_count)]
    places = places_of(shown, georeferences, frames)
    rows = [
        defect_row(number, defect, place, sheet=overview.sheets.get(number, ""))
        for (number, defect), place in zip(numbered, places, strict=False)
    ]
    figures = [
        _defect_figure(
            defect_detail(row, defect, place, georeferences[defect.raster_name]),
            defect,
            georeferences[defect.raster_name],
            pictures,
            max_bytes=budget.native_bytes,
        )
        for row, defect, place in zip(rows[:worst_count], shown, places, strict=False)
    ]
    return StructureReport(
        title=clean_text(result.structure.name) or clean_text(result.structure.id),
        facts=(*title_facts(result, run), *(section.facts if section is not None else ())),
        severity=worst_severity(result),
        reason=clean_text(reason) if reason is not None else None,
        sentence=("As reviewed: " if section is not None and section.pairs else "") + summary_sentence(result, run),
        key_facts=tuple(key_facts(result, run)),
        grades=tuple(grade_rows(result)),
        states=tuple(grade_states(result)),
        limit_rows=tuple(limit_rows(result)),
        components=tuple(component_rows(result, run)),
        partial=result.footprint_area_m2 is None or result.coverage_percent < 100,
        coverage=coverage_text(result.coverage_percent),
        not_inspected=not_inspected_sentences(result, run),
        overviews=overview.figures,
        overview_note=overview.note,
        histograms=histograms_of(defects),
        figures=tuple(figures),
        rows=tuple(rows[: budget.rows]),
        defect_count=len(defects),
        limits=limits_paragraphs(result, run, frames=list(frames.values()), seam_proof=seam_proof),
        thresholds=tuple(thresholds_of([result])),
        warnings=_warnings(result, run),
        glossary=tuple(glossary(run)),
        run=run,
        review=section,
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


def _budget(
    defect_count: int, worst_count: int, georeferences: Mapping[str, Georeference], *, max_html_bytes: int
) -> _Budget:
    names = [str(escape(clean_text(name, most_chars=80))) for name in georeferences]
    row_bytes = _ROW_BYTES + max((len(name.encode()) for name in names), default=0)
    rows_share, overview_share = _SHARES[worst_count <= _FEW]
    rows = min(defect_count, _MOST_ROWS, int(max_html_bytes * rows_share) // row_bytes)
    left = max_html_bytes - _PAGE_BYTES - rows * row_bytes - worst_count * _FIGURE_BYTES
    left = left * 3 // 4  # pictures stand in the page as base64
    overview_bytes = int(left * overview_share)
    native_bytes = (left - overview_bytes) // max(1, 2 * worst_count)
    return _Budget(rows, overview_bytes, native_bytes)


def _defect_figure(
    detail: DefectDetail,
    defect: Defect,
    georeference: Georeference,
    pictures: RasterPictures | None,
    *,
    max_bytes: int,
) -> DefectFigure:
    if pictures is None:
        return DefectFigure(detail, None, None, "")
    window, whole = native_window(defect, georeference, max_side_px=_NATIVE_SIDE_PX)
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
