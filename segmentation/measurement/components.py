"""Defects as connected components, found block by block and joined over the block borders.

A block sees only its own pixels. What it hands on is a small table: one row per component inside it, and
the runs of its components along its four borders, from which neighbours are joined without the pixels.
Two pixels are connected when they touch by a side or a corner and have the same class (8-connectivity),
so the joined components do not depend on how the raster was cut into blocks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.windows import Window

Mask = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_DEFECT_OR_ZERO: Final = np.zeros(256, np.uint8)
for _class in DEFECT_CLASSES:
    _DEFECT_OR_ZERO[_class] = _class


@dataclass(frozen=True, slots=True)
class BorderRuns:
    """Runs of components along one kind of block border, each a row; all in raster pixels."""

    line: Ints
    """``(R,)`` the row (top, bottom) or column (left, right) that the run lies on."""
    start: Ints
    """``(R,)`` first pixel along the line."""
    stop: Ints
    """``(R,)`` one past the last pixel along the line."""
    component: Ints
    """``(R,)`` row of the component in its block's table."""


@dataclass(frozen=True, slots=True)
class BlockComponents:
    """The components inside one block, as far as the block sees them: plain, small, picklable."""

    window: Window
    """The block's own pixels."""
    pixel_class: npt.NDArray[np.uint8]
    """``(N,)`` class of each component."""
    area_px: Ints
    """``(N,)`` number of pixels inside the block."""
    bounds: Ints
    """``(N, 4)`` row_start, row_stop, col_start, col_stop in raster pixels."""
    anchor: Ints
    """``(N, 2)`` (row, col) of the first pixel in raster order."""
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

    core: Window
    """The block: pixels outside it belong to other parts."""
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


def label_block(mask: Mask, *, window: Window) -> BlockComponents:
    """Components of one block's mask.

    `mask` uint8 ``(H, W)`` holds the class ids of exactly `window`; NODATA and NOT_INSPECTED are no defect.
    Raises ValueError where mask and window differ in shape.

    >>> table = label_block(np.array([[1, 0], [0, 1]], np.uint8), window=Window(10, 12, 20, 22))
    >>> table.area_px.tolist(), table.anchor.tolist()
    ([2], [[10, 20]])
    """
    if mask.shape != window.shape:
        raise ValueError(f"the mask must have the shape of its window {window.shape}, got {mask.shape}")
    defects = _DEFECT_OR_ZERO[mask]
    if not defects.any():
        return _empty_block(window)
    labels = cc3d.connected_components(defects, connectivity=8)
    count, anchors = _first_pixels(labels)
    statistics = cc3d.statistics(labels, no_slice_conversion=True)
    boxes = statistics["bounding_boxes"][1 : count + 1].astype(np.int64)
    bounds = boxes[:, :4] + np.array([0, 1, 0, 1])
    offset = np.array([window.row_start, window.row_start, window.col_start, window.col_start])
    return BlockComponents(
        window=window,
        pixel_class=defects.ravel()[anchors],
        area_px=statistics["voxel_counts"][1 : count + 1].astype(np.int64),
        bounds=bounds + offset,
        anchor=np.stack(
            [anchors // window.shape[1] + window.row_start, anchors % window.shape[1] + window.col_start], 1
        ),
        top=_runs(labels[0], window.row_start, window.col_start),
        bottom=_runs(labels[-1], window.row_stop - 1, window.col_start),
        left=_runs(labels[:, 0], window.col_start, window.row_start),
        right=_runs(labels[:, -1], window.col_stop - 1, window.row_start),
    )


def join_blocks(blocks: Sequence[BlockComponents]) -> tuple[Component, ...]:
    """Components of the raster from those of its blocks, ordered by anchor; independent of the blocks' size and order.

    The blocks must not overlap; blocks that hold nothing may be left out. Two components are one where their
    runs touch across a border by a side or a corner, and have the same class.
    """
    blocks = [block for block in blocks if block.area_px.size]
    if not blocks:
        return ()
    first_row = np.cumsum([0, *(block.area_px.size for block in blocks)])
    pixel_class = np.concatenate([block.pixel_class for block in blocks])
    area = np.concatenate([block.area_px for block in blocks])
    bounds = np.concatenate([block.bounds for block in blocks])
    anchor = np.concatenate([block.anchor for block in blocks])

    def gathered(side: str) -> BorderRuns:
        return _concatenated(
            (getattr(block, side), int(first)) for block, first in zip(blocks, first_row, strict=False)
        )

    downwards = _touching(gathered("bottom"), gathered("top"))
    rightwards = _touching(gathered("right"), gathered("left"))
    one, other = np.concatenate([downwards, rightwards], axis=1)
    same = pixel_class[one] == pixel_class[other]
    links = coo_array((np.ones(int(same.sum()), np.bool_), (one[same], other[same])), shape=(area.size, area.size))
    count, group = connected_components(links, directed=False)
    block_of = np.repeat(np.arange(len(blocks)), [block.area_px.size for block in blocks])
    return _merged(
        count, group, blocks, block_of=block_of, pixel_class=pixel_class, area=area, bounds=bounds, anchor=anchor
    )


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
    labels = cc3d.connected_components((mask[inner] == component.pixel_class).astype(np.uint8), connectivity=8)
    pixels = np.zeros(mask.shape, np.bool_)
    pixels[inner] = labels == labels[row - inner[0].start, col - inner[1].start]
    return pixels


def part_pixels(mask: Mask, *, window: Window, component: Component, part: ComponentPart) -> Bools:
    """Which pixels of a window belong to one part of a component, or go on from it outside its block, bool ``(H, W)``.

    `mask` uint8 ``(H, W)`` holds the class ids of `window`, which must hold the part's window, best with a margin.
    """
    if mask.shape != window.shape or window.intersect(part.window) != part.window:
        raise ValueError(f"the window must hold the whole part {part.window}, got {window} with a mask {mask.shape}")
    labels = cc3d.connected_components((mask == component.pixel_class).astype(np.uint8), connectivity=8)
    wanted = np.zeros(int(labels.max()) + 1, np.bool_)
    wanted[[labels[row - window.row_start, col - window.col_start] for row, col in part.anchors]] = True
    if wanted[0]:
        raise ValueError(f"the mask must show {component.pixel_class.name} at the anchors of {part.window}")
    pixels: Bools = wanted[labels]
    return pixels


def _first_pixels(labels: npt.NDArray[np.unsignedinteger]) -> tuple[int, Ints]:
    """(N, flat index of the first pixel of label 1 … N)."""
    begins = labels > 0
    begins[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    at = np.flatnonzero(begins)
    label_at = labels.ravel()[at].astype(np.int64)
    count = int(label_at.max())
    first = np.full(count + 1, labels.size, np.int64)
    np.minimum.at(first, label_at, at)
    return count, first[1:]


def _runs(labels: npt.NDArray[np.unsignedinteger], line: int, offset: int) -> BorderRuns:
    """Maximal runs of one label in one line of pixels."""
    padded = np.concatenate([[0], labels.astype(np.int64), [0]])
    change = np.flatnonzero(padded[1:] != padded[:-1])
    start, stop = change[:-1], change[1:]
    label = padded[1:][start]
    keep = label > 0
    start, stop, label = start[keep], stop[keep], label[keep]
    return BorderRuns(np.full(start.size, line, np.int64), start + offset, stop + offset, label - 1)


def _concatenated(parts: Iterable[tuple[BorderRuns, int]]) -> BorderRuns:
    pairs = list(parts)
    return BorderRuns(
        np.concatenate([runs.line for runs, _ in pairs]),
        np.concatenate([runs.start for runs, _ in pairs]),
        np.concatenate([runs.stop for runs, _ in pairs]),
        np.concatenate([runs.component + first for runs, first in pairs]),
    )


def _touching(before: BorderRuns, after: BorderRuns) -> Ints:
    """Pairs ``(2, P)`` of components whose runs touch: `after` lies on the line that follows `before`'s.

    Two runs touch by a side or a corner where neither ends before the other's start: [0, 3) and [3, 5) do.
    """
    if before.line.size == 0 or after.line.size == 0:
        return np.empty((2, 0), np.int64)
    # Lines are laid one after the other on one axis, far enough apart for no run to reach the next line.
    stride = max(int(before.stop.max()), int(after.stop.max())) + 2
    order = np.lexsort((after.start, after.line))
    start = after.start[order] + (after.line[order] - 1) * stride
    stop = after.stop[order] + (after.line[order] - 1) * stride
    first = np.searchsorted(stop, before.start + before.line * stride, side="left")
    last = np.searchsorted(start, before.stop + before.line * stride, side="right")
    count = np.maximum(last - first, 0)
    one = np.repeat(before.component, count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([one, after.component[order][np.repeat(first, count) + within]])


def _merged(
    count: int,
    group: Ints,
    blocks: Sequence[BlockComponents],
    *,
    block_of: Ints,
    pixel_class: npt.NDArray[np.uint8],
    area: Ints,
    bounds: Ints,
    anchor: Ints,
) -> tuple[Component, ...]:
    total = np.zeros(count, np.int64)
    np.add.at(total, group, area)
    lowest = np.full((count, 2), np.iinfo(np.int64).max)
    np.minimum.at(lowest, group, bounds[:, [0, 2]])
    highest = np.full((count, 2), np.iinfo(np.int64).min)
    np.maximum.at(highest, group, bounds[:, [1, 3]])
    order = np.lexsort((anchor[:, 1], anchor[:, 0]))
    _, first = np.unique(group[order], return_index=True)
    heads = order[np.sort(first)]
    by_group = np.argsort(group[order], kind="stable")
    limits = np.searchsorted(group[order][by_group], np.arange(count + 1))
    members = order[by_group]

    joined = []
    for head in heads:
        g = group[head]
        own = members[limits[g] : limits[g + 1]]
        joined.append(
            Component(
                PixelClass(int(pixel_class[head])),
                int(total[g]),
                Window(int(lowest[g, 0]), int(highest[g, 0]), int(lowest[g, 1]), int(highest[g, 1])),
                (int(anchor[head, 0]), int(anchor[head, 1])),
                _parts(own, blocks, block_of=block_of, bounds=bounds, anchor=anchor) if own.size > 1 else (),
            )
        )
    return tuple(joined)


def _parts(
    rows: Ints, blocks: Sequence[BlockComponents], *, block_of: Ints, bounds: Ints, anchor: Ints
) -> tuple[ComponentPart, ...]:
    parts = []
    for number in np.unique(block_of[rows]):
        own = rows[block_of[rows] == number]
        low, high = bounds[own, 0::2].min(axis=0), bounds[own, 1::2].max(axis=0)
        parts.append(
            ComponentPart(
                blocks[number].window,
                Window(int(low[0]), int(high[0]), int(low[1]), int(high[1])),
                tuple((int(row), int(col)) for row, col in anchor[own]),
            )
        )
    return tuple(parts)


def _empty_block(window: Window) -> BlockComponents:
    none = np.empty(0, np.int64)
    runs = BorderRuns(none, none, none, none)
    return BlockComponents(
        window,
        np.empty(0, np.uint8),
        none,
        np.empty((0, 4), np.int64),
        np.empty((0, 2), np.int64),
        runs,
        runs,
        runs,
        runs,
    )
