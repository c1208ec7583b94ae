"""One structure of two published runs: planned as data, then registered, matched and judged wherever that is done.

A structure that cannot be compared is told with its code. Read are windows and tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segmentation.comparison.changes import changes_between
from segmentation.comparison.grids import Extent
from segmentation.comparison.records import DefectChange, SurveyDefect
from segmentation.comparison.registration import IMAGERY, Registration, RegistrationLimits, register
from segmentation.errors import InputRejected, SpanscanError
from tasks.compare.chain import Chain, continued
from tasks.compare.defects import RunDefects
from tasks.compare.imagery import MASKS, RunImagery
from tasks.compare.places import (
    StructurePair,
    StructurePlace,
    local_middle,
    place_of,
    rasters_near,
    same_ground,
)
from tasks.compare.plane import Plane
from tasks.compare.published import PublishedRun, RunRaster, RunStructure
from tasks.compare.sides import SurveySide, sides_of


@dataclass(frozen=True, slots=True)
class NotCompared:
    """Why a structure was not compared."""

    code: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class StructureComparison:
    """One structure in both surveys."""

    older: RunStructure | None
    newer: RunStructure | None
    not_compared: NotCompared | None
    """Set where nothing below means anything."""
    plane: Plane | None = None
    """Metres in which the newer survey states places."""
    older_plane: Plane | None = None
    """Metres in which the older survey states places: the same, but for local frames."""
    extent: Extent | None = None
    registration: Registration | None = None
    changes: tuple[DefectChange, ...] = ()
    older_defects: tuple[SurveyDefect, ...] = ()
    """Registered: where the newer survey states them, in its scale."""
    newer_defects: tuple[SurveyDefect, ...] = ()
    notes: tuple[str, ...] = ()
    """What the reader must know: masks instead of pictures, rasters that are gone."""

    @property
    def id(self) -> str:
        """Id of the structure, in the newer survey where it is there."""
        return self._one.id

    @property
    def name(self) -> str:
        """Its name."""
        return self._one.name

    @property
    def slug(self) -> str:
        """Its folder's name."""
        return self._one.slug

    @property
    def _one(self) -> RunStructure:
        one = self.newer or self.older
        if one is None:
            raise ValueError("a comparison must be of a structure of one of the surveys, got neither")
        return one


@dataclass(frozen=True, slots=True)
class PlannedStructure:
    """A structure that both surveys inspected, and where to look for it; cheap to send to another process."""

    older: RunStructure
    newer: RunStructure
    place: StructurePlace
    """As the newer survey states it."""
    older_plane: Plane
    older_rasters: tuple[RunRaster, ...]
    """Those of the older survey that may show it, the finest first."""
    newer_rasters: tuple[RunRaster, ...]
    earlier: Mapping[str, Any] | None
    """What the `Chain` of the older survey says of it."""


@dataclass(frozen=True, slots=True)
class SurveySources:
    """Pixels and defects of one survey, as a process holds them open for structure after structure."""

    imagery: RunImagery
    defects: RunDefects


def planned(
    pair: StructurePair, older_run: PublishedRun, newer_run: PublishedRun, chain: Chain
) -> PlannedStructure | StructureComparison:
    """Where to look for a structure in both surveys; a comparison that tells why not where it cannot be compared."""
    older = None if pair.older is None else older_run.structure(pair.older)
    newer = None if pair.newer is None else newer_run.structure(pair.newer)
    if older is None or newer is None:
        name = "older" if older is None else "newer"
        absent = NotCompared(
            "E_ONE_SURVEY", f"both surveys must list it, got it not in the {name} one", "inspect it in both surveys"
        )
        return StructureComparison(older, newer, absent)
    try:
        return _planned(older, newer, older_run, newer_run, chain)
    except SpanscanError as error:
        return _refused(older, newer, error)


def compared(
    one: PlannedStructure, before: SurveySources, now: SurveySources, limits: RegistrationLimits
) -> StructureComparison:
    """What has become of a structure's defects; one that cannot be compared is told with its code."""
    try:
        return _compared(one, before, now, limits)
    except SpanscanError as error:
        return _refused(one.older, one.newer, error)


def _refused(older: RunStructure, newer: RunStructure, error: SpanscanError) -> StructureComparison:
    return StructureComparison(older, newer, NotCompared(error.code, error.cause, error.remedy))


def _planned(
    older: RunStructure, newer: RunStructure, older_run: PublishedRun, newer_run: PublishedRun, chain: Chain
) -> PlannedStructure:
    for structure, which in ((older, "older"), (newer, "newer")):
        if structure.not_inspected_reason is not None:
            cause = f"both surveys must have inspected it, got in the {which} one: {structure.not_inspected_reason}"
            raise InputRejected("E_NOT_INSPECTED", structure.name, cause, "inspect it again")
    place, other = place_of(newer_run, newer), place_of(older_run, older)
    if not all(same_ground([(place, other)])):
        cause = "both surveys must state it at the same place, got places that do not touch"
        raise InputRejected("E_OTHER_PLACE", newer.name, cause, "check its footprint and the CRS in both surveys")
    older_plane = local_middle(other) or place.plane
    return PlannedStructure(
        older,
        newer,
        place,
        older_plane,
        older_rasters=rasters_near(older_run, older_plane, place.extent),
        newer_rasters=rasters_near(newer_run, place.plane, place.extent),
        earlier=chain.of(older.id),
    )


def _compared(
    one: PlannedStructure, before: SurveySources, now: SurveySources, limits: RegistrationLimits
) -> StructureComparison:
    then_side = SurveySide(before.imagery, one.older_rasters, one.older_plane)
    now_side = SurveySide(now.imagery, one.newer_rasters, one.place.plane)
    registration, notes = _registered(one.newer.name, one.place.extent, then_side, now_side, limits)
    then = continued(one.earlier, before.defects.of(one.older, one.older_plane), one.older_plane)
    today = now.defects.of(one.newer, one.place.plane)
    older_side, newer_side = sides_of(then, today, registration, then_side, now_side)
    return StructureComparison(
        older=one.older,
        newer=one.newer,
        not_compared=None,
        plane=one.place.plane,
        older_plane=one.older_plane,
        extent=one.place.extent,
        registration=registration,
        changes=changes_between(older_side, newer_side, registration, one.place.extent),
        older_defects=older_side.defects,
        newer_defects=newer_side.defects,
        notes=notes,
    )


def _registered(
    name: str, extent: Extent, before: SurveySide, now: SurveySide, limits: RegistrationLimits
) -> tuple[Registration, tuple[str, ...]]:
    named = ((before, "older"), (now, "newer"))
    for side, which in named:
        if not side.rasters:
            cause = f"a raster of the {which} survey must show it, got none"
            raise InputRejected("E_NO_RASTER", name, cause, "check its footprint and the CRS of the rasters")
    of, notes = IMAGERY, []
    for side, which in named:
        gone = [raster for raster in side.rasters if side.imagery.reader(raster) is None]
        if len(gone) == len(side.rasters):
            of = MASKS
            why = side.imagery.missing[gone[0].name]
            notes.append(f"registered by the masks: the imagery of the {which} survey cannot be read ({why})")
    gsd_m = max(side.rasters[0].gsd_m for side, _ in named)
    made = register(before.pictures(of), now.pictures(of), extent, gsd_m=gsd_m, of=of, subject=name, limits=limits)
    return made, tuple(notes)
