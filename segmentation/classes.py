"""The classes a pixel can have, in one place: ids, names and the two ids that are not a finding."""

from enum import IntEnum
from typing import Final


class PixelClass(IntEnum):
    """Class id of a mask pixel, as stored in `mask` (uint8)."""

    BACKGROUND = 0
    """Inspected, and neither crack nor rust."""
    CRACK = 1
    """Part of a crack."""
    RUST = 2
    """Part of a rust patch."""


CLASS_NAMES: Final = ("background", "crack", "rust")
"""Names in the order of the model's output channels."""

DEFECT_CLASSES: Final = (PixelClass.CRACK, PixelClass.RUST)
"""The classes that are a finding, in the order of the stored probability channels."""

NODATA: Final = 254
"""Mask value of a pixel for which the raster holds no data."""

NOT_INSPECTED: Final = 255
"""Mask value of a pixel that nobody looked at; the fill value of the mask store, so that a lost chunk
reads as "not inspected" and never as "no defect"."""
