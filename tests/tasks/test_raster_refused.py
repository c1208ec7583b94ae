"""Every way to spoil a raster that the tests know, each with the code that refuses it."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from segmentation.errors import InputRejected
from tasks.raster_file import open_raster
from tests.tasks.surveys import GSD_M, HEIGHT, LIMITS, WIDTH, checked, picture, write_cog, write_raster, write_sparse

LON, LAT = -91.9946, 46.8426
R, G, B, A = ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha


@dataclass(frozen=True)
class Spoilt:
    """A raster that must be refused."""

    id: str
    code: str
    make: Callable[[Path], object]
    words: str = ""
    """What the message must also say."""


def cut(path: Path, share: float, **options: Any) -> None:
    write_raster(path, picture(height=300, width=400), **options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def cut_cog(path: Path) -> None:
    write_cog(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def directory(entries: list[tuple[int, int, int, int]], *, next_at: int = 0) -> bytes:
    """A little-endian TIFF of one directory at offset 8, entries (tag, type, count, value)."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", next_at)


def grey_directory(**changes: int) -> bytes:
    """A minimal RGB image of 8 × 8 px whose tags can be changed by number, as ``t256=…``."""
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 2, 273: 8, 277: 3, 278: 8, 279: 16}
    tags |= {int(name[1:]): value for name, value in changes.items()}
    return directory([(tag, 4, 1, value) for tag, value in tags.items()])


def huge_tile(path: Path) -> None:
    tags = {256: 65520, 257: 65520, 258: 8, 259: 8, 262: 1, 277: 1, 322: 65520, 323: 65520, 324: 8, 325: 16}
    path.write_bytes(directory([(tag, 4, 1, value) for tag, value in tags.items()]) + bytes(400))


def dense_bomb(path: Path) -> None:
    """Every tile points at the same few bytes: a small file that declares some gigabytes."""
    write_raster(path, np.zeros((3, 64, 64), np.uint8), compress="deflate")
    side, tile = 40_000, 1024
    count = (-(-side // tile)) ** 2
    data = path.read_bytes()
    start = len(data)
    arrays = struct.pack(f"<{count}I", *[64] * count) + struct.pack(f"<{count}I", *[32] * count)
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 2), (277, 3, 1, 3)]
    tags += [(322, 4, 1, tile), (323, 4, 1, tile), (324, 4, count, start), (325, 4, count, start + 4 * count)]
    at = start + len(arrays)
    packed = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    header = b"II*\0" + struct.pack("<I", at)
    path.write_bytes(header + data[8:] + arrays + struct.pack("<H", len(tags)) + packed + bytes(4))


def two_pages(path: Path, **options: Any) -> None:
    thumbnail, image = picture(height=16, width=16), picture(height=64, width=64)
    with tifffile.TiffWriter(path) as writer:
        for page in (thumbnail, image):
            writer.write(np.moveaxis(page, 0, -1), photometric="rgb", **options)


def set_double_tag(path: Path, tag: int, values: list[float]) -> None:
    """Overwrite the doubles of a GeoTIFF tag in place."""
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags[tag].valueoffset  # type: ignore[union-attr]
    data = bytearray(path.read_bytes())
    data[at : at + 8 * len(values)] = struct.pack(f"<{len(values)}d", *values)
    path.write_bytes(data)


def with_pixel_scale(*values: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write_raster(path)
        set_double_tag(path, 33550, list(values))

    return make


def with_gcps(path: Path) -> None:
    write_raster(path, crs=None, transform=None)
    corners = [(0, 0), (0, WIDTH), (HEIGHT, 0), (HEIGHT, WIDTH)]
    points = [GroundControlPoint(r, c, 576_650 + c * GSD_M, 5_188_198 - r * GSD_M) for r, c in corners]
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, CRS.from_epsg(32615))


def with_rpcs(path: Path) -> None:
    write_raster(path, crs=None, transform=None)
    rpcs = RPC(
        0, 500, LAT, 0.1, [0.0] * 20, [0, 1, *[0.0] * 18], 50, 50, LON, 0.1, [0.0] * 20, [0, 0, 1, *[0.0] * 17], 60, 60
    )
    rpcs.line_den_coeff[0] = rpcs.samp_den_coeff[0] = 1.0
    with rasterio.open(path, "r+") as dataset:
        dataset.rpcs = rpcs


def cmyk(path: Path) -> None:
    write_raster(path, picture(4), photometric="CMYK", crs="EPSG:32615")


SPOILT = [
    Spoilt("1-zero-bytes", "E_EMPTY", lambda p: p.write_bytes(b"")),
    Spoilt("2-text", "E_NOT_TIFF", lambda p: p.write_text("hello")),
    Spoilt("3-an-s3-error", "E_NOT_TIFF", lambda p: p.write_text("<?xml version='1.0'?><Error/>"), "XML"),
    Spoilt("4-a-jpeg", "E_NOT_TIFF", lambda p: write_raster(p, driver="JPEG", tiled=None), "JPEG"),
    Spoilt("4-a-png", "E_NOT_TIFF", lambda p: write_raster(p, driver="PNG", tiled=None), "PNG"),
    Spoilt("5-header-only", "E_TIFF_HEADER", lambda p: p.write_bytes(b"II*\0\x08\0\0\0")),
    Spoilt("5-magic-only", "E_TIFF_HEADER", lambda p: p.write_bytes(b"II*\0")),
    Spoilt("5-directory-lost", "E_TIFF_HEADER", lambda p: p.write_bytes(b"II*\0\xff\xff\0\0" + bytes(100))),
    Spoilt("5-no-directory", "E_TIFF_HEADER", lambda p: p.write_bytes(b"II*\0" + bytes(100))),
    Spoilt("5-loop", "E_TIFF_HEADER", lambda p: p.write_bytes(grey_directory()[:-4] + struct.pack("<I", 8)), "loop"),
    Spoilt(
        "5-endless-chain-of-65535-entries",
        "E_TIFF_HEADER",
        lambda p: p.write_bytes(b"MM\0*\0\0\0\x08\xff\xff" + bytes(99)),
    ),
    Spoilt("5-width-0", "E_TIFF_HEADER", lambda p: p.write_bytes(grey_directory(t256=0) + bytes(99)), "width"),
    Spoilt("5-bits-0", "E_TIFF_HEADER", lambda p: p.write_bytes(grey_directory(t258=0) + bytes(99)), "bits"),
    Spoilt(
        "5-too-few-strips", "E_TIFF_HEADER", lambda p: p.write_bytes(grey_directory(t278=1) + bytes(99)), "8 strips"
    ),
    Spoilt("6-strips-cut-in-half", "E_TRUNCATED", lambda p: cut(p, 0.5, tiled=False, blockxsize=None, blockysize=None)),
    Spoilt("6-tiles-cut-in-half", "E_TRUNCATED", lambda p: cut(p, 0.5)),
    Spoilt("6-tiles-cut-by-a-byte", "E_TRUNCATED", lambda p: cut(p, 0.99999)),
    Spoilt("6-cog-cut-in-half", "E_TRUNCATED", cut_cog),
    Spoilt("9-missing-tiles", "E_MISSING_TILES", lambda p: write_raster(p, sparse_ok=True), "nodata"),
    Spoilt("10-no-crs", "E_NO_CRS", lambda p: write_raster(p, crs=None), "gsd"),
    Spoilt("11-no-georeference", "E_NO_GEOREF", lambda p: write_raster(p, crs=None, transform=None), "gsd"),
    Spoilt("11-crs-without-transform", "E_NO_GEOREF", lambda p: write_raster(p, transform=None)),
    Spoilt("13-gcps-only", "E_GCP_ONLY", with_gcps),
    Spoilt("13-rpcs-only", "E_RPC_ONLY", with_rpcs),
    Spoilt("14-pixel-scale-0", "E_TRANSFORM", with_pixel_scale(0.0, 0.0, 0.0)),
    Spoilt("14-pixel-scale-nan", "E_TRANSFORM", with_pixel_scale(float("nan"), 0.002, 0.0)),
    Spoilt("14-singular", "E_TRANSFORM", lambda p: write_raster(p, transform=Affine(0.1, 0.1, 5e5, 0.1, 0.1, 5e6))),
    Spoilt(
        "14-off-the-earth",
        "E_TRANSFORM",
        lambda p: write_raster(p, crs="EPSG:4326", transform=Affine(1, 0, 0, 0, -1, 5000)),
    ),
    Spoilt(
        "15-too-coarse", "E_GSD_RANGE", lambda p: write_raster(p, transform=Affine(0.02, 0, 5e5, 0, -0.02, 5e6)), "20"
    ),
    Spoilt(
        "15-too-fine",
        "E_GSD_RANGE",
        lambda p: write_raster(p, transform=Affine(1e-4, 0, 5e5, 0, -1e-4, 5e6)),
        "0.5 … 5 mm",
    ),
    Spoilt("21-one-band", "E_BANDS", lambda p: write_raster(p, picture(1)), "SPANSCAN_RGB_BANDS"),
    Spoilt("21-two-bands", "E_BANDS", lambda p: write_raster(p, picture(2)), "SPANSCAN_RGB_BANDS"),
    Spoilt("21-five-bands", "E_BANDS", lambda p: write_raster(p, picture(5)), "SPANSCAN_RGB_BANDS"),
    Spoilt("21-rgb-and-infrared", "E_BANDS", lambda p: write_raster(p, picture(4), photometric="RGB", alpha="NO")),
    Spoilt("21-cmyk", "E_BANDS", cmyk, "CMYK"),
    Spoilt("22-palette", "E_BANDS", lambda p: write_raster(p, picture(1), photometric="PALETTE"), "palette"),
    Spoilt("26-float-with-nan", "E_DTYPE", lambda p: write_raster(p, picture(dtype="float32") * np.nan), "float32"),
    Spoilt("26-int16", "E_DTYPE", lambda p: write_raster(p, picture(dtype="int16")), "int16"),
    Spoilt("26-4-bits", "E_DTYPE", lambda p: write_raster(p, picture() // 16, nbits=4), "4 bits"),
    Spoilt("27-all-nodata", "E_ALL_NODATA", lambda p: write_raster(p, picture() * 0 + 9, nodata=9)),
    Spoilt(
        "27-all-transparent",
        "E_ALL_NODATA",
        lambda p: write_raster(p, picture(4) * [[[1]], [[1]], [[1]], [[0]]] % 256, dtype="uint8"),
    ),
    Spoilt("27-mask-empty", "E_ALL_NODATA", lambda p: write_raster(p, mask=np.zeros((HEIGHT, WIDTH), bool))),
    Spoilt("27-sparse-with-nodata", "E_ALL_NODATA", lambda p: write_raster(p, sparse_ok=True, nodata=0)),
    Spoilt("29-thumbnail-first", "E_MULTIPAGE", two_pages),
    Spoilt("31-small-file-declares-gigabytes", "E_RATIO", dense_bomb),
    Spoilt("32-tile-of-4-gigabytes", "E_BLOCK_TOO_BIG", huge_tile, "SPANSCAN_MAX_INPUT_BLOCK_BYTES"),
]


@pytest.mark.parametrize("case", SPOILT, ids=lambda case: case.id)
def test_a_spoilt_raster_is_refused_by_its_code(tmp_path: Path, case: Spoilt) -> None:
    path = tmp_path / "deck.tif"
    case.make(path)
    with pytest.raises(InputRejected) as refused:
        checked(path)
    assert refused.value.code == case.code, str(refused.value)
    assert case.words in str(refused.value)
    assert str(refused.value).startswith("deck.tif: ")
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_a_sparse_raster_of_a_million_pixels_square_is_refused_from_its_header(tmp_path: Path) -> None:
    path, side = tmp_path / "deck.tif", 1_000_000
    write_sparse(path, side_px=side, tile_px=4096, image_at=None)
    with pytest.raises(InputRejected) as refused:
        checked(path)
    assert refused.value.code == "E_TOO_BIG"
    with pytest.raises(InputRejected) as refused:
        checked(path, limits=replace(LIMITS, max_raster_px=side**2))
    assert refused.value.code == "E_MISSING_TILES"


VRT = """<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename>{0}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
WMS = """<GDAL_WMS><Service name="TMS"><ServerUrl>{0}</ServerUrl></Service></GDAL_WMS>"""
WCS = """<WCS_GDAL><ServiceURL>{0}?</ServiceURL><CoverageName>c</CoverageName></WCS_GDAL>"""
GTI = """<GDALTileIndexDataset><IndexDataset>{0}</IndexDataset></GDALTileIndexDataset>"""


@pytest.fixture
def visited() -> Iterator[tuple[str, list[str]]]:
    """An HTTP server's address and the paths that somebody asked it for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/x", paths
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("recipe", [VRT, WMS, WCS, GTI], ids=["vrt", "wms", "wcs", "gti"])
def test_a_recipe_named_tif_is_refused_and_nobody_is_asked(
    tmp_path: Path, visited: tuple[str, list[str]], recipe: str
) -> None:
    url, paths = visited
    path = tmp_path / "deck.tif"
    path.write_text(recipe.format(f"/vsicurl/{url}" if recipe is VRT else url))
    with pytest.raises(InputRejected) as refused:
        checked(path)
    assert refused.value.code == "E_NOT_TIFF"
    with pytest.raises(InputRejected), open_raster(path):
        pass
    assert paths == []


def test_a_damaged_tile_that_is_looked_at_is_a_decode_error(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "deck.tif", picture(dtype="uint16"), photometric="RGB", compress="deflate")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].dataoffsets[0]  # type: ignore[union-attr]
    data[at : at + 20] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(InputRejected) as refused:
        checked(path)
    assert refused.value.code == "E_TILE_DECODE"
