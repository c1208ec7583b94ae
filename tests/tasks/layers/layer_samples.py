"""Surveys for the layers: hand-made results on a raster, and the files that are made of them."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segmentation.georeference import Georeference
from segmentation.models.card import ModelCard
from segmentation.models.catalogue import card_of
from segmentation.records import RasterInput, RunIdentity, SourceObject, StructureResult
from tasks.layers.columns import LayerTable
from tasks.layers.defect_table import defect_table
from tasks.layers.write import LAYER_FILES, LayerFile, write_layers
from tasks.output_files import OutputFiles
from tasks.storage import open_storage
from tests.tasks.report.samples import GEOREFERENCE, GSD_M, RASTER, RUN, bridge_deck, unseen_pier

CARD: ModelCard = card_of("spanscan-unet")
RESULTS = (bridge_deck(), unseen_pier())
ALL_FORMATS = tuple(one.format for one in LAYER_FILES)
LOCAL = Georeference(100, 200, (0.002, 0.0, 5.0, 0.0, -0.002, 9.0), crs_wkt=None, metres_per_unit=1.0)


def raster_of(name: str = RASTER, georeference: Georeference = GEOREFERENCE, *, slug: str = "deck-east") -> RasterInput:
    source = SourceObject(f"s3://inbox/bridge/{name}", 4711, "etag", None, "cd" * 32)
    return RasterInput(name, slug, source, georeference, GSD_M, "uint8", (1, 2, 3), (0.0, 255.0))


RASTERS = (raster_of(),)


def table_of(*results: StructureResult, run: RunIdentity = RUN) -> LayerTable:
    """The table of defects."""
    return defect_table(results or RESULTS, run=run, rasters=RASTERS)


def without_place(result: StructureResult) -> StructureResult:
    """The result as a raster in a local frame gives it."""
    return replace(
        result,
        structure=replace(result.structure, footprint=None, raster_name="facade.tif"),
        defects=tuple(replace(defect, geometry=None) for defect in result.defects),
    )


def written(
    folder: Path,
    results: Sequence[StructureResult] = RESULTS,
    *,
    formats: Collection[str] = ALL_FORMATS,
    files: dict[str, bytes] | None = None,
    **changes: Any,
) -> tuple[LayerFile, ...]:
    """Write the layers of a survey below `folder`, beside the `files` that the run has written before."""
    storage = open_storage(str(folder), endpoint_url=None, region=None)
    outputs = OutputFiles(storage)
    for key, data in (files or {}).items():
        outputs.write(key, data, "application/octet-stream")
    facts: dict[str, Any] = {"run": RUN, "rasters": RASTERS, "card": CARD, "later": ("index.html", "manifest.json")}
    return write_layers(outputs, storage, results, formats=formats, **(facts | changes))
