"""The comparison of two runs as data: `comparison.json`, schema ``spanscan/comparison/1``."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

import numpy as np
import shapely

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.comparison.changes import CONFIDENCE_PERCENT
from segmentation.comparison.records import Change, DefectChange, Growth, SurveyDefect
from segmentation.comparison.registration import Registration
from segmentation.comparison.uncertainty import (
    area_uncertainty_m2,
    combined,
    length_uncertainty_m,
)
from tasks.compare.compare import RunComparison
from tasks.compare.plane import EarthPlane
from tasks.compare.published import PublishedRun
from tasks.compare.structure import StructureComparison
from tasks.report.record import finite, geometry_json

SCHEMA_NAME: Final = "spanscan/comparison/1"
SCHEMA_VERSION: Final = "1.0"
RULE: Final = (
    "GROWN: length, largest width or rusted area larger by more than the combined ± of both surveys and of the "
    "registration; a smaller change is STATIC. REPAIRED: nothing left of it at a place that was inspected and could "
    "have shown it. NOT SEEN: one survey did not inspect its place or could not have listed it there."
)


@cache
def _schema_text() -> str:
    return files("tasks.compare").joinpath("comparison.schema.json").read_text(encoding="utf-8")


def comparison_schema() -> dict[str, Any]:
    """The JSON Schema of `comparison_json`'s result (draft 2020-12)."""
    schema: dict[str, Any] = json.loads(_schema_text())
    return schema


def comparison_json(comparison: RunComparison) -> dict[str, Any]:
    """The comparison as JSON data; sizes of the older survey are in the newer one's scale."""
    return {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "older": run_facts(comparison.older, comparison, which="older"),
        "newer": run_facts(comparison.newer, comparison, which="newer"),
        "spanscan_version": version("spanscan"),
        "confidence_percent": CONFIDENCE_PERCENT,
        "rule": RULE,
        "structures": [_structure(one, comparison) for one in comparison.structures],
    }


def run_facts(run: PublishedRun, comparison: RunComparison, *, which: str) -> dict[str, Any]:
    """What is told of one of the runs."""
    reports = (getattr(one, which) for one in comparison.structures)
    stated: dict[str, Any] = next((report.report["run"] for report in reports if report is not None), {})
    return {"survey_id": run.survey_id, "run_key": run.run_key, "captured_at": stated.get("captured_at")}


def counts_of(changes: Sequence[DefectChange]) -> dict[str, int]:
    """How many changes of each kind there are."""
    return {change.value: sum(one.change == change for one in changes) for change in Change}


def _structure(one: StructureComparison, comparison: RunComparison) -> dict[str, Any]:
    report = (one.newer or one.older).report["structure"]  # type: ignore[union-attr]
    refused = one.not_compared
    sides = {defect.id: defect for defect in one.older_defects}, {defect.id: defect for defect in one.newer_defects}
    return {
        "structure": {key: report[key] for key in ("id", "name", "kind", "material")},
        "older_id": None if one.older is None else one.older.id,
        "not_compared": None
        if refused is None
        else {"code": refused.code, "cause": refused.cause, "remedy": refused.remedy},
        "registration": None if one.registration is None else _registration(one.registration),
        "notes": list(one.notes),
        "counts": counts_of(one.changes) if refused is None else None,
        "changes": _changes(one, sides),
        "carried": _carried(one, comparison.older.run_key, sides[0]),
    }


def _registration(made: Registration) -> dict[str, Any]:
    lay = made.older_to_newer
    return {
        "of": made.of,
        "shift_east_m": finite(lay.shift_x_m),
        "shift_north_m": finite(lay.shift_y_m),
        "shift_px": finite(made.shift_px, digits=4),
        "rotation_deg": finite(lay.rotation_deg),
        "scale": finite(lay.scale, digits=7),
        "residual_mm": finite(made.residual_m * 1000, digits=3),
        "residual_px": finite(made.residual_px, digits=3),
        "gsd_mm": finite(made.gsd_m * 1000),
        "places_agreed": made.agreed,
        "places": made.answers,
    }


Sides = tuple[Mapping[str, SurveyDefect], Mapping[str, SurveyDefect]]
Parts = tuple[list[SurveyDefect], list[SurveyDefect]]
"""What a change is of in the older and in the newer survey."""


def _changes(one: StructureComparison, sides: Sides) -> list[dict[str, Any]]:
    parts = [_parts(change, sides) for change in one.changes]
    places = lonlat_json([now or before for before, now in parts], one)
    return [_change(*both) for both in zip(one.changes, parts, places, strict=True)]


def _change(change: DefectChange, parts: Parts, place: dict[str, Any] | None) -> dict[str, Any]:
    before, now = parts
    return {
        "stable_id": change.stable_id,
        "change": change.change.value,
        "class": CLASS_NAMES[change.pixel_class],
        "older_ids": list(change.older_ids),
        "newer_ids": list(change.newer_ids),
        "absorbed_ids": list(change.absorbed_ids),
        "unseen_in": change.unseen_in,
        "inspected_share": round(change.inspected_share, 3),
        "distance_mm": finite(None if change.distance_m is None else change.distance_m * 1000, digits=3),
        "length_m": _growth(change.length_m),
        "max_width_mm": _growth(change.max_width_mm),
        "area_m2": _growth(change.area_m2),
        "older_size": size_json(before),
        "newer_size": size_json(now),
        "remarks": list(change.remarks),
        "geometry": place,
    }


def _parts(change: DefectChange, sides: Sides) -> Parts:
    return [sides[0][i] for i in change.older_ids], [sides[1][i] for i in change.newer_ids]


def _growth(growth: Growth | None) -> dict[str, Any] | None:
    if growth is None:
        return None
    return {
        "older": finite(growth.older),
        "newer": finite(growth.newer),
        "difference": finite(growth.difference, digits=4),
        "uncertainty": finite(growth.uncertainty, digits=3),
        "percent": finite(growth.percent, digits=4),
        "percent_uncertainty": finite(growth.percent_uncertainty, digits=3),
        "significant": growth.is_significant,
    }


def size_json(parts: Sequence[SurveyDefect]) -> dict[str, Any] | None:
    """What one survey measured of a defect, all of it; None where it did not find it."""
    if not parts:
        return None
    is_crack = parts[0].pixel_class == PixelClass.CRACK
    widths = [defect for defect in parts if defect.max_width_mm is not None]
    widest = max(widths, key=lambda defect: defect.max_width_mm or 0.0, default=None)
    return {
        "length_m": finite(sum(d.length_m or 0.0 for d in parts)) if is_crack else None,
        "length_uncertainty_m": finite(combined(length_uncertainty_m(d) for d in parts), digits=3)
        if is_crack
        else None,
        "max_width_mm": None if widest is None else finite(widest.max_width_mm, digits=4),
        "width_uncertainty_mm": None if widest is None else finite(widest.width_uncertainty_mm, digits=3),
        "area_m2": finite(sum(d.area_m2 for d in parts)),
        "area_uncertainty_m2": None if is_crack else finite(combined(area_uncertainty_m2(d) for d in parts), digits=3),
    }


def lonlat_json(all_parts: Sequence[Sequence[SurveyDefect]], one: StructureComparison) -> list[dict[str, Any] | None]:
    """The place of each defect, given by its parts, as the newer survey states it; None without one on the earth."""
    if not isinstance(one.plane, EarthPlane):
        return [None] * len(all_parts)
    merged = [
        shapely.union_all([defect.geometry for defect in parts]) if len(parts) > 1 else parts[0].geometry
        for parts in all_parts
    ]
    # All at once: a call of PROJ takes its time.
    placed = shapely.transform(np.array(merged, object), one.plane.to_lonlat)
    return [geometry_json(geometry) for geometry in placed]


def _carried(one: StructureComparison, older_key: str, before: Mapping[str, SurveyDefect]) -> list[dict[str, Any]]:
    """The defects that the newer survey did not see, for the survey after it."""
    carried = []
    unseen = [c for c in one.changes if c.change == Change.NOT_SEEN and not c.newer_ids]
    defects = [before[own_id] for change in unseen for own_id in change.older_ids]
    places = lonlat_json([[defect] for defect in defects], one)
    for change, defect, place in zip(unseen, defects, places, strict=True):
        carried.append(
            {
                "id": defect.id,
                "run_key": defect.carried_from or older_key,
                "stable_id": change.stable_id,
                "class": CLASS_NAMES[defect.pixel_class],
                "length_m": defect.length_m,
                "max_width_mm": defect.max_width_mm,
                "mean_width_mm": defect.mean_width_mm,
                "width_uncertainty_mm": defect.width_uncertainty_mm,
                "bridged_m": defect.bridged_m,
                "area_m2": defect.area_m2,
                "confidence": defect.confidence,
                "gsd_mm": defect.gsd_m * 1000,
                "condition_state": defect.condition_state,
                "geometry": place,
            }
        )
    return [one_carried for one_carried in carried if one_carried["geometry"] is not None]
