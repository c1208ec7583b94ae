"""A small reader of TIFF directories that trusts nothing: bounded reads, no loops, every offset checked.

GDAL opens a file that was cut in half and reads its first windows without a word; libtiff takes whatever the
directory declares. So the directories are read here first (TIFF 6.0, BigTIFF; GDAL's tags for nodata).
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

import numpy as np
import numpy.typing as npt

_LONGEST_VALUE_BYTES = 1 << 20
_MOST_ENTRIES = 4096
_MOST_DIRECTORIES = 256
_MOST_BLOCKS = 1 << 25
"""Strips and tiles of one directory: 10¹¹ px in tiles of 64 px."""
_STEP_ENTRIES = 1 << 18
_SAMPLED_BLOCKS = 4096
_TYPE_CODES: Final = {
    1: "B",
    2: "s",
    3: "H",
    4: "I",
    6: "b",
    8: "h",
    9: "i",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}
_TYPE_BYTES: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_INTEGER_TYPES: Final = frozenset({3, 4, 13, 16, 18})

SUBFILE_TYPE, OLD_SUBFILE_TYPE = 254, 255
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_COUNTS, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339
PIXEL_SCALE, TIEPOINTS, TRANSFORMATION, RPC, NODATA = 33550, 33922, 34264, 50844, 42113
GEO_KEYS = 34735
_GEODETIC_CRS, _PROJECTED_CRS, _USER_DEFINED = 2048, 3072, 32767


class HeaderError(Exception):
    """What is wrong with the directories, in words."""


class CutOffError(HeaderError):
    """The file ends before what its first directory points at."""


@dataclass(frozen=True, slots=True)
class _Entry:
    tag: int
    type: int
    count: int
    at: int
    """File offset of the value."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One directory of the file: an image, an overview or a mask."""

    width: int
    height: int
    bits: int
    """Bits per sample; the largest where they differ."""
    samples: int
    """Samples per pixel."""
    sample_format: int
    """1 unsigned, 2 signed, 3 float, 5 and 6 complex."""
    photometric: int
    compression: int
    is_planar: bool
    """Whether each sample has blocks of its own."""
    is_tiled: bool
    """Tiles, or else strips."""
    block_width: int
    block_height: int
    fill_order: int
    """2 where the bits of each byte are turned over."""
    subfile_type: int
    """Bit 0: overview, bit 1: one page of several, bit 2: mask."""
    has_nodata: bool
    """Whether a nodata value is declared."""
    has_alpha: bool
    """Whether an extra sample is declared to be alpha."""
    pixel_scale: tuple[float, ...]
    """ModelPixelScale, empty where there is none."""
    tiepoint_count: int
    """Number of ModelTiepoints."""
    transformation: tuple[float, ...]
    """ModelTransformation, empty where there is none."""
    has_rpc: bool
    """Whether rational polynomial coefficients are given."""
    crs_code: int | None = None
    """EPSG code of the CRS that the GeoTIFF keys name, the projected one before the other; None where none does."""

    @property
    def block_count(self) -> int:
        """Number of strips or tiles."""
        across = -(-self.width // self.block_width)
        down = -(-self.height // self.block_height)
        return across * down * (self.samples if self.is_planar else 1)

    @property
    def block_bytes(self) -> int:
        """Decoded size of one strip or tile."""
        samples = 1 if self.is_planar else self.samples
        return -(-self.block_width * samples * self.bits // 8) * self.block_height

    @property
    def held_bytes(self) -> int:
        """What a reader must hold at once for a pixel: a block; a row where libtiff cuts up a single plain strip."""
        is_cut_up = self.compression == 1 and not self.is_tiled and self.block_count == 1
        return self.block_bytes // self.block_height if is_cut_up else self.block_bytes

    @property
    def decoded_bytes(self) -> int:
        """Decoded size of the whole directory."""
        return -(-self.width * self.samples * self.bits // 8) * self.height

    @property
    def is_overview(self) -> bool:
        """Whether it is a smaller version of another directory."""
        return bool(self.subfile_type & 1)

    @property
    def is_mask(self) -> bool:
        """Whether it is a transparency mask of another directory."""
        return bool(self.subfile_type & 4)


@dataclass(frozen=True, slots=True)
class BlockTable:
    """What the offsets of one directory say."""

    missing_count: int
    """Blocks with offset or length 0: they were never written."""
    outside_count: int
    """Blocks that reach beyond the end of the file."""
    written_sample: tuple[int, ...]
    """Numbers of blocks that were written: all of them, or some 4,000 spread evenly."""


class TiffHeader:
    """The directories of a TIFF file, read on demand; raises HeaderError for what cannot be."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self._size_bytes = os.fstat(handle.fileno()).st_size
        magic = self._bytes(0, 4)
        order = {b"II": "<", b"MM": ">"}.get(magic[:2])
        if order is None:
            raise HeaderError("the byte order mark must be II or MM")
        self._order = order
        if self._size_bytes < 16:
            raise HeaderError(f"there must be a directory, got {self._size_bytes} bytes in all")
        version = self._unpack("H", 2)
        if version not in (42, 43):
            raise HeaderError(f"the version must be 42 or 43, got {version}")
        self._is_big = version == 43
        if self._is_big and (self._unpack("H", 4), self._unpack("H", 6)) != (8, 0):
            raise HeaderError("a BigTIFF must have offsets of 8 bytes")
        self._directories = list(self._walk())

    @property
    def count(self) -> int:
        """Number of directories in the main chain."""
        return len(self._directories)

    def layout(self, index: int) -> Layout:
        """What one directory declares, without its offsets."""
        entries = self._directories[index]
        width, height = self._one(entries, _WIDTH), self._one(entries, _HEIGHT)
        samples = self._one(entries, _SAMPLES, 1)
        bits = self._numbers(entries, _BITS, (1,))
        is_tiled = _TILE_OFFSETS in entries
        if is_tiled:
            block = self._one(entries, _TILE_WIDTH), self._one(entries, _TILE_HEIGHT)
        else:
            block = width, min(self._one(entries, _ROWS_PER_STRIP, height), height)
        sizes = {"width": width, "height": height, "samples": samples, "bits": max(bits), "block": min(block)}
        for name, value in sizes.items():
            if not 0 < value < 1 << 31:
                raise HeaderError(f"the {name} of directory {index} must be positive, got {value}")
        extra = self._numbers(entries, _EXTRA_SAMPLES, ())
        return Layout(
            width=width,
            height=height,
            bits=int(max(bits)),
            samples=samples,
            sample_format=int(self._numbers(entries, _SAMPLE_FORMAT, (1,))[0]),
            photometric=self._one(entries, _PHOTOMETRIC, 1),
            compression=self._one(entries, _COMPRESSION, 1),
            is_planar=self._one(entries, _PLANAR, 1) == 2,
            is_tiled=is_tiled,
            block_width=block[0],
            block_height=block[1],
            fill_order=self._one(entries, _FILL_ORDER, 1),
            subfile_type=self._subfile_type(entries),
            has_nodata=NODATA in entries,
            has_alpha=bool({1, 2} & set(extra)),
            pixel_scale=self._numbers(entries, PIXEL_SCALE, ()),
            tiepoint_count=entries[TIEPOINTS].count // 6 if TIEPOINTS in entries else 0,
            transformation=self._numbers(entries, TRANSFORMATION, ()),
            has_rpc=RPC in entries,
            crs_code=_crs_code(self._numbers(entries, GEO_KEYS, ())),
        )

    def blocks(self, index: int) -> BlockTable:
        """Check every strip or tile of a directory against the end of the file, some 100,000 at a time."""
        offsets, lengths, expected = self._table(index)
        missing = outside = 0
        sample: list[int] = []
        for start in range(0, expected, _STEP_ENTRIES):
            count = min(_STEP_ENTRIES, expected - start)
            at, long = self._array(offsets, start, count), self._array(lengths, start, count)
            written = (at != 0) & (long != 0)
            missing += count - int(np.count_nonzero(written))
            found = start + np.flatnonzero(written)
            # So many at most from each step of the way, that a raster of millions of blocks keeps a short list.
            sample.extend(found[:: max(1, len(found) // _SAMPLED_BLOCKS)].tolist())
            end = np.uint64(self._size_bytes)
            outside += int(np.count_nonzero(written & ((at > end) | (long > end - np.minimum(at, end)))))
        return BlockTable(missing, outside, tuple(sample[:: max(1, len(sample) // _SAMPLED_BLOCKS)]))

    def spans(self, index: int, start: int, count: int) -> list[tuple[int, int]]:
        """(offset, length) in the file of some strips or tiles of a directory; (0, 0) or so where never written."""
        offsets, lengths, expected = self._table(index)
        count = min(count, expected - start)
        at, long = self._array(offsets, start, count), self._array(lengths, start, count)
        return list(zip(at.tolist(), long.tolist(), strict=True))

    def written(self, index: int) -> npt.NDArray[np.bool_]:
        """Which strips or tiles of a directory were written, bool ``(down, across)``; all planes count as one."""
        offsets, lengths, expected = self._table(index)
        layout = self.layout(index)
        flags = np.empty(expected, np.bool_)
        for start in range(0, expected, _STEP_ENTRIES):
            count = min(_STEP_ENTRIES, expected - start)
            at, long = self._array(offsets, start, count), self._array(lengths, start, count)
            flags[start : start + count] = (at != 0) & (long != 0)
        down, across = -(-layout.height // layout.block_height), -(-layout.width // layout.block_width)
        return np.asarray(flags.reshape(-1, down, across).any(axis=0))

    def _table(self, index: int) -> tuple[_Entry, _Entry, int]:
        """Offsets, lengths and number of the strips or tiles of a directory."""
        entries, expected = self._directories[index], self.layout(index).block_count
        if expected > _MOST_BLOCKS:
            raise HeaderError(f"directory {index} must have at most {_MOST_BLOCKS} strips or tiles, got {expected}")
        is_tiled = _TILE_OFFSETS in entries
        offsets = entries.get(_TILE_OFFSETS if is_tiled else _STRIP_OFFSETS)
        lengths = entries.get(_TILE_COUNTS if is_tiled else _STRIP_COUNTS)
        if offsets is None or lengths is None:
            raise HeaderError(f"directory {index} must give the offsets and lengths of its strips or tiles, got none")
        if min(offsets.count, lengths.count) < expected:
            got = min(offsets.count, lengths.count)
            raise HeaderError(f"directory {index} must give {expected} strips or tiles, got {got}")
        return offsets, lengths, expected

    def _walk(self) -> Iterator[dict[int, _Entry]]:
        at = self._unpack("Q", 8) if self._is_big else self._unpack("I", 4)
        seen: set[int] = set()
        while at:
            if at in seen:
                raise HeaderError(f"the directories must not form a loop, got offset {at} twice")
            if len(seen) == _MOST_DIRECTORIES:
                raise HeaderError(f"there must be at most {_MOST_DIRECTORIES} directories, got more")
            seen.add(at)
            try:
                entries, at = self._directory(at)
            except CutOffError as error:
                if len(seen) == 1:
                    raise HeaderError(str(error)) from error
                raise
            yield entries
        if not seen:
            raise HeaderError("there must be a directory, got none")

    def _directory(self, at: int) -> tuple[dict[int, _Entry], int]:
        count_code, count_bytes, entry_bytes, inline_bytes = ("Q", 8, 20, 8) if self._is_big else ("H", 2, 12, 4)
        count = self._unpack(count_code, at)
        if not 0 < count <= _MOST_ENTRIES:
            raise HeaderError(f"a directory must have 1 … {_MOST_ENTRIES} entries, got {count} at offset {at}")
        data = self._bytes(at + count_bytes, count * entry_bytes + inline_bytes)
        offset_code = "Q" if self._is_big else "I"
        entries: dict[int, _Entry] = {}
        for i in range(count):
            tag, kind, number = struct.unpack_from(f"{self._order}HH{offset_code}", data, i * entry_bytes)
            value_at = at + count_bytes + (i + 1) * entry_bytes - inline_bytes
            if number * _TYPE_BYTES.get(kind, 0) > inline_bytes:
                value_at = struct.unpack_from(
                    f"{self._order}{offset_code}", data, (i + 1) * entry_bytes - inline_bytes
                )[0]
            entries.setdefault(tag, _Entry(tag, kind, number, value_at))
        return entries, int(struct.unpack_from(f"{self._order}{offset_code}", data, count * entry_bytes)[0])

    def _subfile_type(self, entries: dict[int, _Entry]) -> int:
        if SUBFILE_TYPE in entries:
            return self._one(entries, SUBFILE_TYPE)
        return {2: 1, 3: 2}.get(self._one(entries, OLD_SUBFILE_TYPE, 1), 0)

    def _one(self, entries: dict[int, _Entry], tag: int, default: int | None = None) -> int:
        if tag not in entries:
            if default is None:
                raise HeaderError(f"the tag {tag} must be there, got none")
            return default
        return int(self._numbers(entries, tag, ())[0])

    def _numbers(self, entries: dict[int, _Entry], tag: int, default: tuple[int, ...]) -> tuple[float, ...]:
        entry = entries.get(tag)
        if entry is None:
            return default
        code = _TYPE_CODES.get(entry.type)
        length_bytes = entry.count * _TYPE_BYTES.get(entry.type, 0)
        if code in (None, "s") or not 0 < length_bytes <= _LONGEST_VALUE_BYTES:
            raise HeaderError(f"the tag {tag} must hold numbers, got {entry.count} of type {entry.type}")
        return struct.unpack(f"{self._order}{entry.count}{code}", self._bytes(entry.at, length_bytes))

    def _array(self, entry: _Entry, start: int, count: int) -> npt.NDArray[np.uint64]:
        if entry.type not in _INTEGER_TYPES:
            raise HeaderError(f"offsets and lengths must be unsigned integers, got type {entry.type}")
        size = _TYPE_BYTES[entry.type]
        data = self._bytes(entry.at + start * size, count * size)
        return np.frombuffer(data, f"{self._order}u{size}").astype(np.uint64)

    def _unpack(self, code: str, at: int) -> int:
        return int(struct.unpack(self._order + code, self._bytes(at, struct.calcsize("=" + code)))[0])

    def _bytes(self, at: int, length_bytes: int) -> bytes:
        if at + length_bytes > self._size_bytes:
            reach = at + length_bytes
            raise CutOffError(
                f"the directories must lie inside the file of {self._size_bytes} bytes, got one to {reach}"
            )
        self._handle.seek(at)
        data = self._handle.read(length_bytes)
        if len(data) != length_bytes:
            raise HeaderError("the file must not shrink while it is read")
        return data


def _crs_code(keys: tuple[float, ...]) -> int | None:
    """The code of a CRS in a directory of keys: four numbers for its head, then four for each (OGC 19-008r4)."""
    found = {int(keys[i]): int(keys[i + 3]) for i in range(4, len(keys) - 3, 4) if keys[i + 1] == 0}
    codes = (found.get(key, 0) for key in (_PROJECTED_CRS, _GEODETIC_CRS))
    return next((code for code in codes if code not in (0, _USER_DEFINED)), None)
