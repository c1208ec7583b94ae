"""Where a crop may lie so that it holds what it should: drawn uniformly over all such positions, without rejection.

All positions of one crop size are judged once with the mask's table; kept is the number of admissible positions
above each row. A draw is a rank among all admissible positions: a bisection finds its row, and that row's columns
are judged again to find the position. So memory is one number per row, and no draw is ever repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from segmentation.training.content_tables import ContentTable, Integers, axis_terms


@dataclass(frozen=True, slots=True)
class CountLimits:
    """How many pixels of some mask values together a crop may hold, both ends included."""

    values: tuple[int, ...]
    """The mask values that are counted together; all must be values of the table."""

    least_px: int
    """No fewer."""
    most_px: int
    """No more."""


class CropPositions:
    """The admissible positions of crops of one size in one mask.

    Crops may reach up to `border_px` outside the mask, where it is mirrored. A crop that is larger than the
    mask and its borders along an axis has one position there: the middle.

    >>> mask = np.zeros((4, 6), np.uint8)
    >>> mask[1, 4] = 1
    >>> table = ContentTable.of(mask, values=(1,))
    >>> places = CropPositions(table, shape=(3, 3), limits=[CountLimits((1,), 1, 9)], border_px=0)
    >>> places.number  # rows 0 and 1, columns 2 and 3
    4
    """

    def __init__(
        self, table: ContentTable, *, shape: tuple[int, int], limits: Sequence[CountLimits], border_px: int
    ) -> None:
        if min(shape) < 1 or border_px < 0:
            raise ValueError(f"a crop must hold a pixel and border_px be >= 0, got {shape} and {border_px}")
        unknown = {value for limit in limits for value in limit.values} - set(table.values)
        if unknown:
            raise ValueError(f"limits must be of values that the table counts, {table.values}, got {sorted(unknown)}")
        self.shape = shape
        self._sums = table.sums
        self._limits = np.array([(limit.least_px, limit.most_px) for limit in limits], np.int64).reshape(-1, 2)
        taken = [[value in limit.values for value in table.values] for limit in limits]
        self._taken = np.array(taken, np.bool_).reshape(-1, len(table.values))
        height, width = table.extent
        self._tops, self._lefts = _starts(height, shape[0], border_px), _starts(width, shape[1], border_px)
        self._rows = axis_terms(self._tops, self._tops + shape[0], height)
        self._cols = axis_terms(self._lefts, self._lefts + shape[1], width)
        found = _admissible_per_row(self._sums, *self._terms(), self._taken, self._limits)
        self._before = np.concatenate([[0], np.cumsum(found)])

    @property
    def number(self) -> int:
        """How many positions are admissible."""
        return int(self._before[-1])

    def draw(self, rng: np.random.Generator, number: int) -> Integers:
        """``(number, 4)`` windows, each uniform over the admissible positions and independent of the others.

        Raises ValueError where no position is admissible.
        """
        if self.number == 0:
            raise ValueError(f"at least one position must be admissible for crops of {self.shape}, got none")
        ranks = rng.integers(self.number, size=number)
        rows = np.searchsorted(self._before, ranks, side="right") - 1
        cols = np.empty_like(rows)
        for row in np.unique(rows):
            here = rows == row
            cols[here] = self._columns_of(int(row))[ranks[here] - self._before[row]]
        tops, lefts = self._tops[rows], self._lefts[cols]
        return np.stack([tops, tops + self.shape[0], lefts, lefts + self.shape[1]], 1)

    def _columns_of(self, row: int) -> npt.NDArray[np.intp]:
        admissible = np.empty(len(self._cols.index), np.bool_)
        _judge_row(self._sums, row, *self._terms(), self._taken, self._limits, admissible)
        return np.flatnonzero(admissible)

    def _terms(self) -> tuple[Integers, Integers, Integers, Integers]:
        return self._rows.index, self._rows.weight, self._cols.index, self._cols.weight


def _starts(extent: int, side: int, border_px: int) -> Integers:
    """Every first row (or column) of a crop of `side` px; of one that is too large, the middle alone."""
    if side > extent + 2 * border_px:
        return np.array([(extent - side) // 2], np.int64)
    return np.arange(-border_px, extent - side + border_px + 1, dtype=np.int64)


@numba.njit(nogil=True)
def _judge_row(
    sums: Any, row: Any, row_index: Any, row_weight: Any, col_index: Any, col_weight: Any,
    taken: Any, limits: Any, admissible: Any,
) -> Any:  # fmt: skip
    """Judge every column of one row of positions; the number of admissible ones."""
    admissible[:] = True
    line = np.empty(sums.shape[2], np.int64)
    for n in range(len(limits)):
        line[:] = 0
        for k in range(len(sums)):
            if not taken[n, k]:
                continue
            for i in range(row_index.shape[1]):
                weight, source = row_weight[row, i], sums[k, row_index[row, i]]
                if weight != 0:
                    for col in range(len(line)):
                        line[col] += weight * np.int64(source[col])
        for col in range(len(admissible)):
            count = np.int64(0)
            for j in range(col_index.shape[1]):
                count += col_weight[col, j] * line[col_index[col, j]]
            count &= 0xFFFFFFFF
            if count < limits[n, 0] or count > limits[n, 1]:
                admissible[col] = False
    return admissible.sum()


@numba.njit(nogil=True)
def _admissible_per_row(
    sums: Any, row_index: Any, row_weight: Any, col_index: Any, col_weight: Any, taken: Any, limits: Any
) -> Any:
    found = np.empty(len(row_index), np.int64)
    admissible = np.empty(len(col_index), np.bool_)
    for row in range(len(row_index)):
        found[row] = _judge_row(sums, row, row_index, row_weight, col_index, col_weight, taken, limits, admissible)
    return found
