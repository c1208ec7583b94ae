"""What is compared and what comes out of it: plain frozen data."""

from dataclasses import dataclass
from enum import StrEnum

from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.windows import Window


class Change(StrEnum):
    """What became of a defect between two surveys."""

    NEW = "NEW"
    """Found now, and its place was clean before."""
    GROWN = "GROWN"
    """Larger by more than the combined uncertainty."""
    STATIC = "STATIC"
    """Found both times, without growth beyond the combined uncertainty."""
    REPAIRED = "REPAIRED"
    """Found before, and its place was inspected now and is clean."""
    NOT_SEEN = "NOT SEEN"
    """One of the surveys did not see its place, or could not have seen it there: nothing can be said."""


@dataclass(frozen=True, slots=True)
class SurveyDefect:
    """One defect of one survey, with what a comparison asks of it."""

    id: str
    """Its id in that survey's reports."""
    pixel_class: PixelClass
    geometry: BaseGeometry
    """Centre lines (crack) or outline (rust) in metres of the structure's plane, as its own survey states them."""
    area_m2: float
    gsd_m: float
    """GSD of the raster it was measured in."""
    confidence: float
    """Mean probability of its class, [0, 1]."""
    length_m: float | None = None
    """Length of a crack; None for rust."""
    max_width_mm: float | None = None
    """Largest width; None where it cannot be stated, and for rust."""
    mean_width_mm: float | None = None
    width_uncertainty_mm: float | None = None
    """± of the widths, about 95 %."""
    mean_width_uncertainty_mm: float | None = None
    """± of the mean width; None: not told, that of the widths holds."""
    bridged_m: float = 0.0
    """Share of the length at which it was not seen."""
    condition_state: str | None = None
    raster: str = ""
    """Name of that raster."""
    window: Window | None = None
    """Its pixels in that raster."""
    stable_id: str | None = None
    """The id that it bears from survey to survey; None: it has none yet."""
    carried_from: str | None = None
    """Run key of the survey that measured it, where it was carried over one that did not see its place."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the other survey shows at the place of a defect."""

    inspected_share: float
    """Share of its length or outline that the other survey inspected, [0, 1]."""
    marked_share: float
    """Share at which the other survey's mask holds its class, found or too small to be listed, [0, 1]."""


@dataclass(frozen=True, slots=True)
class SurveyLimits:
    """What a survey lists and can show."""

    gsd_m: float
    min_crack_length_px: float
    min_rust_area_px: float
    looks_for: frozenset[PixelClass]
    """Classes that were looked for."""


@dataclass(frozen=True, slots=True)
class Growth:
    """One size in both surveys; sizes of the older one are in the newer one's scale."""

    older: float
    newer: float
    uncertainty: float
    """± of the difference, about 95 %: both surveys' own and the registration's."""

    @property
    def difference(self) -> float:
        """How much larger it is now."""
        return self.newer - self.older

    @property
    def percent(self) -> float | None:
        """The difference in percent of what it was; None where it was nothing."""
        return 100 * self.difference / self.older if self.older > 0 else None

    @property
    def percent_uncertainty(self) -> float | None:
        """± of `percent`."""
        return 100 * self.uncertainty / self.older if self.older > 0 else None

    @property
    def is_significant(self) -> bool:
        """Whether it is larger by more than the ±."""
        return self.difference > self.uncertainty

    @property
    def is_loss(self) -> bool:
        """Whether it is smaller by more than the ±."""
        return -self.difference > self.uncertainty


@dataclass(frozen=True, slots=True)
class DefectChange:
    """One defect, or what belongs together as one, in both surveys."""

    stable_id: str
    """Lives on from survey to survey."""
    change: Change
    pixel_class: PixelClass
    older_ids: tuple[str, ...]
    """Its parts in the older survey."""
    newer_ids: tuple[str, ...]
    """Its parts in the newer survey."""
    length_m: Growth | None
    """Length at places that both surveys inspected; None for rust and where it was found in one survey alone."""
    max_width_mm: Growth | None
    """Largest width; None where one of the surveys could not state it."""
    area_m2: Growth | None
    """Area of rust at places that both surveys inspected."""
    distance_m: float | None
    """Mean distance between what was matched; None where nothing was."""
    inspected_share: float
    """Share of its place that the other survey inspected."""
    absorbed_ids: tuple[str, ...] = ()
    """Stable ids that go on in this one: cracks that have joined."""
    unseen_in: str | None = None
    """``older`` or ``newer``: which survey did not see its place."""
    remarks: tuple[str, ...] = ()
    """What the reader must know."""
