"""Pictures of damage at native resolution, with and without outline, and scale bars. Read in windows only."""

import base64
from dataclasses import dataclass, replace
from io import BytesIO
from math import ceil, floor, log10
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.windows import Window

Pixels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Rgb = tuple[int, int, int]

CLASS_COLOURS: Final[dict[PixelClass, Rgb]] = {PixelClass.CRACK: (86, 180, 233), PixelClass.RUST: (255, 214, 10)}
"""Sky blue and yellow: told apart with every kind of colour blindness (after Okabe and Ito, 2008)."""
DARK: Final[Rgb] = (16, 22, 30)
WHITE: Final[Rgb] = (255, 255, 255)
_QUALITIES: Final = {88: 1.0, 80: 0.69, 72: 0.57, 62: 0.46, 50: 0.38, 40: 0.31}
"""JPEG quality: size of a picture of concrete beside that at the best quality, from below; saves vain attempts."""


class RasterPictures(Protocol):
    """Reads pictures out of a run's rasters and masks, decimated where the window is larger than asked for."""

    def read_rgb(self, raster_name: str, window: Window, *, max_side_px: int) -> Pixels:
        """Colours ``(h, w, 3)`` uint8 of a window inside the raster, ``max(h, w) <= max_side_px``."""
        ...

    def read_mask(self, raster_name: str, window: Window, *, max_side_px: int) -> Pixels:
        """Class ids ``(h, w)`` uint8 of a window inside the raster, ``max(h, w) <= max_side_px``."""
        ...


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A bar of a round length."""

    length_m: float
    """Length on the ground."""
    length_px: float
    """Length in the picture."""
    label: str
    """The length with its unit."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the number of a defect stands in an overview, in pixels of the picture."""

    number: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture, ready to be inlined."""

    jpeg: bytes
    """The file's bytes."""
    width_px: int
    """Width at which it is meant to be shown; the file's own may be less, where it had to be shrunk."""
    height_px: int
    enlargement: int = 1
    """Picture pixels per raster pixel side (native crops)."""
    turned: bool = False
    """Whether it is turned a quarter to the left against its raster (overviews)."""
    spots: tuple[Spot, ...] = ()
    """The numbers that stand in it (overviews)."""

    @property
    def data_uri(self) -> str:
        """The file as ``data:image/jpeg;base64,…``, a third longer than its bytes."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode("ascii")


def scale_bar(m_per_px: float, picture_width_px: int) -> ScaleBar:
    """The longest bar of 1, 2 or 5 times a power of ten that fills at most 30 % of the picture's width.

    >>> scale_bar(0.0015, 480)
    ScaleBar(length_m=0.2, length_px=133.33333333333334, label='200 mm')
    """
    if not m_per_px > 0 or picture_width_px <= 0:
        raise ValueError(f"a scale bar needs a positive scale and width, got {m_per_px} m/px, {picture_width_px} px")
    longest_m = 0.3 * picture_width_px * m_per_px
    exponent = floor(log10(longest_m))
    step = next(step for step in (5, 2, 1) if step * 10.0**exponent <= longest_m * (1 + 1e-9))
    length_m = float(f"{step}e{exponent}")
    label = f"{length_m:g} m" if length_m >= 1 else f"{length_m * 1000:g} mm"
    return ScaleBar(length_m, length_m / m_per_px, label)


def native_pictures(
    pictures: RasterPictures,
    raster_name: str,
    window: Window,
    georeference: Georeference,
    *,
    max_side_px: int,
    max_bytes: int,
) -> tuple[Picture, Picture]:
    """A window at native resolution, and the same with the mask outlined; each with a scale bar.

    Small windows are enlarged by a whole factor, pixel by pixel, so that no detail is invented.
    """
    side_px = max(window.shape)
    if side_px > max_side_px:
        raise ValueError(f"a native picture must be at most {max_side_px} px wide, got a window of {side_px} px")
    rgb = pictures.read_rgb(raster_name, window, max_side_px=side_px)
    mask = pictures.read_mask(raster_name, window, max_side_px=side_px)
    if rgb.shape[:2] != window.shape or mask.shape != window.shape:
        raise ValueError(f"a native read must give {window.shape} pixels, got {rgb.shape[:2]} and {mask.shape}")
    factor = max(1, max_side_px // side_px)
    rgb = rgb.repeat(factor, axis=0).repeat(factor, axis=1)
    mask = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    scale = georeference.scale_at((window.row_start + window.row_stop) / 2, (window.col_start + window.col_stop) / 2)
    plain, outlined = Image.fromarray(rgb), Image.fromarray(outline_mask(rgb, mask))
    for image in (plain, outlined):
        draw_scale_bar(image, scale_bar(scale.gsd_x_m / factor, image.width))
    encoded = (replace(encode(image, max_bytes=max_bytes), enlargement=factor) for image in (plain, outlined))
    return next(encoded), next(encoded)


def outline_mask(rgb: Pixels, mask: Pixels) -> Pixels:
    """A copy of the picture ``(h, w, 3)`` with each class of the mask ``(h, w)`` outlined a line's width outside it.

    The damaged pixels and those next to them keep their colours, so that the damage and its edges stay visible.
    """
    damaged = (mask == PixelClass.CRACK) | (mask == PixelClass.RUST)
    drawn = rgb.copy()
    line_px = max(2, round(max(mask.shape) / 260))
    gap_px = line_px
    for pixel_class, colour in CLASS_COLOURS.items():
        inside = mask == pixel_class
        if not inside.any():
            continue
        near = _dilate(inside, gap_px)
        line = _dilate(near, line_px) & ~near & ~damaged
        casing = _dilate(near, line_px + max(1, line_px // 2)) & ~near & ~line & ~damaged
        drawn[casing] = (drawn[casing] * 0.35).astype(np.uint8)
        drawn[line] = colour
    return drawn


def draw_scale_bar(image: Image.Image, bar: ScaleBar) -> tuple[float, float, float, float]:
    """Draw the bar in the lower left corner, legible on every ground; (left, top, right, bottom) of what it covers."""
    draw = ImageDraw.Draw(image, "RGBA")
    size = min(image.width, 760)  # wide pictures are shown larger, their bar need not grow with them
    font = ImageFont.load_default(size=max(12, round(size / 28)))
    thick = max(5, round(size / 80))
    margin = max(6, round(size / 45))
    text_left, text_top, text_right, text_bottom = draw.textbbox((0, 0), bar.label, font=font)
    length = max(1, round(bar.length_px))
    box_width = max(length, ceil(text_right - text_left)) + 2 * margin
    box_height = ceil(text_bottom - text_top) + thick + 5 * margin // 2
    left, top = margin // 2, image.height - box_height - margin // 2
    draw.rounded_rectangle((left, top, left + box_width, top + box_height), radius=margin // 2, fill=(*DARK, 205))
    draw.text((left + margin - text_left, top + margin // 2 + 1 - text_top), bar.label, font=font, fill=WHITE)
    x, y = left + margin, top + box_height - margin - thick
    draw.rectangle((x, y, x + length - 1, y + thick - 1), fill=WHITE)
    draw.rectangle((x + length // 2, y + 1, x + length - 2, y + thick - 2), fill=DARK)
    return left, top, left + box_width, top + box_height


def encode(image: Image.Image, *, max_bytes: int) -> Picture:
    """The picture as a JPEG file of at most `max_bytes` bytes: by quality first, then by size.

    Raises ValueError where even a small picture of the worst quality does not fit.
    """
    shrunk = image
    while min(shrunk.size) >= 32:
        best_bytes = 0
        for quality, share in _QUALITIES.items():
            if share * best_bytes > max_bytes:
                continue
            buffer = BytesIO()
            shrunk.save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 75 else 2)
            if buffer.tell() <= max_bytes:
                return Picture(buffer.getvalue(), image.width, image.height)
            best_bytes = best_bytes or buffer.tell()
        shrunk = shrunk.resize((max(1, shrunk.width * 3 // 4), max(1, shrunk.height * 3 // 4)), Image.Resampling.BOX)
    raise ValueError(f"a picture of {image.width} × {image.height} px does not fit into {max_bytes} bytes; allow more")


def _dilate(flags: Flags, radius_px: int) -> Flags:
    """Grow flags ``(h, w)`` by a square of that radius."""
    grown = flags
    for axis in (0, 1):
        source = np.moveaxis(grown, axis, 0)
        grown = grown.copy()
        target = np.moveaxis(grown, axis, 0)
        for step in range(1, min(radius_px, len(source) - 1) + 1):
            target[step:] |= source[:-step]
            target[:-step] |= source[step:]
    return grown
