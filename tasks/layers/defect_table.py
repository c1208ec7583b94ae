"""The table of defects: one row each, the same columns in every format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.records import Defect, RasterInput, RunIdentity, StructureResult
from tasks.layers.columns import Cell, Column, Geometries, LayerTable, geometry_list, make_table
from tasks.layers.geometry import DEGREE_DECIMALS, layer_geometries
from tasks.report.record import finite, widths_json
from tasks.report.severity import severity_of, unseen_reason


@dataclass(frozen=True, slots=True)
class DefectRow:
    """A defect with what its row says besides."""

    result: StructureResult
    defect: Defect
    run: RunIdentity
    gsd_m: float | None
    """GSD of its raster; None where that is not known."""
    lon: float | None
    lat: float | None


def defect_table(results: Sequence[StructureResult], *, run: RunIdentity, rasters: Sequence[RasterInput]) -> LayerTable:
    """Every defect of every structure that was inspected, in the order of the reports."""
    found = [(result, defect) for result in results if unseen_reason(result) is None for defect in result.defects]
    geometries = layer_geometries([defect.geometry for _, defect in found])
    gsd_m = {raster.name: raster.gsd_m for raster in rasters}
    rows = [
        DefectRow(result, defect, run, gsd_m.get(defect.raster_name), *place)
        for (result, defect), place in zip(found, _places(geometries), strict=True)
    ]
    description = f"Cracks and rust patches of survey {run.survey_id}, run {run.run_key}"
    return make_table("defects", description, DEFECT_COLUMNS, rows, geometries)


def cracks_of(table: LayerTable) -> LayerTable:
    """The cracks of a table of defects."""
    return table.taken(_is_class(table, PixelClass.CRACK), name="cracks", description="Centre lines of cracks")


def rust_of(table: LayerTable) -> LayerTable:
    """The rust patches of a table of defects."""
    return table.taken(_is_class(table, PixelClass.RUST), name="rust", description="Outlines of rust patches")


def _is_class(table: LayerTable, pixel_class: PixelClass) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([name == CLASS_NAMES[pixel_class] for name in table.column("class")], dtype=np.bool_)


def _places(geometries: Geometries) -> list[tuple[float | None, float | None]]:
    points = shapely.point_on_surface(geometry_list(list(geometries)))
    lons, lats = shapely.get_x(points), shapely.get_y(points)
    return [
        (round(lon, DEGREE_DECIMALS), round(lat, DEGREE_DECIMALS)) if np.isfinite(lon) else (None, None)
        for lon, lat in zip(lons.tolist(), lats.tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _CrackFigure:
    """A figure of a crack's measure; None for rust."""

    attribute: str
    digits: int

    def __call__(self, row: DefectRow) -> Cell:
        return finite(getattr(row.defect.crack, self.attribute), digits=self.digits) if row.defect.crack else None


@dataclass(frozen=True, slots=True)
class _Width:
    """One of the widths of a crack, where it may be stated."""

    name: str

    def __call__(self, row: DefectRow) -> Cell:
        return widths_json(row.defect)[self.name]


def _junctions(row: DefectRow) -> Cell:
    return int(row.defect.crack.junction_count) if row.defect.crack else None


def _bridged_gaps(row: DefectRow) -> Cell:
    return int(row.defect.crack.bridged_gaps) if row.defect.crack else None


_NO_WIDTH: Final = "empty where it is below what the GSD carries, and for rust"
DEFECT_COLUMNS: Final[tuple[Column[DefectRow], ...]] = (
    Column("id", "text", None, "Id of the defect, unique in the survey", lambda r: r.defect.id),
    Column("class", "text", None, "crack or rust", lambda r: CLASS_NAMES[r.defect.pixel_class]),
    Column("structure_id", "text", None, "Id of the structure it lies on", lambda r: r.defect.structure_id),
    Column("structure_name", "text", None, "Name of that structure", lambda r: r.result.structure.name),
    Column("structure_slug", "text", None, "Folder name of that structure", lambda r: r.result.structure.slug),
    Column("component_id", "text", None, "Id of the part of the structure it lies on", lambda r: r.defect.component_id),
    Column(
        "condition_state",
        "text",
        None,
        "Condition state by the first standard that applies; empty where none does",
        lambda r: r.defect.condition_state,
    ),
    Column(
        "possible_states",
        "text",
        None,
        "All condition states that the uncertainty allows, best first",
        lambda r: ", ".join(r.defect.possible_states) or None,
    ),
    Column(
        "severity",
        "text",
        None,
        "The condition state in words, as the reports say it",
        lambda r: severity_of(r.defect.condition_state).word,
    ),
    Column(
        "severity_rank",
        "integer",
        None,
        "Step on the scale of the reports: 1 best to 4 worst, -1 not graded; its order between standards is spanscan's",
        lambda r: severity_of(r.defect.condition_state).rank,
    ),
    Column("length_m", "real", "m", "Geodesic length of a crack's centre lines", _CrackFigure("length_m", 6)),
    Column("width_max_mm", "real", "mm", f"Largest width of a crack; {_NO_WIDTH}", _Width("max")),
    Column("width_p95_mm", "real", "mm", f"95th percentile of the width along a crack; {_NO_WIDTH}", _Width("p95")),
    Column("width_mean_mm", "real", "mm", f"Mean width along a crack; {_NO_WIDTH}", _Width("mean")),
    Column("width_median_mm", "real", "mm", f"Median width along a crack; {_NO_WIDTH}", _Width("median")),
    Column(
        "width_uncertainty_mm",
        "real",
        "mm",
        "± of the largest width, about 95 %",
        _CrackFigure("width_uncertainty_mm", 3),
    ),
    Column(
        "width_mean_uncertainty_mm",
        "real",
        "mm",
        "± of the mean width, about 95 %",
        _CrackFigure("stated_mean_uncertainty_mm", 3),
    ),
    Column(
        "width_resolvable_mm", "real", "mm", "Least width that the GSD carries", _CrackFigure("resolvable_width_mm", 4)
    ),
    Column(
        "width_below_resolution",
        "boolean",
        None,
        "Whether a crack is narrower than the GSD carries, so that its width is not known",
        lambda r: bool(r.defect.below_resolution),
    ),
    Column(
        "width_method",
        "text",
        None,
        "profile (fit across the crack in the picture) or distance (between the mask's edges)",
        lambda r: r.defect.crack.width_method if r.defect.crack else None,
    ),
    Column(
        "orientation_deg",
        "real",
        "deg",
        "Main direction of a crack, from east towards north, 0 to below 180",
        _CrackFigure("orientation_deg", 4),
    ),
    Column("tortuosity", "real", "1", "Length over the distance between the ends", _CrackFigure("tortuosity", 4)),
    Column("junction_count", "integer", None, "Places at which three lines of a crack or more meet", _junctions),
    Column(
        "bridged_m",
        "real",
        "m",
        "Share of the length that bridges gaps at which none was seen",
        _CrackFigure("bridged_m", 6),
    ),
    Column("bridged_gaps", "integer", None, "Number of those gaps", _bridged_gaps),
    Column("area_m2", "real", "m2", "Geodesic area of the defect's pixels", lambda r: finite(r.defect.area_m2)),
    Column(
        "confidence_0_to_1",
        "real",
        "1",
        "Mean probability of the class over the pixels; not the probability of being right; 1 for a given mask",
        lambda r: finite(r.defect.confidence, digits=3),
    ),
    Column("lon_deg", "real", "deg", "Longitude of a point on the defect, WGS 84", lambda r: r.lon),
    Column("lat_deg", "real", "deg", "Latitude of that point, WGS 84", lambda r: r.lat),
    Column("raster", "text", None, "Name of the raster it was measured in", lambda r: r.defect.raster_name),
    Column(
        "gsd_mm",
        "real",
        "mm",
        "Ground sampling distance of that raster, per pixel",
        lambda r: finite(r.gsd_m * 1000, digits=4) if r.gsd_m is not None else None,
    ),
    Column("pixel_row_start", "integer", "px", "First pixel row", lambda r: int(r.defect.window.row_start)),
    Column("pixel_row_stop", "integer", "px", "Pixel row after the last", lambda r: int(r.defect.window.row_stop)),
    Column("pixel_col_start", "integer", "px", "First pixel column", lambda r: int(r.defect.window.col_start)),
    Column("pixel_col_stop", "integer", "px", "Pixel column after the last", lambda r: int(r.defect.window.col_stop)),
    Column("survey_id", "text", None, "The survey", lambda r: r.run.survey_id),
    Column("captured_at", "text", None, "When it was flown, ISO 8601, as stated", lambda r: r.run.captured_at),
    Column("run_key", "text", None, "The run that measured it", lambda r: r.run.run_key),
    Column(
        "report",
        "text",
        None,
        "The structure's report, from the folder of this file",
        lambda r: f"structures/{r.result.structure.slug}/report.html",
    ),
)
"""Attributes of a defect. What is not known is empty, never 0."""
