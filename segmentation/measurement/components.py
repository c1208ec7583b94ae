"""Defects as connected components, found block by block and joined over the block borders.

A block sees only its own pixels. What it hands on is a small table: one row per component inside it, and
the runs of its components along its four borders, from which neighbours are joined without the pixels.
Two pixels are connected when they touch by a side or a corner and have the same class (8-connectivity),
so the joined components do not depend on how the raster was cut into blocks. No image of labels larger than
one block is ever made, and no Python object per component before somebody asks for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, overload

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.measurement.border_runs import BorderRuns, border_runs, concatenated, touching
from segmentation.measurement.row_runs import RowRuns, components_of, row_runs
from segmentation.windows import Window

Mask = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.int32]
"""Rows, columns and lengths in pixels: 4 bytes hold those of any raster."""
Ints = npt.NDArray[np.int64]

_LAST_CLASS: Final = np.uint8(max(DEFECT_CLASSES))


@dataclass(frozen=True, slots=True)
class BlockComponents:
    """The components inside one block, as far as the block sees them: plain, small, picklable."""

    window: Window
    """The block's own pixels."""
    pixel_class: npt.NDArray[np.uint8]
    """``(N,)`` class of each component."""
    area_px: Ints
    """``(N,)`` number of pixels inside the block."""
    bounds: Pixels
    """``(4, N)`` row_start, row_stop, col_start, col_stop in raster pixels."""
    anchor_col: Pixels
    """``(N,)`` column of the first pixel in raster order; its row is row_start."""
    top: BorderRuns
    """Runs in the block's first row."""
    bottom: BorderRuns
    """Runs in its last row."""
    left: BorderRuns
    """Runs in its first column."""
    right: BorderRuns
    """Runs in its last column."""


@dataclass(frozen=True, slots=True)
class ComponentPart:
    """What one block holds of a component."""

    window: Window
    """Smallest window that holds the part, inside the block."""
    anchors: tuple[tuple[int, int], ...]
    """First pixel of each of its pieces, (row, col)."""


@dataclass(frozen=True, slots=True)
class Component:
    """One connected finding of one class in one raster, whatever the blocks."""

    pixel_class: PixelClass
    """CRACK or RUST."""
    area_px: int
    """Number of pixels."""
    window: Window
    """Smallest window that holds it, in raster pixels."""
    anchor: tuple[int, int]
    """(row, col) of its first pixel in raster order: its identity in the raster."""
    parts: tuple[ComponentPart, ...] = field(default=(), compare=False, repr=False)
    """What each block holds of it, where that is more than one: for a component too large to be read at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Components(Sequence[Component]):
    """The components of one raster as columns, ordered by anchor; a `Component` is made when it is asked for."""

    pixel_class: npt.NDArray[np.uint8]
    """``(N,)`` class ids."""
    area_px: Ints
    """``(N,)`` number of pixels."""
    bounds: Pixels
    """``(4, N)`` row_start, row_stop, col_start, col_stop."""
    anchor_col: Pixels
    """``(N,)`` column of the first pixel in raster order; its row is row_start."""
    several: Ints
    """``(M,)`` numbers of the components of several pieces, ascending."""
    stretches: Ints
    """``(M, 2)`` begin and end of the stretch of `pieces` that each of them is made of."""
    pieces: "_Pieces"
    """The pieces of those components."""

    def __len__(self) -> int:
        return self.area_px.size

    @overload
    def __getitem__(self, number: int) -> Component: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[Component, ...]: ...
    def __getitem__(self, number: int | slice) -> Component | tuple[Component, ...]:
        if isinstance(number, slice):
            return tuple(self[i] for i in range(*number.indices(len(self))))
        at = range(len(self))[number]
        top, bottom, left, right = self.bounds[:, at].tolist()
        begin, end = np.searchsorted(self.several, [at, at + 1])
        return Component(
            PixelClass(int(self.pixel_class[at])),
            int(self.area_px[at]),
            Window(top, bottom, left, right),
            (top, int(self.anchor_col[at])),
            self.pieces.parts(*self.stretches[begin].tolist()) if end > begin else (),
        )

    def __iter__(self) -> Iterator[Component]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Components):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("pixel_class", "area_px", "bounds", "anchor_col")
        )

    __hash__ = None  # type: ignore[assignment]


def label_block(mask: Mask, *, window: Window) -> BlockComponents:
    """Components of one block's mask.

    `mask` uint8 ``(H, W)`` holds the class ids of exactly `window`; NODATA and NOT_INSPECTED are no defect.
    Raises ValueError where mask and window differ in shape.

    >>> table = label_block(np.array([[1, 0], [0, 1]], np.uint8), window=Window(10, 12, 20, 22))
    >>> table.area_px.tolist(), table.bounds.T.tolist(), table.anchor_col.tolist()
    ([2], [[10, 12, 20, 22]], [20])
    """
    if mask.shape != window.shape:
        raise ValueError(f"the mask must have the shape of its window {window.shape}, got {mask.shape}")
    defects = _defects(mask)
    if not defects.any():
        return _empty_block(window)
    runs = row_runs(defects)
    row, start, stop, of = runs.row, runs.start, runs.stop, components_of(runs, defects)
    count = int(of.max()) + 1
    # Runs come in raster order, and of equal indices the last one assigned stays.
    first, last = np.empty(count, np.intp), np.empty(count, np.intp)
    number = np.arange(of.size)
    first[of[::-1]] = number[::-1]
    last[of] = number
    area_px = np.zeros(count, np.int64)
    np.add.at(area_px, of, (stop - start).astype(np.int64))
    col_start, col_stop = start[first], stop[first]
    np.minimum.at(col_start, of, start)
    np.maximum.at(col_stop, of, stop)
    top, left = window.row_start, window.col_start
    return BlockComponents(
        window=window,
        pixel_class=runs.pixel_class[first],
        area_px=area_px,
        bounds=np.stack([row[first] + top, row[last] + (top + 1), col_start + left, col_stop + left]),
        anchor_col=start[first] + left,
        top=_along_row(runs, of, 0, window),
        bottom=_along_row(runs, of, window.shape[0] - 1, window),
        left=_along_col(runs, of, 0, window),
        right=_along_col(runs, of, window.shape[1] - 1, window),
    )


def _along_row(runs: RowRuns, of: Ints, row: int, window: Window) -> BorderRuns:
    """Runs of the block's components in one of its rows."""
    first, last = np.searchsorted(runs.row, [row, row + 1])
    start, stop = runs.start[first:last] + window.col_start, runs.stop[first:last] + window.col_start
    line = np.full(start.size, row + window.row_start, np.int32)
    return BorderRuns(line, start.astype(np.int32), stop.astype(np.int32), of[first:last].astype(np.int32))


def _along_col(runs: RowRuns, of: Ints, col: int, window: Window) -> BorderRuns:
    """Runs of the block's components in one of its columns."""
    own = np.flatnonzero((runs.start <= col) & (runs.stop > col))
    labels = np.zeros(window.shape[0], np.uint32)
    labels[runs.row[own]] = of[own] + 1
    return border_runs(labels, col + window.col_start, window.row_start)


def join_blocks(blocks: Sequence[BlockComponents]) -> Components:
    """Components of the raster from those of its blocks, ordered by anchor; independent of the blocks' size and order.

    The blocks must not overlap; blocks that hold nothing may be left out. Two components are one where their
    runs touch across a border by a side or a corner, and have the same class.
    """
    blocks = [block for block in blocks if block.area_px.size]
    if not blocks:
        return _NO_COMPONENTS
    first_row = np.cumsum([0, *(block.area_px.size for block in blocks)])
    pixel_class = np.concatenate([block.pixel_class for block in blocks])
    area_px = np.concatenate([block.area_px for block in blocks])
    bounds = np.concatenate([block.bounds for block in blocks], axis=1)
    anchor_col = np.concatenate([block.anchor_col for block in blocks])
    rows, limits = _groups(_links(blocks, first_row, pixel_class), bounds[0], anchor_col)
    pieces = _Pieces(
        block=np.searchsorted(first_row, rows, side="right") - 1,
        bounds=bounds[:, rows],
        anchor_col=anchor_col[rows],
    )
    begins, heads = limits[:-1], rows[limits[:-1]]
    kept = np.ones(area_px.size, np.bool_)
    if rows.size:  # the first piece becomes the whole, the others go
        area_px[heads] = np.add.reduceat(area_px[rows], begins)
        bounds[0::2, heads] = np.minimum.reduceat(pieces.bounds[0::2], begins, axis=1)
        bounds[1::2, heads] = np.maximum.reduceat(pieces.bounds[1::2], begins, axis=1)
        kept[rows] = False
        kept[heads] = True
    order = np.flatnonzero(kept)
    order = order[np.argsort(_raster_order(bounds[0, order], anchor_col[order]))]
    table = Components(
        pixel_class=pixel_class[order],
        area_px=area_px[order],
        bounds=bounds[:, order],
        anchor_col=anchor_col[order],
        several=_NO_COMPONENTS.several,
        stretches=_NO_COMPONENTS.stretches,
        pieces=pieces,
    )
    if rows.size == 0:
        return table
    several = np.searchsorted(
        _raster_order(table.bounds[0], table.anchor_col), _raster_order(bounds[0, heads], anchor_col[heads])
    )
    by_number = np.argsort(several)
    return replace(table, several=several[by_number], stretches=np.stack([begins, limits[1:]], 1)[by_number])


def linked_groups(blocks: Sequence[BlockComponents]) -> Ints:
    """Number of the whole component ``(N,)`` that each row of the blocks' tables, laid end to end, belongs to."""
    first_row = np.cumsum([0, *(block.area_px.size for block in blocks)])
    count = int(first_row[-1])
    if count == 0:
        return np.empty(0, np.int64)
    one, other = _links(blocks, first_row, np.concatenate([block.pixel_class for block in blocks]))
    graph = coo_array((np.ones(one.size, np.bool_), (one, other)), shape=(count, count))
    groups: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return groups


def component_pixels(mask: Mask, *, window: Window, component: Component) -> Bools:
    """Which pixels of a window belong to one component, bool ``(H, W)``.

    `mask` uint8 ``(H, W)`` holds the class ids of `window`, which must hold the component's own window.
    Raises ValueError where it does not, or where the mask does not show the component at its anchor.
    """
    if mask.shape != window.shape:
        raise ValueError(f"the mask must have the shape of its window {window.shape}, got {mask.shape}")
    if window.intersect(component.window) != component.window:
        raise ValueError(f"the window must hold the whole component {component.window}, got {window}")
    row, col = component.anchor[0] - window.row_start, component.anchor[1] - window.col_start
    if mask[row, col] != component.pixel_class:
        raise ValueError(
            f"the mask must show {component.pixel_class.name} at the component's anchor {component.anchor}, "
            f"got class {mask[row, col]}: it is not the mask that the component was found in"
        )
    inner = component.window.within(window)
    pixels = np.zeros(mask.shape, np.bool_)
    own = np.equal(mask[inner], component.pixel_class, out=pixels[inner])
    if np.count_nonzero(own) != component.area_px:  # others of its class lie in its window
        labels = cc3d.connected_components(own.view(np.uint8), connectivity=8)
        np.equal(labels, labels[row - inner[0].start, col - inner[1].start], out=own)
    return pixels


def part_pixels(mask: Mask, *, window: Window, component: Component, part: ComponentPart) -> Bools:
    """Which pixels of a window belong to one part of a component, or go on from it outside its block, bool ``(H, W)``.

    `mask` uint8 ``(H, W)`` holds the class ids of `window`, which must hold the part's window.
    """
    if mask.shape != window.shape or window.intersect(part.window) != part.window:
        raise ValueError(f"the window must hold the whole part {part.window}, got {window} with a mask {mask.shape}")
    labels = cc3d.connected_components((mask == component.pixel_class).view(np.uint8), connectivity=8)
    wanted = np.zeros(int(labels.max()) + 1, np.bool_)
    wanted[[labels[row - window.row_start, col - window.col_start] for row, col in part.anchors]] = True
    if wanted[0]:
        raise ValueError(f"the mask must show {component.pixel_class.name} at the anchors of {part.window}")
    pixels: Bools = wanted[labels]
    return pixels


class _Pieces(NamedTuple):
    """Components of blocks that are pieces of a larger one; the pieces of each stand together, by anchor."""

    block: Ints
    """``(P,)`` number of the block that holds the piece."""
    bounds: Pixels
    """``(4, P)`` as in `BlockComponents`."""
    anchor_col: Pixels
    """``(P,)`` as in `BlockComponents`."""

    def parts(self, begin: int, end: int) -> tuple[ComponentPart, ...]:
        """The pieces of one stretch, those of a block together."""
        parts = []
        for number in np.unique(self.block[begin:end]):
            own = begin + np.flatnonzero(self.block[begin:end] == number)
            low, high = self.bounds[0::2, own].min(axis=1), self.bounds[1::2, own].max(axis=1)
            anchors = zip(self.bounds[0, own].tolist(), self.anchor_col[own].tolist(), strict=True)
            window = Window(int(low[0]), int(high[0]), int(low[1]), int(high[1]))
            parts.append(ComponentPart(window, tuple(anchors)))
        return tuple(parts)


def _defects(mask: Mask) -> Mask:
    """The mask with 0 for all that is no defect; the defect classes are the highest ids of an inspected pixel."""
    if mask.max(initial=0) <= _LAST_CLASS:
        return mask
    defects = (mask <= _LAST_CLASS).view(np.uint8)
    return np.multiply(mask, defects, out=defects)


def _raster_order(row: Pixels, col: Pixels) -> Ints:
    """Numbers that sort as (row, col) do."""
    return (row.astype(np.int64) << 32) | col


def _links(blocks: Sequence[BlockComponents], first_row: Ints, pixel_class: npt.NDArray[np.uint8]) -> Ints:
    """Pairs ``(2, P)`` of rows of the joined tables that are one component, across the borders of the blocks."""

    def gathered(side: str) -> BorderRuns:
        return concatenated((getattr(block, side), int(first)) for block, first in zip(blocks, first_row, strict=False))

    downwards = touching(gathered("bottom"), gathered("top"))
    rightwards = touching(gathered("right"), gathered("left"))
    pairs = np.concatenate([downwards, rightwards], axis=1)
    return pairs[:, pixel_class[pairs[0]] == pixel_class[pairs[1]]]


def _groups(links: Ints, anchor_row: Pixels, anchor_col: Pixels) -> tuple[Ints, Ints]:
    """Rows that are pieces of larger components, those of one component together and by anchor, and their limits."""
    rows, ends = np.unique(links, return_inverse=True)
    if rows.size == 0:
        return rows, np.zeros(1, np.int64)
    one, other = ends.reshape(links.shape)
    graph = coo_array((np.ones(one.size, np.bool_), (one, other)), shape=(rows.size, rows.size))
    count, group = connected_components(graph, directed=False)
    order = np.lexsort((_raster_order(anchor_row[rows], anchor_col[rows]), group))
    return rows[order], np.searchsorted(group[order], np.arange(count + 1))


def _empty_block(window: Window) -> BlockComponents:
    none = np.empty(0, np.int32)
    runs = BorderRuns(none, none, none, none)
    return BlockComponents(
        window, none.astype(np.uint8), none.astype(np.int64), np.empty((4, 0), np.int32), none, runs, runs, runs, runs
    )


_NO_COMPONENTS: Final = Components(
    np.empty(0, np.uint8),
    np.empty(0, np.int64),
    np.empty((4, 0), np.int32),
    np.empty(0, np.int32),
    np.empty(0, np.int64),
    np.empty((0, 2), np.int64),
    _Pieces(np.empty(0, np.int64), np.empty((4, 0), np.int32), np.empty(0, np.int32)),
)
