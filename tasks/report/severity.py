"""How bad, by word and by colour: one scale for every page."""

import re
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from segmentation.records import Grade, StructureResult


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
NOTHING_FOUND: Final = Severity("nothing found", "sev-none", 0)
_STATES: Final = {
    "CS1": Severity("CS1 good", "sev-1", 1),
    "CS2": Severity("CS2 fair", "sev-2", 2),
    "CS3": Severity("CS3 poor", "sev-3", 3),
    "CS4": Severity("CS4 severe", "sev-4", 4),
    "low": Severity("low severity", "sev-1", 1),
    "medium": Severity("medium severity", "sev-2", 2),
    "high": Severity("high severity", "sev-3", 3),
    "Ri 0": Severity("rust Ri 0", "sev-1", 1),
    "Ri 1": Severity("rust Ri 1", "sev-1", 1),
    "Ri 2": Severity("rust Ri 2", "sev-2", 2),
    "Ri 3": Severity("rust Ri 3", "sev-2", 2),
    "Ri 4": Severity("rust Ri 4", "sev-3", 3),
    "Ri 5": Severity("rust Ri 5", "sev-4", 4),
}
"""Words of the standards on one scale of colours; the order between standards is our own."""


def severity_of(state: str | None) -> Severity:
    """The step of a state's name; "not graded" for none, and for one that is not on the scale.

    Where a ± leaves several states open, "CS1 or CS2", the words are those and the colour is the worst one's.
    """
    ends = [_STATES[end] for end in re.split(" or | to ", state or "") if end in _STATES]
    if len(ends) < 2:
        return _STATES.get(state or "", NOT_GRADED)
    worst = max(ends, key=lambda severity: severity.rank)
    return replace(worst, word=state or "")


def grade_words(grade: Grade) -> tuple[str, str]:
    """A grade as (its name, its remarks): ``"CS3; seen at 2 mm"`` gives ``("CS3", "seen at 2 mm")``."""
    name, _, remarks = grade.grade.partition(";")
    return name.strip(), remarks.strip()


def unseen_reason(result: StructureResult) -> str | None:
    """Why nothing may be said of this structure; None where some of it was inspected."""
    if result.not_inspected_reason is not None:
        return result.not_inspected_reason
    if not isfinite(result.inspected_area_m2) or result.inspected_area_m2 <= 0:
        return "no pixel of it was inspected"
    return None


def worst_severity(result: StructureResult) -> Severity:
    """The worst step that any standard or any defect of the structure reaches.

    The best step is never said of what was only not found: without a defect it is "nothing found", and with a
    defect that could not be graded and none worse than the best step it is "not graded".
    """
    if unseen_reason(result) is not None:
        return NOT_INSPECTED
    if not result.defects:
        return NOTHING_FOUND
    states = [state for grade in result.grades for state, quantity in grade.quantities.items() if quantity > 0]
    states += [grade_words(grade)[0] for grade in result.grades]
    states += [defect.condition_state for defect in result.defects if defect.condition_state]
    worst = max((severity_of(state) for state in states), key=lambda severity: severity.rank, default=NOT_GRADED)
    ungraded = any(defect.below_resolution for defect in result.defects)
    return NOT_GRADED if ungraded and worst.rank <= 1 else worst
