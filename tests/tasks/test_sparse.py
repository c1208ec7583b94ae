"""Blocks without data are told from the file's table exactly where a read would find no data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window as RasterioWindow

from segmentation.inference.geometry import blocks
from tasks.raster_file import open_raster, read_validity
from tasks.sparse import blocks_without_data
from tests.tasks.surveys import UTM, UTM_PLACE

HEIGHT, WIDTH, BLOCK_PX = 300, 520, 128
WRITTEN = ((0, 0), (256, 384), (256, 64))


@dataclass(frozen=True)
class Case:
    id: str
    count: int
    profile: dict[str, Any] = field(default_factory=dict)
    with_mask: bool = False
    dense: bool = False
    found: str = "all"
    """How many of the blocks without data are known without a read."""


CASES = [
    Case("missing-tiles-of-a-nodata-raster", 3, {"nodata": 0}),
    Case("missing-tiles-under-an-alpha-band", 4, {"ALPHA": "YES"}),
    Case("missing-tiles-of-the-mask", 3, with_mask=True),
    Case("missing-tiles-where-nodata-goes-before-alpha", 4, {"ALPHA": "YES", "nodata": 7}),
    Case("strips-are-as-wide-as-the-raster", 3, {"nodata": 0, "tiled": False, "blockysize": 16}, found="some"),
    Case("bands-apart-are-left-to-gdal", 4, {"ALPHA": "YES", "interleave": "band"}, found="none"),
    Case("no-tile-is-missing", 3, {"nodata": 0}, dense=True, found="none"),
]


def write(path: Path, case: Case) -> None:
    profile: dict[str, Any] = {"driver": "GTiff", "count": case.count, "height": HEIGHT, "width": WIDTH}
    profile |= {"dtype": "uint8", "crs": UTM, "transform": UTM_PLACE, "photometric": "RGB", "SPARSE_OK": not case.dense}
    profile |= {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "pixel", "compress": "deflate"}
    profile |= case.profile
    if not profile["tiled"]:
        profile.pop("blockxsize")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dataset:
        if case.dense:
            dataset.write(np.full((case.count, HEIGHT, WIDTH), 9, np.uint8))
        for row, col in WRITTEN:
            where = RasterioWindow(col, row, 64, min(64, HEIGHT - row))
            dataset.write(np.full((case.count, int(where.height), 64), 200, np.uint8), window=where)
            if case.with_mask:
                dataset.write_mask(np.full((int(where.height), 64), 255, np.uint8), window=where)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_blocks_without_data_are_those_in_which_a_read_finds_none(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write(path, case)
    everything = blocks(HEIGHT, WIDTH, block_px=BLOCK_PX)
    known_empty = blocks_without_data(path, everything)
    with open_raster(path) as dataset:
        read_empty = {b for b in everything if not read_validity(dataset, b.window).any()}
    assert known_empty <= read_empty
    assert bool(known_empty) is (case.found != "none")
    assert (known_empty == read_empty) is (case.found == "all" or not read_empty)
