"""The report of one structure as data: `report.json`, schema ``spanscan/report/1``."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from math import isfinite
from typing import Any, Final

from shapely import get_coordinates, set_coordinates
from shapely.geometry import MultiPolygon, Polygon, mapping
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from segmentation.classes import CLASS_NAMES
from segmentation.georeference import Georeference
from segmentation.records import (
    CrackBranch,
    CrackMeasure,
    Defect,
    GivenMask,
    Grade,
    LimitComparison,
    RunIdentity,
    StructureResult,
)
from tasks.report.places import FootprintFrame, Place, StructureFrame, frames_of, places_of
from tasks.report.review import StructureReview, review_json
from tasks.report.severity import unseen_reason
from tasks.report.wording import round_significant, stated_width_mm

SCHEMA_NAME: Final = "spanscan/report/1"
SCHEMA_VERSION: Final = "1.2"
"""Minor versions add keys: 1.1 added `schema_version`, `coordinates` and each defect's `place`; 1.2 `review`."""
_MOST_BRANCHES: Final = 200
"""A net of cracks has thousands; the longest are told."""
_DEGREE_DECIMALS: Final = 9
"""0.1 mm on the ground, a tenth of a small pixel."""


@cache
def _schema_text() -> str:
    return files("tasks.report").joinpath("report.schema.json").read_text(encoding="utf-8")


def report_schema() -> dict[str, Any]:
    """The JSON Schema of `report_json`'s result (draft 2020-12)."""
    schema: dict[str, Any] = json.loads(_schema_text())
    return schema


def report_json(
    result: StructureResult,
    *,
    run: RunIdentity,
    georeferences: Mapping[str, Georeference],
    review: StructureReview | None = None,
) -> dict[str, Any]:
    """The report as JSON data of schema ``spanscan/report/1``; figures that are not known are null, never NaN.

    With `review` the `result` is the reviewed one, and the machine's figures stand in the key `review`. Where nothing
    was inspected every figure of cracks and rust is null, so that none can be read as "clean". `georeferences` holds
    the run's rasters by name; a defect of another raster raises KeyError.
    """
    seen = unseen_reason(result) is None
    defects = result.defects if seen else ()
    frames = frames_of(result.structure, georeferences)
    places = places_of(defects, georeferences, frames)
    return {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "structure": _structure(result),
        "coordinates": _coordinates(frames.values()) if seen else None,
        "not_inspected_reason": unseen_reason(result),
        **_figures(result),
        "defects": [_defect(defect, place) for defect, place in zip(defects, places, strict=True)],
        "components": [_component(component) for component in result.components],
        "review": None if review is None else review_json(review, _figures(review.machine)),
        "run": run_json(run),
    }


def run_json(run: RunIdentity) -> dict[str, Any]:
    """The identity of the run as JSON data; `given_mask` stands in it where no model made the masks."""
    given = run.given_mask
    return {
        "run_key": run.run_key,
        "survey_id": run.survey_id,
        "captured_at": run.captured_at,
        "operator": run.operator,
        "model": None if run.model is None else {"name": run.model.name, "sha256": run.model.sha256},
        **({} if given is None else {"given_mask": _given_mask(given)}),
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
    """max, p95, mean and median width in mm; None for each that may not be stated at this GSD, and for rust."""
    measure = defect.crack
    if measure is None:
        return dict.fromkeys(("max", "p95", "mean", "median"))
    values = _width_figures(measure)
    return {name: _stated(value, measure, defect) for name, value in values.items()}


def _width_figures(one: CrackMeasure | CrackBranch) -> dict[str, float | None]:
    return {
        "max": one.max_width_mm,
        "p95": one.p95_width_mm,
        "mean": one.mean_width_mm,
        "median": one.median_width_mm,
    }


def _stated(value: float | None, measure: CrackMeasure, defect: Defect) -> float | None:
    if value is None:
        return None
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


def _coordinates(frames: Iterable[StructureFrame]) -> dict[str, Any]:
    frame = next((frame for frame in frames if isinstance(frame, FootprintFrame)), None)
    if frame is None:
        return {"of": "raster"}
    return {
        "of": "footprint",
        "origin": [round(degrees, _DEGREE_DECIMALS) for degrees in frame.origin],
        "heading_deg": round(frame.heading_deg, 4) % 360,
        "length_m": finite(frame.length_m),
        "width_m": finite(frame.width_m),
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
        "below_resolution_share": finite(cracks.below_resolution_share, digits=3),
        "bridged_length_m": finite(cracks.bridged_length_m),
        "spacing_m": finite(cracks.spacing_m, digits=3),
        "pattern": cracks.pattern,
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
        "denominator_area_m2": finite(rust.denominator_area_m2),
        "largest_patch_m2": finite(rust.largest_patch_m2),
        "beside_denominator_m2": finite(rust.beside_denominator_m2),
        "staining": rust.staining,
    }
    return record if seen else dict.fromkeys(record)


def _place_of(place: Place) -> dict[str, float | None]:
    lon, lat = (None if value is None else round(value, _DEGREE_DECIMALS) for value in (place.lon, place.lat))
    return {
        "along_m": _rounded(place.along_m, 4),
        "across_m": _rounded(place.across_m, 4),
        "longitude": lon,
        "latitude": lat,
        "row": _rounded(place.row, 1),
        "col": _rounded(place.col, 1),
    }


def _rounded(value: float, decimals: int) -> float | None:
    return round(value, decimals) + 0.0 if isfinite(value) else None


def _defect(defect: Defect, place: Place) -> dict[str, Any]:
    measure = defect.crack
    window = defect.window
    width = None
    if measure is not None:
        width = {
            **widths_json(defect),
            "uncertainty": finite(measure.width_uncertainty_mm, digits=3),
            "mean_uncertainty": finite(measure.stated_mean_uncertainty_mm, digits=3),
            "resolvable": finite(measure.resolvable_width_mm, digits=4),
            "method": measure.width_method,
        }
    return {
        "id": defect.id,
        "class": CLASS_NAMES[defect.pixel_class],
        "structure_id": defect.structure_id,
        "raster": defect.raster_name,
        "pixel_window": [window.row_start, window.row_stop, window.col_start, window.col_stop],
        "place": _place_of(place),
        "geometry": geometry_json(defect.geometry),
        # Without a place on the earth a comparison of two surveys knows it by its pixels alone.
        **({"pixel_geometry": mapping(defect.pixel_geometry)} if defect.geometry is None else {}),
        "length_m": finite(measure.length_m) if measure is not None else None,
        "width_mm": width,
        "crack_graph": _crack_graph(measure, defect) if measure is not None else None,
        "area_m2": finite(defect.area_m2),
        "confidence": finite(defect.confidence, digits=3),
        "below_resolution": defect.below_resolution,
        "condition_state": defect.condition_state,
        "possible_states": list(defect.possible_states),
        "component_id": defect.component_id,
    }


def _crack_graph(measure: CrackMeasure, defect: Defect) -> dict[str, Any]:
    return {
        "orientation_deg": finite(measure.orientation_deg, digits=3),
        "tortuosity": finite(measure.tortuosity, digits=4),
        "junction_count": measure.junction_count,
        "end_count": len(measure.ends),
        "bridged_m": finite(measure.bridged_m),
        "bridged_gaps": measure.bridged_gaps,
        "widest_at": _place(measure.widest_at),
        "branches": [
            {
                "length_m": finite(branch.length_m),
                "orientation_deg": finite(branch.orientation_deg, digits=3),
                "tortuosity": finite(branch.tortuosity, digits=4),
                "width_mm": {n: _stated(v, measure, defect) for n, v in _width_figures(branch).items()},
                "widest_at": _place(branch.widest_at),
            }
            for branch in measure.branches[:_MOST_BRANCHES]
        ],
    }


def _place(place: tuple[float, float] | None) -> list[float] | None:
    return None if place is None or not all(map(isfinite, place)) else [round(value, 1) for value in place]


def _grade(grade: Grade) -> dict[str, Any]:
    return {
        "standard": grade.standard,
        "version": grade.version,
        "element": grade.element,
        "quantities": {state: finite(value) for state, value in grade.quantities.items()},
        "unit": grade.unit,
        "grade": grade.grade,
        "limits": grade.limits,
        "rule": grade.rule,
        "source": grade.source,
    }


def _comparison(one: LimitComparison) -> dict[str, Any]:
    return {
        "standard": one.standard,
        "version": one.version,
        "element": one.element,
        "lines": [
            {
                "limit_mm": line.limit_mm,
                "conditions": line.conditions,
                "over_count": line.over_count,
                "over_length_m": finite(line.over_length_m),
                "unclear_count": line.unclear_count,
                "unclear_length_m": finite(line.unclear_length_m),
                "below_a_pixel": line.below_a_pixel,
            }
            for line in one.lines
        ],
        "not_compared_count": one.not_compared_count,
        "not_compared_length_m": finite(one.not_compared_length_m),
        "limits": one.limits,
        "rule": one.rule,
        "source": one.source,
    }


def _component(component: StructureResult) -> dict[str, Any]:
    return {
        "structure": _structure(component),
        "not_inspected_reason": unseen_reason(component),
        **_figures(component),
    }


def _figures(result: StructureResult) -> dict[str, Any]:
    """All sums, grades and comparisons of a structure or a part of one."""
    seen = unseen_reason(result) is None
    return {
        "cracks": _cracks(result, seen=seen),
        "rust": _rust(result, seen=seen),
        "grades": [_grade(grade) for grade in result.grades] if seen else [],
        "limit_comparisons": [_comparison(one) for one in result.limit_comparisons] if seen else [],
    }


def _given_mask(given: GivenMask) -> dict[str, str | None]:
    return {"name": given.name, "sha256": given.sha256, "image": given.image_name, "only_class": given.only_class}


def _setting(value: str | int | float | bool | None) -> str | int | float | bool | None:
    return value if not isinstance(value, float) or isfinite(value) else None
