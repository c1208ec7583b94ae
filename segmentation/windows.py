"""Pixel windows: half-open rectangles, rows before columns."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Half-open pixel rectangle ``[row_start, row_stop) × [col_start, col_stop)``.

    >>> Window(0, 100, 90, 203).shape
    (100, 113)
    """

    row_start: int
    """First row."""
    row_stop: int
    """One past the last row."""
    col_start: int
    """First column."""
    col_stop: int
    """One past the last column."""

    def __post_init__(self) -> None:
        if self.row_stop < self.row_start or self.col_stop < self.col_start:
            raise ValueError(f"a window must not end before it starts, got {self}")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.row_stop - self.row_start, self.col_stop - self.col_start

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        rows, cols = self.shape
        return rows * cols

    def slices(self) -> tuple[slice, slice]:
        """Index of this window into an array ``(H, W)`` of the whole raster."""
        return slice(self.row_start, self.row_stop), slice(self.col_start, self.col_stop)

    def within(self, outer: Self) -> tuple[slice, slice]:
        """Index of this window into an array that holds exactly `outer`."""
        return (
            slice(self.row_start - outer.row_start, self.row_stop - outer.row_start),
            slice(self.col_start - outer.col_start, self.col_stop - outer.col_start),
        )

    def grow(self, margin_px: int) -> "Window":
        """The window with `margin_px` more on every side; may reach outside the raster."""
        return Window(
            self.row_start - margin_px,
            self.row_stop + margin_px,
            self.col_start - margin_px,
            self.col_stop + margin_px,
        )

    def clip(self, height: int, width: int) -> "Window":
        """The part inside a raster of `height` × `width`; empty (0 × 0 or a line) where there is none."""
        rows = [min(max(r, 0), height) for r in (self.row_start, self.row_stop)]
        cols = [min(max(c, 0), width) for c in (self.col_start, self.col_stop)]
        return Window(rows[0], rows[1], cols[0], cols[1])

    def intersect(self, other: "Window") -> "Window | None":
        """The common part, or None where there is none."""
        row_start, row_stop = max(self.row_start, other.row_start), min(self.row_stop, other.row_stop)
        col_start, col_stop = max(self.col_start, other.col_start), min(self.col_stop, other.col_stop)
        if row_start >= row_stop or col_start >= col_stop:
            return None
        return Window(row_start, row_stop, col_start, col_stop)

    def union(self, other: "Window") -> "Window":
        """The smallest window that holds both."""
        return Window(
            min(self.row_start, other.row_start),
            max(self.row_stop, other.row_stop),
            min(self.col_start, other.col_start),
            max(self.col_stop, other.col_stop),
        )
