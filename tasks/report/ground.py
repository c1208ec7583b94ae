"""What lies below the drawing of an overview: the raster's picture in structure coordinates, read in windows only."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Final

import numpy as np
from PIL import Image

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.georeference import Georeference
from segmentation.windows import Window
from tasks.report.pictures import RasterPictures, Rgb
from tasks.report.sheets import Affine, Sheet, inverse, pixel_window

PAPER: Final[Rgb] = (255, 255, 255)
PLAIN: Final[Rgb] = (233, 236, 238)
"""What a plan without a picture is drawn on, and the ground of the hatching."""
_UNSEEN_SIDE_PX: Final = 800
"""Side to which a mask is decimated to find what was not inspected."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What lies below the drawing of one sheet."""

    image: Image.Image
    unseen: Image.Image | None
    """255 where nothing was inspected, else 0 (mode L); None where that is not known or not the case."""


def read_ground(
    pictures: RasterPictures | None,
    raster_name: str,
    sheet: Sheet,
    georeference: Georeference,
    *,
    to_frame: Affine,
    with_unseen: bool,
) -> Ground:
    """The raster's picture below a sheet, and where it was not inspected; beyond the raster paper, not inspected.

    `to_frame` maps the raster's (col, row) to (along, across). Without pictures the ground is plain.
    """
    size = sheet.width_px, sheet.height_px
    window = pixel_window(sheet, to_frame, height=georeference.height, width=georeference.width)
    if pictures is None:
        return Ground(Image.new("RGB", size, PLAIN), None)
    if window is None:
        return Ground(Image.new("RGB", size, PAPER), Image.new("L", size, 255) if with_unseen else None)
    to_raster = inverse(sheet.from_frame() @ to_frame)
    px_per_pixel = 1 / max(hypot(*to_raster[:2, 0]), hypot(*to_raster[:2, 1]))
    side_px = max(1, min(max(window.shape), round(max(window.shape) * px_per_pixel)))
    rgb = pictures.read_rgb(raster_name, window, max_side_px=side_px)
    image = _warp(Image.fromarray(rgb), window, to_raster, size, Image.Resampling.BILINEAR, fill=PAPER)
    if not with_unseen:
        return Ground(image, None)
    mask = pictures.read_mask(raster_name, window, max_side_px=min(side_px, _UNSEEN_SIDE_PX))
    flags = Image.fromarray(np.where((mask == NODATA) | (mask == NOT_INSPECTED), 255, 0).astype(np.uint8))
    return Ground(image, _warp(flags, window, to_raster, size, Image.Resampling.NEAREST, fill=255))


def _warp(
    image: Image.Image,
    window: Window,
    to_raster: Affine,
    size: tuple[int, int],
    how: Image.Resampling,
    *,
    fill: int | tuple[int, int, int],
) -> Image.Image:
    """`image`, a decimated read of `window`, laid into a picture whose pixels `to_raster` maps to (col, row)."""
    rows, cols = window.shape
    per_col, per_row = image.width / cols, image.height / rows
    to_read = np.array(
        [[per_col, 0, -window.col_start * per_col], [0, per_row, -window.row_start * per_row], [0, 0, 1]], np.float64
    )
    (a, b, c), (d, e, f) = (to_read @ to_raster)[:2].tolist()
    return image.transform(size, Image.Transform.AFFINE, (a, b, c, d, e, f), resample=how, fillcolor=fill)


def joined(grounds: Sequence[Ground], grid: tuple[int, int], whole: Sheet) -> Ground:
    """The ground of the whole, put together from those of its sheets, row by row from the top."""
    image = Image.new("RGB", (whole.width_px, whole.height_px), PAPER)
    unseen = Image.new("L", image.size, 0) if any(ground.unseen is not None for ground in grounds) else None
    for index, ground in enumerate(grounds):
        row, col = divmod(index, grid[0])
        left, right = (round((col + step) * image.width / grid[0]) for step in (0, 1))
        top, bottom = (round((row + step) * image.height / grid[1]) for step in (0, 1))
        size = (max(1, right - left), max(1, bottom - top))
        image.paste(ground.image.resize(size, Image.Resampling.BOX), (left, top))
        if unseen is not None and ground.unseen is not None:
            unseen.paste(ground.unseen.resize(size, Image.Resampling.NEAREST), (left, top))
    return Ground(image, unseen)
