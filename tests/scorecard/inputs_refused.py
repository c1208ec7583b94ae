"""Rows 1 to 33: rasters that must be refused, each with the code of the scorecard."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from affine import Affine

from segmentation.models.catalogue import card_of
from tests.scorecard.inputs import GSD_M, Row, grid, write_picture
from tests.tasks.surveys import picture, write_raster, write_sparse
from tests.tasks.test_raster_refused import GTI, SPOILT, VRT, WCS, WMS, Spoilt

DAMAGED_BYTES = 64


@dataclass(frozen=True)
class Refused(Row):
    """A raster that must be refused."""

    code: str
    make: Callable[[Path, str], object]
    """Writes the raster; the text is the address of a server that nobody may ask."""
    is_vouched: bool = False
    """Whether survey.json gives the SHA-256 that it had before it was damaged."""

    @property
    def file_name(self) -> str:
        """Its name in a survey of all of them."""
        return f"{self.id.replace(' ', '-')}.tif"


def _of(spoilt: Spoilt) -> Refused:
    number, _, words = spoilt.id.partition("-")
    return Refused(f"{int(number):02d} {words.replace('-', ' ')}", spoilt.code, lambda path, _: spoilt.make(path))


def _block(path: Path, index: int = 0) -> tuple[int, int]:
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        return page.dataoffsets[index], page.databytecounts[index]


def damaged(at_share: float, byte: int, **options: Any) -> Callable[[Path, str], None]:
    """A raster with some bytes of one tile overwritten, at a share of the tile's length."""

    def make(path: Path, _: str) -> None:
        write_picture(path, blockxsize=128, blockysize=128, **options)
        start, length = _block(path, 3)
        data = bytearray(path.read_bytes())
        at = start + int(length * at_share)
        count = min(DAMAGED_BYTES, length)
        data[at : at + count] = bytes([byte]) * count
        path.write_bytes(data)

    return make


def _out_of_range(factor: float) -> Callable[[Path, str], object]:
    low_m, high_m = card_of("spanscan-unet").gsd_range_m
    gsd_m = high_m * factor if factor > 1 else low_m * factor
    return lambda path, _: write_raster(path, transform=grid("EPSG:32615") @ Affine.scale(gsd_m / GSD_M))


def _recipe(text: str, prefix: str = "") -> Callable[[Path, str], object]:
    return lambda path, url: path.write_text(text.format(f"{prefix}{url}"))


def _local_degrees(path: Path, _: str) -> None:
    crs = 'LOCAL_CS["pier 3",UNIT["degree",0.0174532925199433]]'
    write_raster(path, crs=crs)


def _mask_of_a_missing_tile(path: Path, _: str) -> None:
    write_sparse(path, side_px=4096, tile_px=512, image_at=(2, 3))


REFUSED = [
    *(_of(case) for case in SPOILT if not case.id.startswith("15")),
    Refused("07 tile the decoder reports, lzw", "E_TILE_DECODE", damaged(0.0, 0xFF, compress="lzw")),
    Refused("07 tile the decoder reports, deflate", "E_TILE_DECODE", damaged(0.0, 0x00, compress="deflate")),
    Refused("07 tile the decoder reports, jpeg", "E_TILE_DECODE", damaged(0.0, 0x00, compress="jpeg")),
    Refused("08 silent tile, deflate", "E_CHECKSUM", damaged(0.5, 0x00, compress="deflate")),
    Refused("08 silent tile, deflate, predictor", "E_CHECKSUM", damaged(0.3, 0x00, compress="deflate", predictor=2)),
    Refused("08 silent tile, none, vouched for", "E_CHECKSUM", damaged(0.5, 0x00), is_vouched=True),
    Refused("08 silent tile, jpeg, vouched for", "E_CHECKSUM", damaged(0.5, 0x00, compress="jpeg"), is_vouched=True),
    Refused("08 silent tile, packbits, vouched", "E_CHECKSUM", damaged(0.5, 0, compress="packbits"), is_vouched=True),
    Refused("08 silent tile, zstd, vouched for", "E_CHECKSUM", damaged(0.5, 0x00, compress="zstd"), is_vouched=True),
    Refused("09 all tiles but one missing", "E_MISSING_TILES", _mask_of_a_missing_tile),
    Refused("12 local CRS without a unit of length", "E_CRS_LOCAL", _local_degrees),
    Refused("15 twice the model's largest GSD", "E_GSD_RANGE", _out_of_range(2)),
    Refused("15 half the model's smallest GSD", "E_GSD_RANGE", _out_of_range(0.5)),
    Refused(
        "30 a million pixels square, sparse",
        "E_TOO_BIG",
        lambda path, _: write_sparse(path, side_px=1_000_000, tile_px=4096, image_at=None),
    ),
    Refused("33 VRT of a local file", "E_NOT_TIFF", lambda path, _: path.write_text(VRT.format("/etc/hostname"))),
    Refused("33 VRT of a URL", "E_NOT_TIFF", _recipe(VRT, "/vsicurl/")),
    Refused("33 WMS", "E_NOT_TIFF", _recipe(WMS)),
    Refused("33 WCS", "E_NOT_TIFF", _recipe(WCS)),
    Refused("33 GTI", "E_NOT_TIFF", _recipe(GTI)),
]  # fmt: skip


def write_refused(case: Refused, path: Path, url: str) -> dict[str, str]:
    """Write a case to `path`; what survey.json says of it."""
    case.make(path, url)
    if not case.is_vouched:
        return {"name": path.name}
    sound = write_picture(path.with_suffix(".sound"))
    sha256 = hashlib.sha256(sound.read_bytes()).hexdigest()
    sound.unlink()
    return {"name": path.name, "sha256": sha256}


def a_good_one(path: Path) -> dict[str, str]:
    """A small good raster beside the refused ones."""
    write_raster(path, picture() // 2 + np.uint8(60))
    return {"name": path.name}
