"""Small runs of the segment stage on a raster that a test has written."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS

from segmentation.georeference import Georeference
from segmentation.models.registry import load_model
from segmentation.records import RasterInput, SourceObject, Structure, Survey
from tasks.mask_store import MaskStore
from tasks.plan import EngineSettings, InspectionPlan, MeasureSettings, make_plan
from tasks.report_settings import ReportSettings
from tasks.run_place import RunPlace
from tasks.storage import open_storage
from tasks.storage_local import pin_local
from tests.tasks.surveys import GSD_M, UTM_PLACE, write_raster

BLOCK_PX = 512
REPORT = ReportSettings(("json",), worst_count=12)


def raster_at(path: Path) -> RasterInput:
    """The record of a raster in UTM."""
    with rasterio.open(path) as dataset:
        height, width, dtype = dataset.height, dataset.width, dataset.dtypes[0]
    georeference = Georeference(height, width, tuple(UTM_PLACE)[:6], CRS.from_epsg(32615).to_wkt())
    size_bytes, etag = pin_local(path)
    source = SourceObject(str(path), size_bytes, etag, None, "0" * 64)
    return RasterInput(path.name, "deck", source, georeference, GSD_M, dtype, (1, 2, 3), (0.0, 255.0))


def noisy_raster(folder: Path, *, size_px: int = 1300) -> RasterInput:
    """A raster of noise, written into a folder."""
    noise = np.random.default_rng(5).integers(0, 255, (3, size_px, size_px)).astype(np.uint8)
    return raster_at(write_raster(folder / "a.tif", noise))


def plan_of(raster: RasterInput, *, structures: tuple[Structure, ...] = (), **engine: Any) -> InspectionPlan:
    """A plan in blocks of 512 px with the shipped weights in float32."""
    knobs: dict[str, Any] = {
        "device": "cpu",
        "precision": "fp32",
        "workers": 2,
        "batch": 1,
        "tile_core_px": 256,
        "block_px": BLOCK_PX,
        "memory_limit_bytes": 10**10,
    }
    return make_plan(
        Survey("bridge", "/in", (raster,), structures, None),
        load_model("spanscan-unet"),
        model_path="spanscan-unet",
        engine=EngineSettings(**(knobs | engine)),
        measure=MeasureSettings(2.0, 24.0, 64, ("astm-d610",)),
        report=REPORT,
    )


def place_in(folder: Path) -> RunPlace:
    """A run's place in a folder."""
    results = open_storage(str(folder / "results"), endpoint_url=None, region=None)
    storage = results.child("runs/1")
    masks = MaskStore(storage.uri("masks.zarr"), None, None)
    return RunPlace(results, storage, storage.uri(""), masks, folder / "staging", None, None)


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder, by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
