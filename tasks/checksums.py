"""The checksums that S3 keeps of a whole object, computed over a stream."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
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
        # A CRC is linear: each lane is run from 0, then neighbours are joined by "advance over their length of zeros".
        states = np.zeros(_LANES, np.uint64)
        for column in np.ascontiguousarray(lanes.T):
            states = _one_byte(states ^ column)
        for advance in _ADVANCE[:-1]:
            states = _advance(states[0::2], advance) ^ states[1::2]
        before = _advance(np.array([self._state], np.uint64), _ADVANCE[-1])
        self._state = int(before[0] ^ states[0])


def _crc64_table() -> Words:
    table = np.arange(256, dtype=np.uint64)
    for _ in range(8):
        table = np.where(
            table & np.uint64(1), (table >> np.uint64(1)) ^ np.uint64(_CRC64NVME_POLYNOMIAL), table >> np.uint64(1)
        )
    return table


def _one_byte(states: Words) -> Words:
    stepped: Words = _TABLE[states & np.uint64(0xFF)] ^ (states >> np.uint64(8))
    return stepped


def _advance(states: Words, table: Words) -> Words:
    """The states after as many zeros as `table`, ``(8, 256)``, stands for."""
    advanced = np.zeros_like(states)
    for position in range(8):
        advanced ^= table[position, (states >> np.uint64(8 * position)) & np.uint64(0xFF)]
    return advanced


def _advance_tables() -> list[Words]:
    """Images of each byte of a state under 1, 2, 4 … `_LANES` lanes of zeros."""
    table = np.array([[value << (8 * position) for value in range(256)] for position in range(8)], np.uint64)
    for _ in range(_LANE_BYTES):
        table = _one_byte(table)
    tables = [table]
    for _ in range(_LANES.bit_length() - 1):
        tables.append(_advance(tables[-1], tables[-1]))
    return tables


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
