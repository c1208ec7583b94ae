"""Layers of a run, written to its place: the one entry point for the report stage."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segmentation.models.card import ModelCard
from segmentation.records import RasterInput, RunIdentity, StructureResult
from tasks.layers import csv_table, geojson, geopackage, geoparquet, qml
from tasks.layers.columns import LayerTable
from tasks.layers.csv_table import write_csv
from tasks.layers.dates import UNDATED, capture_time
from tasks.layers.defect_table import cracks_of, defect_table, rust_of
from tasks.layers.geojson import write_geojson
from tasks.layers.geopackage import StyledLayer, write_geopackage
from tasks.layers.geoparquet import write_geoparquet
from tasks.layers.stac_assets import OutputFacts, layer_assets, report_assets, survey_assets
from tasks.layers.stac_item import ITEM_FILE, stac_item
from tasks.layers.stac_model import MODEL_FILE
from tasks.layers.structure_table import raster_table, structure_table
from tasks.output_files import OutputFiles
from tasks.storage import Storage
from tasks.storage_local import scratch_folder


@dataclass(frozen=True, slots=True)
class LayerFile:
    """One file of the layers, beside the index."""

    format: str
    """Name of the format."""
    path: str
    """Key in the run."""
    media_type: str
    label: str
    description: str


LAYER_FILES: Final = (
    LayerFile(
        "geopackage",
        "defects.gpkg",
        geopackage.MEDIA_TYPE,
        "Layers, GeoPackage",
        "cracks, rust, structures and rasters with their styles, for QGIS",
    ),
    LayerFile(
        "geoparquet",
        "defects.parquet",
        geoparquet.MEDIA_TYPE,
        "Defects, GeoParquet",
        "every defect, typed and with the meaning of each column",
    ),
    LayerFile(
        "geojson", "defects.geojson", geojson.MEDIA_TYPE, "Defects, GeoJSON", "every defect with its figures, in WGS 84"
    ),
    LayerFile(
        "csv", "defects.csv", csv_table.MEDIA_TYPE, "Defects, CSV", "every defect as a table, units in the headings"
    ),
    LayerFile(
        "stac",
        ITEM_FILE,
        geojson.MEDIA_TYPE,
        "STAC item",
        "place, time, model and checksums of all files, for catalogues",
    ),
)
"""The layers that there are, in the order in which they are offered."""


def write_layers(
    files: OutputFiles,
    storage: Storage,
    results: Sequence[StructureResult],
    *,
    run: RunIdentity,
    rasters: Sequence[RasterInput],
    formats: Collection[str],
    card: ModelCard | None,
    later: Sequence[str],
) -> tuple[LayerFile, ...]:
    """Write the layers whose names are in `formats`, STAC last, and tell which there are.

    `storage` is the run's own, below which `files` writes; the item lists what is in ``files.sha256`` by then, and
    without checksums the files that `later` says will come. `card` is that of the model that made the masks, None
    where they were given. Names in `formats` that are no layer's are passed over.
    """
    wanted = tuple(one for one in LAYER_FILES if one.format in formats)
    if not wanted:
        return ()
    defects = defect_table(results, run=run, rasters=rasters)
    layers = styled_layers(defects, results, run=run, rasters=rasters)
    captured = capture_time(run.captured_at)
    changed_at = captured.start if captured is not None else UNDATED
    writers: dict[str, Callable[[Path], None]] = {
        "geopackage": lambda path: write_geopackage(path, layers, changed_at=changed_at),
        "geoparquet": lambda path: write_geoparquet(path, defects),
        "geojson": lambda path: write_geojson(path, defects),
        "csv": lambda path: write_csv(path, defects),
    }
    with scratch_folder("spanscan-layers-") as folder:
        for one in wanted:
            if one.format in writers:
                path = folder / one.path
                writers[one.format](path)
                files.write_file(one.path, path, one.media_type)
                path.unlink()
    if "stac" in formats:
        _write_item(files, storage, results, defects, layers, run=run, rasters=rasters, card=card, later=later)
    return wanted


def styled_layers(
    defects: LayerTable, results: Sequence[StructureResult], *, run: RunIdentity, rasters: Sequence[RasterInput]
) -> tuple[StyledLayer, ...]:
    """The layers of the GeoPackage, those that QGIS draws first at the bottom."""
    return (
        StyledLayer(raster_table(rasters, run=run), "MultiPolygon", qml.rasters_qml()),
        StyledLayer(structure_table(results, run=run, rasters=rasters), "MultiPolygon", qml.structures_qml()),
        StyledLayer(rust_of(defects), "MultiPolygon", qml.rust_qml()),
        StyledLayer(cracks_of(defects), "MultiLineString", qml.cracks_qml()),
    )


def _write_item(
    files: OutputFiles,
    storage: Storage,
    results: Sequence[StructureResult],
    defects: LayerTable,
    layers: Sequence[StyledLayer],
    *,
    run: RunIdentity,
    rasters: Sequence[RasterInput],
    card: ModelCard | None,
    later: Sequence[str],
) -> None:
    if card is not None:
        files.write(MODEL_FILE, card.to_json().encode(), "application/json")
    outputs = OutputFacts(files.sha256, _sizes(storage))
    names = {result.structure.slug: result.structure.name for result in results}
    assets = {
        **survey_assets(rasters, outputs, later=later),
        **layer_assets(outputs, defects=defects, layers=[layer.table for layer in layers]),
        **report_assets(names, outputs),
    }
    item = stac_item(run=run, rasters=rasters, assets=assets, card=card)
    files.write_json(ITEM_FILE, item, content_type=geojson.MEDIA_TYPE)


def _sizes(storage: Storage) -> Mapping[str, int]:
    """Sizes of the files beside the masks, from two listings."""
    places = (("", False), ("structures/", True))
    return {info.key: info.size_bytes for place, deep in places for info in storage.list(place, recursive=deep)}
