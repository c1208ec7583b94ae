"""Shards written by hand are those of Zarr: Zarr reads them, and each chunk has the bytes that Zarr would give it."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from tasks.shard_file import CHUNK_PX, ZSTD_LEVEL, constant_shard, encode_shard

BLOCK_PX = 1536


def zarr_array(folder: Path, shape: tuple[int, ...], *, fill_value: int) -> zarr.Array:
    lead = shape[:-2]
    return zarr.create_array(
        LocalStore(folder),
        shape=shape,
        dtype="uint8",
        chunks=(*lead, CHUNK_PX, CHUNK_PX),
        shards=(*lead, BLOCK_PX, BLOCK_PX),
        fill_value=fill_value,
        compressors=(ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec()),
    )


def chunks_of(shard: bytes) -> dict[int, bytes]:
    """Bytes of each chunk that a shard holds, by its number."""
    count = (BLOCK_PX // CHUNK_PX) ** 2
    index = np.frombuffer(shard[-16 * count - 4 : -4], "<u8").reshape(count, 2)
    absent = 2**64 - 1
    return {n: shard[int(at) : int(at) + int(long)] for n, (at, long) in enumerate(index) if at != absent}


@settings(max_examples=12)  # each writes a shard twice
@given(
    rows=st.integers(1, BLOCK_PX), cols=st.integers(1, BLOCK_PX), lead=st.sampled_from([(), (2,)]), seed=st.integers(0)
)
def test_zarr_reads_what_was_written_and_would_have_written_the_same_chunks(
    tmp_path_factory: pytest.TempPathFactory, rows: int, cols: int, lead: tuple[int, ...], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("shard")
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, (*lead, rows, cols), np.uint8)
    values[..., : rows // 2, :] = 255
    shard = encode_shard(values, block_px=BLOCK_PX, fill_value=255)
    by_zarr = zarr_array(folder / "zarr", values.shape, fill_value=255)
    by_zarr[...] = values
    key = "/".join(["c", *("0" * len(values.shape))])
    assert shard is not None
    assert chunks_of(shard) == chunks_of((folder / "zarr" / key).read_bytes())
    by_hand = zarr_array(folder / "hand", values.shape, fill_value=255)
    (folder / "hand" / key).parent.mkdir(parents=True)
    (folder / "hand" / key).write_bytes(shard)
    assert (np.asarray(by_hand[...]) == values).all()


def test_nothing_but_the_fill_value_is_no_shard() -> None:
    assert encode_shard(np.zeros((2, 700, 900), np.uint8), block_px=BLOCK_PX, fill_value=0) is None


@pytest.mark.parametrize("shape", [(BLOCK_PX, BLOCK_PX), (700, BLOCK_PX), (BLOCK_PX, 1), (513, 1025)])
def test_a_constant_shard_is_the_shard_of_the_constant(shape: tuple[int, int]) -> None:
    plain = encode_shard(np.full(shape, 254, np.uint8), block_px=BLOCK_PX, fill_value=255)
    assert constant_shard(254, shape, block_px=BLOCK_PX, fill_value=255) == plain
