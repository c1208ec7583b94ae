"""One survey's side of a comparison: its defects, and what the other survey shows at their places."""

from dataclasses import dataclass

from segmentation.comparison.records import Seen, SurveyDefect, SurveyLimits
from segmentation.comparison.visibility import Look, LookAtGain, Visible


@dataclass(frozen=True, slots=True)
class Compared:
    """One survey's side of the comparison."""

    run_key: str
    defects: tuple[SurveyDefect, ...]
    seen: tuple[Seen, ...]
    """What the *other* survey shows at the place of each defect."""
    limits: SurveyLimits
    look: Look | None = None
    """Looks for one of its defects in the *other* survey's picture; None: there is none to look at."""

    look_at_gain: LookAtGain | None = None
    """Tells of what this survey found beyond the *other* whether the other's picture shows it; None: no picture."""

    def shown(self, index: int) -> Visible | None:
        """What the other survey's picture shows of a defect; None where that cannot be told."""
        return None if self.look is None else self.look(self.defects[index])
