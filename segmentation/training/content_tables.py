"""How many pixels of each class a crop holds, in constant time: summed-area tables of a mask of labels.

An entry of a table is the number of pixels above and to the left, so that any crop's count is a sum of four
entries (Crow: "Summed-area tables for texture mapping", SIGGRAPH 1984). Crops may reach outside the mask, where it
is mirrored at its edges as everywhere in spanscan: the prefix sums of a mirrored axis are sums of few entries of
the same table, so that no larger mask is ever made.

Entries are kept modulo 2^32: differences stay exact for every crop of fewer than 2^32 pixels, also in a mask that
holds more. Windows are int64 ``(N, 4)``: row_start, row_stop, col_start, col_stop, half-open, as `Window`'s fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

_MODULUS: Final = 2**32


@dataclass(frozen=True, slots=True, eq=False)
class ContentTable:
    """Counts of some mask values in any crop, in constant time; 4 bytes per pixel and value.

    >>> mask = np.array([[1, 0, 0], [1, 2, 0]], np.uint8)
    >>> table = ContentTable.of(mask, values=(1, 2))
    >>> table.counts(np.array([[0, 2, 0, 2], [-2, 2, 0, 1]])).tolist()  # the second is mirrored at the upper edge
    [[2, 1], [4, 0]]
    """

    values: tuple[int, ...]
    """Mask values that are counted."""
    sums: npt.NDArray[np.uint32]
    """``(K, H + 1, W + 1)``: pixels of value k in ``[0, row) × [0, col)``, modulo 2^32."""
    totals: Integers
    """``(K,)``: pixels of value k in the whole mask; exact."""

    @classmethod
    def of(cls, mask: Mask, *, values: Sequence[int]) -> "ContentTable":
        """Build the table of a mask ``(H, W)``, one pass per value."""
        _check_mask(mask)
        height, width = mask.shape
        sums = np.empty((len(values), height + 1, width + 1), np.uint32)
        totals = [_fill_table(mask, np.uint8(value), plane) for value, plane in zip(values, sums, strict=True)]
        return cls(tuple(values), sums, np.array(totals, np.int64))

    @property
    def extent(self) -> tuple[int, int]:
        """(rows, columns) of the mask."""
        return self.sums.shape[1] - 1, self.sums.shape[2] - 1

    def counts(self, windows: Integers) -> Integers:
        """``(N, K)``: pixels of each value in each window; outside the mask the mirrored pixels count.

        Raises ValueError where a window is empty or holds 2^32 pixels or more.
        """
        counts = np.empty((len(windows), len(self.values)), np.int64)
        if _sum_corners(self.sums, _as_windows(windows), counts):  # all lie inside: four entries each
            return counts
        _check_windows(windows)
        rows = axis_terms(windows[:, 0], windows[:, 1], self.extent[0])
        cols = axis_terms(windows[:, 2], windows[:, 3], self.extent[1])
        _sum_terms(self.sums, rows.index, rows.weight, cols.index, cols.weight, counts)
        return counts


@dataclass(frozen=True, slots=True, eq=False)
class BlockTable:
    """The same counts with little memory: a table of whole blocks; a crop's rim is counted in the mask itself.

    8 bytes per block and value (block 16: 1/32 byte per pixel) beside the mask. A query reads about
    ``block_px`` × half the crop's circumference. Crops must lie inside the mask.
    """

    values: tuple[int, ...]
    """Mask values that are counted."""
    mask: Mask
    """The mask ``(H, W)``, not copied."""
    block_px: int
    """Side of a block."""
    sums: Integers
    """``(K, H // block_px + 1, W // block_px + 1)``: pixels of value k in whole blocks above and to the left."""
    totals: Integers
    """``(K,)``: pixels of value k in the whole mask."""

    @classmethod
    def of(cls, mask: Mask, *, values: Sequence[int], block_px: int) -> "BlockTable":
        """Build the table of a mask ``(H, W)``, one pass per value."""
        _check_mask(mask)
        if block_px < 1:
            raise ValueError(f"block_px must be >= 1, got {block_px}")
        height, width = mask.shape
        sums = np.zeros((len(values), height // block_px + 1, width // block_px + 1), np.int64)
        totals = [
            _fill_blocks(mask, np.uint8(value), block_px, plane) for value, plane in zip(values, sums, strict=True)
        ]
        return cls(tuple(values), mask, block_px, sums, np.array(totals, np.int64))

    def counts(self, windows: Integers) -> Integers:
        """``(N, K)``: pixels of each value in each window; raises ValueError where one reaches outside the mask."""
        windows = _as_windows(windows)
        _check_windows(windows)
        height, width = self.mask.shape
        lows, highs = windows[:, [0, 2]], windows[:, [1, 3]]
        if (lows < 0).any() or (highs > [height, width]).any():
            raise ValueError(f"windows must lie inside {height}×{width}; use ContentTable for mirrored crops")
        counts = np.empty((len(windows), len(self.values)), np.int64)
        values = np.array(self.values, np.uint8)
        _sum_blocks(self.mask, values, self.block_px, self.sums, windows, counts)
        return counts


@dataclass(frozen=True, slots=True, eq=False)
class AxisTerms:
    """Sums of table entries along one axis that give the number of pixels in a span."""

    index: Integers
    """``(N, T)``: entries."""
    weight: Integers
    """``(N, T)``: how often each counts; 0 where fewer are needed."""


def axis_terms(starts: Integers, stops: Integers, extent: int) -> AxisTerms:
    """The entries whose weighted sum counts the spans ``[start, stop)`` of an axis mirrored at 0 and `extent`.

    Two for spans inside, eight where any reaches outside.
    """
    if starts.min(initial=0) >= 0 and stops.max(initial=0) <= extent:
        index = np.stack([stops, starts], 1)
        return AxisTerms(index, np.broadcast_to(np.array([1, -1]), index.shape).copy())
    (high, plus), (low, minus) = (_mirrored_prefix(at, extent) for at in (stops, starts))
    return AxisTerms(np.concatenate([high, low], 1), np.concatenate([plus, -minus], 1))


def _mirrored_prefix(positions: Integers, extent: int) -> tuple[Integers, Integers]:
    """Four entries and weights whose sum is the prefix sum of the mirrored axis up to each position."""
    zeros = np.zeros_like(positions)
    if extent == 1:
        return np.stack([zeros + 1, zeros, zeros, zeros], 1), np.stack([positions, zeros, zeros, zeros], 1)
    # a period runs 0 … n-1, n-2 … 1: it sums to T[n] + T[n-1] - T[1]
    periods, rest = np.divmod(positions, 2 * (extent - 1))
    back = rest > extent
    whole = periods + back
    last = np.where(back, 2 * extent - 1 - rest, rest)
    index = np.stack([zeros + extent, zeros + extent - 1, zeros + 1, last], 1)
    return index, np.stack([whole, whole, -periods, np.where(back, -1, 1)], 1)


def _check_mask(mask: Mask) -> None:
    if mask.ndim != 2 or mask.dtype != np.uint8 or min(mask.shape) < 1:
        raise ValueError(f"a mask must be uint8 (H, W) of at least one pixel, got {mask.dtype} {mask.shape}")


def _as_windows(windows: Integers) -> Integers:
    if windows.ndim != 2 or windows.shape[1] != 4:
        raise ValueError(f"windows must be (N, 4), got {windows.shape}")
    return np.ascontiguousarray(windows, np.int64)


def _check_windows(windows: Integers) -> None:
    rows, cols = windows[:, 1] - windows[:, 0], windows[:, 3] - windows[:, 2]
    if (rows < 1).any() or (cols < 1).any():
        raise ValueError("windows must hold at least one pixel, got an empty one")
    if (rows.astype(np.float64) * cols >= _MODULUS).any():
        raise ValueError("windows must hold fewer than 2^32 pixels, got a larger one")


@numba.njit(nogil=True)
def _fill_table(mask: Any, value: Any, sums: Any) -> Any:
    height, width = mask.shape
    total = np.int64(0)
    sums[0, :] = 0
    for row in range(height):
        sums[row + 1, 0] = 0
        labels, above, here = mask[row], sums[row, 1:], sums[row + 1, 1:]
        in_row = np.uint32(0)
        for col in range(width):
            in_row += np.uint32(labels[col] == value)
            here[col] = above[col] + in_row
        total += np.int64(in_row)
    return total


@numba.njit(nogil=True)
def _sum_corners(sums: Any, windows: Any, counts: Any) -> Any:
    """Count windows that all lie inside and hold something; False, with nothing counted, where one does not."""
    height, width = sums.shape[1] - 1, sums.shape[2] - 1
    for n in range(len(windows)):
        top, bottom, left, right = windows[n]
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            return False
        if (bottom - top) * (right - left) > 0xFFFFFFFF:
            return False
    for k in range(len(sums)):
        plane = sums[k]
        for n in range(len(windows)):
            top, bottom, left, right = windows[n, 0], windows[n, 1], windows[n, 2], windows[n, 3]
            outer = np.int64(plane[bottom, right]) - np.int64(plane[top, right])
            counts[n, k] = (outer - np.int64(plane[bottom, left]) + np.int64(plane[top, left])) & 0xFFFFFFFF
    return True


@numba.njit(nogil=True)
def _sum_terms(sums: Any, row_index: Any, row_weight: Any, col_index: Any, col_weight: Any, counts: Any) -> None:
    for n in range(len(row_index)):
        for k in range(len(sums)):
            count = np.int64(0)
            for i in range(row_index.shape[1]):
                for j in range(col_index.shape[1]):
                    weight = row_weight[n, i] * col_weight[n, j]
                    count += weight * np.int64(sums[k, row_index[n, i], col_index[n, j]])
            counts[n, k] = count & 0xFFFFFFFF


@numba.njit(nogil=True)
def _fill_blocks(mask: Any, value: Any, block_px: Any, sums: Any) -> Any:
    height, width = mask.shape
    rows, cols = height // block_px, width // block_px
    total = np.int64(0)
    for row in range(height):
        for col in range(cols):
            count = np.int64(0)
            for at in range(col * block_px, (col + 1) * block_px):
                count += mask[row, at] == value
            total += count
            if row < rows * block_px:
                sums[row // block_px + 1, col + 1] += count
        for at in range(cols * block_px, width):
            total += mask[row, at] == value
    for row in range(1, rows + 1):
        in_row = np.int64(0)
        for col in range(1, cols + 1):
            in_row += sums[row, col]
            sums[row, col] = sums[row - 1, col] + in_row
    return total


@numba.njit(nogil=True)
def _counted(mask: Any, value: Any, row_start: Any, row_stop: Any, col_start: Any, col_stop: Any) -> Any:
    count = np.int64(0)
    for row in range(row_start, row_stop):
        for col in range(col_start, col_stop):
            count += mask[row, col] == value
    return count


@numba.njit(nogil=True)
def _sum_blocks(mask: Any, values: Any, block_px: Any, sums: Any, windows: Any, counts: Any) -> None:
    for n in range(len(windows)):
        top, bottom, left, right = windows[n]
        first_row, last_row = -(-top // block_px), bottom // block_px
        first_col, last_col = -(-left // block_px), right // block_px
        for k in range(len(values)):
            if first_row >= last_row or first_col >= last_col:
                counts[n, k] = _counted(mask, values[k], top, bottom, left, right)
                continue
            rows = first_row * block_px, last_row * block_px
            cols = first_col * block_px, last_col * block_px
            plane = sums[k]
            inner = plane[last_row, last_col] - plane[first_row, last_col]
            inner += plane[first_row, first_col] - plane[last_row, first_col]
            rim = _counted(mask, values[k], top, rows[0], left, right)
            rim += _counted(mask, values[k], rows[1], bottom, left, right)
            rim += _counted(mask, values[k], rows[0], rows[1], left, cols[0])
            rim += _counted(mask, values[k], rows[0], rows[1], cols[1], right)
            counts[n, k] = inner + rim
