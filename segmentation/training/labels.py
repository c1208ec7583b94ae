"""Partial labels: for every pixel the set of classes that it may have, as a bit field.

A set that labels only cracks says of a pixel "crack" or "not crack", and the latter leaves rust open. So a label
is a set: bit c is set where class c is possible. ``crack`` = {1}, ``not crack`` = {0, 2}, unknown = all classes.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.classes import CLASS_NAMES, PixelClass

Labels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

UNKNOWN: Final = (1 << len(CLASS_NAMES)) - 1
"""Every class is possible: the pixel teaches nothing (ignore)."""


def only(pixel_class: PixelClass) -> int:
    """The label of a pixel whose class is known.

    >>> only(PixelClass.RUST)
    4
    """
    return 1 << int(pixel_class)


def anything_but(pixel_class: PixelClass) -> int:
    """The label of a pixel of which only is known that it does not have this class.

    >>> anything_but(PixelClass.CRACK) == only(PixelClass.BACKGROUND) | only(PixelClass.RUST)
    True
    """
    return int(UNKNOWN - only(pixel_class))


def labels_from_damage(damage: Bools, ignore: Bools, *, pixel_class: PixelClass, others_absent: bool) -> Labels:
    """Labels ``(H, W)`` of a set that knows one class of damage.

    `others_absent` says that somebody looked and found no other damage in the image, so that what is not
    `pixel_class` is background.
    """
    elsewhere = only(PixelClass.BACKGROUND) if others_absent else anything_but(pixel_class)
    labels = np.full(damage.shape, elsewhere, np.uint8)
    labels[damage] = only(pixel_class)
    labels[ignore] = UNKNOWN
    return labels


def labels_from_mask(mask: npt.NDArray[np.uint8]) -> Labels:
    """Labels ``(H, W)`` of a mask of class ids; ids that are no class (nodata, not inspected) become unknown."""
    labels = np.full(mask.shape, UNKNOWN, np.uint8)
    for pixel_class in PixelClass:
        labels[mask == pixel_class] = only(pixel_class)
    return labels
