"""The masks as GeoTIFFs, read by GDAL and by a validator: in place, in colours, no crack lost in overviews."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import boto3
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from distributed import Client
from pyproj import Transformer
from rio_cogeo import cog_validate

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.errors import RunFailed
from segmentation.georeference import Georeference
from segmentation.inference.predictor import SegmentedWindow
from segmentation.mask_pooling import level_factors, pool_mask
from segmentation.windows import Window
from tasks.cluster import dask_client
from tasks.cog_file import Level, write_cog
from tasks.given_mask import copy_mask
from tasks.mask_cog import COLOURS, cog_name, write_cogs
from tasks.mask_pyramid import write_pyramid
from tasks.output_files import OutputFiles
from tasks.s3_server import EmbeddedS3
from tasks.storage import open_storage
from tests.tasks.given_masks import place_of, planned, write_mask
from tests.tasks.stored_masks import PLACES, Place, damaged_mask, place_in, raster_of, store_mask, with_pyramid

SHAPE = (701, 1103)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with dask_client(scheduler=None, workers=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def cog(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The COG of `damaged_mask(SHAPE)`."""
    place = with_pyramid(tmp_path_factory.mktemp("cog"), raster_of(SHAPE), damaged_mask(SHAPE), client)
    (key,) = write_cogs((raster_of(SHAPE),), place, OutputFiles(place.storage))
    return Path(place.storage.uri(key))


@pytest.mark.parametrize("shape", [SHAPE, (512, 512), (30, 1025)])
def test_gdal_reads_the_mask_and_every_level_of_the_pyramid(
    shape: tuple[int, int], client: Client, tmp_path: Path
) -> None:
    mask = damaged_mask(shape)
    place = with_pyramid(tmp_path, raster_of(shape), mask, client)
    (key,) = write_cogs((raster_of(shape),), place, OutputFiles(place.storage))
    path = place.storage.uri(key)
    assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as dataset:
        assert (dataset.read(1) == mask).all()
        assert dataset.overviews(1) == list(level_factors(*shape))
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    for number, factor in enumerate(level_factors(*shape)):
        with rasterio.open(path, overview_level=number) as overview:
            assert (overview.read(1) == pool_mask(mask, factor=factor)).all()


@pytest.mark.parametrize("where", PLACES, ids=lambda where: where.id)
def test_gdal_finds_each_pixel_where_the_raster_has_it(where: Place, client: Client, tmp_path: Path) -> None:
    mask = np.zeros((700, 900), np.uint8)
    mask[611, 777] = 1
    raster = raster_of(mask.shape, place=where)
    place = with_pyramid(tmp_path, raster, mask, client)
    (key,) = write_cogs((raster,), place, OutputFiles(place.storage))
    with rasterio.open(place.storage.uri(key)) as dataset:
        ((row,), (col,)), crs = np.nonzero(dataset.read(1)), dataset.crs
        x, y = dataset.transform @ (col + 0.5, row + 0.5)
    own: Georeference = raster.georeference
    assert (x, y) == pytest.approx([float(v) for v in own.crs_from_pixel(611.5, 777.5)], rel=0, abs=1e-9)
    if where.crs_wkt is None:
        assert crs is None
        return
    lonlat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    expected = [float(v[0]) for v in own.lonlat_from_pixel(np.array([611.5]), np.array([777.5]))]
    assert lonlat == pytest.approx(expected, rel=0, abs=1e-9)


def test_classes_have_the_reports_colours_and_nodata_is_transparent(cog: Path) -> None:
    for options in ({}, {"overview_level": 0}, {"overview_level": 1}):
        with rasterio.open(cog, **options) as dataset:
            colours = dataset.colormap(1)
            assert dataset.nodata == NODATA
            assert {value: colours[value] for value in COLOURS if value != NODATA} == {
                value: (*colour, 255) for value, colour in COLOURS.items() if value != NODATA
            }
            assert colours[NODATA][3] == 0
            assert colours[NOT_INSPECTED][3] == 255


def test_words_go_with_the_file(cog: Path) -> None:
    with rasterio.open(cog) as dataset:
        assert dataset.descriptions == ("damage class",)
        tags = dataset.tags(1)
        assert tags["flag_values"] == "0 1 2 254 255"
        assert tags["flag_meanings"] == "background crack rust nodata not_inspected"
        assert "crack, rust, not_inspected" in dataset.tags()["overviews"]


def test_gdal_names_the_classes(cog: Path, tmp_path: Path) -> None:
    """A VRT states what GDAL knows of a band."""
    rasterio.shutil.copy(cog, tmp_path / "mask.vrt", driver="VRT")
    found = [name.text or "" for name in ElementTree.parse(tmp_path / "mask.vrt").iter("Category")]
    named = {value: name for value, name in enumerate(found) if name}
    assert named == {0: "background", 1: "crack", 2: "rust", NODATA: "nodata", NOT_INSPECTED: "not inspected"}


def test_a_thin_crack_survives_to_the_coarsest_overview(client: Client, tmp_path: Path) -> None:
    mask = np.zeros((2100, 2100), np.uint8)
    mask[np.arange(2100), np.arange(2100)] = 1
    raster = raster_of(mask.shape)
    place = with_pyramid(tmp_path, raster, mask, client)
    (key,) = write_cogs((raster,), place, OutputFiles(place.storage))
    with rasterio.open(place.storage.uri(key), overview_level=2) as coarsest:
        assert (np.diagonal(coarsest.read(1)) == 1).all()


def test_a_survey_of_several_rasters_has_a_file_for_each(client: Client, tmp_path: Path) -> None:
    rasters = [raster_of((300, 200), slug=slug) for slug in ("deck", "pier-2")]
    place = place_in(tmp_path)
    for raster in rasters:
        store_mask(place, raster, damaged_mask((300, 200)))
    write_pyramid(rasters, place, client)
    files = OutputFiles(place.storage)
    assert write_cogs(rasters, place, files) == ("mask.deck.tif", "mask.pier-2.tif")
    assert cog_name(rasters[0], rasters[:1]) == "mask.tif"
    assert set(files.sha256) == {f"mask.{slug}.tif{end}" for slug in ("deck", "pier-2") for end in ("", ".aux.xml")}


def test_a_mask_that_was_given_comes_back_as_a_cog(client: Client, tmp_path: Path) -> None:
    mask = damaged_mask((600, 700))
    plan = planned(tmp_path, write_mask(tmp_path / "labels.tif", mask))
    place = place_of(plan, tmp_path)
    copy_mask(plan, place, client, on_block=lambda done, of: None)
    write_pyramid(plan.survey.rasters, place, client)
    write_cogs(plan.survey.rasters, place, OutputFiles(place.storage))
    with rasterio.open(place.storage.uri("mask.tif")) as dataset, rasterio.open(tmp_path / "labels.tif") as given:
        assert (dataset.read(1) == mask).all()
        assert (dataset.crs, dataset.transform) == (given.crs, given.transform)


def test_a_raster_of_many_gigapixels_is_a_bigtiff_written_in_seconds(client: Client, tmp_path: Path) -> None:
    """60,000 × 60,000 px that nobody looked at but for one block."""
    raster, place = raster_of((60_000, 60_000)), place_in(tmp_path)
    place.masks.create(raster, block_px=2048)
    block = Window(20_480, 22_528, 40_960, 43_008)
    seen = SegmentedWindow(np.zeros(block.shape, np.uint8), np.zeros((2, *block.shape), np.uint8))
    seen.mask[1000, 1500] = 1
    place.masks.write_block("deck", block, seen)
    write_pyramid((raster,), place, client)
    (key,) = write_cogs((raster,), place, OutputFiles(place.storage))
    path = Path(place.storage.uri(key))
    assert path.read_bytes()[:4] == b"II+\0"
    assert path.stat().st_size < 20_000_000
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(path) as dataset:
        part = dataset.read(1, window=rasterio.windows.Window(40_959, 20_479, 2050, 2050))
        assert (part[1:-1, 1:-1] == seen.mask).all()
        assert (part[0] == NOT_INSPECTED).all()
    with rasterio.open(path, overview_level=6) as coarsest:
        assert np.argwhere(coarsest.read(1) == 1).tolist() == [[21_480 // 128, 42_460 // 128]]


def test_it_is_put_into_s3_with_its_checksum_and_nothing_is_left_here(
    s3_server: EmbeddedS3, client: Client, tmp_path: Path
) -> None:
    s3 = boto3.client("s3", endpoint_url=s3_server.endpoint_url)
    s3.create_bucket(Bucket="cogs")
    far = open_storage("s3://cogs/run", endpoint_url=s3_server.endpoint_url, region=None)
    mask = damaged_mask((700, 600))
    place = with_pyramid(tmp_path, raster_of(mask.shape), mask, client)
    files = OutputFiles(far)
    write_cogs((raster_of(mask.shape),), place, files)
    answer = s3.get_object(Bucket="cogs", Key="run/mask.tif")
    content = answer["Body"].read()
    assert answer["ContentType"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert hashlib.sha256(content).hexdigest() == files.sha256["mask.tif"]
    with rasterio.MemoryFile(content) as memory, memory.open() as dataset:
        assert (dataset.read(1) == mask).all()
    assert list(place.staging_dir.iterdir()) == []


def test_a_damaged_shard_stops_the_run_and_leaves_nothing(client: Client, tmp_path: Path) -> None:
    raster = raster_of(SHAPE)
    place = with_pyramid(tmp_path, raster, damaged_mask(SHAPE), client)
    shard = Path(place.masks.uri) / "deck/mask/c/1/0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(RunFailed, match="checksum") as failure:
        write_cogs((raster,), place, OutputFiles(place.storage))
    assert failure.value.code == "E_STORE"
    assert list(place.staging_dir.iterdir()) == []
    assert not place.storage.exists("mask.tif")


def test_the_same_mask_gives_the_same_bytes(cog: Path, client: Client, tmp_path: Path) -> None:
    place = with_pyramid(tmp_path, raster_of(SHAPE), damaged_mask(SHAPE), client)
    write_cogs((raster_of(SHAPE),), place, OutputFiles(place.storage))
    assert place.storage.read("mask.tif") == cog.read_bytes()


def test_without_a_pyramid_there_are_no_overviews_to_write(tmp_path: Path) -> None:
    raster, place = raster_of(SHAPE), place_in(tmp_path)
    store_mask(place, raster, damaged_mask(SHAPE))
    with pytest.raises(ValueError, match="the pyramid must be written before the COG"):
        write_cogs((raster,), place, OutputFiles(place.storage))


@pytest.mark.parametrize("given", [3, 5])
def test_a_level_must_give_the_tiles_that_it_has(given: int, cog: Path, tmp_path: Path) -> None:
    from tasks.mask_cog import _template

    level = Level(1000, 1000, lambda: iter([b"tile"] * given))
    with pytest.raises(ValueError, match=r"must have 4 tiles, got"):
        write_cog(tmp_path / "x.tif", _template(raster_of(SHAPE).georeference), [level])
