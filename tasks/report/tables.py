"""Rows of the report's smaller tables: components, and cracks beside reference widths."""

from dataclasses import dataclass

from segmentation.records import LimitComparison, LimitLine, RunIdentity, StructureResult
from tasks.report.findings import widest_text
from tasks.report.method import resolvable_width_mm
from tasks.report.severity import Severity, grade_words, unseen_reason, worst_severity
from tasks.report.wording import (
    NOT_MEASURED,
    area_text,
    below_text,
    clean_text,
    coverage_text,
    number_text,
    share_text,
    with_unit,
)


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One named part of the structure with its own quantities."""

    name: str
    kind: str
    """Kind and material."""
    severity: Severity
    reason: str | None
    """Why nothing is said of it; None where it was inspected."""
    inspected: str
    """Area and coverage."""
    cracks: str
    width: str
    rust: str
    grades: tuple[str, ...]
    """Standard and grade, one each."""


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One reference width."""

    standard: str
    limit: str
    conditions: str
    over: str
    """Cracks surely wider, with their length."""
    unclear: str
    """Cracks whose ± straddles it."""
    remark: str
    """What cannot be said."""


def component_rows(result: StructureResult, run: RunIdentity) -> tuple[ComponentRow, ...]:
    """One row per component, in the order of the file."""
    return tuple(_component(component, run) for component in result.components)


def limit_rows(result: StructureResult) -> tuple[LimitRow, ...]:
    """One row per reference width of every standard that applies; empty where nothing was inspected."""
    if unseen_reason(result) is not None:
        return ()
    return tuple(_limit(comparison, line) for comparison in result.limit_comparisons for line in comparison.lines)


def _component(component: StructureResult, run: RunIdentity) -> ComponentRow:
    structure, reason = component.structure, unseen_reason(component)
    cracks, rust = component.cracks, component.rust
    limit_mm = resolvable_width_mm(component, run)
    thin = below_text(limit_mm) if limit_mm is not None else NOT_MEASURED
    return ComponentRow(
        name=clean_text(structure.name) or clean_text(structure.id),
        kind=" · ".join(clean_text(word) for word in (structure.kind, structure.material) if word.strip()),
        severity=worst_severity(component),
        reason=clean_text(reason) if reason is not None else None,
        inspected=f"{area_text(component.inspected_area_m2)} ({coverage_text(component.coverage_percent)})",
        cracks=f"{cracks.count}, {with_unit(cracks.total_length_m, 'm')}" if cracks.count else "none found",
        width=(widest_text(component) or thin) if cracks.count else "–",
        rust=f"{area_text(rust.area_m2)}, {share_text(rust.percent_of_inspected)}"
        if rust.patch_count
        else "none found",
        grades=tuple(clean_text(f"{grade.standard}: {grade_words(grade)[0]}") for grade in component.grades),
    )


def _limit(comparison: LimitComparison, line: LimitLine) -> LimitRow:
    remarks = []
    if comparison.not_compared_count:
        length = with_unit(comparison.not_compared_length_m, "m")
        remarks.append(f"{comparison.not_compared_count} below resolution ({length}) not compared")
    if line.below_a_pixel:
        remarks.append("narrower than a pixel: wider cracks may be there unseen")
    return LimitRow(
        standard=clean_text(f"{comparison.standard}, {comparison.version}"),
        limit=with_unit(line.limit_mm, "mm", digits=2),
        conditions=clean_text(line.conditions),
        over=_counted(line.over_count, line.over_length_m),
        unclear=_counted(line.unclear_count, line.unclear_length_m),
        remark="; ".join(remarks),
    )


def _counted(count: int, length_m: float) -> str:
    return f"{count} ({number_text(length_m)} m)" if count else "0"
