"""Where components meet the borders of their blocks: the little that neighbours must know of each other."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.int32]
"""Rows, columns and lengths in pixels: 4 bytes hold those of any raster."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BorderRuns:
    """Runs of components along one kind of block border, each a row; all in raster pixels."""

    line: Pixels
    """``(R,)`` the row (top, bottom) or column (left, right) that the run lies on."""
    start: Pixels
    """``(R,)`` first pixel along the line."""
    stop: Pixels
    """``(R,)`` one past the last pixel along the line."""
    component: Pixels
    """``(R,)`` row of the component in its block's table."""


def border_runs(labels: npt.NDArray[np.unsignedinteger], line: int, offset: int) -> BorderRuns:
    """Maximal runs of one label > 0 in `labels` ``(L,)`` on row or column `line`; the first pixel lies at `offset`."""
    padded = np.concatenate([[0], labels.astype(np.int64), [0]])
    change = np.flatnonzero(padded[1:] != padded[:-1])
    start, stop = change[:-1], change[1:]
    label = padded[1:][start]
    keep = label > 0
    start, stop, label = start[keep], stop[keep], label[keep]
    return BorderRuns(
        np.full(start.size, line, np.int32),
        (start + offset).astype(np.int32),
        (stop + offset).astype(np.int32),
        (label - 1).astype(np.int32),
    )


def concatenated(parts: Iterable[tuple[BorderRuns, int]]) -> BorderRuns:
    """The runs of several blocks as one table; each block's components are counted on from its number."""
    pairs = list(parts)
    return BorderRuns(
        np.concatenate([runs.line for runs, _ in pairs]),
        np.concatenate([runs.start for runs, _ in pairs]),
        np.concatenate([runs.stop for runs, _ in pairs]),
        np.concatenate([runs.component + np.int32(first) for runs, first in pairs]),
    )


def touching(before: BorderRuns, after: BorderRuns) -> Ints:
    """Pairs ``(2, P)`` of components whose runs touch: `after` lies on the line that follows `before`'s.

    Two runs touch by a side or a corner where neither ends before the other's start: [0, 3) and [3, 5) do.
    """
    if before.line.size == 0 or after.line.size == 0:
        return np.empty((2, 0), np.int64)
    # Lines are laid one after the other on one axis, far enough apart for no run to reach the next line.
    stride = np.int64(max(before.stop.max(), after.stop.max()) + 2)
    order = np.lexsort((after.start, after.line))
    start = after.start[order] + (after.line[order] - 1) * stride
    stop = after.stop[order] + (after.line[order] - 1) * stride
    first = np.searchsorted(stop, before.start + before.line * stride, side="left")
    last = np.searchsorted(start, before.stop + before.line * stride, side="right")
    count = np.maximum(last - first, 0)
    one = np.repeat(before.component, count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([one, after.component[order][np.repeat(first, count) + within]])
