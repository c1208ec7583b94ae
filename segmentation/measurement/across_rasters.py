"""Cracks joined across the rasters of a survey: what one raster shows up to the seam, the next one goes on with.

A place is measured in one raster alone (`segmentation.measurement.ownership`), so a crack that runs over the seam comes
as one part per raster, each cut where the other raster takes over. Where both have a place on the earth, an open or cut
end of the one and one of the other are joined by the rule of `segmentation.measurement.joining`, in metres on the
ground; the two rasters may lie beside each other by a few pixels. What lies between the ends counts as length, what
both rasters show of it once; as bridged it is told from 2 px on. The whole is listed in the raster that shows its
widest place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely.geometry import MultiLineString, box
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Floats, Georeference, PixelScale
from segmentation.measurement.cuts import MeasuredComponent
from segmentation.measurement.joining import matched_ends
from segmentation.measurement.merging import merged_defect
from segmentation.records import CrackEnd, Defect
from segmentation.windows import Window

_METRES_PER_DEGREE = 111_195.0
"""Of latitude on the mean sphere: 0.6 % at most from the ellipsoid, which a gap can bear."""
_SAME_PLACE_PX = 3.0
"""Ends of lines this near to one another meet there, and are no cut."""
_DIRECTION_PX = 20.0
"""Length of line from which the direction of a cut end is taken."""
_MISPLACED_PX = 6.0
"""So far may two rasters show the same place from one another."""
_TOUCHING_PX = 2.0
"""A gap up to this is the seam, and no bridge."""


@dataclass(frozen=True, slots=True)
class _Join:
    """Cracks that are one."""

    cracks: list[int]
    """Their numbers, ascending."""
    gaps_m: list[float]
    """How far the ends that were joined lie apart; < 0 where the two rasters' lines run side by side."""
    used: set[tuple[object, ...]]
    """The keys of those ends."""


@dataclass(frozen=True, slots=True)
class _Open:
    """An end at which a crack may go on in another raster."""

    crack: int
    end: CrackEnd
    key: tuple[object, ...]
    """The same for any order of the cracks."""


def joined_across_rasters(
    measured: Sequence[MeasuredComponent], *, georeferences: Mapping[str, Georeference], gap_px: float
) -> tuple[MeasuredComponent, ...]:
    """The components of all rasters with their cracks joined across rasters; a joined crack stands where its first part
    stood. `georeferences` by the rasters' names; gaps are in pixels of the coarser raster. Order does not matter."""
    places = [(n, crack) for n, one in enumerate(measured) for crack in one.defects if crack.crack is not None]
    groups: dict[tuple[str, str], list[int]] = {}
    for number, (_, crack) in enumerate(places):
        if not georeferences[crack.raster_name].is_local:
            groups.setdefault((crack.structure_id, crack.component_id or ""), []).append(number)
    whole_of: dict[int, Defect] = {}
    gone: set[int] = set()
    for numbers in groups.values():
        cracks = [places[number][1] for number in numbers]
        if len({crack.raster_name for crack in cracks}) < 2:
            continue
        for join in _joins(cracks, georeferences, gap_px):
            parts = [_without_ends(cracks[k], join.used) for k in join.cracks]
            whole_of[numbers[join.cracks[0]]] = _whole(parts, join.gaps_m, georeferences)
            gone.update(numbers[k] for k in join.cracks[1:])
    if not whole_of:
        return tuple(measured)
    kept: dict[int, list[Defect]] = {}
    for number, (owner, crack) in enumerate(places):
        if number not in gone:
            kept.setdefault(owner, []).append(whole_of.get(number, crack))
    return tuple(
        replace(one, defects=(*(d for d in one.defects if d.crack is None), *kept.get(n, ())))
        for n, one in enumerate(measured)
    )


def _joins(cracks: Sequence[Defect], georeferences: Mapping[str, Georeference], gap_px: float) -> list[_Join]:
    """Each crack of several parts."""
    ends = [
        end
        for number, crack in enumerate(cracks)
        for end in _open_ends(number, crack, georeferences[crack.raster_name])
    ]
    if gap_px <= 0 or len(ends) < 2:
        return []
    gsd_m = max(georeferences[crack.raster_name].centre_scale().gsd_m for crack in cracks)
    rasters = [cracks[end.crack].raster_name for end in ends]
    places = _metres(ends, rasters, georeferences) / gsd_m
    headings_deg = np.array([end.end.heading_deg for end in ends])
    found = matched_ends(
        places,
        headings_deg,
        owner=np.array([end.crack for end in ends]),
        apart=np.unique(rasters, return_inverse=True)[1],
        keys=[end.key for end in ends],
        gap_px=gap_px,
        beside_px=_MISPLACED_PX,
    )
    members: dict[int, set[int]] = {}
    joins: dict[int, list[tuple[int, int, float]]] = {}
    for one, other, gap in found:
        low, high = sorted((ends[one].crack, ends[other].crack))
        sets = members.get(low, {low}), members.get(high, {high})
        lists = joins.get(low, []), joins.get(high, [])
        together = sets[0] | sets[1]
        ways = np.radians(headings_deg[[one, other]])
        way = np.array([np.cos(ways[0]) - np.cos(ways[1]), np.sin(ways[0]) - np.sin(ways[1])]) / 2
        ahead = float((places[other] - places[one]) @ way)
        made = [*lists[0], *([] if sets[0] is sets[1] else lists[1]), (one, other, gap if ahead > 0 else ahead)]
        for crack in together:
            members[crack], joins[crack] = together, made
    return [
        _Join(
            sorted(own),
            [gap * gsd_m for _, _, gap in joins[k]],
            {ends[number].key for one, other, _ in joins[k] for number in (one, other)},
        )
        for k, own in members.items()
        if k == min(own)
    ]


def _without_ends(crack: Defect, used: set[tuple[object, ...]]) -> Defect:
    """The crack without the ends at which it goes on in another raster."""
    assert crack.crack is not None
    kept = tuple(end for end in crack.crack.ends if _key(crack, end) not in used)
    return replace(crack, crack=replace(crack.crack, ends=kept))


def _key(crack: Defect, end: CrackEnd) -> tuple[object, ...]:
    return (crack.raster_name, end.row, end.col, end.heading_deg)


def _open_ends(number: int, crack: Defect, georeference: Georeference) -> list[_Open]:
    """The open ends of a crack, and those at which a border cut it off."""
    assert crack.crack is not None
    found = list(crack.crack.ends)
    lines = [shapely.get_coordinates(line) for line in shapely.get_parts(crack.pixel_geometry)]
    tips = np.array([line[at] for line in lines for at in (0, -1)])
    for k, tip in enumerate(tips):
        near = np.hypot(*(tips - tip).T) < _SAME_PLACE_PX
        near[k] = False
        told = any(np.hypot(end.col - tip[0], end.row - tip[1]) < _SAME_PLACE_PX for end in crack.crack.ends)
        if not near.any() and not told:
            line = lines[k // 2]
            found.append(_cut_end(line if k % 2 else line[::-1], georeference.centre_scale()))
    return [_Open(number, end, _key(crack, end)) for end in found]


def _cut_end(line: Floats, scale: PixelScale) -> CrackEnd:
    """The last point of a line ``(N, 2)`` of (col, row), and the way that it goes on there."""
    away = np.hypot(*(line - line[-1]).T)
    beyond = np.flatnonzero(away > _DIRECTION_PX)
    d_col, d_row = line[-1] - line[beyond[-1] if beyond.size else 0]
    east = d_row * scale.east_per_row_m + d_col * scale.east_per_col_m
    north = d_row * scale.north_per_row_m + d_col * scale.north_per_col_m
    return CrackEnd(float(line[-1, 1]), float(line[-1, 0]), float(np.degrees(np.arctan2(north, east))) % 360.0)


def _metres(ends: Sequence[_Open], rasters: Sequence[str], georeferences: Mapping[str, Georeference]) -> Floats:
    """(east, north) ``(N, 2)`` of the ends in one plane on the ground."""
    lonlat = np.empty((len(ends), 2))
    for name in sorted(set(rasters)):
        own = np.array([raster == name for raster in rasters])
        rows = np.array([one.end.row for one, is_own in zip(ends, own, strict=True) if is_own])
        cols = np.array([one.end.col for one, is_own in zip(ends, own, strict=True) if is_own])
        lonlat[own] = np.stack(georeferences[name].lonlat_from_pixel(rows, cols), axis=1)
    first = lonlat.min(axis=0)
    scale = np.array([_METRES_PER_DEGREE * np.cos(np.radians(first[1])), _METRES_PER_DEGREE])
    metres: Floats = (lonlat - first) * scale
    return metres


def _whole(parts: Sequence[Defect], gaps_m: Sequence[float], georeferences: Mapping[str, Georeference]) -> Defect:
    """One crack of parts in several rasters, listed in the raster that shows its widest place."""
    ordered = sorted(parts, key=lambda part: (*_breadth(part), part.raster_name, part.window))
    main = ordered[0]
    own = georeferences[main.raster_name]
    placed = [_placed(part, main, georeferences[part.raster_name], own) for part in ordered]
    whole = merged_defect(placed)
    assert whole.crack is not None
    touching_m = _TOUCHING_PX * max(georeferences[part.raster_name].centre_scale().gsd_m for part in parts)
    bridged = [gap for gap in sorted(gaps_m) if gap > touching_m]
    return replace(
        whole,
        crack=replace(
            whole.crack,
            length_m=whole.crack.length_m + sum(sorted(gaps_m)),
            bridged_m=whole.crack.bridged_m + sum(bridged),
            bridged_gaps=whole.crack.bridged_gaps + len(bridged),
        ),
    )


def _breadth(part: Defect) -> tuple[bool, float, float]:
    """Smallest for the part whose widest place is the whole crack's: a width told by the image comes first."""
    assert part.crack is not None
    return (part.crack.width_method != "profile", -part.crack.max_width_mm, -part.crack.length_m)


def _placed(part: Defect, main: Defect, theirs: Georeference, own: Georeference) -> Defect:
    """A part as it lies in the pixels of the main part's raster."""
    if part.raster_name == main.raster_name:
        return part
    assert part.crack is not None

    def moved(points: Floats) -> Floats:
        rows, cols = own.pixel_from_lonlat(*theirs.lonlat_from_pixel(points[:, 1], points[:, 0]))
        return np.stack([cols, rows], axis=1)

    def place(at: tuple[float, float]) -> tuple[float, float]:
        col, row = moved(np.array([[at[1], at[0]]]))[0].tolist()
        return (row, col)

    lines = _lines_of(shapely.transform(part.pixel_geometry, moved).intersection(box(0, 0, own.width, own.height)))
    window = main.window
    if not lines.is_empty:
        left, top, right, bottom = (int(x) for x in (*np.floor(lines.bounds[:2]), *np.ceil(lines.bounds[2:])))
        window = Window(top, max(bottom, top + 1), left, max(right, left + 1)).clip(own.height, own.width)
    ends = tuple(CrackEnd(*place((end.row, end.col)), end.heading_deg) for end in part.crack.ends)
    branches = tuple(replace(b, widest_at=b.widest_at and place(b.widest_at)) for b in part.crack.branches)
    measure = replace(part.crack, widest_at=place(part.crack.widest_at), ends=ends, branches=branches)
    return replace(part, raster_name=main.raster_name, window=window, pixel_geometry=lines, crack=measure)


def _lines_of(geometry: BaseGeometry) -> MultiLineString:
    parts = [line for part in shapely.get_parts(geometry) for line in shapely.get_parts(part)]
    return MultiLineString([line for line in parts if line.geom_type == "LineString" and not line.is_empty])
