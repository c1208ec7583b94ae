"""A Cloud Optimized GeoTIFF written from compressed tiles one by one, its overviews given and not resampled.

GDAL's own COG driver makes the template: every tag of the first directory, georeference, colours and metadata, is what
GDAL writes for a raster of one tile. Here the directories are laid out for the real size, then the tiles are streamed,
the coarsest overview first, as the layout demands (https://gdal.org/drivers/raster/cog.html; TIFF 6.0, BigTIFF).
Through that driver itself an overview of ours would have to be written as a file of its own, read again and compressed
again.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import numpy as np
import numpy.typing as npt
import tifffile

TILE_PX: Final = 512
"""Side of a tile."""
_BIG_ABOVE_BYTES: Final = 2 << 30
"""Uncompressed size above which offsets have 64 bits: no tile grows by more than a thousandth when it is compressed."""

_SHORT, _LONG, _LONG8 = 3, 4, 16
_WIDTH, _HEIGHT, _OFFSETS, _BYTE_COUNTS, _SUBFILE = 256, 257, 324, 325, 254
_SIZES: Final = {1: 1, 2: 1, _SHORT: 2, _LONG: 4, 12: 8, _LONG8: 8}
"""Bytes of a value by TIFF type: BYTE, ASCII, SHORT, LONG, DOUBLE, LONG8."""
_OF_THE_FIRST_ONLY: Final = (33550, 33922, 34264, 34735, 34736, 34737, 42112)
"""Tags of an overview's raster and not of itself: georeference and metadata."""
_GHOST_HEADER_BYTES: Final = 43
"""``GDAL_STRUCTURAL_METADATA_SIZE=nnnnnn bytes`` and a line end, before the layout that GDAL states there."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of a TIFF directory."""

    type: int
    count: int
    content: bytes
    """Its values, little-endian."""


@dataclass(frozen=True, slots=True)
class Template:
    """What GDAL writes for a COG of one tile."""

    ghost: bytes
    """Its statement of the layout, which follows the header."""
    tags: Mapping[int, Tag]
    """Entries of its directory by code."""


@dataclass(frozen=True, slots=True)
class Level:
    """One directory of the file: the raster or an overview."""

    height: int
    width: int
    tiles: Callable[[], Iterator[bytes]]
    """The compressed tiles, row by row from the left."""

    @property
    def tile_count(self) -> int:
        """Tiles of the level, the last ones of a row and of a column included."""
        return -(-self.height // TILE_PX) * -(-self.width // TILE_PX)


def read_template(cog: bytes) -> Template:
    """The template that a COG of one tile is; raises ValueError where GDAL laid it out in another way."""
    size = cog[8 : 8 + _GHOST_HEADER_BYTES]
    if cog[:4] != b"II*\0" or not size.startswith(b"GDAL_STRUCTURAL_METADATA_SIZE="):
        raise ValueError(f"a template must be a little-endian COG by GDAL, got a file that begins with {cog[:51]!r}")
    ghost = cog[8 : 8 + _GHOST_HEADER_BYTES + int(size.split(b"=")[1].split()[0])]
    with tifffile.TiffFile(BytesIO(cog)) as file:
        found = {
            tag.code: Tag(int(tag.dtype), tag.count, cog[tag.valueoffset : tag.valueoffset + _value_bytes(tag)])
            for tag in file.pages.first.tags
        }
    return Template(ghost, found)


def write_cog(path: Path, template: Template, levels: Sequence[Level]) -> None:
    """Write the file: `levels` from the raster itself to its coarsest overview, held in memory one tile at a time.

    Raises ValueError where a level does not give as many tiles as its size takes.
    """
    uncompressed_bytes = sum(level.tile_count for level in levels) * TILE_PX**2
    is_big = uncompressed_bytes > _BIG_ABOVE_BYTES
    offsets = [np.zeros(level.tile_count, np.uint64) for level in levels]
    byte_counts = [np.zeros(level.tile_count, np.uint64) for level in levels]
    with path.open("wb") as file:
        # The place of the tiles is known once they are written, the length of the directories before.
        file.write(_head(template, levels, offsets, byte_counts, is_big=is_big))
        for level, starts, counts in reversed(list(zip(levels, offsets, byte_counts, strict=True))):
            _write_tiles(file, level, starts, counts)
        file.seek(0)
        file.write(_head(template, levels, offsets, byte_counts, is_big=is_big))


def _write_tiles(file: IO[bytes], level: Level, starts: npt.NDArray[np.uint64], counts: npt.NDArray[np.uint64]) -> None:
    at, number = file.tell(), -1
    for number, tile in enumerate(level.tiles()):
        if number >= level.tile_count:
            break
        # As the ghost says: a tile's length before it, its last four bytes again behind it.
        file.write(struct.pack("<I", len(tile)) + tile + tile[-4:])
        starts[number], counts[number] = at + 4, len(tile)
        at += len(tile) + 8
    if number + 1 != level.tile_count:
        size = f"{level.height} × {level.width} px"
        raise ValueError(f"a level of {size} must have {level.tile_count} tiles, got {number + 1}")


def _head(
    template: Template,
    levels: Sequence[Level],
    offsets: Sequence[npt.NDArray[np.uint64]],
    byte_counts: Sequence[npt.NDArray[np.uint64]],
    *,
    is_big: bool,
) -> bytes:
    """Header, ghost and directories, as long whatever the offsets are."""
    begin = 16 if is_big else 8
    at = begin + len(template.ghost) + len(template.ghost) % 2
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, at) if is_big else struct.pack("<2sHI", b"II", 42, at)
    parts = [head, template.ghost.ljust(at - begin, b"\0")]
    for number, level in enumerate(levels):
        tags = {code: tag for code, tag in template.tags.items() if number == 0 or code not in _OF_THE_FIRST_ONLY}
        tags |= {_SUBFILE: _tag(_LONG, "<u4", 1)} if number else {}
        tags |= {_WIDTH: _tag(_LONG, "<u4", level.width), _HEIGHT: _tag(_LONG, "<u4", level.height)}
        tags[_OFFSETS] = _tag(_LONG8, "<u8", offsets[number]) if is_big else _tag(_LONG, "<u4", offsets[number])
        tags[_BYTE_COUNTS] = _tag(_LONG, "<u4", byte_counts[number])
        directory = _directory(tags, at=at, is_last=number + 1 == len(levels), is_big=is_big)
        parts.append(directory)
        at += len(directory)
    return b"".join(parts)


def _directory(tags: Mapping[int, Tag], *, at: int, is_last: bool, is_big: bool) -> bytes:
    """A directory at file position `at` with the values that do not fit into its entries behind it."""
    entry, inline, number = ("<HHQ", 8, "<Q") if is_big else ("<HHI", 4, "<I")
    entry_bytes = struct.calcsize(entry) + inline
    count = struct.pack("<Q" if is_big else "<H", len(tags))
    values_at = at + len(count) + len(tags) * entry_bytes + inline
    entries, values = [count], b""
    for code, tag in sorted(tags.items()):
        content = tag.content
        if len(content) > inline:
            padded = content + b"\0" * (-len(content) % 8)
            content, values = struct.pack(number, values_at + len(values)), values + padded
        entries.append(struct.pack(entry, code, tag.type, tag.count) + content.ljust(inline, b"\0"))
    following = 0 if is_last else values_at + len(values)
    return b"".join([*entries, struct.pack(number, following), values])


def _tag(kind: int, dtype: str, values: int | npt.NDArray[np.uint64]) -> Tag:
    array = np.atleast_1d(np.asarray(values)).astype(dtype)
    return Tag(kind, array.size, array.tobytes())


def _value_bytes(tag: tifffile.TiffTag) -> int:
    return int(tag.count * _SIZES[int(tag.dtype)])
