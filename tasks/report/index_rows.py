"""The rows of the survey's table: one structure each, in words and in the figures by which it is sorted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from segmentation.records import RunIdentity, StructureResult
from tasks.report.findings import widest_text
from tasks.report.method import resolvable_width_mm
from tasks.report.origin import NOT_LOOKED_FOR, looked_for
from tasks.report.severity import Severity, unseen_reason, worst_severity
from tasks.report.wording import (
    NOT_MEASURED,
    below_text,
    clean_text,
    count_text,
    coverage_text,
    number_text,
    share_text,
)

MOST_ROWS: Final = 2000
"""Rows of the table and structures of the map: with more of them a browser takes longer than a reader waits."""
_NOTHING_FOUND, _BELOW_LIMIT = -1.0, 0.0
"""Where a cell without a figure stands among those with one."""
_REPORT_FORMATS: Final = (("html", "HTML"), ("pdf", "PDF"), ("json", "JSON"))


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure in words."""

    text: str
    value: float | None
    """What it is sorted by; None, which is always last, where nothing is known."""


@dataclass(frozen=True, slots=True)
class Link:
    """A report of one structure."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One structure as a table row; the figures count for nothing where it was not inspected."""

    number: int
    id: str
    name: str
    kind: str
    severity: Severity
    reason: str | None
    """Why it was not inspected; None where it was."""
    partial: bool
    coverage: Cell
    cracks: Cell
    length: Cell
    width: Cell
    rust: Cell
    crack_count: int
    rust_count: int
    links: tuple[Link, ...]
    """Its reports; the first is the one that its name leads to."""

    @property
    def found(self) -> str:
        """What was found on it, in a few words."""
        if self.reason is not None:
            return f"nothing is known: {self.reason}"
        cracks = count_text(self.crack_count, "crack", "cracks")
        return f"{cracks}, {count_text(self.rust_count, 'rust patch', 'rust patches')}, {self.coverage.text} inspected"


def index_row(number: int, result: StructureResult, run: RunIdentity, *, formats: Sequence[str]) -> IndexRow:
    """One structure in words; `formats` are those of html, pdf and json in which its report was written."""
    structure, reason = result.structure, unseen_reason(result)
    seen = reason is None
    return IndexRow(
        number=number,
        id=clean_text(structure.id, most_chars=200),
        name=clean_text(structure.name, most_chars=200) or clean_text(structure.id, most_chars=200),
        kind=" · ".join(clean_text(word) for word in (structure.kind, structure.material) if word.strip()),
        severity=worst_severity(result),
        reason=clean_text(reason) if reason is not None else None,
        partial=result.coverage_percent < 100,
        coverage=Cell(coverage_text(result.coverage_percent), result.coverage_percent),
        cracks=_count(result.cracks.count, known=looked_for(run, "crack")),
        length=_length(result),
        width=_width(result, run),
        rust=_rust(result, run),
        crack_count=result.cracks.count if seen else 0,
        rust_count=result.rust.patch_count if seen else 0,
        links=tuple(
            Link(label, quote(f"structures/{structure.slug}/report.{suffix}"))
            for suffix, label in _REPORT_FORMATS
            if suffix in formats
        ),
    )


def worst_rows(rows: Sequence[IndexRow], *, most: int) -> tuple[IndexRow, ...]:
    """The `most` worst rows in their own order; those that were not inspected go before those of the best states."""
    if len(rows) <= most:
        return tuple(rows)
    ranks = [1.5 if row.reason is not None else row.severity.rank for row in rows]
    kept = sorted(range(len(rows)), key=lambda index: -ranks[index])[:most]
    return tuple(rows[index] for index in sorted(kept))


def _count(count: int, *, known: bool) -> Cell:
    if not known:
        return Cell(NOT_LOOKED_FOR, None)
    return Cell("none found", 0.0) if count == 0 else Cell(str(count), count)


def _length(result: StructureResult) -> Cell:
    length_m = result.cracks.total_length_m
    return Cell(f"{number_text(length_m)} m", length_m) if result.cracks.count else Cell("–", _NOTHING_FOUND)


def _width(result: StructureResult, run: RunIdentity) -> Cell:
    if not result.cracks.count:
        return Cell("–", _NOTHING_FOUND)
    if (widest := widest_text(result)) is not None:
        return Cell(widest, result.cracks.max_width_mm)
    limit_mm = resolvable_width_mm(result, run)
    return Cell(below_text(limit_mm), _BELOW_LIMIT) if limit_mm is not None else Cell(NOT_MEASURED, None)


def _rust(result: StructureResult, run: RunIdentity) -> Cell:
    if not looked_for(run, "rust"):
        return Cell(NOT_LOOKED_FOR, None)
    share = result.rust.percent_of_inspected
    return Cell(share_text(share), share) if result.rust.patch_count else Cell("none found", _NOTHING_FOUND)
