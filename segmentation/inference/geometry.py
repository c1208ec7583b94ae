"""Blocks and tiles: which pixels are inferred with which context. Pure integers, no pixels.

A raster is cut into blocks (one Dask work item = one Zarr shard each), a block into tiles (one forward pass
each). A tile owns its *core* and reads its *window*: the core with a halo on every side.

Three rules make the tiled mask equal to that of one forward pass over the whole raster (Possolo & Bajcsy,
"Exact Tile-Based Segmentation Inference for Images Larger than GPU Memory", J. Res. NIST 126, 2021):

1. every window starts at a multiple of `alignment_px` = 2^depth, so that each tile pools on the same grid;
2. the halo is at least the receptive field's radius, so that the tile's own border never reaches the core;
3. what lies outside the raster is the raster mirrored at its edge, for every tile and for the whole alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from segmentation.windows import Window

Pixel = TypeVar("Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True)
class TileGeometry:
    """How a model must be given its context."""

    alignment_px: int
    """2^depth: windows start and end on multiples of it."""
    halo_px: int
    """Context on each side, a multiple of `alignment_px`, at least the receptive field's radius."""
    core_px: int
    """Side of a tile's core, a multiple of `alignment_px`."""

    def __post_init__(self) -> None:
        if self.alignment_px < 1 or self.core_px < self.alignment_px:
            raise ValueError(f"a core must hold at least one aligned step, got {self}")
        if self.core_px % self.alignment_px or self.halo_px % self.alignment_px:
            raise ValueError(f"core and halo must be multiples of alignment_px, got {self}")

    @property
    def window_px(self) -> int:
        """Side of a full tile's window: core and two halos."""
        return self.core_px + 2 * self.halo_px


@dataclass(frozen=True, slots=True)
class Tile:
    """One forward pass."""

    core: Window
    """Pixels it owns, inside the raster."""
    window: Window
    """Pixels it reads, aligned; may reach outside the raster, where the raster is mirrored."""


@dataclass(frozen=True, slots=True)
class Block:
    """One work item, one shard."""

    row: int
    """Index of the block row."""
    col: int
    """Index of the block column."""
    window: Window
    """Pixels it owns, inside the raster."""


def blocks(height: int, width: int, *, block_px: int) -> tuple[Block, ...]:
    """Cut a raster into blocks, row by row; the last of a row or column is clipped (the last-tile rule).

    >>> [b.window.shape for b in blocks(5, 7, block_px=4)]
    [(4, 4), (4, 3), (1, 4), (1, 3)]
    """
    return tuple(Block(i, j, core) for i, j, core in _cut(Window(0, height, 0, width), block_px))


def tiles(owned: Window, *, geometry: TileGeometry) -> tuple[Tile, ...]:
    """Cut the pixels a block owns into tiles; `owned` must start at multiples of the alignment.

    A clipped core keeps its window aligned: the window is rounded up and the surplus is mirrored or read.
    """
    if owned.row_start % geometry.alignment_px or owned.col_start % geometry.alignment_px:
        raise ValueError(f"a block must start at a multiple of {geometry.alignment_px} px, got {owned}")
    return tuple(Tile(core, aligned_window(core, geometry)) for _, _, core in _cut(owned, geometry.core_px))


def aligned_window(core: Window, geometry: TileGeometry) -> Window:
    """The window that a core needs: a halo on each side, its extent rounded up to the alignment."""
    rows, cols = (-(-extent // geometry.alignment_px) * geometry.alignment_px for extent in core.shape)
    return Window(core.row_start, core.row_start + rows, core.col_start, core.col_start + cols).grow(geometry.halo_px)


def mirrored(start: int, stop: int, extent: int) -> npt.NDArray[np.intp]:
    """Indices into ``0 … extent-1`` for positions ``start … stop-1``, mirrored at both edges without repeating them.

    Right for any distance outside, also where the raster is smaller than the halo.

    >>> mirrored(-3, 7, 4).tolist()
    [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    """
    if extent < 1:
        raise ValueError(f"a raster must have at least one pixel along each axis, got {extent}")
    if extent == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (extent - 1)
    folded = np.arange(start, stop, dtype=np.intp) % period
    return np.minimum(folded, period - folded)


@dataclass(frozen=True, slots=True)
class MirroredRead:
    """What must be read of a raster to fill a window that may reach outside of it."""

    source: Window
    """The window to read, inside the raster."""
    rows: npt.NDArray[np.intp]
    """Row of `source` for each row wanted."""
    cols: npt.NDArray[np.intp]
    """Column of `source` for each column wanted."""

    def fill(self, pixels: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
        """Expand what was read, ``(H, W, …)`` of `source`, to the window wanted."""
        straight = all((np.diff(at) == 1).all() for at in (self.rows, self.cols))
        return pixels if straight else pixels[np.ix_(self.rows, self.cols)]


def plan_read(window: Window, height: int, width: int) -> MirroredRead:
    """Plan the read of `window` from a raster of `height` × `width`."""
    rows = mirrored(window.row_start, window.row_stop, height)
    cols = mirrored(window.col_start, window.col_stop, width)
    source = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    return MirroredRead(source, rows - source.row_start, cols - source.col_start)


def _cut(outer: Window, side_px: int) -> Iterator[tuple[int, int, Window]]:
    for i, row in enumerate(range(outer.row_start, outer.row_stop, side_px)):
        for j, col in enumerate(range(outer.col_start, outer.col_stop, side_px)):
            yield i, j, Window(row, min(row + side_px, outer.row_stop), col, min(col + side_px, outer.col_stop))
