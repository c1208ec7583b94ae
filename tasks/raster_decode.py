"""Does every strip and tile of a raster decode to what was written: looked at before a pixel is inspected.

libtiff gives the pixels of a damaged deflate stream without a word; the stream itself holds an Adler-32 of what it was
made from (RFC 1950), which is verified here. What other codecs do not notice, only the object's checksum can tell.
"""

import zlib
from collections.abc import Callable, Iterator
from math import gcd
from pathlib import Path
from typing import IO

import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from segmentation.errors import InputRejected
from segmentation.windows import Window
from tasks.raster_checked import Look
from tasks.raster_file import gdal_words, read_validity
from tasks.tiff_header import Layout, TiffHeader

_DEFLATE = frozenset({8, 32946})
_AT_ONCE_BYTES = 16 << 20
"""Decoded bytes of one look, where a block is not larger."""
_STEP_BYTES = 1 << 20
_UPLOAD_AGAIN = "upload the file again from its source, and write it again if that does not help"


def check_decodes(
    path: Path,
    dataset: rasterio.DatasetReader,
    name: str,
    *,
    most_bytes: int | None,
    on_window: Callable[[Window], None],
) -> Look:
    """Decode the raster at `path`, opened as `dataset`; at most about `most_bytes` of it, evenly spread; None: all.

    `on_window` is called before each window is decoded. Raises InputRejected E_TILE_DECODE for what the decoder
    refuses, E_CHECKSUM for a deflate stream that decodes to something else than it was written from.
    """
    with path.open("rb") as handle:
        header = TiffHeader(handle)
        layout, written = header.layout(0), header.written(0)
        windows = [w for w in _windows(layout) if written[_block_slices(w, layout)].any()]
        each_bytes = max(1, layout.decoded_bytes * len(windows) // max(1, sum(1 for _ in _windows(layout))))
        count = len(windows)
        if most_bytes is not None and each_bytes > most_bytes:
            count = max(1, len(windows) * most_bytes // each_bytes)
        for window in _spread(windows, count):
            on_window(window)
            is_whole = _deflate_is_whole(handle, header, layout, window)
            _decode(dataset, window, name)
            if not is_whole:
                cause = (
                    f"every deflated strip or tile must have the Adler-32 it was written with, got another in "
                    f"{_told(window)}"
                )
                raise InputRejected("E_CHECKSUM", name, cause, _UPLOAD_AGAIN)
    return Look(len(windows), count)


def _windows(layout: Layout) -> Iterator[Window]:
    """Windows of whole blocks that cover the raster, each of some megabytes, or of one block where that is larger."""
    row_bytes = max(1, layout.decoded_bytes // layout.height)
    side = max(1, round((_AT_ONCE_BYTES * layout.width / row_bytes) ** 0.5))
    width = min(layout.width, max(1, side // layout.block_width) * layout.block_width)
    rows = max(1, _AT_ONCE_BYTES * layout.width // (row_bytes * width))
    height = max(1, rows // layout.block_height) * layout.block_height
    for row in range(0, layout.height, height):
        for col in range(0, layout.width, width):
            yield Window(row, row + height, col, col + width).clip(layout.height, layout.width)


def _spread(windows: list[Window], count: int) -> Iterator[Window]:
    """So many of the windows: all in their order, or some that jump about and leave no region out."""
    if count >= len(windows):
        yield from windows
        return
    step = max(1, round(len(windows) * 0.618))
    while gcd(step, len(windows)) != 1:
        step += 1
    yield from (windows[i * step % len(windows)] for i in range(count))


def _block_slices(window: Window, layout: Layout) -> tuple[slice, slice]:
    return (
        slice(window.row_start // layout.block_height, -(-window.row_stop // layout.block_height)),
        slice(window.col_start // layout.block_width, -(-window.col_stop // layout.block_width)),
    )


def _decode(dataset: rasterio.DatasetReader, window: Window, name: str) -> None:
    rows, cols = window.shape
    try:
        dataset.read(window=RasterioWindow(window.col_start, window.row_start, cols, rows))
        read_validity(dataset, window)
    except RasterioError as error:
        cause = f"every pixel must decode, got an error in {_told(window)}: {gdal_words(error, Path(name))}"
        raise InputRejected("E_TILE_DECODE", name, cause, _UPLOAD_AGAIN) from error


def _told(window: Window) -> str:
    return f"rows {window.row_start}–{window.row_stop}, columns {window.col_start}–{window.col_stop}"


def _deflate_is_whole(handle: IO[bytes], header: TiffHeader, layout: Layout, window: Window) -> bool:
    """Whether the deflate streams of a window end and are what they were made from; True for other codecs."""
    if layout.compression not in _DEFLATE or layout.fill_order != 1:
        return True
    down, across = -(-layout.height // layout.block_height), -(-layout.width // layout.block_width)
    rows, cols = _block_slices(window, layout)
    for plane in range(layout.samples if layout.is_planar else 1):
        for first, count in _runs(rows, cols, across):
            for at, length_bytes in header.spans(0, plane * down * across + first, count):
                if at and length_bytes and not _is_whole(handle, at, length_bytes, layout.block_bytes):
                    return False
    return True


def _runs(rows: slice, cols: slice, across: int) -> Iterator[tuple[int, int]]:
    """(first block, number of blocks) of the runs of neighbours in the table."""
    if cols.stop - cols.start == across:
        yield rows.start * across, (rows.stop - rows.start) * across
        return
    for row in range(rows.start, rows.stop):
        yield row * across + cols.start, cols.stop - cols.start


def _is_whole(handle: IO[bytes], at: int, length_bytes: int, block_bytes: int) -> bool:
    """Whether a zlib stream decodes to its end; one that goes on past its block is what no writer makes."""
    stream = zlib.decompressobj()
    handle.seek(at)
    left_bytes, made_bytes = length_bytes, 0
    while left_bytes and not stream.eof:
        data = handle.read(min(left_bytes, _STEP_BYTES))
        if not data:
            return False
        left_bytes -= len(data)
        while data and not stream.eof:
            try:
                made_bytes += len(stream.decompress(data, _STEP_BYTES))
            except zlib.error:
                return False
            if made_bytes > 2 * block_bytes + _STEP_BYTES:
                return False
            data = stream.unconsumed_tail
    return stream.eof
