"""The pyramid: pooled by the rule, written again to the same bytes, and in its place for xarray and rioxarray."""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers the accessor
import xarray as xr
import zarr
from distributed import Client
from pyproj import Transformer

from segmentation.classes import NOT_INSPECTED
from segmentation.errors import RunFailed
from segmentation.mask_pooling import level_factors, pool_mask
from segmentation.windows import Window
from tasks.cluster import dask_client
from tasks.mask_pyramid import write_pyramid
from tests.tasks.runs import files_of
from tests.tasks.stored_masks import PLACES, Place, damaged_mask, place_in, raster_of, store_mask, with_pyramid

SHAPE = (701, 1103)
"""Odd, and two by three blocks of which the last are cut; levels 2 and 4."""


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with dask_client(scheduler=None, workers=2) as opened:
        yield opened


def opened(uri: str, group: str) -> xr.Dataset:
    """As a user opens it; what xarray warns of would be ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return xr.open_zarr(uri, group=group, decode_coords="all")


@pytest.mark.parametrize("shape", [SHAPE, (512, 512), (37, 1700)])
def test_each_level_is_the_mask_pooled(shape: tuple[int, int], client: Client, tmp_path: Path) -> None:
    mask = damaged_mask(shape)
    place = with_pyramid(tmp_path, raster_of(shape), mask, client)
    factors = level_factors(*shape)
    assert place.masks.levels("deck") == factors
    for factor in factors:
        assert (opened(place.masks.uri, f"deck/{factor}").mask.values == pool_mask(mask, factor=factor)).all()


def test_larger_blocks_give_the_same_levels(client: Client, tmp_path: Path) -> None:
    mask, raster = damaged_mask(SHAPE), raster_of(SHAPE)
    place = place_in(tmp_path)
    store_mask(place, raster, mask, block_px=1536)
    write_pyramid((raster,), place, client)
    for factor in level_factors(*SHAPE):
        assert (opened(place.masks.uri, f"deck/{factor}").mask.values == pool_mask(mask, factor=factor)).all()


def test_what_nobody_looked_at_costs_nothing(client: Client, tmp_path: Path) -> None:
    mask = np.full((5000, 5000), NOT_INSPECTED, np.uint8)
    mask[4500, 4700] = 1
    place = with_pyramid(tmp_path, raster_of(mask.shape), mask, client)
    assert {f: place.masks.stored_shards("deck", factor=f) for f in (1, *place.masks.levels("deck"))} == {
        1: {(8, 9)},
        2: {(4, 4)},
        4: {(2, 2)},
        8: {(1, 1)},
        16: {(0, 0)},
    }


@pytest.mark.parametrize("where", PLACES, ids=lambda where: where.id)
def test_rioxarray_finds_each_pixel_where_the_raster_has_it(where: Place, client: Client, tmp_path: Path) -> None:
    """One marked pixel, at full size and at every level, within 1e-9 of a degree and of the raster's unit."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[611, 977] = 2
    raster = raster_of(SHAPE, place=where)
    place = with_pyramid(tmp_path, raster, mask, client)
    for factor in (1, *level_factors(*SHAPE)):
        dataset = opened(place.masks.uri, "deck" if factor == 1 else f"deck/{factor}")
        (row,), (col,) = np.nonzero(dataset.mask.values)
        assert (row, col) == (611 // factor, 977 // factor)
        for array in (dataset.mask, *([dataset.probability] if factor == 1 else [])):
            x, y = array.rio.transform() @ (col + 0.5, row + 0.5)
            expected = [
                float(v) for v in raster.georeference.crs_from_pixel((row + 0.5) * factor, (col + 0.5) * factor)
            ]
            assert (x, y) == pytest.approx(expected, rel=0, abs=1e-9)
            assert_same_place_on_earth(array.rio.crs, (x, y), raster, ((row + 0.5) * factor, (col + 0.5) * factor))
        if "x" in dataset.coords:
            assert (float(dataset.x[col]), float(dataset.y[row])) == pytest.approx(expected, rel=0, abs=1e-9)


def assert_same_place_on_earth(crs, xy, raster, pixel) -> None:  # type: ignore[no-untyped-def]
    if raster.georeference.crs_wkt is None:
        assert crs is None
        return
    lonlat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*xy)
    own = raster.georeference.lonlat_from_pixel(*(np.array([v]) for v in pixel))
    assert lonlat == pytest.approx([float(v[0]) for v in own], rel=0, abs=1e-9)


def test_rotated_rasters_have_no_coordinates_that_would_be_wrong(client: Client, tmp_path: Path) -> None:
    place = with_pyramid(tmp_path, raster_of((600, 600), place=PLACES[1]), damaged_mask((600, 600)), client)
    assert set(opened(place.masks.uri, "deck").coords) == {"spatial_ref"}


@pytest.mark.parametrize("where", [PLACES[1], PLACES[-1]], ids=lambda where: where.id)
def test_the_layout_of_the_zarr_conventions_says_what_the_arrays_are(
    where: Place, client: Client, tmp_path: Path
) -> None:
    place = with_pyramid(tmp_path, raster_of(SHAPE, place=where), damaged_mask(SHAPE), client)
    group = zarr.open_group(place.masks.uri, path="deck", mode="r")
    attributes = group.attrs.asdict()
    named = {convention["name"] for convention in attributes["zarr_conventions"]}
    assert named == {"spatial", "multiscales"} | ({"proj"} if where.crs_wkt else set())
    assert ("proj:wkt2" in attributes) == bool(where.crs_wkt)
    layout = attributes["multiscales"]["layout"]
    assert [level["asset"] for level in layout] == ["mask", "2/mask", "4/mask"]
    assert [level.get("derived_from") for level in layout] == [None, "mask", "2/mask"]
    for level in layout:
        assert list(group[level["asset"]].shape) == level["spatial:shape"]
        folder = level["asset"].removesuffix("mask").strip("/")
        dataset = opened(place.masks.uri, f"deck/{folder}".rstrip("/"))
        assert level["spatial:transform"] == pytest.approx(list(dataset.mask.rio.transform())[:6], rel=1e-12)


def test_a_level_of_an_earlier_mask_is_replaced_whole(client: Client, tmp_path: Path) -> None:
    """A block that was worked anew may no longer hold what a shard of a level still says."""
    mask, raster = np.full((1500, 1500), NOT_INSPECTED, np.uint8), raster_of((1500, 1500))
    mask[1300:1400, 1300:1400] = 1
    place = with_pyramid(tmp_path, raster, mask, client)
    assert (place.masks.read_mask("deck", Window(0, 1500, 0, 1500), step=4) == 1).any()
    place.masks.delete_level_shard("deck", 2, 2, factor=1)
    write_pyramid((raster,), place, client)
    assert not any(place.masks.stored_shards("deck", factor=factor) for factor in (1, 2, 4))
    assert (place.masks.read_mask("deck", Window(0, 1500, 0, 1500), step=4) == NOT_INSPECTED).all()


@pytest.mark.parametrize("share", [0.2, 0.99])
def test_a_damaged_shard_stops_the_run(share: float, client: Client, tmp_path: Path) -> None:
    raster, place = raster_of(SHAPE), place_in(tmp_path)
    store_mask(place, raster, damaged_mask(SHAPE))
    shard = Path(place.masks.uri) / "deck/mask/c/1/0"
    content = bytearray(shard.read_bytes())
    content[int(share * len(content))] ^= 1
    shard.write_bytes(content)
    with pytest.raises(RunFailed, match="checksum") as failure:
        write_pyramid((raster,), place, client)
    assert failure.value.code == "E_STORE"
    assert place.masks.levels("deck") == ()


def test_writing_it_again_changes_no_byte(client: Client, tmp_path: Path) -> None:
    raster = raster_of(SHAPE)
    place = with_pyramid(tmp_path, raster, damaged_mask(SHAPE), client)
    before = files_of(tmp_path)
    write_pyramid((raster,), place, client)
    assert files_of(tmp_path) == before


CHILD = """
import sys
from pathlib import Path
from tasks.cluster import dask_client
from tasks.mask_pyramid import write_pyramid
from tests.tasks.stored_masks import place_in, raster_of
with dask_client(scheduler=None, workers=2) as client:
    write_pyramid((raster_of((5003, 4999)),), place_in(Path(sys.argv[1])), client)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_is_finished_to_the_same_bytes(client: Client, tmp_path: Path) -> None:
    raster, mask = raster_of((5003, 4999)), damaged_mask((5003, 4999))
    whole = with_pyramid(tmp_path / "whole", raster, mask, client)
    killed = place_in(tmp_path / "killed")
    store_mask(killed, raster, mask)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "killed")])
    try:
        while not (Path(killed.masks.uri) / "deck/2/mask/c/0").is_dir():
            assert child.poll() is None, "the child must be killed while it works, got one that had ended"
            time.sleep(0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert killed.masks.levels("deck") == ()
    write_pyramid((raster,), killed, client)
    written = {path: content for path, content in files_of(Path(killed.masks.uri)).items() if ".spanscan-" not in path}
    assert written == files_of(Path(whole.masks.uri))
