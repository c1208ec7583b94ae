"""The mask store: what is written is read, what is lost or damaged is never read as "no defect"."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from scipy.ndimage import grey_dilation

from segmentation.classes import NOT_INSPECTED
from segmentation.georeference import Georeference
from segmentation.inference.predictor import SegmentedWindow
from segmentation.mask_pooling import pool_mask
from segmentation.records import RasterInput, SourceObject
from segmentation.windows import Window
from tasks.cluster import dask_client
from tasks.mask_pyramid import write_pyramid
from tasks.mask_store import MaskStore
from tasks.run_place import RunPlace
from tasks.s3_server import EmbeddedS3
from tests.tasks.stored_masks import damaged_mask, place_in, raster_of, store_mask

BLOCK = Window(0, 512, 512, 1024)
TRANSFORM = (0.0015, 0.0003, 691_600.0, 0.0003, -0.0015, 5_334_800.0)


def raster() -> RasterInput:
    georeference = Georeference(700, 1300, TRANSFORM, CRS.from_epsg(32632).to_wkt())
    source = SourceObject("/a/deck.tif", 1, "e", None, "0" * 64)
    return RasterInput("deck.tif", "deck", source, georeference, 0.0015, "uint8", (1, 2, 3), (0.0, 255.0))


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MaskStore]:
    if request.param == "folder":
        yield MaskStore(str(tmp_path / "masks.zarr"), None, None)
        return
    server: EmbeddedS3 = request.getfixturevalue("s3_server")
    boto3.client("s3", endpoint_url=server.endpoint_url).create_bucket(Bucket="masks")
    yield MaskStore(f"s3://masks/{tmp_path.name} #1/masks.zarr", server.endpoint_url, "us-east-1")


def random_block() -> SegmentedWindow:
    rng = np.random.default_rng(1)
    return SegmentedWindow(rng.integers(0, 3, BLOCK.shape, np.uint8), rng.integers(0, 256, (2, *BLOCK.shape), np.uint8))


def test_a_block_is_read_as_it_was_written(store: MaskStore) -> None:
    store.create(raster(), block_px=512)
    block = random_block()
    store.write_block("deck", BLOCK, block)
    assert (store.read_mask("deck", BLOCK) == block.mask).all()
    assert (store.read_probability("deck", BLOCK) == block.probability).all()


def test_what_was_never_written_is_not_inspected(store: MaskStore) -> None:
    store.create(raster(), block_px=512)
    store.write_block("deck", BLOCK, random_block())
    assert (store.read_mask("deck", Window(0, 700, 0, 512)) == NOT_INSPECTED).all()


def test_creating_again_keeps_what_a_stopped_run_has_written(store: MaskStore) -> None:
    store.create(raster(), block_px=512)
    block = random_block()
    store.write_block("deck", BLOCK, block)
    store.create(raster(), block_px=512)
    assert (store.read_mask("deck", BLOCK) == block.mask).all()


def shard_of(folder: Path) -> Path:
    (shard,) = (path for path in (folder / "masks.zarr/deck/mask/c").rglob("*") if path.is_file())
    return shard


def test_a_block_is_one_file(tmp_path: Path) -> None:
    store = MaskStore(str(tmp_path / "masks.zarr"), None, None)
    store.create(raster(), block_px=512)
    store.write_block("deck", BLOCK, random_block())
    assert shard_of(tmp_path).relative_to(tmp_path / "masks.zarr/deck/mask/c").parts == ("0", "1")


def test_a_lost_shard_reads_as_not_inspected(tmp_path: Path) -> None:
    store = MaskStore(str(tmp_path / "masks.zarr"), None, None)
    store.create(raster(), block_px=512)
    store.write_block("deck", BLOCK, random_block())
    shard_of(tmp_path).unlink()
    assert (store.read_mask("deck", BLOCK) == NOT_INSPECTED).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_flipped_bit_is_an_error_and_not_another_class(tmp_path: Path, share: float) -> None:
    store = MaskStore(str(tmp_path / "masks.zarr"), None, None)
    store.create(raster(), block_px=512)
    store.write_block("deck", BLOCK, random_block())
    content = bytearray(shard_of(tmp_path).read_bytes())
    content[int(share * len(content))] ^= 1
    shard_of(tmp_path).write_bytes(content)
    with pytest.raises(Exception, match=r"(?i)checksum|crc"):
        store.read_mask("deck", BLOCK)


def test_the_store_carries_the_crs_and_the_transform(tmp_path: Path) -> None:
    MaskStore(str(tmp_path / "masks.zarr"), None, None).create(raster(), block_px=512)
    attributes = zarr.open_group(str(tmp_path / "masks.zarr"), mode="r")["deck/spatial_ref"].attrs
    assert CRS.from_wkt(str(attributes["crs_wkt"])).to_epsg() == 32632
    a, b, c, d, e, f = TRANSFORM
    assert [float(v) for v in str(attributes["GeoTransform"]).split()] == [c, a, b, f, d, e]


SHAPE = (901, 1103)
WHOLE = Window(0, SHAPE[0], 0, SHAPE[1])


@pytest.fixture(scope="module")
def plain_and_pyramid(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunPlace, RunPlace]:
    """The same mask without and with a pyramid."""
    plain, full = (place_in(tmp_path_factory.mktemp(name)) for name in ("plain", "full"))
    for place in (plain, full):
        store_mask(place, raster_of(SHAPE), damaged_mask(SHAPE))
    with dask_client(scheduler=None, workers=2) as client:
        write_pyramid((raster_of(SHAPE),), full, client)
    return plain, full


windows = st.tuples(*(st.tuples(st.integers(0, side), st.integers(0, side)).map(sorted) for side in SHAPE)).filter(
    lambda sides: all(start < stop for start, stop in sides)
)


@settings(max_examples=25)
@given(windows, st.integers(2, 40))
def test_thinned_windows_are_the_same_with_and_without_a_pyramid_and_lose_no_damage(
    plain_and_pyramid: tuple[RunPlace, RunPlace], sides: tuple[list[int], list[int]], step: int
) -> None:
    window = Window(*sides[0], *sides[1])
    plain, full = (place.masks.read_mask("deck", window, step=step) for place in plain_and_pyramid)
    assert (plain == full).all()
    mask = damaged_mask(SHAPE)
    own = pool_mask(mask[window.slices()], factor=step)
    assert np.isin(full[np.isin(own, (1, 2))], (1, 2)).all()
    assert (own[full == 0] == 0).all()
    near = grey_dilation(np.isin(mask, (1, 2)), size=2 * step + 1)[window.slices()]
    assert pool_mask(near.astype(np.uint8), factor=step)[np.isin(full, (1, 2))].all()


@pytest.mark.parametrize("step", [2, 3, 9])
def test_a_thinned_whole_has_one_pixel_for_each_step(plain_and_pyramid: tuple[RunPlace, RunPlace], step: int) -> None:
    for place in plain_and_pyramid:
        thinned = place.masks.read_mask("deck", WHOLE, step=step)
        assert thinned.shape == (-(-SHAPE[0] // step), -(-SHAPE[1] // step))


def test_a_pyramid_lies_in_s3_as_in_a_folder(
    s3_server: EmbeddedS3, plain_and_pyramid: tuple[RunPlace, RunPlace], tmp_path: Path
) -> None:
    boto3.client("s3", endpoint_url=s3_server.endpoint_url).create_bucket(Bucket="pyramids")
    far = place_in(tmp_path, masks=MaskStore("s3://pyramids/a #1/masks.zarr", s3_server.endpoint_url, "us-east-1"))
    store_mask(far, raster_of(SHAPE), damaged_mask(SHAPE))
    with dask_client(scheduler=None, workers=2) as client:
        write_pyramid((raster_of(SHAPE),), far, client)
    near = plain_and_pyramid[1].masks
    assert far.masks.levels("deck") == near.levels("deck") == (2, 4)
    for factor in (2, 4):
        assert far.masks.stored_shards("deck", factor=factor) == near.stored_shards("deck", factor=factor)
    assert (far.masks.read_mask("deck", WHOLE, step=5) == near.read_mask("deck", WHOLE, step=5)).all()
