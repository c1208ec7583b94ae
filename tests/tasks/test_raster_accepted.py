"""Every kind of sound raster that must be accepted, with the scale, bands and range that must be found."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, radians, sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer
from rasterio.enums import ColorInterp

from segmentation.errors import InputRejected
from tasks.raster_file import open_raster
from tests.tasks.surveys import GSD_M, HEIGHT, WIDTH, checked, picture, write_cog, write_raster, write_sparse

R, G, B, A = ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha


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
    Sound("28-cog-with-overviews", write_cog),
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
    write_sparse(path, side_px=side, tile_px=1024, image_at=(17, 31), nodata=0, compress="deflate")
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
