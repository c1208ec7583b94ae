"""The defects of one structure of a published run, in metres of a plane."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.comparison.records import SurveyDefect
from segmentation.windows import Window
from tasks.compare.plane import EarthPlane, Plane
from tasks.compare.published import PublishedRun, RunRaster, RunStructure

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
        self._table: pa.Table | None = None
        self._rows: dict[str, list[int]] = {}
        """Rows of the table by structure: all of them as Python objects would be ten times its size."""
        if run.storage.exists("defects.parquet"):
            file = pq.ParquetFile(BytesIO(run.storage.read("defects.parquet")))
            self._table = file.read(columns=[name for name in _COLUMNS if name in file.schema_arrow.names])
            for row, structure_id in enumerate(self._table.column("structure_id").to_pylist()):
                self._rows.setdefault(structure_id, []).append(row)

    def of(self, structure: RunStructure, plane: Plane) -> tuple[SurveyDefect, ...]:
        """The defects of a structure; one without a usable geometry is left out."""
        rows: Sequence[Row]
        if self._table is not None and isinstance(plane, EarthPlane):
            rows = self._table.take(self._rows.get(structure.id, [])).to_pylist()
        else:
            rows = [_row_of(defect, self._run) for defect in self._run.whole_report(structure.slug)["defects"]]
        rasters = self._run.rasters()
        rows, geometries = _placed(rows, rasters, plane)
        found = (
            _defect(row, geometry, rasters[row["raster"]].gsd_m) for row, geometry in zip(rows, geometries, strict=True)
        )
        return tuple(defect for defect in found if defect is not None)


def _placed(
    rows: Sequence[Row], rasters: Mapping[str, RunRaster], plane: Plane
) -> tuple[list[Row], Sequence[BaseGeometry]]:
    """The rows whose place is known, and their geometries in metres of the plane."""
    if isinstance(plane, EarthPlane):
        known = [row for row in rows if row["geometry"] is not None]
        stated = [row["geometry"] for row in known]
        geometries = np.array([shapely.from_wkb(one) if isinstance(one, bytes) else one for one in stated], object)
        return known, shapely.transform(geometries, plane.of_lonlat)  # all at once: a call of PROJ takes its time
    known = [row for row in rows if row.get("pixel_geometry") is not None]
    return known, [
        shapely.transform(row["pixel_geometry"], partial(plane.of_pixels, rasters[row["raster"]].georeference))
        for row in known
    ]


def _defect(row: Row, geometry: BaseGeometry, gsd_m: float) -> SurveyDefect | None:
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
