"""The overview of a structure: which rasters and sheets show it, and what is said beside each picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Georeference
from segmentation.records import Defect, StructureResult
from tasks.report.ground import joined, read_ground
from tasks.report.overview import DrawnDefect, Scene, draw_sheet, north_in_frame
from tasks.report.pictures import Picture, RasterPictures
from tasks.report.places import (
    RasterFrame,
    StructureFrame,
    footprint_in_raster,
    overview_rasters,
    overview_window,
    pixel_of,
    raster_outline,
)
from tasks.report.sheets import (
    Affine,
    Extent,
    Sheet,
    SheetPlan,
    is_turned,
    mapped,
    plan_sheets,
    raster_to_frame,
)
from tasks.report.wording import clean_text, count_text, number_text

_MOST_RASTERS: Final = 4
_MOST_SHEETS: Final = 8
_SIDE_PX: Final = 1500
_WHOLE_SHARE: Final = 0.25
"""A raster that shows less of the footprint than this has only its part drawn."""
_MARGIN_SHARE: Final = 0.02
_LEAST_SIDE_PX: Final = 64


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What a colour or pattern of an overview means."""

    css: str
    """Class name in the style sheet: key-crack, key-rust, key-outline, key-unseen."""
    word: str


@dataclass(frozen=True, slots=True)
class OverviewFigure:
    """The structure, or one sheet of it, in one raster."""

    raster: str
    name: str
    """``Key`` to the sheets, ``Sheet A``, or empty where one picture shows all."""
    picture: Picture
    alt: str
    extent: str
    """Which part of the structure it shows, in structure coordinates."""
    key: tuple[KeyEntry, ...]
    note: str
    """What else the reader must know of it; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All pictures of the overview."""

    figures: tuple[OverviewFigure, ...]
    note: str
    """Which defects are numbered and which are not; empty without defects or pictures."""
    sheets: Mapping[int, str]
    """By the number of a defect, the letter of the sheet that shows it; empty where there are no sheets."""


@dataclass(frozen=True, slots=True)
class _View:
    """One raster's part of the overview, planned but not drawn."""

    raster: str
    to_frame: Affine
    plan: SheetPlan
    scene: Scene
    north: tuple[float, float] | None


def overview_of(
    result: StructureResult,
    numbered: Sequence[tuple[int, Defect]],
    georeferences: Mapping[str, Georeference],
    frames: Mapping[str, StructureFrame],
    pictures: RasterPictures | None,
    *,
    pictured_count: int,
    max_bytes: int,
) -> Overview:
    """Every defect of `numbered`, worst first, drawn on at most `max_bytes` of pictures.

    The first `pictured_count` are those that the report shows close up. Without `pictures` a plan is drawn. Raises
    KeyError for a defect of an unknown raster.
    """
    names = overview_rasters(result, georeferences)
    shown = names[:_MOST_RASTERS]
    views: list[_View] = []
    for name in shown:
        own = [(number, defect) for number, defect in numbered if defect.raster_name == name]
        used = sum(len(view.plan.parts) for view in views)
        view = _view(
            result.structure.footprint,
            own,
            name,
            georeferences[name],
            frames[name],
            pictured_count=pictured_count,
            max_sheets=_MOST_SHEETS // len(shown),
            first_sheet=used,
        )
        if view is not None:
            views.append(view)
    count = sum(1 + len(view.plan.parts) for view in views)
    with_unseen = result.coverage_percent < 100 or len(names) > 1
    figures = [
        figure
        for view in views
        for figure in _figures(
            view,
            clean_text(result.structure.name),
            georeferences[view.raster],
            pictures,
            with_unseen=with_unseen,
            alone=len(names) == 1,
            max_bytes=max_bytes // count,
        )
    ]
    sheets = {
        defect.number: part.name
        for view in views
        for part in view.plan.parts
        for defect in view.scene.defects
        if part.holds(np.array([defect.anchor])).all()
    }
    left_out = sum(1 for _, defect in numbered if defect.raster_name not in {view.raster for view in views})
    return Overview(tuple(figures), _note(figures, len(numbered), left_out, pictured_count) if figures else "", sheets)


def _view(
    footprint: BaseGeometry | None,
    own: Sequence[tuple[int, Defect]],
    name: str,
    georeference: Georeference,
    frame: StructureFrame,
    *,
    pictured_count: int,
    max_sheets: int,
    first_sheet: int,
) -> _View | None:
    outline = footprint_in_raster(footprint, georeference)
    window = overview_window(outline, [defect for _, defect in own], georeference, margin_share=0.0)
    if window is None:
        return None
    to_frame = raster_to_frame(frame, georeference, window)
    if to_frame is None:
        return None
    scene = Scene(
        None if footprint is None or outline is None else _in_frame(outline, to_frame),
        tuple(
            DrawnDefect(
                number,
                defect.pixel_class,
                _in_frame(defect.pixel_geometry, to_frame),
                _anchor(defect, to_frame),
                number <= pictured_count,
            )
            for number, defect in own
        ),
    )
    extent = _extent(outline, scene, georeference, frame, to_frame)
    if extent is None:
        return None
    middle = (window.row_start + window.row_stop) / 2, (window.col_start + window.col_stop) / 2
    plan = plan_sheets(
        extent,
        np.array([defect.anchor for defect in scene.defects]).reshape(-1, 2),
        turned=is_turned(frame, extent),
        gsd_m=georeference.scale_at(*middle).gsd_m,
        max_sheets=max_sheets,
        first_sheet=first_sheet,
        side_px=_SIDE_PX,
    )
    return _View(name, to_frame, plan, scene, north_in_frame(georeference, to_frame, *middle))


def _in_frame(geometry: BaseGeometry, to_frame: Affine) -> BaseGeometry:
    return shapely.transform(geometry, lambda points: mapped(to_frame, points))


def _anchor(defect: Defect, to_frame: Affine) -> tuple[float, float]:
    row, col = pixel_of(defect)
    along, across = mapped(to_frame, np.array([[col, row]], np.float64))[0].tolist()
    return along, across


def _extent(
    outline: BaseGeometry | None,
    scene: Scene,
    georeference: Georeference,
    frame: StructureFrame,
    to_frame: Affine,
) -> Extent | None:
    """What the overview of one raster shows: the footprint, or the raster's part of it, and every defect."""
    points = [np.array([defect.anchor for defect in scene.defects]).reshape(-1, 2)]
    points += [shapely.get_coordinates(defect.geometry) for defect in scene.defects]
    if outline is not None and outline.is_valid:
        seen = outline.intersection(raster_outline(georeference))
        whole = seen.area >= _WHOLE_SHARE * outline.area
        points.append(mapped(to_frame, shapely.get_coordinates(outline if whole else seen)))
    elif outline is not None:
        points.append(mapped(to_frame, shapely.get_coordinates(outline.envelope)))
    flat = np.concatenate(points)
    if not len(flat):
        return None
    (left, bottom), (right, top) = flat.min(axis=0).tolist(), flat.max(axis=0).tolist()
    gsd_m = georeference.centre_scale().gsd_m
    margin = max(_MARGIN_SHARE * max(right - left, top - bottom), _LEAST_SIDE_PX / 2 * gsd_m)
    if isinstance(frame, RasterFrame) and scene.outline is None:
        return Extent(0.0, frame.length_m, 0.0, frame.width_m)
    return Extent(left - margin, right + margin, bottom - margin, top + margin)


def _figures(
    view: _View,
    title: str,
    georeference: Georeference,
    pictures: RasterPictures | None,
    *,
    with_unseen: bool,
    alone: bool,
    max_bytes: int,
) -> list[OverviewFigure]:
    plan = view.plan
    sheets = plan.parts or (plan.whole,)
    grounds = [
        read_ground(pictures, view.raster, sheet, georeference, to_frame=view.to_frame, with_unseen=with_unseen)
        for sheet in sheets
    ]
    drawn = [(plan.whole, joined(grounds, plan.grid, plan.whole), plan.parts)] if plan.parts else []
    drawn += [(sheet, ground, ()) for sheet, ground in zip(sheets, grounds, strict=True)]
    figures = []
    for sheet, ground, parts in drawn:
        picture, hatched = draw_sheet(ground, sheet, view.scene, parts=parts, north=view.north, max_bytes=max_bytes)
        name = f"Sheet {sheet.name}" if sheet.name else "Key" if parts else ""
        figures.append(
            OverviewFigure(
                raster=clean_text(view.raster),
                name=name,
                picture=picture,
                alt=_alt(title, name, view, sheet, picture),
                extent=_extent_text(sheet.extent),
                key=_key(view.scene, hatched=hatched, alone=alone),
                note="Turned a quarter to the left: the raster's top is at the left." if picture.turned else "",
            )
        )
    return figures


def _alt(title: str, name: str, view: _View, sheet: Sheet, picture: Picture) -> str:
    shown = len(view.scene.on(sheet))
    drawn = f"{count_text(shown, 'defect', 'defects')} drawn, {len(picture.spots)} numbered" if shown else "no defect"
    part = f", {name.lower()}" if name else ""
    return f"Overview of {title} in {clean_text(view.raster)}{part}: {_extent_text(sheet.extent)}; {drawn}"


def _extent_text(extent: Extent) -> str:
    along, across = (
        f"{number_text(max(start, 0.0), digits=2)} to {number_text(stop, digits=2)}\u00a0m"
        for start, stop in ((extent.along_start, extent.along_stop), (extent.across_start, extent.across_stop))
    )
    return f"{along} along, {across} across"


def _key(scene: Scene, *, hatched: bool, alone: bool) -> tuple[KeyEntry, ...]:
    entries = [KeyEntry("key-crack", "crack"), KeyEntry("key-rust", "rust")]
    if scene.outline is not None:
        entries.append(KeyEntry("key-outline", "outline of the structure"))
    if hatched:
        entries.append(KeyEntry("key-unseen", "not inspected" if alone else "not inspected in this raster"))
    return tuple(entries)


def _note(figures: Sequence[OverviewFigure], count: int, left_out: int, pictured_count: int) -> str:
    if not count:
        return "No defect was found, so none is drawn."
    numbered = {spot.number for figure in figures for spot in figure.picture.spots}
    drawn = count - left_out
    sentences = ["Every defect is drawn and numbered, worst first."]
    if len(numbered) < drawn:
        sentences = [
            f"Every defect is drawn; {len(numbered)} of {drawn} carry their number (worst first), the others have no "
            "room for it and are found in the table by their place."
        ]
    if 0 < pictured_count < count:
        sentences.append("Numbers on a dark plate are those of the worst, shown close up below.")
    if left_out:
        sentences[0] = sentences[0].replace("Every defect", "Every defect in these rasters")
        sentences.append(
            f"{left_out} defects lie in further rasters without an overview; the table gives their places."
        )
    return " ".join(sentences)
