"""One component's pixels and what is seen about them, read window by window and never all at once.

Rows and columns are those of the component's *frame*, the window that holds it and a margin, and count from its first
pixel. A frame of at most `most_px` pixels is worked in one piece, a larger one in square cells that are anchored to the
frame: what comes of a component depends on the component alone, and not on the blocks that it was found in. Of a large
one only its pixels are kept, a bit each where a block holds any.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, floor, isqrt

import numpy as np
import numpy.typing as npt

from segmentation.measurement.components import Component, ComponentPart, part_pixels
from segmentation.windows import Window

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Probability = npt.NDArray[np.float32] | npt.NDArray[np.uint8]
"""Probability of the component's class: float32 in [0, 1], or uint8 of which 255 is 1."""

MOST_PX = 3000 * 3000
"""A larger frame is worked in cells, so that memory does not grow with it."""
_LIKELY_CRACK = 0.3
_LIKELY_CRACK_255 = np.uint8(ceil(_LIKELY_CRACK * 255))
"""The same for a uint8, which is not brought to floats for it."""


@dataclass(frozen=True, slots=True)
class ComponentView:
    """A component in its frame; each function takes a window of the frame."""

    shape: tuple[int, int]
    """Rows and columns of the frame."""
    count: int
    """Pixels of the component."""
    extent: tuple[int, int]
    """Rows and columns of the smallest window that holds them."""
    pixels: Callable[[Window], Bools]
    """The component's pixels, bool ``(h, w)``; not to be written to."""
    image: Callable[[Window], Bytes]
    """uint8 ``(h, w, 3)``."""
    chance: Callable[[Window], Probability]
    """``(h, w)`` probability of the component's class."""
    most_px: int = MOST_PX
    """Pixels that are worked in one piece."""

    @property
    def frame(self) -> Window:
        """All of it."""
        return Window(0, self.shape[0], 0, self.shape[1])

    @property
    def is_one_piece(self) -> bool:
        """Whether the frame is small enough to be worked at once."""
        return self.frame.area_px <= self.most_px

    @property
    def cell_px(self) -> int:
        """Side of a cell of a larger frame."""
        return max(1, isqrt(self.most_px) * 2 // 3)

    def cells(self) -> Iterator[Window]:
        """The windows that the frame is worked in: itself, or its cells that hold or touch pixels, in raster order."""
        if self.is_one_piece:
            yield self.frame
            return
        height, width = self.shape
        for row in range(0, height, self.cell_px):
            for col in range(0, width, self.cell_px):
                cell = Window(row, min(row + self.cell_px, height), col, min(col + self.cell_px, width))
                if self.pixels(cell.grow(1).clip(height, width)).any():
                    yield cell

    def tiles(self, places: npt.NDArray[np.integer]) -> Iterator[Window]:
        """The windows that are worked at once, as `cells`, but those that hold places (row, col) ``(N, 2)``."""
        if self.is_one_piece:
            yield self.frame
            return
        for row, col in np.unique(places // self.cell_px, axis=0).tolist():
            edges = (row * self.cell_px, (row + 1) * self.cell_px, col * self.cell_px, (col + 1) * self.cell_px)
            yield Window(*edges).clip(*self.shape)

    def likely(self, window: Window) -> Bools:
        """Where a crack is, this or another: kept out of the ground beside it."""
        chance = self.chance(window)
        found: Bools = chance >= (_LIKELY_CRACK_255 if chance.dtype == np.uint8 else _LIKELY_CRACK)
        found |= self.pixels(window)
        return found


def window_about(places: npt.NDArray[np.floating], shape: tuple[int, int]) -> Window:
    """The window of a frame of this shape that holds the pixels about places ``(..., 2)`` of (row, col), and one
    more on each side; never empty."""
    bounds = []
    for axis, side in enumerate(shape):
        own = places[..., axis]
        start = min(max(floor(own.min()) - 1, 0), side - 1)
        bounds += [start, min(max(ceil(own.max()) + 2, start + 1), side)]
    return Window(*bounds)


def in_raster(window: Window, frame: Window) -> Window:
    """A window of a frame as a window of the raster."""
    top, left = frame.row_start, frame.col_start
    return Window(window.row_start + top, window.row_stop + top, window.col_start + left, window.col_stop + left)


def array_view(pixels: Bools, *, image: Bytes, chance: Probability, most_px: int = MOST_PX) -> ComponentView:
    """A component of which all is at hand: bool ``(H, W)``, uint8 ``(H, W, 3)``, ``(H, W)``.

    Raises ValueError where the shapes differ or no pixel is set.
    """
    if image.shape != (*pixels.shape, 3) or chance.shape != pixels.shape:
        raise ValueError(
            f"image and probability must cover the crack's window {pixels.shape}, got {image.shape} and {chance.shape}"
        )
    at = np.flatnonzero(pixels)
    if at.size == 0:
        raise ValueError("a crack must have at least one pixel, got none")
    height, width = pixels.shape
    cols = at % width
    return ComponentView(
        shape=(height, width),
        count=int(at.size),
        extent=(int(at[-1] // width - at[0] // width) + 1, int(cols.max() - cols.min()) + 1),
        pixels=lambda window: pixels[window.slices()],
        image=lambda window: image[window.slices()],
        chance=lambda window: chance[window.slices()],
        most_px=most_px,
    )


def stored_view(
    component: Component,
    frame: Window,
    *,
    mask: Callable[[Window], Bytes],
    image: Callable[[Window], Bytes],
    chance: Callable[[Window], Probability],
    most_px: int,
) -> ComponentView:
    """A component that is too large to be at hand; the functions read windows of the raster, and `frame` holds it."""
    parts = component.parts or (ComponentPart(component.window, (component.anchor,)),)
    kept = [
        _KeptPixels.of(part_pixels(mask(part.window), window=part.window, component=component, part=part), part.window)
        for part in parts
    ]

    def pixels(window: Window) -> Bools:
        wanted = in_raster(window, frame)
        found = np.zeros(wanted.shape, np.bool_)
        for one in kept:
            common = one.window.intersect(wanted)
            if common is not None:
                found[common.within(wanted)] |= one.read(common)
        return found

    return ComponentView(
        shape=frame.shape,
        count=component.area_px,
        extent=component.window.shape,
        pixels=pixels,
        image=lambda window: image(in_raster(window, frame)),
        chance=lambda window: chance(in_raster(window, frame)),
        most_px=most_px,
    )


@dataclass(frozen=True, slots=True)
class _KeptPixels:
    """What one block holds of a component, a bit per pixel."""

    window: Window
    bits: Bytes

    @classmethod
    def of(cls, pixels: Bools, window: Window) -> "_KeptPixels":
        return cls(window, np.packbits(pixels, axis=1))

    def read(self, window: Window) -> Bools:
        """The pixels of a window inside its own."""
        rows, cols = window.within(self.window)
        first = cols.start // 8
        bits = np.unpackbits(self.bits[rows, first : -(-cols.stop // 8)], axis=1)
        found: Bools = bits[:, cols.start - 8 * first : cols.stop - 8 * first].view(np.bool_)
        return found
