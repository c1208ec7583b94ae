"""From decisions to figures: a structure's result computed again from the defects that a person left standing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.measurement.grading import Standard
from segmentation.measurement.summary import summarise
from segmentation.records import Defect, StructureResult
from tasks.report.review import DecidedDefect, StructureReview
from tasks.report.severity import unseen_reason
from tasks.review.decisions import Decision, other_class

AsRust = Callable[[Defect], Defect]
"""Gives a crack the outline of its pixels, as a rust patch has one."""
_NO_AREA = 1e-9
"""A smaller share of a structure outside its components is rounding."""


@dataclass(frozen=True, slots=True)
class Grading:
    """What the run's figures were computed with."""

    standards: tuple[Standard, ...]
    min_rust_area_px: int


def reviewed_result(
    machine: StructureResult, latest: Mapping[str, Decision], *, grading: Grading, as_rust: AsRust
) -> StructureResult:
    """The result of what was accepted or not decided on, summed and graded by the functions of the run itself.

    A crack that is rust counts with the area of its pixels; a rust patch that is a crack counts nowhere, since its
    length and width are not known. Where nothing was inspected, or no decision changes anything, the machine's result
    stands as it is.
    """
    if unseen_reason(machine) is not None or not any(_changes(latest.get(d.id)) for d in machine.defects):
        return machine
    structure = machine.structure
    components = tuple(
        _summed(part, part.defects, latest, grading, as_rust, kinds=f"{structure.kind} {part.structure.kind}")
        for part in machine.components
    )
    own = [defect for defect in machine.defects if defect.component_id is None]
    return _summed(machine, own, latest, grading, as_rust, kinds=structure.kind, components=components)


def structure_review(
    machine: StructureResult, latest: Mapping[str, Decision], *, revision: int, issued_at: str
) -> StructureReview:
    """What the report of a structure says of its review."""
    decided = [(defect, latest[defect.id]) for defect in machine.defects if defect.id in latest]
    return StructureReview(
        revision=revision,
        issued_at=issued_at,
        machine=machine,
        decided=tuple(
            DecidedDefect(
                defect=defect,
                verdict=decision.verdict,
                final_class=_final_class(decision),
                reviewer=decision.reviewer,
                decided_at=decision.decided_at,
                comment=decision.comment,
                decisions=decision.number,
            )
            for defect, decision in decided
            if decision.stands
        ),
    )


def _changes(decision: Decision | None) -> bool:
    return decision is not None and decision.verdict in ("reject", "reclass")


def _final_class(decision: Decision) -> PixelClass | None:
    return None if decision.final_class is None else PixelClass(CLASS_NAMES.index(decision.final_class))


def _summed(
    machine: StructureResult,
    own: Sequence[Defect],
    latest: Mapping[str, Decision],
    grading: Grading,
    as_rust: AsRust,
    *,
    kinds: str,
    components: Sequence[StructureResult] = (),
) -> StructureResult:
    area_m2, gsd_mm = _own_places(machine)
    return summarise(
        machine.structure,
        defects=tuple(_standing(own, latest, as_rust)),
        inspected_area_m2=area_m2,
        footprint_area_m2=machine.footprint_area_m2,
        gsd_mm=gsd_mm,
        standards=grading.standards,
        min_rust_area_px=grading.min_rust_area_px,
        components=components,
        kinds=kinds,
        not_inspected_reason=machine.not_inspected_reason,
    )


def _standing(defects: Iterable[Defect], latest: Mapping[str, Decision], as_rust: AsRust) -> Iterable[Defect]:
    for defect in defects:
        decision = latest.get(defect.id)
        if decision is None or not _changes(decision):
            yield defect
        elif decision.verdict == "reclass" and other_class(defect.pixel_class, "reclass") is PixelClass.RUST:
            yield as_rust(defect)


def _own_places(machine: StructureResult) -> tuple[float, float | None]:
    """Inspected area and GSD of the places outside the components: what `summarise` takes, from what it gave."""
    parts = [(one.inspected_area_m2, one.gsd_mm) for one in machine.components if one.gsd_mm is not None]
    if not parts or machine.gsd_mm is None:
        return machine.inspected_area_m2, machine.gsd_mm
    area_m2 = machine.inspected_area_m2 - sum(area for area, _ in parts)
    if area_m2 <= _NO_AREA * machine.inspected_area_m2:
        return 0.0, None
    weighted = machine.gsd_mm * machine.inspected_area_m2 - sum(area * gsd for area, gsd in parts)
    return area_m2, weighted / area_m2
