"""The defects of one structure of a published run, in metres of a plane."""

import json
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.comparison.records import SurveyDefect
from segmentation.windows import Window
from tasks.compare.plane import EarthPlane, Plane
from tasks.compare.published import PublishedRun, RunStructure

_SIMPLER_PX = 0.3
_COLUMNS = (
    "id",
    "class",
    "structure_id",
    "length_m",
    "width_max_mm",
    "width_mean_mm",
    "width_uncertainty_mm",
    "width_mean_uncertainty_mm",
    "bridged_m",
    "area_m2",
    "confidence_0_to_1",
    "condition_state",
    "raster",
    "gsd_mm",
    "pixel_row_start",
    "pixel_row_stop",
    "pixel_col_start",
    "pixel_col_stop",
    "geometry",
)
Row = Mapping[str, Any]


class RunDefects:
    """The defects of a run by structure: from ``defects.parquet`` where the run has it, else from each report."""

    def __init__(self, run: PublishedRun) -> None:
        self._run = run
        self._rows: dict[str, list[Row]] | None = None
        if run.storage.exists("defects.parquet"):
            self._rows = {}
            file = pq.ParquetFile(BytesIO(run.storage.read("defects.parquet")))
            table = file.read(columns=[name for name in _COLUMNS if name in file.schema_arrow.names])
            for row in table.to_pylist():
                self._rows.setdefault(row["structure_id"], []).append(row)

    def of(self, structure: RunStructure, plane: Plane) -> tuple[SurveyDefect, ...]:
        """The defects of a structure; one without a usable geometry is left out."""
        rows: Iterable[Row]
        if self._rows is not None and isinstance(plane, EarthPlane):
            rows = self._rows.get(structure.id, ())
        else:
            rows = (_row_of(defect, self._run) for defect in self._run.whole_report(structure.slug)["defects"])
        found = (self._defect(row, plane) for row in rows)
        return tuple(defect for defect in found if defect is not None)

    def _defect(self, row: Row, plane: Plane) -> SurveyDefect | None:
        raster = self._run.rasters()[row["raster"]]
        gsd_m = raster.gsd_m
        geometry = row["geometry"]
        if isinstance(geometry, bytes):
            geometry = shapely.from_wkb(geometry)
        if geometry is not None and isinstance(plane, EarthPlane):
            geometry = shapely.transform(geometry, plane.of_lonlat)
        elif row.get("pixel_geometry") is not None:
            geometry = shapely.transform(
                row["pixel_geometry"], lambda cols_rows: plane.of_pixels(raster.georeference, cols_rows)
            )
        else:
            return None
        geometry = _usable(geometry, gsd_m)
        if geometry.is_empty:
            return None
        return SurveyDefect(
            id=row["id"],
            pixel_class=PixelClass(CLASS_NAMES.index(row["class"])),
            geometry=geometry,
            area_m2=float(row["area_m2"] or 0.0),
            gsd_m=gsd_m,
            confidence=float(row["confidence_0_to_1"] or 0.0),
            length_m=row["length_m"],
            max_width_mm=row["width_max_mm"],
            mean_width_mm=row["width_mean_mm"],
            width_uncertainty_mm=row["width_uncertainty_mm"],
            mean_width_uncertainty_mm=row.get("width_mean_uncertainty_mm"),
            bridged_m=float(row["bridged_m"] or 0.0),
            condition_state=row["condition_state"],
            raster=row["raster"],
            window=Window(*(int(row[f"pixel_{side}"]) for side in ("row_start", "row_stop", "col_start", "col_stop"))),
        )


def _usable(geometry: BaseGeometry, gsd_m: float) -> BaseGeometry:
    """The geometry with no more vertices than its pixels tell, and valid."""
    simple = shapely.simplify(geometry, _SIMPLER_PX * gsd_m)
    return simple if simple.is_valid else shapely.make_valid(simple, method="structure")


def _row_of(defect: Mapping[str, Any], run: PublishedRun) -> Row:
    """A defect of ``report.json`` under the names of the table's columns."""
    width = defect["width_mm"] or {}
    graph = defect["crack_graph"] or {}
    row_start, row_stop, col_start, col_stop = defect["pixel_window"]
    pixel = defect.get("pixel_geometry")
    return {
        "id": defect["id"],
        "class": defect["class"],
        "structure_id": defect["structure_id"],
        "length_m": defect["length_m"],
        "width_max_mm": width.get("max"),
        "width_mean_mm": width.get("mean"),
        "width_uncertainty_mm": width.get("uncertainty"),
        "width_mean_uncertainty_mm": width.get("mean_uncertainty"),
        "bridged_m": graph.get("bridged_m"),
        "area_m2": defect["area_m2"],
        "confidence_0_to_1": defect["confidence"],
        "condition_state": defect["condition_state"],
        "raster": defect["raster"],
        "gsd_mm": run.rasters()[defect["raster"]].gsd_m * 1000,
        "pixel_row_start": row_start,
        "pixel_row_stop": row_stop,
        "pixel_col_start": col_start,
        "pixel_col_stop": col_stop,
        "geometry": None if defect["geometry"] is None else shape(defect["geometry"]),
        "pixel_geometry": None if pixel is None else shape(json.loads(json.dumps(pixel))),
    }
