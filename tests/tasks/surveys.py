"""Rasters and surveys that the tests write themselves: one good raster, and every way to spoil it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.windows import Window

from tasks.input_limits import InputLimits
from tasks.raster_checked import CheckedRaster
from tasks.raster_checks import check_raster

GSD_M = 0.002
HEIGHT, WIDTH = 96, 130
UTM = "EPSG:32615"
UTM_PLACE = Affine(GSD_M, 0, 576_650, 0, -GSD_M, 5_188_198)
"""North-up in Minnesota; UTM's scale factor there makes a pixel 2.0007 mm on the ground."""

LIMITS = InputLimits(
    max_raster_px=10_000_000_000,
    max_block_bytes=64 << 20,
    max_read_s=30,
    max_ratio=5000,
    max_rasters=20,
    max_structures=1000,
    max_vertices=200_000,
    max_document_bytes=16 << 20,
)


def picture(count: int = 3, dtype: str = "uint8", height: int = HEIGHT, width: int = WIDTH) -> npt.NDArray[Any]:
    """Some texture ``(count, height, width)`` over the whole range of 8 bits, the same at each call."""
    noise = np.random.default_rng(7).integers(0, 256, (count, height, width))
    return noise.astype(dtype)


def write_raster(path: Path, values: npt.NDArray[Any] | None = None, **options: Any) -> Path:
    """A GeoTIFF of `values` ``(C, H, W)``; `options` go to rasterio, on top of a good place, tiles and CRS."""
    values = picture() if values is None else values
    mask = options.pop("mask", None)
    colours = options.pop("colorinterp", None)
    count, height, width = values.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": values.dtype,
    }
    profile |= {"crs": UTM, "transform": UTM_PLACE, "tiled": True, "blockxsize": 64, "blockysize": 64, **options}
    profile = {name: value for name, value in profile.items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dataset:
        if colours is not None:
            dataset.colorinterp = colours
        if not options.get("sparse_ok"):
            dataset.write(values)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def checked(path: Path, **knobs: Any) -> CheckedRaster:
    """What `check_raster` finds, with the limits of a usual run."""
    defaults: dict[str, Any] = {
        "gsd_range_m": (0.0005, 0.005),
        "gsd_m_override": None,
        "rgb_bands": None,
        "limits": LIMITS,
        "most_decoded_bytes": None,
        "on_window": lambda window: None,
    }
    return check_raster(path, name=path.name, **(defaults | knobs))


def write_cog(path: Path) -> None:
    """A COG with overviews, of 300 × 400 px."""
    write_raster(path.with_suffix(".src"), picture(height=300, width=400))
    rasterio.shutil.copy(path.with_suffix(".src"), path, driver="COG", blocksize=128, compress="none")


def write_sparse(path: Path, *, side_px: int, tile_px: int, image_at: tuple[int, int] | None, **options: Any) -> None:
    """A square raster whose tiles are all absent, but for the one (tile row, tile column) given."""
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32615", "transform": UTM_PLACE}
    tiling = {"sparse_ok": True, "bigtiff": "YES", "tiled": True, "blockxsize": tile_px, "blockysize": tile_px}
    with rasterio.open(path, "w", width=side_px, height=side_px, **profile, **tiling, **options) as dataset:
        if image_at is not None:
            window = Window(image_at[1] * tile_px, image_at[0] * tile_px, tile_px, tile_px)
            dataset.write(picture(height=tile_px, width=tile_px), window=window)
