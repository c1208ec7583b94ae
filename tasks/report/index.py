"""The survey's overview page: every structure on one map and in one table, with links to each report and file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from segmentation.georeference import Georeference
from segmentation.records import RunIdentity, StructureResult
from tasks.report.findings import Fact
from tasks.report.index_assets import scripts, styles
from tasks.report.index_rows import MOST_ROWS, IndexRow, index_row, worst_rows
from tasks.report.map import survey_map
from tasks.report.map_data import interactive_map
from tasks.report.method import COLOURS, DISCLAIMER
from tasks.report.origin import no_claim, origin_fact
from tasks.report.page import render
from tasks.report.pictures import RasterPictures
from tasks.report.severity import Severity, unseen_reason
from tasks.report.wording import NOT_MEASURED, area_text, clean_text, count_text, number_text


@dataclass(frozen=True, slots=True)
class FileLink:
    """One file of the results, beside the index."""

    label: str
    path: str
    """Relative path below the index, not yet percent-encoded."""
    description: str

    def __post_init__(self) -> None:
        if self.path.startswith(("/", "\\")) or ":" in self.path or ".." in self.path.split("/"):
            raise ValueError(f"a link must be a relative path below the index, got {self.path!r}")

    @property
    def href(self) -> str:
        """The path as a URL reference."""
        return quote(self.path)


def render_index_html(
    results: Sequence[StructureResult],
    *,
    run: RunIdentity,
    georeferences: Mapping[str, Georeference],
    files: Sequence[FileLink],
    pictures: RasterPictures | None,
    formats: Sequence[str],
    pictured_count: int,
    review: str = "",
    machine_index: str = "",
) -> str:
    """The survey's overview as one self-contained HTML page; links go to ``structures/<slug>/report.html`` and so on.

    `formats` are those of html, pdf and json that each structure has a report in; `pictured_count` is the number of its
    defects, worst first, that it shows under ``#defect-1`` and so on. Without `pictures` the map has lines alone.
    `review` says who reviewed it, where the reports were issued anew; then `machine_index` is a relative reference to
    the overview of the run as the machine published it.
    """
    all_rows = [index_row(number, result, run, formats=formats) for number, result in enumerate(results, start=1)]
    rows = worst_rows(all_rows, most=MOST_ROWS)
    drawn = interactive_map(results, rows, georeferences, pictures, pictured_count=pictured_count)
    return render(
        "index.html.j2",
        more_styles=styles(),
        scripts=scripts() if drawn is not None else scripts()[-1:],
        title=clean_text(run.survey_id),
        sentence=survey_sentence(results),
        facts=_facts(results, run),
        rows=rows,
        rows_left_out=_left_out(all_rows, rows),
        states=_states(rows),
        static_map=survey_map([(row.number, results[row.number - 1]) for row in rows], georeferences),
        map=drawn,
        files=files,
        warnings=tuple(dict.fromkeys(clean_text(warning) for warning in run.warnings)),
        review=clean_text(review),
        machine_index=quote(machine_index),
        how_to_read=(no_claim(run), COLOURS, DISCLAIMER),
        run=run,
    )


def survey_sentence(results: Sequence[StructureResult]) -> str:
    """The survey in one sentence: what was inspected, what was found, what was not looked at."""
    seen = [result for result in results if unseen_reason(result) is None]
    unseen = len(results) - len(seen)
    if not seen:
        structures = count_text(unseen, "structure", "structures")
        return f"Nothing was inspected: this survey says nothing about its {structures}."
    cracks, patches = sum(r.cracks.count for r in seen), sum(r.rust.patch_count for r in seen)
    found = f"{count_text(cracks, 'crack', 'cracks')}"
    if cracks:
        found += f" ({number_text(sum(r.cracks.total_length_m for r in seen))} m)"
    found += f" and {count_text(patches, 'rust patch', 'rust patches')}"
    if patches:
        found += f" ({area_text(sum(r.rust.area_m2 for r in seen))})"
    partial = sum(1 for result in seen if result.coverage_percent < 100)
    parts = [
        f"{count_text(len(seen), 'structure', 'structures')} inspected, {partial} of them in part"
        if partial
        else f"{count_text(len(seen), 'structure', 'structures')} inspected"
    ]
    parts.append(f"{found} found")
    text = ": ".join(parts)
    if unseen:
        text += f"; {count_text(unseen, 'structure', 'structures')} not inspected, of which nothing is known"
    return text[0].upper() + text[1:] + "."


def _facts(results: Sequence[StructureResult], run: RunIdentity) -> tuple[Fact, ...]:
    gsds = [result.gsd_mm for result in results if result.gsd_mm is not None]
    low, high = (number_text(min(gsds)), number_text(max(gsds))) if gsds else ("", "")
    gsd = NOT_MEASURED if not gsds else f"{low} mm per pixel" if low == high else f"{low} to {high} mm per pixel"
    return (
        Fact("Structures", str(len(results))),
        Fact("Captured", clean_text(run.captured_at) if run.captured_at else "not stated"),
        Fact("Operator", clean_text(run.operator) if run.operator else "not stated"),
        Fact("GSD", gsd),
        Fact(*origin_fact(run)),
        Fact("Run key", clean_text(run.run_key)),
    )


def _left_out(all_rows: Sequence[IndexRow], rows: Sequence[IndexRow]) -> str:
    """What a survey with too many structures for one page leaves out; empty where it shows all."""
    if len(rows) == len(all_rows):
        return ""
    shown = {row.number for row in rows}
    out = [row for row in all_rows if row.number not in shown]
    unseen = sum(1 for row in out if row.reason is not None)
    worst = max(out, key=lambda row: row.severity.rank).severity.word
    not_inspected = f", {count_text(unseen, 'of them', 'of them')} not inspected" if unseen else ""
    return (
        f"Table and map show the {len(rows)} worst of {len(all_rows)} structures. {len(out)} are left out"
        f"{not_inspected}, the worst of them “{worst}”; each has its own report in the folder “structures”."
    )


def _states(rows: Sequence[IndexRow]) -> tuple[Severity, ...]:
    """The states that occur, worst first."""
    return tuple(sorted({row.severity for row in rows}, key=lambda severity: (-severity.rank, severity.word)))
