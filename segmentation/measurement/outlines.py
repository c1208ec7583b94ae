"""A component as lines: its skeleton, the pixels just outside it, and its pinholes, worked in cells where it is large.

Each pixel is decided in the cell that holds it, from all pixels at most `_HALO_PX` away, which is more than the width
of what has a centre line worth the name; so the lines of neighbouring cells meet.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.morphology import skeletonize

from segmentation.measurement.skeleton_graph import set_pixels
from segmentation.measurement.views import ComponentView
from segmentation.windows import Window

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.int32]

_PINHOLE_PX = 9
"""A hole of no more pixels parts no two lines."""
_HALO_PX = 80
"""Pixels about a cell that are looked at with it."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A component's skeleton and rim; rows and columns ``(N, 2)`` of its frame."""

    view: ComponentView
    skeleton: Ints
    """Pixels of the skeleton, pinholes filled, in raster order."""
    outside: Numbers
    """Pixels just outside the component, pinholes filled."""
    pinholes: Ints
    """Pixels of the pinholes."""

    def filled(self, window: Window) -> Bools:
        """The component's pixels in a window, pinholes filled."""
        pixels = self.view.pixels(window)
        if self.pinholes.size == 0:
            return pixels
        own = self.pinholes - np.array([window.row_start, window.col_start])
        own = own[((own >= 0) & (own < np.array(window.shape))).all(axis=1)]
        if own.size:
            pixels = pixels.copy()
            pixels[own[:, 0], own[:, 1]] = True
        return pixels


def outline(view: ComponentView) -> Outline:
    """Skeleton and rim of a component."""
    found = [_of_cell(view, cell) for cell in view.cells()]
    skeleton, outside, pinholes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(found) > 1:
        skeleton = skeleton[np.lexsort((skeleton[:, 1], skeleton[:, 0]))]
    return Outline(view, skeleton, outside.astype(np.int32), pinholes)


def _of_cell(view: ComponentView, cell: Window) -> tuple[Ints, Ints, Ints]:
    """Skeleton, pixels outside and pinholes that lie in a cell."""
    around = cell.grow(_HALO_PX).clip(*view.shape)
    pixels = view.pixels(around)
    outside, pinhole = _rim(pixels)
    filled = pixels
    if pinhole.any():
        filled = pixels.copy()
        filled[tuple(outside[pinhole].T)] = True
    skeleton, outside, pinholes = _skeleton(filled, outside), outside[~pinhole], outside[pinhole]
    if view.is_one_piece:
        return skeleton, outside, pinholes
    # Pixels outside the frame belong to the cells at its rim.
    low = [edge if edge > 0 else -1 for edge in (cell.row_start, cell.col_start)]
    stops = zip((cell.row_stop, cell.col_stop), view.shape, strict=True)
    high = [edge if edge < side else side + 1 for edge, side in stops]

    def own(places: Ints) -> Ints:
        places = places + np.array([around.row_start, around.col_start])
        kept: Ints = places[((places >= low) & (places < high)).all(axis=1)]
        return kept

    return own(skeleton), own(outside), own(pinholes)


def _rim(pixels: Bools) -> tuple[Ints, Bools]:
    """(row, col) ``(N, 2)`` of the pixels beside those set, which may lie one beyond the array, in raster order, and
    which of them lie in a hole of few pixels."""
    height, width = pixels.shape[0] + 4, pixels.shape[1] + 4
    row, col = np.divmod(np.flatnonzero(pixels), pixels.shape[1])
    inner = (row + 2) * width + (col + 2)
    grown = np.zeros(height * width, np.bool_)
    for step in (-width, -1, 1, width):
        grown[inner + step] = True
    grown[inner] = False
    flat = np.flatnonzero(grown)
    grown[inner] = True
    outside = np.stack(np.divmod(flat, width), axis=1) - 2
    # A pixel that has a neighbour farther out lies in no hole, or in a larger one.
    closed = grown[flat - width] & grown[flat - 1] & grown[flat + 1] & grown[flat + width]
    return outside, _pinholes(flat, closed, width) if closed.any() else closed


def _pinholes(flat: Ints, closed: Bools, width: int) -> Bools:
    """Which of the closed pixels outside, at places ``(N,)`` of an array `width` wide, make up holes of few pixels:
    none of them touches a pixel outside that is not closed."""
    among = np.flatnonzero(closed)
    wanted = flat[among, None] + np.array([-width, -1, 1, width])
    near = np.minimum(np.searchsorted(flat, wanted), flat.size - 1)
    is_near = flat[near] == wanted
    is_inner = is_near & closed[near]
    pinholes = np.zeros_like(closed)
    if (is_near & ~is_inner).any(axis=1).all():
        return pinholes
    rank = np.cumsum(closed) - 1
    rows, which = np.nonzero(is_inner)
    graph = coo_array((np.ones(rows.size, np.bool_), (rows, rank[near[rows, which]])), shape=(among.size, among.size))
    label = connected_components(graph, directed=False)[1]
    size, open_ones = np.bincount(label), np.bincount(label, (is_near & ~is_inner).any(axis=1))
    pinholes[among] = ((size <= _PINHOLE_PX) & (open_ones == 0))[label]
    return pinholes


def _skeleton(pixels: Bools, rim: Ints) -> Ints:
    """Skeleton (row, col) ``(N, 2)`` in raster order; `rim` are the pixels beside those set."""
    first, last = rim.min(axis=0) + 1, rim.max(axis=0)
    # Zhang-Suen thinning, the default, eats diagonal lines of even width from their ends: up to 40 % of the length.
    thinned = skeletonize(pixels[first[0] : last[0], first[1] : last[1]], method="lee")
    places: Ints = set_pixels(thinned) + first
    return places
