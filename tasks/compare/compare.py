"""Compare two published runs structure by structure: register, match, say what became of each defect.

A structure that cannot be compared is told with its code, and the others go on. Read are windows and tables, one
structure at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from segmentation.comparison.changes import changes_between
from segmentation.comparison.grids import Extent
from segmentation.comparison.records import DefectChange, SurveyDefect
from segmentation.comparison.registration import IMAGERY, Registration, RegistrationLimits, register
from segmentation.errors import InputRejected, SpanscanError
from tasks.compare.chain import Chain
from tasks.compare.defects import RunDefects
from tasks.compare.imagery import MASKS, ReadingRules, RunImagery
from tasks.compare.places import (
    StructurePair,
    local_middle,
    paired_structures,
    place_of,
    rasters_near,
    same_ground,
)
from tasks.compare.plane import Plane
from tasks.compare.published import PublishedRun, RunStructure
from tasks.compare.sides import SurveySide, sides_of
from tasks.storage import printable


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
class RunComparison:
    """Two published runs, structure by structure."""

    older: PublishedRun
    newer: PublishedRun
    structures: tuple[StructureComparison, ...]


def compare_runs(
    older: PublishedRun,
    newer: PublishedRun,
    *,
    rules: ReadingRules,
    limits: RegistrationLimits,
    on_structure: Callable[[int, int], None],
) -> RunComparison:
    """Compare two published runs; `on_structure(done, all)` is called as structures are done.

    Raises InputRejected E_SAME_RUN for a run and itself, E_NO_COMMON_STRUCTURE where they have none in common.
    """
    if older.run_key == newer.run_key:
        cause = f"two different runs must be compared, got {older.run_key} twice"
        raise InputRejected("E_SAME_RUN", newer.survey_id, cause, "name an older survey of the same structures")
    pairs = paired_structures(older, newer)
    if not any(pair.older is not None and pair.newer is not None for pair in pairs):
        raise InputRejected(
            "E_NO_COMMON_STRUCTURE",
            f"{printable(older.survey_id)} and {printable(newer.survey_id)}",
            "the surveys must have a structure in common, got none of the same id or name",
            "give the structures the same ids in both structures.geojson",
        )
    made = []
    sources = RunDefects(older), RunDefects(newer)
    chain = Chain(older)
    with RunImagery(older, rules) as before, RunImagery(newer, rules) as now:
        for pair in pairs:
            made.append(_compared(pair, before, now, sources, chain, limits))
            on_structure(len(made), len(pairs))
    return RunComparison(older, newer, tuple(made))


def _compared(
    pair: StructurePair,
    before: RunImagery,
    now: RunImagery,
    sources: tuple[RunDefects, RunDefects],
    chain: Chain,
    limits: RegistrationLimits,
) -> StructureComparison:
    older = None if pair.older is None else before.run.structure(pair.older)
    newer = None if pair.newer is None else now.run.structure(pair.newer)
    if older is None or newer is None:
        name = "older" if older is None else "newer"
        absent = NotCompared(
            "E_ONE_SURVEY", f"both surveys must list it, got it not in the {name} one", "inspect it in both surveys"
        )
        return StructureComparison(older, newer, absent)
    try:
        return _both(older, newer, before, now, sources, chain, limits)
    except SpanscanError as error:
        return StructureComparison(older, newer, NotCompared(error.code, error.cause, error.remedy))


def _both(
    older: RunStructure,
    newer: RunStructure,
    before: RunImagery,
    now: RunImagery,
    sources: tuple[RunDefects, RunDefects],
    chain: Chain,
    limits: RegistrationLimits,
) -> StructureComparison:
    for structure, which in ((older, "older"), (newer, "newer")):
        if structure.not_inspected_reason is not None:
            cause = f"both surveys must have inspected it, got in the {which} one: {structure.not_inspected_reason}"
            raise InputRejected("E_NOT_INSPECTED", structure.name, cause, "inspect it again")
    place, other = place_of(now.run, newer), place_of(before.run, older)
    if not all(same_ground([(place, other)])):
        cause = "both surveys must state it at the same place, got places that do not touch"
        raise InputRejected("E_OTHER_PLACE", newer.name, cause, "check its footprint and the CRS in both surveys")
    older_plane = local_middle(other) or place.plane
    then_side = SurveySide(before, rasters_near(before.run, older_plane, place.extent), older_plane)
    now_side = SurveySide(now, rasters_near(now.run, place.plane, place.extent), place.plane)
    registration, notes = _registered(newer.name, place.extent, then_side, now_side, limits)
    then = chain.continued(older.id, sources[0].of(older, older_plane), older_plane)
    older_side, newer_side = sides_of(then, sources[1].of(newer, place.plane), registration, then_side, now_side)
    return StructureComparison(
        older=older,
        newer=newer,
        not_compared=None,
        plane=place.plane,
        older_plane=older_plane,
        extent=place.extent,
        registration=registration,
        changes=changes_between(older_side, newer_side, registration, place.extent),
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
