"""A mask as a picture, for reports on masks without one."""

from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass

_COLOURS: Final = {
    PixelClass.BACKGROUND: (222, 222, 218),
    PixelClass.CRACK: (40, 44, 50),
    PixelClass.RUST: (150, 74, 34),
    NODATA: (255, 255, 255),
    NOT_INSPECTED: (255, 255, 255),
}


def drawn_mask(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Colours uint8 ``(h, w, 3)`` of class ids ``(h, w)``: cracks dark, rust brown, what was not inspected white."""
    table = np.full((256, 3), 255, np.uint8)
    for value, colour in _COLOURS.items():
        table[value] = colour
    drawn: npt.NDArray[np.uint8] = table[mask]
    return drawn
