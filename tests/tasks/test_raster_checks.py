"""Every way to spoil a raster that the tests know, each with the code that refuses it, and the controls."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import cos, radians, sin
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from affine import Affine
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from segmentation.errors import InputRejected
from tasks.raster_checks import CheckedRaster, check_raster, open_raster
from tests.tasks.surveys import GSD_M, HEIGHT, LIMITS, UTM_PLACE, WIDTH, picture, write_raster

LON, LAT = -91.9946, 46.8426
R, G, B, A = ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha


def checked(path: Path, **knobs: Any) -> CheckedRaster:
    defaults: dict[str, Any] = {
        "gsd_range_m": (0.0005, 0.005),
        "gsd_m_override": None,
        "rgb_bands": None,
        "limits": LIMITS,
    }
    return check_raster(path, name=path.name, **(defaults | knobs))


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


def as_cog(path: Path) -> None:
    write_raster(path.with_suffix(".src"), picture(height=300, width=400))
    rasterio.shutil.copy(path.with_suffix(".src"), path, driver="COG", blocksize=128, compress="none")


def cut_cog(path: Path) -> None:
    as_cog(path)
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
    path = tmp_path / "deck.tif"
    side = 1_000_000
    rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=3,
        dtype="uint8",
        crs="EPSG:32615",
        transform=UTM_PLACE,
        sparse_ok=True,
        bigtiff="YES",
        tiled=True,
        blockxsize=4096,
        blockysize=4096,
    ).close()
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


@dataclass(frozen=True)
class Sound:
    """A raster that must be accepted, with what must be found out."""

    id: str
    make: Callable[[Path], object]
    gsd_m: float = GSD_M
    rgb_bands: tuple[int, int, int] = (1, 2, 3)
    value_range: tuple[float, float] = (0, 255)
    tolerance: float = 0.01
    override_m: float | None = None
    is_local: bool = False
    words: str = ""
    """What a warning must say; empty: there is none."""


def placed(crs: str, **turn: float) -> Callable[[Path], object]:
    """The good raster in another CRS at the same place, its pixel 2 mm on the ground along both axes."""

    def make(path: Path) -> object:
        to_crs = Transformer.from_crs("EPSG:32615", crs, always_xy=True)
        x, y = 576_650.0, 5_188_198.0
        origin = to_crs.transform(x, y)
        right, below = to_crs.transform(x + 100, y), to_crs.transform(x, y - 100)
        a, d = ((right[i] - origin[i]) / 100 * GSD_M for i in (0, 1))
        b, e = ((below[i] - origin[i]) / 100 * GSD_M for i in (0, 1))
        return write_raster(path, crs=crs, transform=Affine(a, b, origin[0], d, e, origin[1]))

    return make


def mercator_at_60_north(path: Path) -> None:
    # Web-mercator stretches by 1 / cos(latitude): its units there are half a metre (EPSG guidance note 7-2).
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(25.0, 60.0)
    write_raster(path, crs="EPSG:3857", transform=Affine(2 * GSD_M, 0, x, 0, -2 * GSD_M, y))


def as_uint16(factor: int) -> Callable[[Path], object]:
    return lambda path: write_raster(path, picture(dtype="uint16") * factor, photometric="RGB")


def turned(degrees: float) -> Affine:
    c, s = cos(radians(degrees)) * GSD_M, sin(radians(degrees)) * GSD_M
    return Affine(c, s, 576_650, s, -c, 5_188_198)


def local(unit: str) -> str:
    return f'LOCAL_CS["pier 3, east face",UNIT[{unit}]]'


ALPHA = np.concatenate([picture(), np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
STRIPS: dict[str, Any] = {"tiled": False, "blockxsize": None}
SOUND = [
    Sound("the-control", write_raster),
    Sound(
        "9-sparse-edge-with-nodata",
        lambda p: write_raster(p, picture() * (np.arange(WIDTH) < 64).astype("uint8"), nodata=0),
    ),
    Sound(
        "10-no-crs-but-a-given-gsd",
        lambda p: write_raster(p, crs=None),
        override_m=0.003,
        gsd_m=0.003,
        is_local=True,
        words="given GSD of 3 mm",
    ),
    Sound(
        "11-no-georeference-but-a-given-gsd",
        lambda p: write_raster(p, crs=None, transform=None),
        override_m=0.003,
        gsd_m=0.003,
        is_local=True,
        words="3 mm",
    ),
    Sound(
        "12-local-metres",
        lambda p: write_raster(p, crs=local('"metre",1'), transform=Affine(0.002, 0, 0, 0, -0.002, 9)),
        is_local=True,
        words="local",
    ),
    Sound(
        "12-local-feet",
        lambda p: write_raster(p, crs=local('"foot",0.3048'), transform=Affine(0.01, 0, 0, 0, -0.01, 9)),
        gsd_m=0.003048,
        is_local=True,
        words="local",
    ),
    Sound(
        "12-local-with-a-given-gsd",
        lambda p: write_raster(p, crs=local('"metre",1')),
        override_m=0.003,
        gsd_m=0.003,
        is_local=True,
        words="local",
    ),
    Sound("15-a-given-gsd-does-not-overrule-a-place", write_raster, override_m=0.004, words="was not used"),
    Sound("16-rotated-30-degrees", lambda p: write_raster(p, transform=turned(30))),
    Sound("17-south-up", lambda p: write_raster(p, transform=Affine(GSD_M, 0, 576_650, 0, GSD_M, 5_188_198))),
    Sound("17-mirrored", lambda p: write_raster(p, transform=Affine(-GSD_M, 0, 576_650, 0, -GSD_M, 5_188_198))),
    Sound(
        "17-non-square", lambda p: write_raster(p, transform=Affine(2 * GSD_M, 0, 576_650, 0, -GSD_M / 2, 5_188_198))
    ),
    Sound("18-us-feet", placed("EPSG:26852")),
    Sound("19-web-mercator", placed("EPSG:3857")),
    Sound("19-web-mercator-at-60-north", mercator_at_60_north),
    Sound("20-degrees", placed("EPSG:4326")),
    Sound("23-rgba", lambda p: write_raster(p, ALPHA)),
    Sound("23-internal-mask", lambda p: write_raster(p, mask=np.arange(WIDTH)[None].repeat(HEIGHT, 0) > 60)),
    Sound("23-nodata-value", lambda p: write_raster(p, nodata=0)),
    Sound("23-black-without-nodata", lambda p: write_raster(p, picture() * 0)),
    Sound("24-bgr", lambda p: write_raster(p, photometric="MINISBLACK", colorinterp=[B, G, R]), rgb_bands=(3, 2, 1)),
    Sound(
        "24-alpha-first",
        lambda p: write_raster(p, ALPHA[[3, 0, 1, 2]], photometric="MINISBLACK", colorinterp=[A, R, G, B]),
        rgb_bands=(2, 3, 4),
    ),
    Sound("24-no-colours", lambda p: write_raster(p, photometric="MINISBLACK"), words="taken for red, green and blue"),
    Sound("25-uint16-widened-from-8-bits", as_uint16(257), value_range=(0, 65535), words="uint16"),
    Sound("25-uint16-of-a-12-bit-camera", as_uint16(16), value_range=(0, 4095), words="4095"),
    Sound(
        "25-uint16-that-declares-10-bits",
        lambda p: write_raster(p, picture(dtype="uint16"), photometric="RGB", nbits=10),
        value_range=(0, 1023),
        words="1023",
    ),
    Sound("28-strips", lambda p: write_raster(p, **STRIPS, blockysize=1)),
    Sound("28-one-strip", lambda p: write_raster(p, **STRIPS, blockysize=HEIGHT)),
    Sound("28-planar", lambda p: write_raster(p, interleave="band")),
    Sound("28-planar-strips", lambda p: write_raster(p, **STRIPS, blockysize=5, interleave="band")),
    Sound("28-bigtiff", lambda p: write_raster(p, bigtiff="YES")),
    Sound("28-big-endian", lambda p: write_raster(p, endianness="BIG")),
    Sound("28-big-endian-bigtiff", lambda p: write_raster(p, endianness="BIG", bigtiff="YES")),
    Sound("28-one-pixel", lambda p: write_raster(p, picture(height=1, width=1), **STRIPS, blockysize=None)),
    Sound("28-one-row-of-10000", lambda p: write_raster(p, picture(height=1, width=10_000), **STRIPS, blockysize=None)),
    Sound("28-jpeg-ycbcr", lambda p: write_raster(p, compress="jpeg", photometric="ycbcr")),
    Sound("28-cog-with-overviews", as_cog),
]


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.id)
def test_a_sound_raster_is_accepted_with_its_scale_bands_and_range(tmp_path: Path, case: Sound) -> None:
    path = tmp_path / "deck.tif"
    case.make(path)
    found = checked(path, gsd_m_override=case.override_m)
    assert found.gsd_m == pytest.approx(case.gsd_m, rel=case.tolerance)
    assert found.rgb_bands == case.rgb_bands
    assert found.value_range == case.value_range
    assert found.georeference.is_local == case.is_local
    assert case.words in " ".join(found.warnings)
    assert bool(case.words) == bool(found.warnings)


def test_a_length_in_a_rotated_feet_raster_is_that_of_the_control(tmp_path: Path) -> None:
    placed("EPSG:26852")(tmp_path / "feet.tif")
    scale = checked(tmp_path / "feet.tif").georeference.centre_scale()
    assert scale.length_m(d_row=30, d_col=40) == pytest.approx(50 * GSD_M, rel=0.002)


def test_a_sparse_raster_beyond_4_gigabytes_is_accepted(tmp_path: Path) -> None:
    path, side = tmp_path / "deck.tif", 60_000
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=3,
        dtype="uint8",
        crs="EPSG:32615",
        transform=UTM_PLACE,
        sparse_ok=True,
        bigtiff="YES",
        tiled=True,
        blockxsize=1024,
        blockysize=1024,
        nodata=0,
        compress="deflate",
    ) as dataset:
        window = rasterio.windows.Window(31 * 1024, 17 * 1024, 1024, 1024)
        dataset.write(picture(height=1024, width=1024), window=window)
    assert checked(path).georeference.width == side


def test_sidecars_that_lie_are_not_looked_at(tmp_path: Path) -> None:
    write_raster(tmp_path / "alone" / "deck.tif")
    path = write_raster(tmp_path / "deck.tif")
    write_raster(tmp_path / "deck.tif.ovr", picture() * 0, driver="GTiff")
    write_raster(tmp_path / "deck.tif.msk", picture(1) * 0, driver="GTiff")
    (tmp_path / "deck.tfw").write_text("9\n0\n0\n-9\n0\n0\n")
    (tmp_path / "deck.tif.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>0,7,0,0,0,-7</GeoTransform><PAMRasterBand band='1'>"
        "<NoDataValue>1</NoDataValue><ColorInterp>Gray</ColorInterp></PAMRasterBand></PAMDataset>"
    )
    assert checked(path) == checked(tmp_path / "alone" / "deck.tif")
    with open_raster(path) as dataset:
        assert dataset.overviews(1) == []
        assert dataset.dataset_mask().all()
        assert np.array_equal(dataset.read(), picture())


def test_the_operator_can_name_the_bands(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "deck.tif", picture(5))
    assert checked(path, rgb_bands=(4, 2, 1)).rgb_bands == (4, 2, 1)
    with pytest.raises(InputRejected) as refused:
        checked(path, rgb_bands=(1, 2, 6))
    assert refused.value.code == "E_BANDS"


@pytest.mark.parametrize(
    "name", ["a b.tif", "a+b%20.tif", "http:__x.tif", "zip+https.tif", "a.zip!b.tif", "q?x#y.tif", "\u6a4b.tif"]
)
def test_a_file_with_an_awkward_name_is_opened_as_that_file(tmp_path: Path, name: str) -> None:
    assert checked(write_raster(tmp_path / "deck.tif").rename(tmp_path / name)).gsd_m == pytest.approx(GSD_M, rel=0.01)


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
