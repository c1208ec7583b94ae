"""The checksums that S3 keeps of a whole object, computed over a stream."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import google_crc32c
import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_CRC64NVME_POLYNOMIAL = 0x9A6C9329AC4BC9B5
"""CRC-64/NVME, reflected (NVM Express command set specification, 64-bit CRC)."""
_LANES = 4096
_LANE_BYTES = 256


class _Digest(Protocol):
    def update(self, data: bytes, /) -> object: ...
    def digest(self) -> bytes: ...


class StreamChecks:
    """Checksums of a stream beside its SHA-256: those that the server holds, where we can compute them."""

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._expected = {name: value for name, value in expected.items() if name in _ALGORITHMS}
        self._digests: dict[str, _Digest] = {name: _ALGORITHMS[name]() for name in self._expected}
        self._sha256 = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(data)
        for digest in self._digests.values():
            digest.update(data)

    @property
    def sha256(self) -> str:
        """SHA-256 so far, hex."""
        return self._sha256.hexdigest()

    def mismatches(self) -> tuple[str, ...]:
        """Names of the checksums that the content contradicts."""
        return tuple(
            name
            for name, digest in self._digests.items()
            if base64.b64encode(digest.digest()).decode() != self._expected[name]
        )


class Crc64Nvme:
    """CRC-64/NVME, the checksum that S3 computes by default; many lanes at once with numpy.

    >>> crc = Crc64Nvme()
    >>> crc.update(b"123456789")
    >>> crc.digest().hex()
    'ae8b14860a799888'
    """

    def __init__(self) -> None:
        self._state = 0xFFFFFFFFFFFFFFFF

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""
        step = _LANES * _LANE_BYTES
        whole = len(data) // step * step
        for start in range(0, whole, step):
            self._take_lanes(np.frombuffer(data, np.uint8, step, start).reshape(_LANES, _LANE_BYTES))
        state = self._state
        for byte in memoryview(data)[whole:]:
            state = _TABLE_LIST[(state ^ byte) & 0xFF] ^ (state >> 8)
        self._state = state

    def digest(self) -> bytes:
        """The checksum so far, 8 bytes, big-endian."""
        return (self._state ^ 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")

    def _take_lanes(self, lanes: npt.NDArray[np.uint8]) -> None:
        # A CRC is linear: each lane is run from 0, then the lanes are joined by the map "advance over one lane of zeros".
        states = np.zeros(_LANES, np.uint64)
        for column in np.ascontiguousarray(lanes.T):
            states = _TABLE[(states ^ column) & np.uint64(0xFF)] ^ (states >> np.uint64(8))
        state = self._state
        for lane in states.tolist():
            state = _advance(state) ^ lane
        self._state = state


def _crc64_table() -> Words:
    table = np.arange(256, dtype=np.uint64)
    for _ in range(8):
        table = np.where(
            table & np.uint64(1), (table >> np.uint64(1)) ^ np.uint64(_CRC64NVME_POLYNOMIAL), table >> np.uint64(1)
        )
    return table


def _advance(state: int) -> int:
    """The state after `_LANE_BYTES` zeros."""
    advanced = 0
    for table in _ADVANCE:
        advanced ^= table[state & 0xFF]
        state >>= 8
    return advanced


def _advance_tables() -> list[list[int]]:
    """For each byte of the state its 256 images under "advance over one lane of zeros"."""
    states = np.array([[value << (8 * position) for value in range(256)] for position in range(8)], np.uint64)
    for _ in range(_LANE_BYTES):
        states = _TABLE[states & np.uint64(0xFF)] ^ (states >> np.uint64(8))
    return [row.tolist() for row in states]


class _Crc32:
    def __init__(self) -> None:
        self._state = 0

    def update(self, data: bytes, /) -> None:
        self._state = zlib.crc32(data, self._state)

    def digest(self) -> bytes:
        return self._state.to_bytes(4, "big")


_TABLE = _crc64_table()
_TABLE_LIST: list[int] = _TABLE.tolist()
_ADVANCE = _advance_tables()
_ALGORITHMS: Mapping[str, Callable[[], Any]] = {
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
    "CRC32": _Crc32,
    "CRC32C": google_crc32c.Checksum,
    "CRC64NVME": Crc64Nvme,
}


def sha256_of(chunks: Iterable[bytes]) -> str:
    """SHA-256 of the joined chunks, hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
