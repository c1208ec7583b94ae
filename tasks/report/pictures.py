"""Pictures of damage: native crops with and without outline, overviews, scale bars. Read in windows only."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import ceil, cos, floor, hypot, log10, pi, sin
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation
from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.records import Defect
from segmentation.windows import Window
from tasks.report.places import pixel_of

Pixels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Rgb = tuple[int, int, int]

CLASS_COLOURS: Final[dict[PixelClass, Rgb]] = {PixelClass.CRACK: (86, 180, 233), PixelClass.RUST: (255, 214, 10)}
"""Sky blue and yellow: told apart with every kind of colour blindness (after Okabe and Ito, 2008)."""
_DARK: Final[Rgb] = (16, 22, 30)
_WHITE: Final[Rgb] = (255, 255, 255)
_TALL: Final = 1.25
"""Overviews taller than this share of their width are turned, to fill the page's width."""
_ROOM_PX: Final = 4
"""Side of the cells in which the room for labels is kept."""
_QUALITIES: Final = (88, 80, 72, 62, 50, 40)


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
class Picture:
    """A finished picture, ready to be inlined."""

    data_uri: str
    """``data:image/jpeg;base64,…``"""
    width_px: int
    height_px: int
    enlargement: int = 1
    """Picture pixels per raster pixel side (native crops)."""
    unlabelled_count: int = 0
    """Defects drawn without their number for want of room (overviews)."""
    turned: bool = False
    """Whether it is turned a quarter to the left against its raster (overviews)."""


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


def overview_picture(
    pictures: RasterPictures,
    raster_name: str,
    window: Window,
    georeference: Georeference,
    *,
    outline: BaseGeometry | None,
    numbered: Sequence[tuple[int, Defect]],
    max_side_px: int,
    max_bytes: int,
) -> Picture:
    """The structure in one raster with its outline, every defect drawn, and their numbers, worst first.

    `outline` and the defects' `pixel_geometry` are (col, row) of the raster; `numbered` is worst first, so that the
    worst keep their numbers where there is no room for all. A tall window is turned a quarter to the left.
    """
    rgb = pictures.read_rgb(raster_name, window, max_side_px=max_side_px)
    turned = rgb.shape[0] > _TALL * rgb.shape[1]
    image = Image.fromarray(np.ascontiguousarray(np.rot90(rgb)) if turned else rgb)
    canvas = _Canvas(image, window, turned=turned)
    if outline is not None:
        for ring in _lines_of(outline):
            canvas.line(ring, _WHITE, width_px=max(2, image.width // 500), casing_px=1)
    for _, defect in reversed(numbered):
        for line in _lines_of(defect.pixel_geometry):
            canvas.line(line, CLASS_COLOURS[defect.pixel_class], width_px=max(3, image.width // 360), casing_px=1)
    unlabelled = _draw_numbers(image, canvas, numbered)
    scale = georeference.scale_at((window.row_start + window.row_stop) / 2, (window.col_start + window.col_stop) / 2)
    m_per_px = scale.gsd_y_m / canvas.per_row if turned else scale.gsd_x_m / canvas.per_col
    draw_scale_bar(image, scale_bar(m_per_px, image.width))
    return replace(encode(image, max_bytes=max_bytes), unlabelled_count=unlabelled, turned=turned)


def draw_scale_bar(image: Image.Image, bar: ScaleBar) -> None:
    """Draw the bar in the lower left corner: black and white halves and a label, legible on every ground."""
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
    draw.rounded_rectangle((left, top, left + box_width, top + box_height), radius=margin // 2, fill=(*_DARK, 205))
    draw.text((left + margin - text_left, top + margin // 2 + 1 - text_top), bar.label, font=font, fill=_WHITE)
    x, y = left + margin, top + box_height - margin - thick
    draw.rectangle((x, y, x + length - 1, y + thick - 1), fill=_WHITE)
    draw.rectangle((x + length // 2, y + 1, x + length - 2, y + thick - 2), fill=_DARK)


def encode(image: Image.Image, *, max_bytes: int) -> Picture:
    """The picture as a JPEG data URI of at most `max_bytes` bytes: by quality first, then by size.

    Raises ValueError where even a small picture of the worst quality does not fit.
    """
    shrunk = image
    while min(shrunk.size) >= 32:
        for quality in _QUALITIES:
            buffer = BytesIO()
            shrunk.save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 75 else 2)
            uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
            if len(uri) <= max_bytes:
                return Picture(uri, image.width, image.height)
        shrunk = shrunk.resize((max(1, shrunk.width * 3 // 4), max(1, shrunk.height * 3 // 4)), Image.Resampling.BOX)
    raise ValueError(f"a picture of {image.width} × {image.height} px does not fit into {max_bytes} bytes; allow more")


class _Canvas:
    """Draws raster coordinates (col, row) on a decimated picture of a window."""

    def __init__(self, image: Image.Image, window: Window, *, turned: bool) -> None:
        rows, cols = window.shape
        self.draw = ImageDraw.Draw(image)
        self.window = window
        self.turned = turned
        across, down = (image.height, image.width) if turned else (image.width, image.height)
        self.per_row, self.per_col = down / rows, across / cols

    def at(self, col: float, row: float) -> tuple[float, float]:
        right, down = (col - self.window.col_start) * self.per_col, (row - self.window.row_start) * self.per_row
        if self.turned:
            return down, self.window.shape[1] * self.per_col - right
        return right, down

    def line(self, points: Sequence[tuple[float, float]], colour: Rgb, *, width_px: int, casing_px: int) -> None:
        path = [self.at(col, row) for col, row in points]
        if max(x for x, _ in path) - min(x for x, _ in path) + max(y for _, y in path) - min(y for _, y in path) < 4:
            x, y = path[0]
            radius = width_px + 1
            self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=_DARK)
            return
        self.draw.line(path, fill=_DARK, width=width_px + 2 * casing_px, joint="curve")
        self.draw.line(path, fill=colour, width=width_px, joint="curve")


def _draw_numbers(image: Image.Image, canvas: _Canvas, numbered: Sequence[tuple[int, Defect]]) -> int:
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(12, round(max(image.size) / 62)))
    taken = np.zeros((image.height // _ROOM_PX + 1, image.width // _ROOM_PX + 1), np.bool_)
    bar_width, bar_height = 0.36 * image.width, 0.16 * min(image.width, 760)
    taken[_room(0, image.height - bar_height, bar_width, image.height)] = True
    unlabelled = 0
    for number, defect in numbered:
        row, col = pixel_of(defect)
        anchor = canvas.at(col, row)
        width, height = draw.textbbox((0, 0), str(number), font=font)[2:]
        half_width, half_height = width / 2 + 5, height / 2 + 4
        spot = _free_spot(anchor, half_width, half_height, image.size, taken)
        if spot is None:
            unlabelled += 1
            continue
        x, y = spot
        rectangle = (x - half_width, y - half_height, x + half_width, y + half_height)
        taken[_room(*rectangle)] = True
        draw.line((anchor, spot), fill=_DARK, width=3)
        draw.line((anchor, spot), fill=_WHITE, width=1)
        draw.rounded_rectangle(rectangle, radius=4, fill=_DARK, outline=CLASS_COLOURS[defect.pixel_class], width=2)
        draw.text(spot, str(number), font=font, fill=_WHITE, anchor="mm")
    return unlabelled


def _free_spot(
    anchor: tuple[float, float], half_width: float, half_height: float, size: tuple[int, int], taken: Flags
) -> tuple[float, float] | None:
    """The nearest place around the anchor where a label lies inside the picture and on no other label."""
    reach = hypot(half_width, half_height) + 6
    for ring in range(1, 7):
        for step in range(12):
            angle = pi * (step / 6 - 0.5)
            x, y = anchor[0] + reach * ring * cos(angle), anchor[1] + reach * ring * sin(angle)
            if not (half_width <= x <= size[0] - half_width and half_height <= y <= size[1] - half_height):
                continue
            if not taken[_room(x - half_width, y - half_height, x + half_width, y + half_height)].any():
                return x, y
    return None


def _room(left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
    """The cells that a rectangle of the picture touches."""
    cells = [int(value) // _ROOM_PX for value in (top, bottom, left, right)]
    return slice(cells[0], cells[1] + 1), slice(cells[2], cells[3] + 1)


def _lines_of(geometry: BaseGeometry) -> list[list[tuple[float, float]]]:
    """Every line and every ring of a geometry as (col, row) points."""
    if geometry.is_empty:
        return []
    if hasattr(geometry, "geoms"):
        return [line for part in geometry.geoms for line in _lines_of(part)]
    if geometry.geom_type == "Polygon":
        return [[(p[0], p[1]) for p in ring.coords] for ring in (geometry.exterior, *geometry.interiors)]
    return [[(p[0], p[1]) for p in geometry.coords]]


def _dilate(flags: Flags, radius_px: int) -> Flags:
    return np.asarray(binary_dilation(flags, structure=np.ones((3, 3), np.bool_), iterations=radius_px), np.bool_)
