"""One survey's side of a structure: where its pixels and masks are, and what the other survey shows of its defects."""

from dataclasses import dataclass, replace
from functools import partial

from segmentation.comparison.changes import registered
from segmentation.comparison.records import SurveyDefect
from segmentation.comparison.registration import IMAGERY, Registration
from segmentation.comparison.sides import Compared
from segmentation.comparison.similarity import Points
from segmentation.comparison.visibility import gain_was_there, in_older, looked_for
from tasks.compare.imagery import PlanePictures, RunImagery
from tasks.compare.plane import Plane
from tasks.compare.published import RunRaster
from tasks.compare.seen import places_along, seen_in

_REACH_PX = 2
"""How far from a defect's place the other mask may mark it."""


@dataclass(frozen=True)
class SurveySide:
    """What one survey holds of a structure."""

    imagery: RunImagery
    rasters: tuple[RunRaster, ...]
    """Those that may show it, the finest first."""
    plane: Plane

    def pictures(self, of: str) -> PlanePictures:
        """Its pictures, of the imagery or of the masks."""
        return PlanePictures(self.imagery, self.rasters, self.plane, of=of)


def sides_of(
    then: tuple[SurveyDefect, ...],
    now: tuple[SurveyDefect, ...],
    registration: Registration,
    before: SurveySide,
    after: SurveySide,
) -> tuple[Compared, Compared]:
    """Both surveys' defects, the older ones registered, with what the other survey shows at their places."""
    laid = registered(then, registration)
    back = registration.older_to_newer.inverse()
    points, weights = places_along(laid)
    seen_now = seen_in(after.imagery.run, after.rasters, after.plane, laid, points, weights, reach_px=_REACH_PX)
    points, weights = places_along(now)
    there: list[Points] = [back.of(one) for one in points]
    seen_then = seen_in(before.imagery.run, before.rasters, before.plane, now, there, weights, reach_px=_REACH_PX)
    look_then = look_now = look_at_gain = None
    if registration.of == IMAGERY:
        read_older, read_newer = in_older(before.pictures(IMAGERY), back.matrix()), after.pictures(IMAGERY)
        look_then = partial(looked_for, read_own=read_older, read_other=read_newer, gsd_m=registration.gsd_m)
        look_now = partial(looked_for, read_own=read_newer, read_other=read_older, gsd_m=registration.gsd_m)
        look_at_gain = partial(gain_was_there, read_older=read_older, gsd_m=registration.gsd_m)
    limits = before.imagery.run.limits(before.rasters[0].gsd_m)
    limits = replace(limits, gsd_m=limits.gsd_m * registration.older_to_newer.scale)
    newer_limits = after.imagery.run.limits(after.rasters[0].gsd_m)
    return (
        Compared(before.imagery.run.run_key, laid, seen_now, limits, look_then),
        Compared(after.imagery.run.run_key, now, seen_then, newer_limits, look_now, look_at_gain),
    )
