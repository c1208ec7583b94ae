"""Rasters beyond the numbered list: each is refused by its code, or taken with right figures."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
import tifffile
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from tasks.tiff_header import GEO_KEYS
from tests.scorecard.inputs import grid
from tests.tasks.surveys import UTM, UTM_PLACE, picture, write_raster, write_sparse

SIDE_PX, TILE_PX = 512, 64
_NO_CODE = 32999
_PROJECTED_CRS = 3072
_NODATA = 42113
_PLACE: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "crs": UTM, "transform": UTM_PLACE}
_SPARSE: dict[str, Any] = {
    "width": SIDE_PX, "height": SIDE_PX, "sparse_ok": True, "tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX,
}  # fmt: skip


@dataclass(frozen=True)
class Beyond:
    """A raster, and what must be said of it."""

    id: str
    code: str
    """Empty: it is accepted."""
    make: Callable[[Path], object]
    words: str = ""
    """What the message must also say."""
    gsd_mm: float = 2.0


def _rgb(**options: Any) -> Callable[[Path], object]:
    return lambda path: write_raster(path, **{"photometric": "RGB", **options})


def _of(values: Callable[[], Any], **options: Any) -> Callable[[Path], object]:
    return lambda path: write_raster(path, values(), **options)


def _sparse_with_nodata(text: str) -> Callable[[Path], None]:
    """All tiles but one missing, and a nodata value that is no value of a pixel, or not the one that GDAL fills in."""

    def make(path: Path) -> None:
        write_sparse(path, side_px=SIDE_PX, tile_px=TILE_PX, image_at=(2, 3), nodata=0)
        with tifffile.TiffFile(path) as tiff:
            at = tiff.pages[0].tags[_NODATA].offset  # type: ignore[union-attr]
        data, value = bytearray(path.read_bytes()), text.encode() + b"\0"
        data[at + 4 : at + 20] = struct.pack("<Q", len(value)) + value.ljust(8, b"\0")
        path.write_bytes(data)

    return make


def _one_plane_short(path: Path) -> None:
    values = picture(height=SIDE_PX, width=SIDE_PX) // 2 + np.uint8(1)
    with rasterio.open(
        path, "w", count=3, nodata=0, interleave="band", photometric="RGB", **_PLACE, **_SPARSE
    ) as dataset:
        dataset.write(values[1], 2)
        dataset.write(values[2], 3)
        dataset.write(values[0, : SIDE_PX // 2], 1, window=Window(0, 0, SIDE_PX, SIDE_PX // 2))


def _unknown_crs_code(path: Path) -> None:
    write_raster(path, photometric="RGB")
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[GEO_KEYS]  # type: ignore[union-attr]
        keys, at = list(tag.value), tag.valueoffset
    keys[keys.index(_PROJECTED_CRS) + 3] = _NO_CODE
    data = bytearray(path.read_bytes())
    data[at : at + 2 * len(keys)] = struct.pack(f"<{len(keys)}H", *keys)
    path.write_bytes(data)


def _reduced_page_alone(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.moveaxis(picture(), 0, -1), photometric="rgb", subfiletype=1)


def _masked_cog(compress: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        shown = np.arange(400)[None].repeat(300, 0) < 200
        write_raster(path.with_suffix(".src"), picture(height=300, width=400), mask=shown, photometric="RGB")
        rasterio.shutil.copy(path.with_suffix(".src"), path, driver="COG", blocksize=128, compress=compress)

    return make


def _rgba(alpha: int, **options: Any) -> Callable[[Path], object]:
    bands = lambda: np.concatenate([picture(), np.full_like(picture()[:1], alpha)])  # noqa: E731
    return _of(bands, photometric="RGB", alpha="YES", **options)


_COLOURS_AND_ONE = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined, ColorInterp.alpha]

_SWAPPED = Affine(2e-8, 0, 46, 0, -2e-8, -92)

BEYOND = [
    *(
        Beyond(f"missing tiles and the nodata value {text}", "E_MISSING_TILES", _sparse_with_nodata(text), "nodata")
        for text in ("-9999", "300", "nan", "0.5")
    ),
    Beyond("tiles missing in one of three planes", "E_MISSING_TILES", _one_plane_short, "some of its bands"),
    Beyond("alpha beside the nodata value 255", "E_BANDS", _rgba(255, nodata=255), "-unsetnodata"),
    Beyond("three bands in which white is zero", "E_BANDS", _rgb(photometric="MINISWHITE"), "white is zero"),
    Beyond("CIELab", "E_BANDS", _rgb(photometric="CIELAB"), "CIELab"),
    Beyond(
        "RGB, a fourth band and alpha",
        "E_BANDS",
        _of(lambda: picture(5), colorinterp=_COLOURS_AND_ONE),
        "SPANSCAN_RGB_BANDS",
    ),
    Beyond("transparent everywhere", "E_ALL_NODATA", _rgba(0)),
    Beyond("signed bytes", "E_DTYPE", _of(lambda: picture().astype(np.int8))),
    Beyond("seven bits", "E_DTYPE", _of(lambda: picture() // 2, photometric="RGB", NBITS=7), "7 bits"),
    Beyond("a CRS code that nobody knows", "E_CRS", _unknown_crs_code, str(_NO_CODE)),
    Beyond("geocentric", "E_CRS", _rgb(crs="EPSG:4978"), "Geocentric"),
    Beyond("latitude before longitude", "E_TRANSFORM", _rgb(crs="EPSG:4326", transform=_SWAPPED)),
    Beyond("an overview and no image", "E_MULTIPAGE", _reduced_page_alone),
    Beyond("COG with an internal mask, deflate", "", _masked_cog("deflate")),
    Beyond("COG with an internal mask, jpeg", "", _masked_cog("jpeg")),
    Beyond("compound CRS", "", _rgb(crs="EPSG:32615+5773")),
    Beyond("alpha beside the nodata value 0", "", _rgba(255, nodata=0)),
    Beyond("nearly transparent everywhere", "", _rgba(1)),
    Beyond("uint16 with a nodata value", "", _of(lambda: picture().astype(np.uint16) * np.uint16(256), nodata=65535)),
    Beyond("12 bits in 16", "", _of(lambda: picture().astype(np.uint16) * np.uint16(16), NBITS=12)),
    *(Beyond(f"written with {codec}", "", _rgb(compress=codec)) for codec in ("webp", "lerc", "lzma", "zstd")),
    Beyond("YCbCr at half its width", "", _rgb(compress="jpeg", photometric="YCBCR")),
    Beyond("rotated and mirrored", "", _rgb(transform=grid(UTM, turned_deg=30) @ Affine.scale(1, -1)), gsd_mm=1.5),
    Beyond(
        "across the antimeridian",
        "",
        _rgb(crs="EPSG:32660", transform=grid("EPSG:32660", at=(180 - 1e-6, -17.0))),
        gsd_mm=1.5,
    ),
]
