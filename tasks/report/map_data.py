"""What the survey's interactive map draws, as plain numbers and words for the page's script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.records import Defect, StructureResult
from tasks.report.findings import defect_state
from tasks.report.index_rows import IndexRow
from tasks.report.map_pictures import MOST_PICTURES, MapPicture, map_pictures
from tasks.report.map_plane import MapPlane, map_plane, outline_on
from tasks.report.map_vectors import encoded_paths, fitting_step_m
from tasks.report.pictures import RasterPictures
from tasks.report.severity import Severity, severity_of, unseen_reason
from tasks.report.wording import (
    NOT_MEASURED,
    area_text,
    clean_text,
    count_text,
    number_text,
    width_text,
    with_unit,
)

MOST_DEFECTS: Final = 40_000
"""Defects that are drawn, the worst first."""
_MOST_POINTS: Final = 500_000
"""Points of all lines: some 3 MB."""
_PICTURE_BYTES: Final = 6_500_000
_SMALLEST_STEP_M: Final = 0.001


@dataclass(frozen=True, slots=True)
class InteractiveMap:
    """The data of the page's script, and what the reader must know of it."""

    data: dict[str, Any]
    """Structures and defects; coordinates in steps from `data["origin"]`."""
    pictures: list[dict[str, Any]]
    """Imagery and mask of the rasters."""
    notes: tuple[str, ...]
    """Sentences: what is simplified, what is not drawn, what has no place on the earth."""


def interactive_map(
    results: Sequence[StructureResult],
    rows: Sequence[IndexRow],
    georeferences: Mapping[str, Georeference],
    pictures: RasterPictures | None,
    *,
    pictured_count: int,
) -> InteractiveMap | None:
    """The map of the structures in `rows`, which name their results by number; None where nothing has a place.

    `pictured_count`: defects of each structure that its report shows under an anchor of their own.
    """
    shown = [results[row.number - 1] for row in rows]
    plane = map_plane(shown, georeferences)
    if plane is None:
        return None
    defects, hidden_count = _drawn_defects(results, rows)
    outlines = [outline_on(plane, result, georeferences) or shapely.Polygon() for result in shown]
    lines = _on_plane(plane, [defect for _, _, defect in defects], georeferences)
    finest_m = max(min((g.centre_scale().gsd_m for g in georeferences.values()), default=0.01), _SMALLEST_STEP_M)
    west, south, east, north = plane.bounds
    finest_m = max(finest_m, max(east - west, north - south) / 2**24)
    step_m = fitting_step_m([*outlines, *lines], finest_m=finest_m, most_points=_MOST_POINTS)
    origin = (west, south)
    states: dict[Severity, int] = {}
    data: dict[str, Any] = {
        "step": step_m,
        "origin": origin,
        "bounds": [round(bound, 4) for bound in plane.bounds],
        "maxZoom": ceil(log2(4 / finest_m)),
        "pictured": pictured_count,
        "structures": _structures(rows, outlines, encoded_paths(outlines, step_m=step_m, origin=origin), origin),
        "defects": _defects(defects, encoded_paths(lines, step_m=step_m, origin=origin), states),
    }
    data["states"] = [{"word": severity.word, "css": severity.css} for severity in states]
    overviews = []
    if pictures is not None:
        names = _pictured_rasters(results, georeferences)
        overviews = map_pictures(names, georeferences, plane, pictures, max_bytes=_PICTURE_BYTES)
    notes = [
        f"Lines are drawn to within {_size(step_m)}; the reports and the files hold them in full.",
        *_notes(plane, georeferences, overviews, drawn=[not outline.is_empty for outline in outlines], rows=rows),
    ]
    if hidden_count:
        notes.append(f"{count_text(hidden_count, 'defect', 'defects')} of the mildest states are not drawn.")
    return InteractiveMap(data, [_picture(one, georeferences) for one in overviews], tuple(notes))


def _drawn_defects(
    results: Sequence[StructureResult], rows: Sequence[IndexRow]
) -> tuple[list[tuple[int, int, Defect]], int]:
    """(index of its row, number in its report, defect), mildest first so that the worst lie on top; how many not."""
    found = [
        (index, number, defect)
        for index, row in enumerate(rows)
        if unseen_reason(results[row.number - 1]) is None
        for number, defect in enumerate(results[row.number - 1].defects, start=1)
    ]
    ranks = [severity_of(defect_state(defect)).rank for _, _, defect in found]
    worst_first = sorted(range(len(found)), key=lambda at: -ranks[at])[:MOST_DEFECTS]
    return [found[at] for at in reversed(worst_first)], len(found) - len(worst_first)


def _on_plane(
    plane: MapPlane, defects: Sequence[Defect], georeferences: Mapping[str, Georeference]
) -> list[BaseGeometry]:
    """Each defect in metres of the plane; empty where it has no geometry."""
    lines = np.array([shapely.MultiLineString()] * len(defects), dtype=np.object_)
    of_raster: dict[str, list[int]] = {}
    for index, defect in enumerate(defects):
        local = georeferences[defect.raster_name].is_local
        of_raster.setdefault(defect.raster_name if local else "", []).append(index)
    for name, own in of_raster.items():
        if name:
            georeference = georeferences[name]
            pixels = np.array([defects[index].pixel_geometry for index in own], dtype=np.object_)
            lines[own] = shapely.transform(pixels, lambda points, n=name, g=georeference: plane.of_pixels(n, g, points))
        else:
            empty = shapely.MultiLineString()
            lonlat = np.array([defects[index].geometry or empty for index in own], dtype=np.object_)
            lines[own] = shapely.transform(lonlat, plane.of_lonlat)
    return list(lines)


def _structures(
    rows: Sequence[IndexRow],
    outlines: Sequence[BaseGeometry],
    paths: Sequence[list[list[int]]],
    origin: tuple[float, float],
) -> list[dict[str, Any]]:
    structures = []
    for row, outline, rings in zip(rows, outlines, paths, strict=True):
        place = None
        if not outline.is_empty:
            point = outline.representative_point()
            place = [round(point.x - origin[0], 4), round(point.y - origin[1], 4)]
        structures.append(
            {
                "number": row.number,
                "name": row.name,
                "word": row.severity.word,
                "css": row.severity.css,
                "rank": row.severity.rank,
                "found": row.found,
                "href": next((link.href for link in row.links if link.label == "HTML"), None),
                "at": place,
                "paths": rings,
            }
        )
    return structures


def _defects(
    defects: Sequence[tuple[int, int, Defect]], paths: Sequence[list[list[int]]], states: dict[Severity, int]
) -> dict[str, list[Any]]:
    """One list per property, in the order of drawing; `states` gets the states that occur, by their place in it."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("ids", "structures", "numbers", "classes", "states", "texts", "paths")
    }
    for (index, number, defect), lines in zip(defects, paths, strict=True):
        severity = severity_of(defect_state(defect))
        columns["ids"].append(clean_text(defect.id, most_chars=40))
        columns["structures"].append(index)
        columns["numbers"].append(number)
        columns["classes"].append(int(defect.pixel_class is PixelClass.RUST))
        columns["states"].append(states.setdefault(severity, len(states)))
        columns["texts"].append(size_text(defect))
        columns["paths"].append(lines)
    return columns


def size_text(defect: Defect) -> str:
    """The size of a defect in a few words: a crack's largest width with its ± and its length, a patch's area."""
    measure = defect.crack
    if measure is None:
        return area_text(defect.area_m2)
    width = width_text(
        measure.max_width_mm,
        uncertainty_mm=measure.width_uncertainty_mm,
        resolvable_mm=measure.resolvable_width_mm,
        below_resolution=defect.below_resolution,
    )
    wide = f"width {NOT_MEASURED}" if width == NOT_MEASURED else f"{width} wide"
    return f"{wide}, {with_unit(measure.length_m, 'm')} long"


def _pictured_rasters(results: Sequence[StructureResult], georeferences: Mapping[str, Georeference]) -> list[str]:
    """The rasters whose pictures are drawn: where there are too many, those with the most defects."""
    counts = dict.fromkeys(sorted(georeferences), 0)
    for result in results:
        for defect in result.defects:
            counts[defect.raster_name] += 1
    return sorted(counts, key=lambda name: -counts[name])[:MOST_PICTURES]


def _picture(picture: MapPicture, georeferences: Mapping[str, Georeference]) -> dict[str, Any]:
    return {
        "name": clean_text(picture.name, most_chars=200),
        "local": georeferences[picture.name].is_local,
        "bounds": [round(bound, 4) for bound in picture.bounds],
        "imagery": picture.imagery,
        "mask": picture.mask,
    }


def _notes(
    plane: MapPlane,
    georeferences: Mapping[str, Georeference],
    overviews: Sequence[MapPicture],
    *,
    drawn: Sequence[bool],
    rows: Sequence[IndexRow],
) -> list[str]:
    notes = []
    if overviews:
        coarsest_m = max(picture.m_per_px for picture in overviews)
        notes.append(
            f"Imagery and mask are overviews of up to {_size(coarsest_m)} per pixel; thin damage looks wider in "
            "them than it is."
        )
        if len(overviews) < len(georeferences):
            notes.append(f"{len(georeferences) - len(overviews)} further rasters are not pictured.")
    if plane.local:
        names = ", ".join(clean_text(name, most_chars=80) for name in list(plane.local)[:12])
        more = f" and {len(plane.local) - 12} more" if len(plane.local) > 12 else ""
        notes.append(
            f"Without a place on the earth, and so laid out side by side at their true size: {names}{more}. Distances "
            "between them mean nothing."
        )
    unplaced = [row.name for row, is_drawn in zip(rows, drawn, strict=True) if not is_drawn]
    if unplaced:
        more = f" and {len(unplaced) - 12} more" if len(unplaced) > 12 else ""
        notes.append(f"Not drawn, for want of a usable outline: {', '.join(unplaced[:12])}{more}.")
    return notes


def _size(size_m: float) -> str:
    return with_unit(size_m, "m", digits=2) if size_m >= 1 else f"{number_text(1000 * size_m, digits=2)}\u00a0mm"
