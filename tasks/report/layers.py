"""Defects for maps and tables: GeoJSON in WGS 84 and CSV, one row per defect, units in the names."""

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Any, Final

from segmentation.classes import CLASS_NAMES
from segmentation.records import Defect, StructureResult
from tasks.report.record import finite, geometry_json, widths_json
from tasks.report.severity import unseen_reason

Cell = str | int | float | bool | None

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""Characters that make a spreadsheet take a cell for a formula, full-width forms included."""

COLUMNS: Final = (
    "id",
    "class",
    "structure_id",
    "structure_name",
    "condition_state",
    "length_m",
    "width_max_mm",
    "width_p95_mm",
    "width_mean_mm",
    "width_uncertainty_mm",
    "width_resolvable_mm",
    "width_below_resolution",
    "width_method",
    "area_m2",
    "confidence_0_to_1",
    "raster",
    "pixel_row_start",
    "pixel_row_stop",
    "pixel_col_start",
    "pixel_col_stop",
)
"""Attributes of a defect, the same in every layer. A width is empty where it is below what the GSD carries."""


def defects_geojson(results: Sequence[StructureResult]) -> dict[str, Any]:
    """Every defect as an RFC 7946 feature collection; a defect of a local frame has a null geometry."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": defect.id,
                "geometry": geometry_json(defect.geometry),
                "properties": attributes(result, defect),
            }
            for result, defect in _each(results)
        ],
    }


def defects_csv(results: Sequence[StructureResult]) -> str:
    """Every defect as CSV (RFC 4180) with a header; write it as UTF-8.

    ``lon_deg`` and ``lat_deg`` are a point on the defect. Text that a spreadsheet would run as a formula gets a leading
    apostrophe; figures of our own stay figures.
    """
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow((*COLUMNS, "lon_deg", "lat_deg"))
    for result, defect in _each(results):
        row = attributes(result, defect)
        writer.writerow([_cell(row[column]) for column in COLUMNS] + [_cell(value) for value in _lonlat(defect)])
    return buffer.getvalue()


def attributes(result: StructureResult, defect: Defect) -> dict[str, Cell]:
    """The attributes of one defect by the names in `COLUMNS`."""
    measure, widths = defect.crack, widths_json(defect)
    values: tuple[Cell, ...] = (
        defect.id,
        CLASS_NAMES[defect.pixel_class],
        defect.structure_id,
        result.structure.name,
        defect.condition_state,
        finite(measure.length_m) if measure else None,
        widths["max"],
        widths["p95"],
        widths["mean"],
        finite(measure.width_uncertainty_mm, digits=3) if measure else None,
        finite(measure.resolvable_width_mm, digits=4) if measure else None,
        defect.below_resolution,
        measure.width_method if measure else None,
        finite(defect.area_m2),
        finite(defect.confidence, digits=3),
        defect.raster_name,
        defect.window.row_start,
        defect.window.row_stop,
        defect.window.col_start,
        defect.window.col_stop,
    )
    return dict(zip(COLUMNS, values, strict=True))


def inert(text: str) -> str:
    """Text that no spreadsheet runs: a leading apostrophe where it looks like a formula.

    >>> inert("=1+1"), inert("Pier 3")
    ("'=1+1", 'Pier 3')
    """
    return "'" + text if text.startswith(_FORMULA_STARTS) or text.lstrip().startswith(_FORMULA_STARTS) else text


def _cell(value: Cell) -> Cell:
    if isinstance(value, str):
        return inert(value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8"))
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _each(results: Sequence[StructureResult]) -> list[tuple[StructureResult, Defect]]:
    return [(result, defect) for result in results if unseen_reason(result) is None for defect in result.defects]


def _lonlat(defect: Defect) -> tuple[float | None, float | None]:
    if defect.geometry is None or defect.geometry.is_empty:
        return None, None
    point = defect.geometry.representative_point()
    return round(float(point.x), 9), round(float(point.y), 9)
