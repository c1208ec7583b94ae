"""Blocks and tiles: which pixels are inferred with which context. Pure integers, no pixels.

A raster is cut into blocks (one Dask work item = one Zarr shard each), a block into tiles (one forward pass
each). A tile owns its *core* and reads its *window*: the core with a halo on every side.

Three rules make the tiled mask equal to that of one forward pass over the whole raster (Possolo & Bajcsy,
"Exact Tile-Based Segmentation Inference for Images Larger than GPU Memory", J. Res. NIST 126, 2021):

1. every window starts in the same phase of `alignment_px` = 2^depth, so that each tile pools on the same grid;
2. the halo is at least the receptive field's radius, so that the tile's own border never reaches the core;
3. what lies outside the raster is the raster mirrored at its edge, for every tile and for the whole alike.

Where a rule cannot be kept, the geometry's method says so, and every block still computes the same value for the
same pixel as any other block would, because both look at one grid of tiles that starts at the raster's origin.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from segmentation.windows import Window

Pixel = TypeVar("Pixel", bound=np.generic)


Method = Literal["exact", "overlap-tile", "blended"]
"""How tiles are joined to a mask.

exact: cores step by the alignment; the mask is that of one forward pass over the whole raster.
overlap-tile: cores of any size, as in Ronneberger et al., "U-Net", MICCAI 2015 (388 px out of windows of 572);
every core has its whole context, but pools in a phase of its own.
blended: for nets whose receptive field no halo can hold; windows overlap and their logits are averaged with
smooth weights.
"""


@dataclass(frozen=True, slots=True)
class TileGeometry:
    """How a model must be given its context."""

    alignment_px: int
    """2^depth, or the patch of a transformer: sides of windows differ by multiples of it."""
    halo_px: int
    """Context on each side: at least the receptive field's radius (padded nets), or what the net crops (valid nets)."""
    core_px: int
    """Side of a tile's core."""
    margin_px: int = 0
    """Pixels that the net loses on each side: 0 for padded nets."""
    residue_px: int = 0
    """Sides of windows are this modulo `alignment_px`: 0 for padded nets, 12 for the U-Net of 2015."""
    method: Method = "exact"
    """How tiles are joined; the manifest states it."""

    def __post_init__(self) -> None:
        if self.alignment_px < 1 or self.core_px < (1 if self.method == "overlap-tile" else self.alignment_px):
            raise ValueError(f"a core must hold at least one aligned step, got {self}")
        if not 0 <= self.margin_px <= self.halo_px or not 0 <= self.residue_px < self.alignment_px:
            raise ValueError(f"0 <= margin_px <= halo_px and 0 <= residue_px < alignment_px must hold, got {self}")
        if self.method == "exact" and (self.core_px % self.alignment_px or self.overlap_px % self.alignment_px):
            raise ValueError(f"core and halo - margin must be multiples of alignment_px, got {self}")
        if self.method == "blended" and self.core_px < 2 * self.overlap_px:
            raise ValueError(f"a core must be at least twice halo - margin, so that at most two overlap, got {self}")
        if self.method == "blended" and self.valid_side_px(self.core_px + 2 * self.halo_px) != self.window_px:
            raise ValueError(f"core and two halos must be a valid window, got {self}")

    @property
    def window_px(self) -> int:
        """Side of a full tile's window: core and two halos, rounded up to the next that the net takes."""
        return self.valid_side_px(self.core_px + 2 * self.halo_px)

    @property
    def overlap_px(self) -> int:
        """Pixels around the core for which a window gives logits too."""
        return self.halo_px - self.margin_px

    def valid_side_px(self, side_px: int) -> int:
        """The least side of a window, not below `side_px`, that the net takes.

        >>> TileGeometry(alignment_px=16, halo_px=92, core_px=384, margin_px=92, residue_px=12).valid_side_px(568)
        572
        """
        return side_px + (self.residue_px - side_px) % self.alignment_px

    def most_read_px(self, block_px: int) -> int:
        """Upper bound of the sides of `aligned_window` of a block of `block_px`, wherever it lies."""
        beyond_px = {"exact": 0, "overlap-tile": self.alignment_px, "blended": self.core_px + self.overlap_px}
        return self.valid_side_px(block_px + 2 * (self.halo_px + beyond_px[self.method]))


@dataclass(frozen=True, slots=True)
class Tile:
    """One forward pass."""

    core: Window
    """Pixels it decides, inside the raster; of a blended tile, those to which it contributes."""
    window: Window
    """Pixels it reads; may reach outside the raster, where the raster is mirrored."""


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
    """Cut the pixels a block owns into tiles, row by row.

    A clipped core keeps its window in phase: the window ends at the next valid side, the surplus is mirrored or
    read. Raises ValueError where `owned` does not start at multiples of the alignment and the method is exact.
    """
    if geometry.method == "exact" and (
        owned.row_start % geometry.alignment_px or owned.col_start % geometry.alignment_px
    ):
        raise ValueError(f"a block must start at a multiple of {geometry.alignment_px} px, got {owned}")
    along_rows = _along(owned.row_start, owned.row_stop, geometry)
    along_cols = _along(owned.col_start, owned.col_stop, geometry)
    return tuple(Tile(Window(*r.core, *c.core), Window(*r.window, *c.window)) for r in along_rows for c in along_cols)


def halves(tile: Tile, *, geometry: TileGeometry) -> tuple[Tile, ...]:
    """Cut a tile in two along each axis, in phase: the same pixels from less memory at a time.

    Empty where the tile cannot be cut: it holds one aligned step only, or its method is blended.
    """
    step_px = geometry.alignment_px
    axes = [
        (tile.window.row_start + geometry.halo_px, tile.core.row_start, tile.core.row_stop),
        (tile.window.col_start + geometry.halo_px, tile.core.col_start, tile.core.col_stop),
    ]
    extent_px = max(stop - origin for origin, _, stop in axes)
    half_px = -(-extent_px // (2 * step_px)) * step_px
    if geometry.method == "blended" or half_px >= extent_px:
        return ()
    along_rows, along_cols = (
        [
            _phased(max(start, at), min(stop, at + half_px), at, geometry)
            for at in range(origin, stop, half_px)
            if at + half_px > start
        ]
        for origin, start, stop in axes
    )
    return tuple(Tile(Window(*r.core, *c.core), Window(*r.window, *c.window)) for r in along_rows for c in along_cols)


def aligned_window(owned: Window, geometry: TileGeometry) -> Window:
    """The window that must be read to segment `owned`: it holds the window of every tile."""
    rows = [span.window for span in _along(owned.row_start, owned.row_stop, geometry)]
    cols = [span.window for span in _along(owned.col_start, owned.col_stop, geometry)]
    return Window(rows[0][0], max(end for _, end in rows), cols[0][0], max(end for _, end in cols))


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


class _Span(NamedTuple):
    """A tile along one axis."""

    core: tuple[int, int]
    window: tuple[int, int]


def _along(start: int, stop: int, geometry: TileGeometry) -> list[_Span]:
    """The tiles of ``start … stop-1`` along one axis."""
    core_px = geometry.core_px
    if geometry.method == "exact":
        return [_phased(at, min(at + core_px, stop), at, geometry) for at in range(start, stop, core_px)]
    first, last = start // core_px, (stop - 1) // core_px
    if geometry.method == "overlap-tile":
        cores = [(k * core_px, max(start, k * core_px), min(stop, (k + 1) * core_px)) for k in range(first, last + 1)]
        return [_phased(begin, end, origin, geometry) for origin, begin, end in cores]
    first = max((start - geometry.overlap_px) // core_px, 0)
    last = (stop - 1 + geometry.overlap_px) // core_px
    return [_contribution(k, start, stop, geometry) for k in range(first, last + 1)]


def _phased(start: int, stop: int, origin: int, geometry: TileGeometry) -> _Span:
    """The window of a core that pools in the phase of `origin`."""
    begin = start - (start - origin) % geometry.alignment_px - geometry.halo_px
    return _Span((start, stop), (begin, begin + geometry.valid_side_px(stop + geometry.halo_px - begin)))


def _contribution(k: int, start: int, stop: int, geometry: TileGeometry) -> _Span:
    """What tile `k` of the blended grid gives to ``start … stop-1``; none lies before the raster's origin."""
    begin, end = k * geometry.core_px, (k + 1) * geometry.core_px
    reach = geometry.overlap_px
    return _Span(
        (max(start, begin - reach), min(stop, end + reach)), (begin - geometry.halo_px, end + geometry.halo_px)
    )
