"""The survey seen from above as one static SVG: what is printed, and what is seen where no script runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, radians
from typing import Final

from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.records import StructureResult
from tasks.report.charts import path_data
from tasks.report.pictures import scale_bar
from tasks.report.places import lonlat_outline
from tasks.report.severity import Severity, unseen_reason, worst_severity
from tasks.report.wording import clean_text

_WIDTH: Final = 640.0
_MAX_HEIGHT: Final = 460.0
_MIN_HEIGHT: Final = 200.0
_MARGIN: Final = 34.0
_MARKER: Final = 9.0
"""Side in map units below which a structure gets a marker."""
_M_PER_DEGREE: Final = 111_320.0
"""Metres per degree of latitude: good to half a percent, enough for a sketch and its scale bar."""


@dataclass(frozen=True, slots=True)
class MapArea:
    """One structure on the map."""

    number: int
    """Its number in the table."""
    name: str
    path: str
    small: bool
    """Too small to be seen: a marker stands for it."""
    severity: Severity
    x: float
    """Place of its number."""
    y: float


@dataclass(frozen=True, slots=True)
class SurveyMap:
    """A north-up sketch."""

    width: float
    height: float
    areas: tuple[MapArea, ...]
    cracks: str
    """Path of points, one per place with a crack; empty for none."""
    rusts: str
    """Path of points, one per place with rust; empty for none."""
    bar_length: float
    bar_label: str
    unplaced: tuple[str, ...]
    """Names of structures without a place on the earth or without a usable outline."""


def survey_map(
    numbered: Sequence[tuple[int, StructureResult]], georeferences: Mapping[str, Georeference]
) -> SurveyMap | None:
    """The map of the structures with their numbers in the table; None where none has a place on the earth."""
    outlines = [(number, result, _outline(result, georeferences)) for number, result in numbered]
    placed = [(number, result, outline) for number, result, outline in outlines if outline is not None]
    if not placed:
        return None
    frame = _Frame([outline for _, _, outline in placed])
    areas = []
    placed_area = {number: outline.area for number, _, outline in placed}
    for number, result, outline in placed:
        x, y = frame.at(*outline.representative_point().coords[0][:2])
        path = "".join(path_data([frame.at(*p[:2]) for p in ring]) + "Z" for ring in _rings(outline))
        small = outline.area**0.5 * _M_PER_DEGREE / frame.m_per_unit < _MARKER
        name, severity = clean_text(result.structure.name), worst_severity(result)
        areas.append(MapArea(number, name, path, small, severity, round(x, 1), round(y, 1)))
    areas.sort(key=lambda area: -placed_area[area.number])
    results = [result for _, result in numbered]
    bar = scale_bar(frame.m_per_unit, round(frame.width * 0.8))
    return SurveyMap(
        width=frame.width,
        height=frame.height,
        areas=tuple(areas),
        cracks=_points(results, PixelClass.CRACK, frame),
        rusts=_points(results, PixelClass.RUST, frame),
        bar_length=round(bar.length_px, 1),
        bar_label=bar.label,
        unplaced=tuple(clean_text(result.structure.name) for _, result, outline in outlines if outline is None),
    )


class _Frame:
    """Longitude and latitude to map units, the x axis shrunk by the cosine of the middle latitude."""

    def __init__(self, outlines: Sequence[BaseGeometry]) -> None:
        bounds = [outline.bounds for outline in outlines]
        west, south = min(b[0] for b in bounds), min(b[1] for b in bounds)
        east, north = max(b[2] for b in bounds), max(b[3] for b in bounds)
        self._shrink = cos(radians((south + north) / 2))
        spread_x, spread_y = max((east - west) * self._shrink, 1e-9), max(north - south, 1e-9)
        self._per_degree = min((_WIDTH - 2 * _MARGIN) / spread_x, (_MAX_HEIGHT - 2 * _MARGIN) / spread_y)
        self.width = _WIDTH
        self.height = round(max(_MIN_HEIGHT, spread_y * self._per_degree + 2 * _MARGIN), 1)
        self._west = west - (self.width / self._per_degree / self._shrink - (east - west)) / 2
        self._north = north + (self.height / self._per_degree - (north - south)) / 2
        self.m_per_unit = _M_PER_DEGREE / self._per_degree

    def at(self, lon: float, lat: float) -> tuple[float, float]:
        return (lon - self._west) * self._shrink * self._per_degree, (self._north - lat) * self._per_degree


def _outline(result: StructureResult, georeferences: Mapping[str, Georeference]) -> BaseGeometry | None:
    structure = result.structure
    if structure.footprint is not None:
        usable = structure.footprint.is_valid and not structure.footprint.is_empty
        return structure.footprint if usable else None
    georeference = georeferences.get(structure.raster_name or "")
    return None if georeference is None else lonlat_outline(georeference)


def _rings(outline: BaseGeometry) -> list[list[tuple[float, ...]]]:
    if hasattr(outline, "geoms"):
        return [ring for part in outline.geoms for ring in _rings(part)]
    if outline.geom_type != "Polygon":
        return []
    return [list(ring.coords) for ring in (outline.exterior, *outline.interiors)]


def _points(results: Sequence[StructureResult], pixel_class: PixelClass, frame: _Frame) -> str:
    spots = []
    for result in results:
        if unseen_reason(result) is not None:
            continue
        for defect in result.defects:
            if defect.pixel_class is pixel_class and defect.geometry is not None and not defect.geometry.is_empty:
                x, y = frame.at(*defect.geometry.representative_point().coords[0][:2])
                spots.append(f"M{round(2 * x) / 2:g} {round(2 * y) / 2:g}h0")
    return "".join(dict.fromkeys(spots))
