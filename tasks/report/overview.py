"""Draws a structure's overview: sheets in structure coordinates with every defect, numbers, rulers, scale bar."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, floor, hypot
from typing import Final

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont
from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.georeference import Floats, Georeference
from tasks.report.charts import nice_steps
from tasks.report.ground import PAPER, PLAIN, Ground
from tasks.report.labels import Label, PlacedLabel, Room
from tasks.report.pictures import (
    CLASS_COLOURS,
    DARK,
    WHITE,
    Picture,
    Rgb,
    Spot,
    encode,
)
from tasks.report.sheets import Affine, Extent, Sheet, mapped

_LEFT_PX: Final = 92
"""Margin for the ruler across, with its name."""
_BOTTOM_PX: Final = 72
"""Margin for the ruler along, with its name."""
_TOP_PX: Final = 12
_RIGHT_PX: Final = 66
"""Margin for the north arrow."""
_GREY: Final = (77, 89, 102)
_LABEL_SIZE: Final = 26
_SMALL_LABEL_SIZE: Final = 21
_RULER_SIZE: Final = 22
_MOST_NUMBERS: Final = 140
"""On one sheet; more would hide what they name."""
_HATCH_PX: Final = 14
_DOT_PX: Final = 5
"""A defect smaller than this on the picture is drawn as a dot."""
_WINGS: Final = ((0.8, 0.55), (0.8, -0.55))
"""Of the tip of the north arrow: back along it, and to either side."""


@dataclass(frozen=True, slots=True)
class DrawnDefect:
    """One defect as the overview shows it, in structure coordinates."""

    number: int
    pixel_class: PixelClass
    geometry: BaseGeometry
    """(along, across) in metres."""
    anchor: tuple[float, float]
    """(along, across) of the point that stands for it."""
    pictured: bool
    """Whether it is among the worst, which the report shows close up."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn on the overview of one raster."""

    outline: BaseGeometry | None
    """The footprint as (along, across)."""
    defects: tuple[DrawnDefect, ...]
    """Worst first."""

    def on(self, sheet: Sheet) -> list[DrawnDefect]:
        """The defects of which any part may lie on a sheet."""
        if not self.defects:
            return []
        extent = sheet.extent
        bounds = shapely.bounds(np.array([defect.geometry for defect in self.defects], object))
        anchors = np.array([defect.anchor for defect in self.defects])
        low = np.fmin(bounds[:, :2], anchors)
        high = np.fmax(bounds[:, 2:], anchors)
        apart = (low[:, 0] > extent.along_stop) | (high[:, 0] < extent.along_start)
        apart |= (low[:, 1] > extent.across_stop) | (high[:, 1] < extent.across_start)
        return [defect for defect, away in zip(self.defects, apart.tolist(), strict=True) if not away]


def draw_sheet(
    ground: Ground,
    sheet: Sheet,
    scene: Scene,
    *,
    parts: Sequence[Sheet],
    north: tuple[float, float] | None,
    max_bytes: int,
) -> tuple[Picture, bool]:
    """The finished picture of a sheet, and whether any of the footprint on it is hatched as not inspected.

    With `parts` it is the key to them: it shows their borders and letters, and the numbers of the pictured defects
    alone. `north` is that direction in structure coordinates; None where it is not known.
    """
    image = ground.image.copy()
    to_picture = sheet.from_frame()
    hatched = ground.unseen is not None and _hatch(image, ground.unseen, to_picture, scene.outline)
    draw = ImageDraw.Draw(image)
    for line in _lines(scene.outline, to_picture):
        _draw_line(draw, line, WHITE, width_px=4)
    shown = scene.on(sheet)
    before = np.asarray(image).copy()
    for defect in reversed(shown):
        _draw_defect(draw, defect, to_picture)
    room = Room(image.width, image.height)
    room.avoid((np.asarray(image) != before).any(axis=2))
    _draw_borders(draw, parts, to_picture, room)
    own = [defect for defect in shown if defect.pictured] if parts else shown
    named = [defect for defect in own if sheet.holds(np.array([defect.anchor])).all() or not sheet.name]
    colours = {defect.number: CLASS_COLOURS[defect.pixel_class] for defect in named}
    placed = room.place([_label(defect, to_picture) for defect in named[:_MOST_NUMBERS]])
    for one in reversed(placed):
        _draw_label(draw, one, colours[one.label.number])
    picture = encode(_framed(image, sheet, north), max_bytes=max_bytes)
    return replace(picture, turned=sheet.turned, spots=tuple(_spot(one) for one in placed)), hatched


def _lines(geometry: BaseGeometry | None, to_picture: Affine) -> list[Floats]:
    """Every line and every ring of a geometry as (x, y) ``(n, 2)``, no finer than the picture."""
    if geometry is None or geometry.is_empty:
        return []
    moved = shapely.transform(geometry, lambda points: mapped(to_picture, points))
    parts = shapely.get_parts(shapely.simplify(moved, 0.7, preserve_topology=False))
    found: list[Floats] = []
    for part in parts:
        rings = shapely.get_rings(part) if part.geom_type == "Polygon" else [part]
        found.extend(shapely.get_coordinates(ring) for ring in rings if not ring.is_empty)
    return found or [shapely.get_coordinates(moved)[:1]]


def _draw_defect(draw: ImageDraw.ImageDraw, defect: DrawnDefect, to_picture: Affine) -> None:
    """A defect's lines in the colour of its class; a dot where it is too small to be seen."""
    colour, width_px = CLASS_COLOURS[defect.pixel_class], 4 if defect.pictured else 3
    lines = _lines(defect.geometry, to_picture)
    points = np.concatenate(lines) if lines else mapped(to_picture, np.array([defect.anchor]))
    if np.ptp(points, axis=0).sum() < _DOT_PX:
        x, y = points[0].tolist()
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour, outline=DARK)
        return
    for line in lines:
        _draw_line(draw, line, colour, width_px=width_px)


def _draw_line(draw: ImageDraw.ImageDraw, line: Floats, colour: Rgb, *, width_px: int) -> None:
    points = line.ravel().tolist()
    draw.line(points, fill=DARK, width=width_px + 2)
    draw.line(points, fill=colour, width=width_px)


def _hatch(image: Image.Image, unseen: Image.Image, to_picture: Affine, outline: BaseGeometry | None) -> bool:
    """Hatch in grey what of the footprint was not inspected; False where that is nothing."""
    inside = Image.new("L", image.size, 0 if outline is not None else 255)
    draw = ImageDraw.Draw(inside)
    for part in shapely.get_parts(outline) if outline is not None else ():
        if part.geom_type == "Polygon" and not part.is_empty:
            rings = [mapped(to_picture, shapely.get_coordinates(ring)) for ring in shapely.get_rings(part)]
            for index, ring in enumerate(rings):
                draw.polygon(ring.ravel().tolist(), fill=0 if index else 255)
    flags = (np.asarray(inside) > 0) & (np.asarray(unseen) > 0)
    if not flags.any():
        return False
    rows, cols = np.nonzero(flags)
    pixels = np.asarray(image).copy()
    stripe = (rows + cols) % _HATCH_PX < 3
    pixels[rows, cols] = np.where(stripe[:, None], np.array(_GREY, np.uint8), np.array(PLAIN, np.uint8))
    image.paste(Image.fromarray(pixels))
    return True


def _draw_north(framed: Image.Image, sheet: Sheet, north: tuple[float, float]) -> None:
    """An arrow to the north in the upper right margin."""
    matrix = sheet.from_frame()[:2, :2]
    step_x, step_y = (matrix @ np.array(north)).tolist()
    size = hypot(step_x, step_y)
    right, down = step_x / size, step_y / size
    x, y, reach = framed.width - _RIGHT_PX / 2, _TOP_PX + 34.0, 19.0
    draw = ImageDraw.Draw(framed)
    tip = (x + right * reach, y + down * reach)
    draw.line((x - right * reach, y - down * reach, *tip), fill=DARK, width=3)
    wings = [
        (tip[0] - 12 * (right * back - down * aside), tip[1] - 12 * (down * back + right * aside))
        for back, aside in _WINGS
    ]
    draw.polygon([tip, *wings], fill=DARK)
    draw.text((x, y + 44), "N", font=_font(_RULER_SIZE), fill=_GREY, anchor="mm")


def _draw_borders(draw: ImageDraw.ImageDraw, parts: Sequence[Sheet], to_picture: Affine, room: Room) -> None:
    """The borders and letters of the sheets to which this one is the key."""
    for part in parts:
        extent = part.extent
        corners = np.array([[extent.along_start, extent.across_stop], [extent.along_stop, extent.across_start]])
        (left, top), (right, bottom) = mapped(to_picture, corners).tolist()
        draw.rectangle((left, top, right, bottom), outline=DARK, width=4)
        draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=WHITE, width=2)
        box = (left + 8, top + 8, left + 44, top + 44)
        draw.rectangle(box, fill=WHITE, outline=DARK, width=2)
        draw.text((left + 26, top + 26), part.name, font=_font(26), fill=DARK, anchor="mm")
        room.take(*box)


def _label(defect: DrawnDefect, to_picture: Affine) -> Label:
    x, y = mapped(to_picture, np.array([defect.anchor]))[0].tolist()
    font = _font(_LABEL_SIZE if defect.pictured else _SMALL_LABEL_SIZE)
    left, top, right, bottom = font.getbbox(str(defect.number), anchor="lt")
    pad_x, pad_y = (7, 6) if defect.pictured else (3, 3)
    return Label(defect.number, (x, y), (right - left) / 2 + pad_x, (bottom - top) / 2 + pad_y, defect.pictured)


def _draw_label(draw: ImageDraw.ImageDraw, placed: PlacedLabel, colour: Rgb) -> None:
    """A leader from the defect to its number; pictured ones on a plate, the others as letters with a halo."""
    label, x, y = placed.label, placed.x, placed.y
    rectangle = (x - label.half_width, y - label.half_height, x + label.half_width, y + label.half_height)
    end = (min(max(label.anchor[0], rectangle[0]), rectangle[2]), min(max(label.anchor[1], rectangle[1]), rectangle[3]))
    draw.line((*label.anchor, *end), fill=DARK, width=4)
    draw.line((*label.anchor, *end), fill=WHITE, width=2)
    if label.pictured:
        draw.rounded_rectangle(rectangle, radius=5, fill=DARK, outline=colour, width=2)
        draw.text((x, y), str(label.number), font=_font(_LABEL_SIZE), fill=WHITE, anchor="mm")
    else:
        font = _font(_SMALL_LABEL_SIZE)
        draw.text((x, y), str(label.number), font=font, fill=WHITE, anchor="mm", stroke_width=3, stroke_fill=DARK)


def _framed(image: Image.Image, sheet: Sheet, north: tuple[float, float] | None) -> Image.Image:
    """The picture on paper with rulers, metres along and across the structure, so that nothing covers it."""
    framed = Image.new("RGB", (image.width + _LEFT_PX + _RIGHT_PX, image.height + _TOP_PX + _BOTTOM_PX), PAPER)
    framed.paste(image, (_LEFT_PX, _TOP_PX))
    draw = ImageDraw.Draw(framed)
    left, top, right, bottom = _LEFT_PX, _TOP_PX, _LEFT_PX + image.width, _TOP_PX + image.height
    draw.rectangle((left - 1, top - 1, right, bottom), outline=_GREY)
    to_picture, extent = sheet.from_frame(), sheet.extent
    font = _font(_RULER_SIZE)
    names = ("across", "along") if sheet.turned else ("along", "across")
    for axis, value in _ticks(extent):
        place = (value, extent.across_start) if axis == "along" else (extent.along_start, value)
        x, y = mapped(to_picture, np.array([place]))[0].tolist()
        text = f"{value:g}"
        if axis == names[0]:
            draw.line((left + x, bottom, left + x, bottom + 7), fill=_GREY, width=2)
            draw.text((left + x, bottom + 11), text, font=font, fill=_GREY, anchor="mt")
        else:
            draw.line((left - 8, top + y, left - 1, top + y), fill=_GREY, width=2)
            draw.text((left - 12, top + y), text, font=font, fill=_GREY, anchor="rm")
    draw.text(((left + right) / 2, bottom + 42), f"{names[0]}, m", font=font, fill=_GREY, anchor="mt")
    side = Image.new("RGB", (120, 30), PAPER)
    ImageDraw.Draw(side).text((60, 15), f"{names[1]}, m", font=font, fill=_GREY, anchor="mm")
    framed.paste(side.rotate(90, expand=True), (2, max(0, round((top + bottom) / 2) - 60)))
    if north is not None:
        _draw_north(framed, sheet, north)
    return framed


def _ticks(extent: Extent) -> list[tuple[str, float]]:
    """(axis, metres) of the rulers' marks at round steps, the same along and across where that gives two of each."""
    step = nice_steps(max(extent.length_m, extent.width_m) * 0.55)[1]
    marks = []
    for axis, start, stop in (
        ("along", extent.along_start, extent.along_stop),
        ("across", extent.across_start, extent.across_stop),
    ):
        own = step if stop - start >= 2 * step else nice_steps((stop - start) * 2)[1]
        first, last = ceil(start / own - 1e-9), floor(stop / own + 1e-9)
        marks += [(axis, float(f"{index * own:.12g}")) for index in range(first, last + 1)]
    return marks


def _spot(placed: PlacedLabel) -> Spot:
    label, x, y = placed.label, placed.x + _LEFT_PX, placed.y + _TOP_PX
    return Spot(
        label.number,
        round(x - label.half_width, 1),
        round(y - label.half_height, 1),
        round(2 * label.half_width, 1),
        round(2 * label.half_height, 1),
    )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def north_in_frame(georeference: Georeference, to_frame: Affine, row: float, col: float) -> tuple[float, float] | None:
    """The direction of north at a pixel in structure coordinates; None for a local frame."""
    if georeference.is_local:
        return None
    scale = georeference.scale_at(row, col)
    ground = [[scale.east_per_col_m, scale.east_per_row_m], [scale.north_per_col_m, scale.north_per_row_m]]
    along, across = (to_frame[:2, :2] @ np.linalg.solve(np.array(ground), np.array([0.0, 1.0]))).tolist()
    return along, across
