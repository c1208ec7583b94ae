"""The files of a run as assets of its STAC item: what each is, its checksum, its size, its columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from segmentation.classes import NODATA
from segmentation.records import RasterInput
from tasks.layers import csv_table, geojson, geopackage, geoparquet
from tasks.layers.columns import GEOMETRY_COLUMN, LayerTable
from tasks.layers.crs import crs_code, crs_wkt2
from tasks.layers.geoparquet import BBOX_COLUMN
from tasks.layers.stac_classes import mask_classes, multihash
from tasks.mask_cog import COG_TYPE, cog_name
from tasks.report.record import finite
from tasks.report.wording import clean_text

Asset = dict[str, Any]
_ZARR: Final = "application/vnd.zarr; version=3"
_HTML: Final = "text/html"
_PLACE_COLUMNS: Final = (
    {"name": GEOMETRY_COLUMN, "type": "binary", "description": "Centre lines or outline, WKB, WGS 84 (lon, lat)"},
    {"name": BBOX_COLUMN, "type": "struct", "description": "Bounds of the geometry: xmin, ymin, xmax, ymax"},
)
_STAC_TYPES: Final = {"text": "string", "integer": "int32", "real": "double", "boolean": "boolean"}


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What is known of the files that a run has written."""

    sha256: Mapping[str, str]
    """Checksum, hex, by key in the run; a file that is not in it has not been written yet."""
    size_bytes: Mapping[str, int]
    """Size by key, where it is known."""


def survey_assets(rasters: Sequence[RasterInput], outputs: OutputFacts, *, later: Sequence[str]) -> dict[str, Asset]:
    """Masks, overview and manifest; `later` names files that are written after the item and so bear no checksum."""
    assets: dict[str, Asset] = {}
    for raster in rasters:
        key = cog_name(raster, rasters)
        if key in outputs.sha256:
            name = "mask" if len(rasters) == 1 else f"mask-{raster.slug}"
            assets[name] = {**_mask(raster), **_file(key, outputs)}
    assets["masks-zarr"] = {
        "href": "../masks.zarr",
        "type": _ZARR,
        "title": "Class and probability of every pixel",
        "description": "One group per raster: mask, probability, and the mask's overview levels",
        "roles": ["data"],
        "classification:classes": mask_classes(),
    }
    for key, name, media_type, title, roles in _SURVEY_FILES:
        if key in outputs.sha256 or key in later:
            assets[name] = {"type": media_type, "title": title, "roles": roles, **_file(key, outputs)}
    return assets


_SURVEY_FILES: Final = (
    ("index.html", "index", _HTML, "The survey on one page", ["overview"]),
    ("manifest.json", "manifest", "application/json", "Inputs, settings, timings and checksums", ["metadata"]),
)


def layer_assets(outputs: OutputFacts, *, defects: LayerTable, layers: Sequence[LayerTable]) -> dict[str, Asset]:
    """The layers that were written; `defects` is the table of the single ones, `layers` those in the GeoPackage."""
    columns = {"table:columns": _columns(defects), "table:row_count": len(defects)}
    placed = {
        **columns,
        "table:columns": [*_columns(defects), *_PLACE_COLUMNS],
        "table:primary_geometry": GEOMETRY_COLUMN,
    }
    tables = [{"name": layer.name, "description": layer.description} for layer in layers]
    known: tuple[tuple[str, str, str, Asset], ...] = (
        ("defects.parquet", geoparquet.MEDIA_TYPE, "Every defect, GeoParquet", placed),
        ("defects.gpkg", geopackage.MEDIA_TYPE, "Every layer, styled, GeoPackage", {"table:tables": tables}),
        ("defects.geojson", geojson.MEDIA_TYPE, "Every defect, GeoJSON", columns),
        ("defects.csv", csv_table.MEDIA_TYPE, "Every defect, CSV", columns),
    )
    return {
        key.replace(".", "-"): {"type": media_type, "title": title, "roles": ["data"], **extra, **_file(key, outputs)}
        for key, media_type, title, extra in known
        if key in outputs.sha256
    }


def report_assets(names: Mapping[str, str], outputs: OutputFacts) -> dict[str, Asset]:
    """The reports of the structures that were written; `names` are the structures' names by slug."""
    assets: dict[str, Asset] = {}
    for slug, name in names.items():
        for suffix, media_type, roles in _REPORTS:
            key = f"structures/{slug}/report.{suffix}"
            if key in outputs.sha256:
                title = clean_text(f"Report of {name}", most_chars=200)
                assets[f"report-{slug}-{suffix}"] = {
                    "type": media_type,
                    "title": title,
                    "roles": roles,
                    **_file(key, outputs),
                }
    return assets


_REPORTS: Final = (
    ("html", _HTML, ["overview", "metadata"]),
    ("pdf", "application/pdf", ["overview", "metadata"]),
    ("json", "application/json", ["metadata"]),
)


def projection(raster: RasterInput) -> dict[str, Any]:
    """The ``proj:`` fields of a raster; the code is null where no authority's code names the CRS exactly."""
    georeference = raster.georeference
    code, wkt2 = crs_code(georeference), crs_wkt2(georeference)
    return {
        "proj:code": code,
        **({"proj:wkt2": wkt2} if code is None and wkt2 is not None else {}),
        "proj:shape": [georeference.height, georeference.width],
        "proj:transform": [float(value) for value in georeference.transform],
    }


def _mask(raster: RasterInput) -> Asset:
    band = {"data_type": "uint8", "nodata": NODATA}
    return {
        "type": COG_TYPE,
        "title": clean_text(f"Mask of {raster.name}", most_chars=200),
        "roles": ["data"],
        **band,
        "raster:bands": [{"name": "class", **band, "sampling": "area", "spatial_resolution": finite(raster.gsd_m)}],
        "classification:classes": mask_classes(),
        **projection(raster),
    }


def _file(key: str, outputs: OutputFacts) -> Asset:
    facts: Asset = {"href": f"../{quote(key)}"}
    if key in outputs.sha256:
        facts["file:checksum"] = multihash(outputs.sha256[key])
        if key in outputs.size_bytes:
            facts["file:size"] = outputs.size_bytes[key]
    return facts


def _columns(table: LayerTable) -> list[dict[str, str]]:
    return [{"name": c.name, "type": _STAC_TYPES[c.kind], "description": c.meaning} for c in table.columns]
