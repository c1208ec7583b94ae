"""Pyramid stage: each raster's mask at half, quarter … size beside it in the store, pooled so that no damage vanishes.

Levels of the probability are not made: nothing draws them, and the mean or the largest of probabilities is neither.
Whatever was written before is written again to the same bytes, so that a killed stage is simply run again; readers use
the levels of a raster once all of them are there. What is held at once is one shard of a level and the compressed
shards above it, whatever the size of the raster.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final

import numpy as np
from distributed import Client

from segmentation.classes import NOT_INSPECTED
from segmentation.errors import RunFailed
from segmentation.mask_pooling import Mask, level_factors, level_shape, pool_mask
from segmentation.records import RasterInput
from tasks.cluster import run_each
from tasks.crash_points import reached
from tasks.run_place import RunPlace
from tasks.shard_file import CHUNK_PX, decode_chunk

log = logging.getLogger("spanscan.pyramid")

_KEPT_CHUNKS: Final = 16
"""Most chunks of a mask hold nothing but background or nodata, and so are the same bytes."""


@dataclass(frozen=True, slots=True)
class LevelShard:
    """One shard of one level, and what it is made of."""

    slug: str
    height: int
    """Rows of the raster at full size."""
    width: int
    """Columns of the raster at full size."""
    factor: int
    """Of this level."""
    row: int
    col: int
    above: tuple[tuple[int, int], ...]
    """(row, col) of the shards of the level above that were written, at most four."""


def write_pyramid(rasters: Sequence[RasterInput], place: RunPlace, client: Client) -> None:
    """Write the levels of each raster, 2, 4, 8 … until the longer side is at most 512 px.

    A work item of Dask is one shard of a level; shards that nothing was inspected for cost nothing. Raises RunFailed
    E_STORE where a shard is damaged.
    """
    for raster in rasters:
        factors = level_factors(raster.georeference.height, raster.georeference.width)
        stored = place.masks.stored_shards(raster.slug, factor=1)
        for factor in factors:
            stored = _write_level(raster, place, client, factor=factor, above=stored)
        reached("before_levels_finished")
        place.masks.finish_levels(raster, factors)
        log.info("%s: %d levels below the mask", raster.name, len(factors))
    place.masks.consolidate()


def _write_level(
    raster: RasterInput, place: RunPlace, client: Client, *, factor: int, above: frozenset[tuple[int, int]]
) -> frozenset[tuple[int, int]]:
    """Write the shards of one level; (row, col) of those that were written."""
    place.masks.create_level(raster, factor=factor)
    height, width = raster.georeference.height, raster.georeference.width
    work = [
        LevelShard(raster.slug, height, width, factor, row, col, tuple(sorted(above & _four(row, col))))
        for row, col in sorted({(row // 2, col // 2) for row, col in above})
    ]
    written = run_each(client, pool_shard, work, shared=place)
    stored = frozenset((item.row, item.col) for item, holds in zip(work, written, strict=True) if holds)
    for row, col in place.masks.stored_shards(raster.slug, factor=factor) - stored:
        place.masks.delete_level_shard(raster.slug, row, col, factor=factor)
    return stored


def pool_shard(work: LevelShard, place: RunPlace) -> bool:
    """Pool the shards above into one and write it; whether anything but "not inspected" is in it."""
    block_px = place.masks.block_px(work.slug)
    rows, cols = level_shape(work.height, work.width, work.factor)
    top, left = work.row * block_px, work.col * block_px
    pooled = np.full((min(block_px, rows - top), min(block_px, cols - left)), NOT_INSPECTED, np.uint8)
    finer_shape = level_shape(work.height, work.width, work.factor // 2)
    for row, col in work.above:
        try:
            for chunk_row, chunk_col, encoded in _chunks(work, place, row, col):
                # In pixels of the level above.
                first_row = row * block_px + chunk_row * CHUNK_PX
                first_col = col * block_px + chunk_col * CHUNK_PX
                inside = min(CHUNK_PX, finer_shape[0] - first_row), min(CHUNK_PX, finer_shape[1] - first_col)
                part = _pooled_chunk(encoded, inside)
                at_row, at_col = first_row // 2 - top, first_col // 2 - left
                pooled[at_row : at_row + part.shape[0], at_col : at_col + part.shape[1]] = part
        except ValueError as error:
            raise damaged_shard(work.slug, row, col, place, error) from error
    is_written = place.masks.write_level_shard(work.slug, work.row, work.col, pooled, factor=work.factor)
    reached("after_level_shard")
    return is_written


def _chunks(work: LevelShard, place: RunPlace, row: int, col: int) -> list[tuple[int, int, bytes]]:
    """(row, col) within the shard, and content, of its chunks that were written."""
    across = place.masks.block_px(work.slug) // CHUNK_PX
    chunks = place.masks.read_shard(work.slug, row, col, factor=work.factor // 2)
    places = product(range(across), repeat=2)
    return [(r, c, encoded) for (r, c), encoded in zip(places, chunks, strict=True) if encoded is not None]


def damaged_shard(slug: str, row: int, col: int, place: RunPlace, error: ValueError) -> RunFailed:
    """The failure of a run whose mask store was damaged."""
    remedy = f"delete {place.storage.uri('blocks')} and run again: the blocks are then worked anew"
    return RunFailed("E_STORE", f"{slug} block {row},{col}", str(error), remedy)


@lru_cache(maxsize=_KEPT_CHUNKS)
def _pooled_chunk(encoded: bytes, inside: tuple[int, int]) -> Mask:
    """Half of a chunk, of which the pixels inside the raster count."""
    return pool_mask(decode_chunk(encoded)[: inside[0], : inside[1]], factor=2)


def _four(row: int, col: int) -> frozenset[tuple[int, int]]:
    """The shards of the level above that shard (row, col) is made of."""
    return frozenset((2 * row + i, 2 * col + j) for i, j in product(range(2), repeat=2))
