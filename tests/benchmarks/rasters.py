"""The rasters of the benchmarks: textured as a drone photograph is, or nearly all nodata; made once and kept."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.windows import Window as RasterioWindow

from segmentation.synthetic.crops import sample_crop

Bytes = npt.NDArray[np.uint8]

CRS_UTM = CRS.from_epsg(32632)
GSD_M = 0.0015
BLOCK_PX = 512
"""Side of the file's own tiles."""
PATCH_PX = 1024
PATCHES = 20
"""Pictures that are laid out in eight orientations; more would cost time and no longer change a tile's entropy."""
_SEED = 3


def textured_raster(cache: Path, size_px: int) -> Path:
    """The folder, a survey, of an RGB deflate COG of `size_px` × `size_px` valid pixels; written where it is absent.

    The pixels are the project's synthetic photographs (surfaces, damage, blur, noise, JPEG), so that they compress as
    photographs do; they are written in strips, so that little memory is held.
    """
    folder = cache / f"textured-{size_px}"
    path = folder / "ortho.tif"
    if path.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    plain = path.with_suffix(".partial")
    patches = _patches(min(PATCHES, (-(-size_px // PATCH_PX)) ** 2))
    rng = np.random.default_rng(_SEED)
    with rasterio.Env(GDAL_CACHEMAX=64 << 20), rasterio.open(plain, "w", **_profile(size_px)) as target:
        for row in range(0, size_px, PATCH_PX):
            strip = np.concatenate([_turned(rng, patches) for _ in range(0, size_px, PATCH_PX)], axis=1)
            bands = np.moveaxis(strip[: size_px - row, :size_px], 2, 0)
            target.write(bands, window=RasterioWindow(0, row, size_px, bands.shape[1]))
    plain.replace(path)
    return folder


def sparse_raster(cache: Path, size_px: int) -> Path:
    """The folder of a raster that was written in one tile of `BLOCK_PX` at its centre only; the rest is nodata.

    GDAL stores no byte of the tiles that were not written.
    """
    folder = cache / f"sparse-{size_px}"
    path = folder / "ortho.tif"
    if path.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    plain = path.with_suffix(".partial")
    at = size_px // 2 // BLOCK_PX * BLOCK_PX
    side_px = min(BLOCK_PX, size_px - at)
    picture = np.maximum(_patches(1)[0][:side_px, :side_px], 1)
    with rasterio.open(plain, "w", **_profile(size_px), nodata=0, sparse_ok=True) as target:
        target.write(np.moveaxis(picture, 2, 0), window=RasterioWindow(at, at, side_px, side_px))
    plain.replace(path)
    return folder


def _patches(count: int) -> list[Bytes]:
    return [sample_crop(np.random.default_rng([_SEED, i]), size_px=PATCH_PX).image for i in range(count)]


def _turned(rng: np.random.Generator, patches: list[Bytes]) -> Bytes:
    orientations = list(product(range(4), (False, True)))
    turns, flipped = orientations[int(rng.integers(len(orientations)))]
    patch = np.rot90(patches[int(rng.integers(len(patches)))], turns)
    return patch[:, ::-1] if flipped else patch


def _profile(size_px: int) -> dict[str, Any]:
    """The layout of a COG's full resolution: tiles of 512, deflate with the horizontal predictor."""
    return {
        "driver": "GTiff",
        "width": size_px,
        "height": size_px,
        "count": 3,
        "dtype": "uint8",
        "crs": CRS_UTM,
        "transform": Affine(GSD_M, 0.0, 691_600.0, 0.0, -GSD_M, 5_334_800.0),
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "interleave": "pixel",
        "photometric": "RGB",
        "compress": "deflate",
        "predictor": 2,
        "bigtiff": "if_safer",
    }
