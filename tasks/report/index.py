"""The survey's overview page: every structure in one table and on one map, with links to each report and file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from segmentation.georeference import Georeference
from segmentation.records import RunIdentity, RustSummary, StructureResult
from tasks.report.findings import Fact, widest_text
from tasks.report.map import survey_map
from tasks.report.method import COLOURS, DISCLAIMER, resolvable_width_mm
from tasks.report.origin import NOT_LOOKED_FOR, looked_for, no_claim, origin_fact
from tasks.report.page import render
from tasks.report.severity import Severity, unseen_reason, worst_severity
from tasks.report.wording import (
    NOT_MEASURED,
    area_text,
    below_text,
    clean_text,
    count_text,
    coverage_text,
    number_text,
    share_text,
)


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


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One structure as a table row; figures are None where it was not inspected."""

    number: int
    name: str
    kind: str
    href: str
    severity: Severity
    reason: str | None
    coverage: str
    partial: bool
    cracks: str
    length: str
    width: str
    rust: str


def render_index_html(
    results: Sequence[StructureResult],
    *,
    run: RunIdentity,
    georeferences: Mapping[str, Georeference],
    files: Sequence[FileLink],
) -> str:
    """The survey's overview as one self-contained HTML page; links go to ``structures/<slug>/report.html``."""
    rows = [_row(number, result, run) for number, result in enumerate(results, start=1)]
    return render(
        "index.html.j2",
        title=clean_text(run.survey_id),
        sentence=survey_sentence(results),
        facts=_facts(results, run),
        rows=rows,
        map=survey_map(results, georeferences),
        files=files,
        warnings=tuple(dict.fromkeys(clean_text(warning) for warning in run.warnings)),
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


def _row(number: int, result: StructureResult, run: RunIdentity) -> IndexRow:
    structure, reason = result.structure, unseen_reason(result)
    cracks, rust = result.cracks, result.rust
    width = "–"
    if cracks.count and reason is None:
        limit_mm = resolvable_width_mm(result, run)
        width = widest_text(result) or (below_text(limit_mm) if limit_mm is not None else NOT_MEASURED)
    return IndexRow(
        number=number,
        name=clean_text(structure.name) or clean_text(structure.id),
        kind=" · ".join(clean_text(word) for word in (structure.kind, structure.material) if word.strip()),
        href=quote(f"structures/{structure.slug}/report.html"),
        severity=worst_severity(result),
        reason=clean_text(reason) if reason is not None else None,
        coverage=coverage_text(result.coverage_percent),
        partial=result.coverage_percent < 100,
        cracks=("none found" if cracks.count == 0 else str(cracks.count))
        if looked_for(run, "crack")
        else NOT_LOOKED_FOR,
        length=f"{number_text(cracks.total_length_m)} m" if cracks.count else "–",
        width=width,
        rust=_rust_share(rust) if looked_for(run, "rust") else NOT_LOOKED_FOR,
    )


def _rust_share(rust: RustSummary) -> str:
    return "none found" if rust.patch_count == 0 else share_text(rust.percent_of_inspected)
