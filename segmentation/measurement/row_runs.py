"""Runs of one class along the rows of a mask, and which of them are one component."""

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from segmentation.measurement.border_runs import BorderRuns, Ints, Pixels, touching

Mask = npt.NDArray[np.uint8]

_FEW = 48
"""Where there are more pixels to a run than this, runs are linked instead of pixels: a fifth of the time at 1 % damage,
which is all that most rasters have; three times as long in a mask that is all specks."""


@dataclass(frozen=True, slots=True)
class RowRuns:
    """Maximal runs of one class > 0 in one row, in raster order; a run never goes on in the next row."""

    pixel_class: Mask
    """``(R,)``."""
    begin: Ints
    """``(R,)`` flat index of the first pixel."""
    row: Pixels
    """``(R,)``."""
    start: Pixels
    """``(R,)`` first column."""
    stop: Pixels
    """``(R,)`` one past the last column."""


def row_runs(defects: Mask) -> RowRuns:
    """The runs of ``(H, W)`` class ids, 0 for none."""
    width = defects.shape[1]
    change = np.empty(defects.shape, np.bool_)
    change[:, 0] = True
    np.not_equal(defects[:, 1:], defects[:, :-1], out=change[:, 1:])
    at = np.append(np.flatnonzero(change), defects.size)
    found = np.flatnonzero(defects.ravel()[at[:-1]] != 0)  # four times as fast as an index of flags
    begin = at[found]
    row = begin // width
    line = row * width
    return RowRuns(
        pixel_class=defects.ravel()[begin],
        begin=begin,
        row=row.astype(np.int32),
        start=(begin - line).astype(np.int32),
        stop=(at[found + 1] - line).astype(np.int32),
    )


def components_of(runs: RowRuns, defects: Mask) -> npt.NDArray[np.intp]:
    """The component ``(R,)`` that each run belongs to, counted from 0 in the order of their first pixels.

    `defects` is the mask ``(H, W)`` that the runs are of. Runs are one component where they touch by a side or a corner
    and have the same class.
    """
    return linked_runs(runs) if runs.begin.size * _FEW < defects.size else linked_pixels(runs, defects)


def linked_runs(runs: RowRuns) -> npt.NDArray[np.intp]:
    """`components_of` by the runs that touch in neighbouring rows."""
    count = runs.begin.size
    table = BorderRuns(runs.row, runs.start, runs.stop, np.arange(count, dtype=np.int32))
    one, other = touching(table, table)
    same = runs.pixel_class[one] == runs.pixel_class[other]
    one, other = one[same], other[same]
    graph = coo_array((np.ones(one.size, np.bool_), (one, other)), shape=(count, count))
    number: npt.NDArray[np.intp] = connected_components(graph, directed=False)[1].astype(np.intp)
    return number


def linked_pixels(runs: RowRuns, defects: Mask) -> npt.NDArray[np.intp]:
    """`components_of` by an image of labels."""
    labels = cc3d.connected_components(defects, connectivity=8)
    number: npt.NDArray[np.intp] = labels.ravel()[runs.begin].astype(np.intp)
    number -= 1  # cc3d counts from 1, without a gap
    return number
