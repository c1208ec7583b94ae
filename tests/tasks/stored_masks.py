"""Mask stores that a test has filled with classes of its own making."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine
from distributed import Client
from rasterio.crs import CRS

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.georeference import Georeference
from segmentation.inference.geometry import blocks
from segmentation.inference.predictor import SegmentedWindow
from segmentation.records import RasterInput, SourceObject
from tasks.mask_pyramid import write_pyramid
from tasks.mask_store import MaskStore
from tasks.run_place import RunPlace
from tasks.storage import open_storage

Mask = npt.NDArray[np.uint8]

BLOCK_PX = 512
UTM = CRS.from_epsg(32632).to_wkt()
NORTH_UP = Affine(0.0015, 0.0, 691_600.0, 0.0, -0.0015, 5_334_800.0)


@dataclass(frozen=True)
class Place:
    """How a raster lies on the earth."""

    id: str
    transform: Affine
    crs_wkt: str | None
    metres_per_unit: float | None = None


PLACES = (
    Place("north up", NORTH_UP, UTM),
    Place("rotated by 30 degrees", NORTH_UP @ Affine.rotation(30.0), UTM),
    Place("south up", Affine(0.0015, 0.0, 691_600.0, 0.0, 0.0015, 5_334_800.0), UTM),
    Place("in degrees", Affine(2e-8, 0.0, 11.5, 0.0, -1.4e-8, 48.1), CRS.from_epsg(4326).to_wkt()),
    Place("in US survey feet", Affine(0.005, 0.0, 6e6, 0.0, -0.005, 2e6), CRS.from_epsg(2227).to_wkt()),
    Place("without CRS", Affine(0.002, 0.0, 0.0, 0.0, -0.002, 0.0), None, 1.0),
)


def raster_of(shape: tuple[int, int], *, place: Place = PLACES[0], slug: str = "deck") -> RasterInput:
    """The record of a raster that nobody needs to read."""
    georeference = Georeference(*shape, tuple(place.transform)[:6], place.crs_wkt, place.metres_per_unit)
    source = SourceObject(f"/a/{slug}.tif", 1, "e", None, "0" * 64)
    return RasterInput(f"{slug}.tif", slug, source, georeference, 0.0015, "uint8", (1, 2, 3), (0.0, 255.0))


def place_in(folder: Path, *, masks: MaskStore | None = None) -> RunPlace:
    """A run's place in a folder, its masks perhaps elsewhere."""
    results = open_storage(str(folder / "results"), endpoint_url=None, region=None)
    storage = results.child("runs/1")
    masks = masks or MaskStore(storage.uri("masks.zarr"), None, None)
    return RunPlace(results, storage, storage.uri(""), masks, folder / "staging", None, None)


def store_mask(place: RunPlace, raster: RasterInput, mask: Mask, *, block_px: int = BLOCK_PX) -> None:
    """Write a mask block by block as the segment stage does: nothing where nothing was inspected."""
    place.masks.create(raster, block_px=block_px)
    for block in blocks(*mask.shape, block_px=block_px):
        part = mask[block.window.slices()]
        probability = np.zeros((2, *part.shape), np.uint8)
        place.masks.write_block(raster.slug, block.window, SegmentedWindow(np.ascontiguousarray(part), probability))


def with_pyramid(folder: Path, raster: RasterInput, mask: Mask, client: Client) -> RunPlace:
    """A run whose one raster has a mask and its pyramid."""
    place = place_in(folder)
    store_mask(place, raster, mask)
    write_pyramid((raster,), place, client)
    return place


def damaged_mask(shape: tuple[int, int], *, seed: int = 3) -> Mask:
    """Thin cracks, rust, a hole, nodata along the left and blocks at the right that nobody looked at."""
    rng = np.random.default_rng(seed)
    height, width = shape
    mask = np.zeros(shape, np.uint8)
    rows, cols = np.ogrid[:height, :width]
    for _ in range(4):
        row, col = rng.integers(0, height), rng.integers(0, width)
        mask[(rows - row) ** 2 + (cols - col) ** 2 < 40**2] = 2
    for _ in range(6):
        walk = np.cumsum(rng.integers(-1, 2, width)) + rng.integers(0, height)
        mask[np.clip(walk, 0, height - 1), np.arange(width)] = 1
    mask[:, :37] = NODATA
    mask[: height // 3, max(0, width - 700) :] = NOT_INSPECTED
    return mask
