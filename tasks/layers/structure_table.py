"""The tables of structures and of rasters: what was inspected, how well, and with what outcome."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Georeference
from segmentation.records import CrackSummary, RasterInput, RunIdentity, RustSummary, StructureResult
from tasks.layers.columns import Cell, Column, LayerTable, make_table
from tasks.layers.crs import crs_label
from tasks.layers.geometry import layer_geometries
from tasks.report.origin import looked_for
from tasks.report.places import lonlat_outline
from tasks.report.record import finite
from tasks.report.severity import grade_words, unseen_reason, worst_severity


@dataclass(frozen=True, slots=True)
class StructureRow:
    """A structure or a named part of one."""

    result: StructureResult
    run: RunIdentity
    report_slug: str
    """Folder of the report that tells of it."""

    @property
    def cracks(self) -> CrackSummary | None:
        """None where nothing is known of cracks."""
        is_known = unseen_reason(self.result) is None and looked_for(self.run, "crack")
        return self.result.cracks if is_known else None

    @property
    def rust(self) -> RustSummary | None:
        """None where nothing is known of rust."""
        is_known = unseen_reason(self.result) is None and looked_for(self.run, "rust")
        return self.result.rust if is_known else None


def structure_table(
    results: Sequence[StructureResult], *, run: RunIdentity, rasters: Sequence[RasterInput]
) -> LayerTable:
    """Every structure, each followed by its named parts; geometry None where the footprint is unusable."""
    rows = [StructureRow(one, run, result.structure.slug) for result in results for one in (result, *result.components)]
    georeferences = {raster.name: raster.georeference for raster in rasters}
    geometries = layer_geometries([_footprint(row.result, georeferences) for row in rows])
    description = f"Structures of survey {run.survey_id}, run {run.run_key}"
    return make_table("structures", description, STRUCTURE_COLUMNS, rows, geometries)


def raster_table(rasters: Sequence[RasterInput], *, run: RunIdentity) -> LayerTable:
    """The rasters of the survey with their outlines."""
    geometries = layer_geometries([lonlat_outline(raster.georeference) for raster in rasters])
    rows = [RasterRow(raster, run) for raster in rasters]
    return make_table("rasters", f"Rasters of survey {run.survey_id}", RASTER_COLUMNS, rows, geometries)


def _footprint(result: StructureResult, georeferences: Mapping[str, Georeference]) -> BaseGeometry | None:
    structure = result.structure
    if structure.footprint is not None:
        return structure.footprint if structure.footprint.is_valid else None
    georeference = georeferences.get(structure.raster_name or "")
    return None if georeference is None else lonlat_outline(georeference)


def _crack(of: Callable[[CrackSummary], Cell]) -> Callable[[StructureRow], Cell]:
    return lambda row: of(row.cracks) if row.cracks is not None else None


def _rust(of: Callable[[RustSummary], Cell]) -> Callable[[StructureRow], Cell]:
    return lambda row: of(row.rust) if row.rust is not None else None


def _seen(of: Callable[[StructureResult], Cell]) -> Callable[[StructureRow], Cell]:
    return lambda row: of(row.result) if unseen_reason(row.result) is None else None


def _grades(result: StructureResult) -> Cell:
    return "; ".join(f"{grade.standard}, {grade.element}: {grade_words(grade)[0]}" for grade in result.grades) or None


STRUCTURE_COLUMNS: Final[tuple[Column[StructureRow], ...]] = (
    Column("id", "text", None, "Id of the structure, as given", lambda r: r.result.structure.id),
    Column("name", "text", None, "Name, as given", lambda r: r.result.structure.name),
    Column("kind", "text", None, "Kind, as given", lambda r: r.result.structure.kind),
    Column("material", "text", None, "Material, as given", lambda r: r.result.structure.material),
    Column(
        "component_of", "text", None, "Id of the structure it is a part of", lambda r: r.result.structure.component_of
    ),
    Column(
        "worst_state",
        "text",
        None,
        "The worst step that any standard or any defect of it reaches, in words",
        lambda r: worst_severity(r.result).word,
    ),
    Column(
        "severity_rank",
        "integer",
        None,
        "That step as a number: 1 best to 4 worst, 0 nothing found, -1 not graded, -2 not inspected",
        lambda r: worst_severity(r.result).rank,
    ),
    Column(
        "not_inspected_reason",
        "text",
        None,
        "Why nothing is known of it; then every figure of damage is empty",
        lambda r: unseen_reason(r.result),
    ),
    Column("footprint_area_m2", "real", "m2", "Area of the footprint", lambda r: finite(r.result.footprint_area_m2)),
    Column("inspected_area_m2", "real", "m2", "Area that was inspected", lambda r: finite(r.result.inspected_area_m2)),
    Column(
        "coverage_percent", "real", "%", "Inspected share of the footprint", lambda r: finite(r.result.coverage_percent)
    ),
    Column("gsd_mm", "real", "mm", "Mean ground sampling distance", lambda r: finite(r.result.gsd_mm, digits=4)),
    Column("crack_count", "integer", None, "Number of cracks", _crack(lambda c: int(c.count))),
    Column("crack_length_m", "real", "m", "Length of all cracks", _crack(lambda c: finite(c.total_length_m))),
    Column(
        "crack_density_m_per_m2",
        "real",
        "m/m2",
        "Length of cracks per inspected area",
        _crack(lambda c: finite(c.density_m_per_m2)),
    ),
    Column(
        "crack_width_max_mm",
        "real",
        "mm",
        "Width of the widest crack; empty where none is wide enough to be measured",
        _crack(lambda c: finite(c.max_width_mm, digits=4)),
    ),
    Column(
        "crack_width_p95_mm",
        "real",
        "mm",
        "95th percentile of crack width",
        _crack(lambda c: finite(c.p95_width_mm, digits=4)),
    ),
    Column(
        "crack_width_mean_mm", "real", "mm", "Mean crack width", _crack(lambda c: finite(c.mean_width_mm, digits=4))
    ),
    Column(
        "cracks_below_resolution",
        "integer",
        None,
        "Number of cracks narrower than the GSD carries",
        _crack(lambda c: int(c.below_resolution_count)),
    ),
    Column("rust_patch_count", "integer", None, "Number of rust patches", _rust(lambda u: int(u.patch_count))),
    Column("rust_area_m2", "real", "m2", "Area of rust", _rust(lambda u: finite(u.area_m2))),
    Column(
        "rust_percent",
        "real",
        "%",
        "Rust in percent of the area that rust_percent_of names",
        _rust(lambda u: finite(u.percent_of_inspected)),
    ),
    Column("rust_percent_of", "text", None, "What the percentage is of", _rust(lambda u: u.denominator)),
    Column(
        "astm_d610_grade",
        "integer",
        None,
        "Rust grade by ASTM D610, 10 best; empty where it does not apply",
        _rust(lambda u: None if u.astm_d610_grade is None else int(u.astm_d610_grade)),
    ),
    Column("iso_4628_3_ri", "text", None, "Degree of rusting by ISO 4628-3", _rust(lambda u: u.iso_4628_3_ri)),
    Column("grades", "text", None, "Every grade with its standard and element", _seen(_grades)),
    Column("survey_id", "text", None, "The survey", lambda r: r.run.survey_id),
    Column("captured_at", "text", None, "When it was flown, ISO 8601, as stated", lambda r: r.run.captured_at),
    Column("run_key", "text", None, "The run that inspected it", lambda r: r.run.run_key),
    Column(
        "report",
        "text",
        None,
        "Its report, from the folder of this file",
        lambda r: f"structures/{r.report_slug}/report.html",
    ),
)
"""Attributes of a structure. What is not known is empty, never 0."""


@dataclass(frozen=True, slots=True)
class RasterRow:
    """A raster and the run that read it."""

    raster: RasterInput
    run: RunIdentity


RASTER_COLUMNS: Final[tuple[Column[RasterRow], ...]] = (
    Column("name", "text", None, "File name", lambda r: r.raster.name),
    Column("slug", "text", None, "Its group in masks.zarr", lambda r: r.raster.slug),
    Column(
        "gsd_mm",
        "real",
        "mm",
        "Ground sampling distance at its centre",
        lambda r: finite(r.raster.gsd_m * 1000, digits=4),
    ),
    Column("width_px", "integer", "px", "Columns", lambda r: int(r.raster.georeference.width)),
    Column("height_px", "integer", "px", "Rows", lambda r: int(r.raster.georeference.height)),
    Column("data_type", "text", None, "Type of its pixels", lambda r: r.raster.dtype),
    Column("crs", "text", None, "Its coordinate reference system", lambda r: crs_label(r.raster.georeference)),
    Column("is_mask", "boolean", None, "Whether it is a given mask and no picture", lambda r: bool(r.raster.is_mask)),
    Column("sha256", "text", None, "Checksum of the file", lambda r: r.raster.source.sha256),
    Column("survey_id", "text", None, "The survey", lambda r: r.run.survey_id),
    Column("captured_at", "text", None, "When it was flown, ISO 8601, as stated", lambda r: r.run.captured_at),
    Column("run_key", "text", None, "The run that read it", lambda r: r.run.run_key),
)
"""Attributes of a raster."""
