"""Ids that live on: what the older run's own comparison says of its defects, and those that it did not see."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import shapely
from shapely.geometry import shape

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.comparison.records import SurveyDefect
from tasks.compare.plane import EarthPlane, Plane
from tasks.compare.published import PublishedRun

FOLDER: Final = "comparisons"
RECORD: Final = "comparison.json"


def comparison_records(run: PublishedRun) -> list[dict[str, Any]]:
    """The comparisons that a run carries, of the latest older survey first."""
    keys = [info.key for info in run.storage.list(f"{FOLDER}/", recursive=True) if info.key.endswith(f"/{RECORD}")]
    records = [json.loads(run.storage.read(key)) for key in keys]
    return sorted(records, key=lambda one: (one["older"]["captured_at"] or "", one["older"]["run_key"]), reverse=True)


class Chain:
    """What a run's comparison with its own predecessor says of each structure, where there is one."""

    def __init__(self, run: PublishedRun) -> None:
        records = comparison_records(run)
        self._by_structure: dict[str, dict[str, Any]] = {}
        if records:
            self._by_structure = {one["structure"]["id"]: one for one in records[0]["structures"]}

    def of(self, structure_id: str) -> dict[str, Any] | None:
        """That of one structure; None where it was not compared."""
        earlier = self._by_structure.get(structure_id)
        return None if earlier is None or earlier["not_compared"] is not None else earlier


def continued(
    earlier: Mapping[str, Any] | None, defects: tuple[SurveyDefect, ...], plane: Plane
) -> tuple[SurveyDefect, ...]:
    """A structure's defects with their stable ids, and those that its run did not see, as they were last measured.

    `earlier` is what the `Chain` of the run says of the structure.
    """
    if earlier is None:
        return defects
    stable = {newer_id: change["stable_id"] for change in earlier["changes"] for newer_id in change["newer_ids"]}
    own = tuple(replace(defect, stable_id=stable.get(defect.id)) for defect in defects)
    if not isinstance(plane, EarthPlane):
        return own
    return (*own, *(_carried(one, plane) for one in earlier["carried"]))


def _carried(one: dict[str, Any], plane: EarthPlane) -> SurveyDefect:
    """A defect that the run did not see, where that run would state it."""
    return SurveyDefect(
        id=one["id"],
        pixel_class=PixelClass(CLASS_NAMES.index(one["class"])),
        geometry=shapely.transform(shape(one["geometry"]), plane.of_lonlat),
        area_m2=one["area_m2"],
        gsd_m=one["gsd_mm"] / 1000,
        confidence=one["confidence"],
        length_m=one["length_m"],
        max_width_mm=one["max_width_mm"],
        mean_width_mm=one["mean_width_mm"],
        width_uncertainty_mm=one["width_uncertainty_mm"],
        bridged_m=one["bridged_m"],
        condition_state=one["condition_state"],
        stable_id=one["stable_id"],
        carried_from=one["run_key"],
    )
