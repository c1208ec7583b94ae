"""How bad, by word and by colour: one scale for every page."""

from dataclasses import dataclass
from math import isfinite
from typing import Final

from segmentation.records import StructureResult


@dataclass(frozen=True, slots=True)
class Severity:
    """One step of the scale."""

    word: str
    """What the reader reads."""
    css: str
    """Class name in the style sheet."""
    rank: int
    """Larger is worse; negative where nothing can be said."""


NOT_INSPECTED: Final = Severity("not inspected", "sev-unseen", -2)
NOT_GRADED: Final = Severity("not graded", "sev-none", -1)
_STATES: Final = {
    "CS1": Severity("CS1 good", "sev-1", 1),
    "CS2": Severity("CS2 fair", "sev-2", 2),
    "CS3": Severity("CS3 poor", "sev-3", 3),
    "CS4": Severity("CS4 severe", "sev-4", 4),
}


def severity_of(condition_state: str | None) -> Severity:
    """The step of a condition state; "not graded" for none, and for one that is not on the scale."""
    return _STATES.get(condition_state or "", NOT_GRADED)


def unseen_reason(result: StructureResult) -> str | None:
    """Why nothing may be said of this structure; None where some of it was inspected."""
    if result.not_inspected_reason is not None:
        return result.not_inspected_reason
    if not isfinite(result.inspected_area_m2) or result.inspected_area_m2 <= 0:
        return "no pixel of it was inspected"
    return None


def worst_severity(result: StructureResult) -> Severity:
    """The worst step that any standard or any defect of the structure reaches."""
    if unseen_reason(result) is not None:
        return NOT_INSPECTED
    states = [state for grade in result.grades for state, quantity in grade.quantities.items() if quantity > 0]
    states += [grade.grade for grade in result.grades]
    states += [defect.condition_state for defect in result.defects if defect.condition_state]
    return max((severity_of(state) for state in states), key=lambda severity: severity.rank, default=NOT_GRADED)
