"""Handles and buffers for reading blocks, kept by the process: neighbours share what GDAL decoded of their halos.

GDAL's cache serves one handle alone. Few handles, each going on where it left off, decode a block's surroundings once
where a handle for each worker decodes them twice.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmentation.records import RasterInput
from segmentation.windows import Window
from tasks.raster_file import locked_down, open_locked_down
from tasks.raster_reader import Bytes, Flags, RasterReader

Pixels = tuple[Bytes, Flags]


@dataclass
class _Handle:
    reader: RasterReader
    close: Callable[[], None]
    last: Window


class BlockReader:
    """Windows of one staged raster, read by as many threads at once as there may be handles; others wait."""

    def __init__(self, path: Path, raster: RasterInput, *, handles: int) -> None:
        self._path, self._raster = path, raster
        self._free: list[_Handle] = []
        self._buffers: deque[Pixels] = deque()
        self._changing = threading.Lock()
        self._slots = threading.BoundedSemaphore(handles)

    def read_mirrored(self, window: Window) -> Pixels:
        """See `RasterReader.read_mirrored`; give the buffers back by `recycle` when they are of no use any more."""
        with self._slots, locked_down():
            handle = self._nearest(window)
            try:
                pixels = handle.reader.read_mirrored(window, into=self._buffer(window.shape))
            finally:
                handle.last = window
                with self._changing:
                    self._free.append(handle)
        return pixels

    def recycle(self, pixels: Pixels) -> None:
        """Let the buffers of a block be used for the next one."""
        with self._changing:
            self._buffers.append(pixels)

    def close(self) -> None:
        """Close the handles that are not in use and let go of the buffers."""
        with self._changing:
            for handle in self._free:
                handle.close()
            self._free.clear()
            self._buffers.clear()

    def _nearest(self, window: Window) -> _Handle:
        with self._changing:
            if self._free:
                best = min(self._free, key=lambda handle: _distance_px(handle.last, window))
                self._free.remove(best)
                return best
        dataset = open_locked_down(self._path)
        return _Handle(RasterReader(dataset, self._raster), dataset.close, window)

    def _buffer(self, shape: tuple[int, int]) -> Pixels:
        with self._changing:
            while self._buffers:
                pixels = self._buffers.pop()
                if pixels[1].shape == shape:
                    return pixels
        return np.empty((*shape, 3), np.uint8), np.empty(shape, np.bool_)


_READERS: dict[tuple[Path, RasterInput, int], BlockReader] = {}
_OPENING = threading.Lock()


def block_reader(path: Path, raster: RasterInput, *, handles: int) -> BlockReader:
    """The reader of a raster in this process, kept until `close_readers`."""
    with _OPENING:
        return _READERS.setdefault((path, raster, handles), BlockReader(path, raster, handles=handles))


def close_readers() -> None:
    """Close what the readers of this process do not use at this moment."""
    with _OPENING:
        for reader in _READERS.values():
            reader.close()
        _READERS.clear()


def _distance_px(one: Window, other: Window) -> int:
    return abs(one.row_start - other.row_start) + abs(one.col_start - other.col_start)
