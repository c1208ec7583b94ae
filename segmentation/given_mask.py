"""The values of a mask that somebody else made, read as classes: the one rule for them."""

from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.classes import DEFECT_CLASSES, NODATA, NOT_INSPECTED, PixelClass

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

UNKNOWN: Final = 253
"""Class of a value that no given mask may hold."""
_SINGLE_DAMAGE: Final = 255
_SINGLE_IGNORED: Final = 128


def class_table(single: PixelClass | None) -> Bytes:
    """The class of each of the 256 values, uint8 ``(256,)``; UNKNOWN for the values that must not occur.

    A mask of class ids holds 0, 1, 2, 254 and 255. A mask of the one class `single` holds 0, 255 for it, and, as
    labelled images for training do, 128 where nobody decided; 254 is nodata in both.
    """
    table = np.full(256, UNKNOWN, np.uint8)
    table[NODATA] = NODATA
    if single is None:
        table[[*PixelClass]] = [*PixelClass]
        table[NOT_INSPECTED] = NOT_INSPECTED
    else:
        table[[PixelClass.BACKGROUND, _SINGLE_DAMAGE, _SINGLE_IGNORED]] = [PixelClass.BACKGROUND, single, NOT_INSPECTED]
    return table


def allowed_values_text(single: PixelClass | None) -> str:
    """The values of a given mask in words, for a message."""
    if single is None:
        return "0 background, 1 crack, 2 rust, 254 no data and 255 not inspected"
    return f"0 background, 255 {single.name.lower()}, 128 not inspected and 254 no data"


def given_classes(values: Bytes, *, known: Bools, pictured: Bools | None, single: PixelClass | None) -> Bytes:
    """Class ids uint8 ``(H, W)`` of a window of a given mask.

    `values` uint8 ``(H, W)`` as they stand in the file, `known` bool ``(H, W)`` where it declares them as data.
    `pictured` bool ``(H, W)`` is where the picture beside it holds data: no background is believed elsewhere, while
    damage stays, since it was drawn. UNKNOWN stands where a value is none of `class_table`.

    >>> given_classes(np.array([[0, 2, 7]], np.uint8), known=np.ones((1, 3), bool), pictured=None, single=None)
    array([[  0,   2, 253]], dtype=uint8)
    """
    classes: Bytes = class_table(single)[values]
    classes[~known] = NODATA
    if pictured is not None:
        classes[~pictured & (classes == PixelClass.BACKGROUND)] = NODATA
    return classes


def certain_probability(classes: Bytes) -> Bytes:
    """Quantised probability uint8 ``(2, H, W)`` of CRACK and RUST where a mask has none: 1 inside, 0 outside."""
    return np.stack([(classes == one).astype(np.uint8) * np.uint8(255) for one in DEFECT_CLASSES])
