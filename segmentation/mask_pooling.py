"""What a coarse pixel of a mask says: the one rule for pyramids, overviews and pictures.

A coarse pixel says the first of these that holds for any pixel under it: crack, rust, not inspected, nodata. It says
background, "inspected and undamaged", only where every pixel under it does. So damage never vanishes, and nothing that
was not seen is made clean by what lies beside it. Crack goes before rust because cracks are thin: a crack through a
rust patch stays a line in the patch, where the other way round it would vanish with the first level.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass

Mask = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]

PRECEDENCE: Final = (PixelClass.CRACK, PixelClass.RUST, NOT_INSPECTED, NODATA, PixelClass.BACKGROUND)
"""Mask values, the one that a coarse pixel says first. The order is total, so pooling twice by 2 is pooling by 4."""

LARGEST_TOP_PX: Final = 512
"""The coarsest level of a pyramid is at most this long: one chunk, one tile."""

_ASCENDING: Final = tuple(int(value) for value in reversed(PRECEDENCE))
_VALUES: Final = bytes(_ASCENDING).ljust(256, bytes([NOT_INSPECTED]))
"""Mask value by rank."""
_RANKS: Final = bytes(_ASCENDING.index(value if value in _ASCENDING else NOT_INSPECTED) for value in range(256))
"""Rank by mask value; what is no mask value was seen by nobody."""


def level_factors(height: int, width: int) -> tuple[int, ...]:
    """Factors of the pyramid's levels below full size: powers of two, until the longer side is at most 512 px.

    >>> level_factors(3000, 2000), level_factors(512, 10)
    ((2, 4, 8), ())
    """
    factors: list[int] = []
    while -(-max(height, width) // (factors[-1] if factors else 1)) > LARGEST_TOP_PX:
        factors.append(2 * factors[-1] if factors else 2)
    return tuple(factors)


def level_shape(height: int, width: int, factor: int) -> tuple[int, int]:
    """Rows and columns of a level; the last of each may reach beyond the raster.

    >>> level_shape(1301, 512, 4)
    (326, 128)
    """
    return -(-height // factor), -(-width // factor)


def pool_mask(mask: Mask, *, factor: int) -> Mask:
    """Class ids uint8 ``(H, W)`` by boxes of `factor` × `factor` pixels, the last ones cut: ``(⌈H/f⌉, ⌈W/f⌉)``.

    What is returned is read-only, as of `pool_spans`.

    >>> pool_mask(np.array([[0, 0, 2], [0, 1, 0], [0, 255, 254]], np.uint8), factor=2)
    array([[  1,   2],
           [255, 254]], dtype=uint8)
    """
    rows = _largest(_translated(mask, _RANKS), factor)
    return _translated(_largest(rows.T, factor).T, _VALUES)


def pool_spans(mask: Mask, rows: tuple[Indices, Indices], cols: tuple[Indices, Indices]) -> Mask:
    """Class ids uint8 ``(H, W)`` by boxes of any place: ``(len(rows), len(cols))``.

    `rows` and `cols` are the starts and stops of the boxes, none empty, which may overlap.
    """
    across = _largest_within(_translated(mask, _RANKS), rows)
    return _translated(_largest_within(across.T, cols).T, _VALUES)


def _translated(values: Mask, table: bytes) -> Mask:
    # Twice as fast as indexing an array.
    return np.frombuffer(values.tobytes().translate(table), np.uint8).reshape(values.shape)


def _largest(ranks: Mask, factor: int) -> Mask:
    """The largest of each `factor` rows."""
    largest = ranks[::factor].copy(order="K")
    for offset in range(1, min(factor, len(ranks))):
        further = ranks[offset::factor]
        np.maximum(largest[: len(further)], further, out=largest[: len(further)])
    return largest


def _largest_within(ranks: Mask, spans: tuple[Indices, Indices]) -> Mask:
    """The largest of the rows of each span."""
    starts, stops = spans
    largest = ranks[starts]
    for offset in range(1, int((stops - starts).max(initial=1))):
        np.maximum(largest, ranks[np.minimum(starts + offset, stops - 1)], out=largest)
    return largest
