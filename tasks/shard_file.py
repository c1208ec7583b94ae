"""One shard of the mask store as bytes, in the Zarr v3 sharding layout (spec: "sharding_indexed" codec, version 1.0).

Zarr writes the same content by way of an event loop and whole-shard copies, which took 0.010 CPU-s/Mpx over the
compression itself; that is a fifth of what the engine may cost.
"""

import struct
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

CHUNK_PX = 512
"""Side of a chunk, the unit that is read."""
ZSTD_LEVEL = 1
"""On quantised probabilities level 3 takes twice the time of level 1 for a tenth less in size."""

_ABSENT = np.uint64(2**64 - 1)
_CHECKSUM_BYTES = 4

Bytes = npt.NDArray[np.uint8]


def encode_shard(values: Bytes, *, block_px: int, fill_value: int) -> bytes | None:
    """The shard that holds `values` uint8 ``(…, H, W)`` in its upper left corner; None where all is the fill value.

    A chunk of nothing but the fill value is left out, as Zarr does it; one that `values` does not fill is filled up
    with it. Each chunk is compressed by zstd and closed by its CRC-32C, and so is the index at the end.
    """
    across = block_px // CHUNK_PX
    index = np.full((across * across, 2), _ABSENT, np.uint64)
    parts: list[bytes] = []
    at = 0
    for number in range(across * across):
        encoded = _encode_chunk(_chunk(values, number // across, number % across, fill_value), fill_value)
        if encoded is not None:
            index[number] = at, len(encoded)
            parts.append(encoded)
            at += len(encoded)
    if not parts:
        return None
    parts.append(_closed(index.astype("<u8").tobytes()))
    return b"".join(parts)


def split_shard(shard: bytes, *, block_px: int) -> list[bytes | None]:
    """The encoded chunks of a shard ``(H, W)``, row by row; None for one that was left out: all fill value.

    Raises ValueError where the index does not agree with its checksum.
    """
    across = block_px // CHUNK_PX
    size = 16 * across * across
    index = np.frombuffer(_opened(shard[-size - _CHECKSUM_BYTES :], "the index of a shard"), "<u8").reshape(-1, 2)
    return [None if at == _ABSENT else shard[int(at) : int(at + length)] for at, length in index]


def decode_chunk(encoded: bytes) -> Bytes:
    """One chunk uint8 ``(512, 512)``, not writable; raises ValueError where it does not agree with its checksum."""
    plain: Any = Zstd(ZSTD_LEVEL).decode(_opened(encoded, "a chunk"))
    return np.frombuffer(plain, np.uint8).reshape(CHUNK_PX, CHUNK_PX)


@lru_cache(maxsize=16)
def constant_shard(value: int, shape: tuple[int, ...], *, block_px: int, fill_value: int) -> bytes | None:
    """The shard that holds `value` in an array of `shape`, encoded once."""
    return encode_shard(np.full(shape, value, np.uint8), block_px=block_px, fill_value=fill_value)


def _chunk(values: Bytes, row: int, col: int, fill_value: int) -> Bytes:
    part = values[..., row * CHUNK_PX : (row + 1) * CHUNK_PX, col * CHUNK_PX : (col + 1) * CHUNK_PX]
    if part.shape[-2:] == (CHUNK_PX, CHUNK_PX):
        return np.ascontiguousarray(part)
    whole = np.full((*values.shape[:-2], CHUNK_PX, CHUNK_PX), fill_value, np.uint8)
    whole[..., : part.shape[-2], : part.shape[-1]] = part
    return whole


def _encode_chunk(chunk: Bytes, fill_value: int) -> bytes | None:
    # Most chunks of one value are told from others by their first row, so that this look costs nothing.
    first = int(chunk.flat[0])
    if (chunk[..., 0, :] == first).all() and (chunk == first).all():
        return None if first == fill_value else _constant_chunk(first, chunk.shape)
    return _closed(_compressed(chunk))


@lru_cache(maxsize=16)
def _constant_chunk(value: int, shape: tuple[int, ...]) -> bytes:
    """Compressed once: a mask is background and nodata for the most part."""
    return _closed(_compressed(np.full(shape, value, np.uint8)))


def _compressed(chunk: Bytes) -> bytes:
    encoded: Any = Zstd(ZSTD_LEVEL).encode(chunk)
    return bytes(encoded)


def _closed(content: bytes) -> bytes:
    return content + struct.pack("<I", google_crc32c.value(content))


def _opened(closed: bytes, what: str) -> bytes:
    content, checksum = closed[:-_CHECKSUM_BYTES], closed[-_CHECKSUM_BYTES:]
    if struct.pack("<I", google_crc32c.value(content)) != checksum:
        raise ValueError(f"{what} must agree with its CRC-32C checksum, got other bytes than were written")
    return content
