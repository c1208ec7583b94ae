"""The report of one structure as data: `report.json`, schema ``spanscan/report/1``."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import isfinite
from typing import Any, Final

from shapely import get_coordinates, set_coordinates
from shapely.geometry import MultiPolygon, Polygon, mapping
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from segmentation.classes import CLASS_NAMES
from segmentation.records import CrackMeasure, Defect, Grade, RunIdentity, StructureResult
from tasks.report.severity import unseen_reason
from tasks.report.wording import round_significant, stated_width_mm

SCHEMA_NAME: Final = "spanscan/report/1"
_DEGREE_DECIMALS: Final = 9
"""0.1 mm on the ground, a tenth of a small pixel."""


@cache
def _schema_text() -> str:
    return files("tasks.report").joinpath("report.schema.json").read_text(encoding="utf-8")


def report_schema() -> dict[str, Any]:
    """The JSON Schema of `report_json`'s result (draft 2020-12)."""
    schema: dict[str, Any] = json.loads(_schema_text())
    return schema


def report_json(result: StructureResult, *, run: RunIdentity) -> dict[str, Any]:
    """The report as JSON data of schema ``spanscan/report/1``; figures that are not known are null, never NaN.

    Where nothing was inspected every figure of cracks and rust is null, so that none can be read as "clean".
    """
    seen = unseen_reason(result) is None
    return {
        "schema": SCHEMA_NAME,
        "structure": _structure(result),
        "not_inspected_reason": unseen_reason(result),
        "cracks": _cracks(result, seen=seen),
        "rust": _rust(result, seen=seen),
        "defects": [_defect(defect) for defect in result.defects] if seen else [],
        "grades": [_grade(grade) for grade in result.grades] if seen else [],
        "run": run_json(run),
    }


def run_json(run: RunIdentity) -> dict[str, Any]:
    """The identity of the run as JSON data."""
    return {
        "run_key": run.run_key,
        "survey_id": run.survey_id,
        "captured_at": run.captured_at,
        "operator": run.operator,
        "model": {"name": run.model.name, "sha256": run.model.sha256},
        "settings": {key: _setting(value) for key, value in sorted(run.settings.items())},
        "spanscan_version": run.spanscan_version,
        "warnings": list(run.warnings),
    }


def finite(value: float | None, *, digits: int = 6) -> float | None:
    """A figure with at most `digits` significant digits; None for none, NaN and infinity."""
    return None if value is None or not isfinite(value) else round_significant(float(value), digits)


def geometry_json(geometry: BaseGeometry | None) -> dict[str, Any] | None:
    """A WGS 84 geometry as RFC 7946 says it: longitude first, outer rings counter-clockwise; None for none."""
    if geometry is None or geometry.is_empty:
        return None
    if isinstance(geometry, Polygon):
        geometry = orient(geometry)
    elif isinstance(geometry, MultiPolygon):
        geometry = MultiPolygon([orient(part) for part in geometry.geoms])
    flat = set_coordinates(geometry.__class__(geometry), get_coordinates(geometry).round(_DEGREE_DECIMALS))
    shape: dict[str, Any] = json.loads(json.dumps(mapping(flat), allow_nan=False))
    return shape


def widths_json(defect: Defect) -> Mapping[str, float | None]:
    """max, p95 and mean width in mm; None for each that may not be stated at this GSD, and for rust."""
    measure = defect.crack
    if measure is None:
        return {"max": None, "p95": None, "mean": None}
    values = {"max": measure.max_width_mm, "p95": measure.p95_width_mm, "mean": measure.mean_width_mm}
    return {name: _stated(value, measure, defect) for name, value in values.items()}


def _stated(value: float, measure: CrackMeasure, defect: Defect) -> float | None:
    limit_mm = measure.resolvable_width_mm
    stated = stated_width_mm(value, resolvable_mm=limit_mm, below_resolution=defect.below_resolution)
    return finite(stated, digits=4) if isfinite(measure.width_uncertainty_mm) else None


def _structure(result: StructureResult) -> dict[str, Any]:
    structure = result.structure
    return {
        "id": structure.id,
        "name": structure.name,
        "kind": structure.kind,
        "material": structure.material,
        "footprint_area_m2": finite(result.footprint_area_m2),
        "inspected_area_m2": finite(result.inspected_area_m2),
        "coverage_percent": finite(result.coverage_percent),
        "gsd_mm": finite(result.gsd_mm),
    }


def _cracks(result: StructureResult, *, seen: bool) -> dict[str, Any]:
    cracks = result.cracks
    record: dict[str, Any] = {
        "count": cracks.count,
        "total_length_m": finite(cracks.total_length_m),
        "density_m_per_m2": finite(cracks.density_m_per_m2),
        "max_width_mm": finite(cracks.max_width_mm, digits=4),
        "p95_width_mm": finite(cracks.p95_width_mm, digits=4),
        "mean_width_mm": finite(cracks.mean_width_mm, digits=4),
        "below_resolution_count": cracks.below_resolution_count,
    }
    return record if seen else dict.fromkeys(record)


def _rust(result: StructureResult, *, seen: bool) -> dict[str, Any]:
    rust = result.rust
    record: dict[str, Any] = {
        "patch_count": rust.patch_count,
        "area_m2": finite(rust.area_m2),
        "percent_of_inspected": finite(rust.percent_of_inspected),
        "denominator": rust.denominator,
        "astm_d610_grade": rust.astm_d610_grade,
        "astm_d610_distribution": rust.astm_d610_distribution,
        "iso_4628_3_ri": rust.iso_4628_3_ri,
    }
    return record if seen else dict.fromkeys(record)


def _defect(defect: Defect) -> dict[str, Any]:
    measure = defect.crack
    window = defect.window
    width = None
    if measure is not None:
        width = {
            **widths_json(defect),
            "uncertainty": finite(measure.width_uncertainty_mm, digits=3),
            "resolvable": finite(measure.resolvable_width_mm, digits=4),
            "method": measure.width_method,
        }
    return {
        "id": defect.id,
        "class": CLASS_NAMES[defect.pixel_class],
        "structure_id": defect.structure_id,
        "raster": defect.raster_name,
        "pixel_window": [window.row_start, window.row_stop, window.col_start, window.col_stop],
        "geometry": geometry_json(defect.geometry),
        "length_m": finite(measure.length_m) if measure is not None else None,
        "width_mm": width,
        "area_m2": finite(defect.area_m2),
        "confidence": finite(defect.confidence, digits=3),
        "below_resolution": defect.below_resolution,
        "condition_state": defect.condition_state,
    }


def _grade(grade: Grade) -> dict[str, Any]:
    return {
        "standard": grade.standard,
        "version": grade.version,
        "element": grade.element,
        "quantities": {state: finite(value) for state, value in grade.quantities.items()},
        "unit": grade.unit,
        "grade": grade.grade,
        "rule": grade.rule,
        "source": grade.source,
    }


def _setting(value: str | int | float | bool | None) -> str | int | float | bool | None:
    return value if not isinstance(value, float) or isfinite(value) else None
