"""Where the numbers on an overview stand: near their defects, on none of them where possible, never on each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Final

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]

_CELL_PX: Final = 4
"""Side of the cells in which the room is kept."""
_DIRECTIONS: Final = tuple((cos(angle), sin(angle)) for angle in (pi * (step / 6 - 0.5) for step in range(12)))
_RINGS: Final = (1.0, 1.5, 2.1, 2.8)
_FAR_RINGS: Final = (3.6, 4.6, 5.8)


@dataclass(frozen=True, slots=True)
class Label:
    """A number that looks for its place."""

    number: int
    anchor: tuple[float, float]
    """(x, y) of what it names."""
    half_width: float
    half_height: float
    pictured: bool
    """Whether the report tells more of the defect: then its number is placed first and farther if need be."""


@dataclass(frozen=True, slots=True)
class PlacedLabel:
    """A number with its place in the picture."""

    label: Label
    x: float
    """Middle of the label."""
    y: float


class Room:
    """Which cells of a picture are free."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = (width_px, height_px)
        shape = (height_px // _CELL_PX + 2, width_px // _CELL_PX + 2)
        self._taken = np.zeros(shape, np.bool_)
        self._drawn = np.zeros(shape, np.bool_)

    def take(self, left: float, top: float, right: float, bottom: float) -> None:
        """Let no label stand in this rectangle."""
        self._taken[_cells(max(left, 0.0), max(top, 0.0), right, bottom)] = True

    def avoid(self, drawn: Flags) -> None:
        """Let labels keep off the pixels ``(h, w)`` that are drawn, as long as they find another place."""
        height, width = (-(-side // _CELL_PX) * _CELL_PX for side in drawn.shape)
        padded = np.zeros((height, width), np.bool_)
        padded[: drawn.shape[0], : drawn.shape[1]] = drawn
        cells = padded.reshape(height // _CELL_PX, _CELL_PX, width // _CELL_PX, _CELL_PX).any(axis=(1, 3))
        self._drawn[: cells.shape[0], : cells.shape[1]] |= cells

    def place(self, labels: Sequence[Label]) -> list[PlacedLabel]:
        """The labels that find room, in their order; pictured ones are placed first."""
        placed = []
        for label in sorted(labels, key=lambda label: not label.pictured):
            spot = self._spot(label)
            if spot is not None:
                self.take(
                    spot[0] - label.half_width,
                    spot[1] - label.half_height,
                    spot[0] + label.half_width,
                    spot[1] + label.half_height,
                )
                placed.append(PlacedLabel(label, *spot))
        return placed

    def _spot(self, label: Label) -> tuple[float, float] | None:
        near = self._free(label, _RINGS, over_drawn=False)
        if near is not None or not label.pictured:
            return near
        return self._free(label, (*_RINGS, *_FAR_RINGS), over_drawn=True)

    def _free(self, label: Label, rings: Sequence[float], *, over_drawn: bool) -> tuple[float, float] | None:
        half_width, half_height = label.half_width, label.half_height
        for ring in rings:
            for right, down in _DIRECTIONS:
                x = label.anchor[0] + right * ring * (half_width + 9)
                y = label.anchor[1] + down * ring * (half_height + 9)
                if not (half_width <= x <= self._size[0] - half_width):
                    continue
                if not (half_height <= y <= self._size[1] - half_height):
                    continue
                cells = _cells(x - half_width, y - half_height, x + half_width, y + half_height)
                if not self._taken[cells].any() and (over_drawn or not self._drawn[cells].any()):
                    return x, y
        return None


def _cells(left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
    """The cells that a rectangle of the picture touches."""
    first = int(top) // _CELL_PX, int(left) // _CELL_PX
    return slice(first[0], int(bottom) // _CELL_PX + 1), slice(first[1], int(right) // _CELL_PX + 1)
