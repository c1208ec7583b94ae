"""Cracks joined across the gaps at which they were not seen.

A crack fades out where it closes, where it is painted over, where a shadow lies; it is one crack all the same when it
goes on in line. Two open ends are joined when they are at most `gap_px` apart and each lies ahead of the other: in
the direction of its line, beside it by no more than 2 px + a quarter of the gap, and the two lines differ by at most
35°. Where an end has several partners the nearest and straightest pair comes first; each end is joined once, and no
crack to itself. The bridged length counts as length and is stated apart (`CrackMeasure.bridged_m`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from shapely.geometry import MultiLineString

from segmentation.georeference import Floats, Georeference
from segmentation.measurement.cuts import MeasuredComponent
from segmentation.measurement.merging import merged_defect, put_together, to_lonlat
from segmentation.records import CrackEnd, Defect

Ints = npt.NDArray[np.intp]

_BESIDE_PX = 2.0
_BESIDE_SHARE = 0.25
_MOST_TURN_DEG = 35.0


@dataclass(frozen=True, slots=True)
class Bridge:
    """A gap between two open ends that is bridged."""

    gap_m: float
    """Its length on the ground."""
    one: CrackEnd
    other: CrackEnd
    cracks: tuple[int, int]
    """Numbers of the cracks that it joins."""


def bridges(ends: Sequence[Sequence[CrackEnd]], *, georeference: Georeference, gap_px: float) -> tuple[Bridge, ...]:
    """The gaps to be bridged between cracks with these open ends: the same gaps for any order of the cracks."""
    owner = np.array([number for number, own in enumerate(ends) for _ in own], np.intp)
    flat = [end for own in ends for end in own]
    if gap_px <= 0 or len(flat) < 2:
        return ()
    scale = georeference.centre_scale()
    matrix = np.array([[scale.east_per_row_m, scale.north_per_row_m], [scale.east_per_col_m, scale.north_per_col_m]])
    found = matched_ends(
        np.array([(end.row, end.col) for end in flat]) @ matrix / scale.gsd_m,
        np.array([end.heading_deg for end in flat]),
        owner=owner,
        apart=owner,
        keys=[_key(end) for end in flat],
        gap_px=gap_px,
        beside_px=_BESIDE_PX,
    )
    return tuple(
        Bridge(gap * scale.gsd_m, flat[one], flat[other], (int(owner[one]), int(owner[other])))
        for one, other, gap in found
    )


def matched_ends(
    places: Floats,
    headings_deg: Floats,
    *,
    owner: Ints,
    apart: Ints,
    keys: Sequence[tuple[object, ...]],
    gap_px: float,
    beside_px: float,
) -> list[tuple[int, int, float]]:
    """Pairs of ends that go on as each other, by their numbers, and the gap between them in ground pixels.

    `places` ``(N, 2)`` are (east, north) in ground pixels; `owner` ``(N,)`` the crack of each end; ends of one number
    in `apart` ``(N,)`` are never joined. Ends may lie `beside_px` beside each other, or overlap by so much. The same
    pairs for any order of the ends, whose `keys` part them.
    """
    heading = np.radians(headings_deg)
    ways = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    pairs = cKDTree(places).query_pairs(gap_px, output_type="ndarray")
    pairs = pairs[(apart[pairs[:, 0]] != apart[pairs[:, 1]]) & (owner[pairs[:, 0]] != owner[pairs[:, 1]])]
    gap, beside, fit = _fit(places, ways, pairs, beside_px)
    order = sorted(
        np.flatnonzero(fit).tolist(),
        key=lambda k: (round(float(gap[k] + 2 * beside[k]), 9), *sorted(keys[i] for i in pairs[k])),
    )
    root = list(range(int(owner.max()) + 1))
    used: set[int] = set()
    chosen = []
    for k in order:
        one, other = sorted((int(i) for i in pairs[k]), key=lambda i: keys[i])
        roots = _root(root, int(owner[one])), _root(root, int(owner[other]))
        if one in used or other in used or roots[0] == roots[1]:
            continue
        used |= {one, other}
        root[max(roots)] = min(roots)
        chosen.append((one, other, float(gap[k])))
    return chosen


def joined_cracks(
    cracks: Sequence[Defect], *, georeference: Georeference, gap_px: float
) -> list[tuple[tuple[int, ...], Defect]]:
    """Cracks of one raster joined, each with the numbers of those it was made of, ascending.

    Cracks of different structures, or named parts of one, stay apart.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for number, crack in enumerate(cracks):
        groups.setdefault((crack.structure_id, crack.component_id or ""), []).append(number)
    joined = []
    for numbers in groups.values():
        ends = [_ends(cracks[number]) for number in numbers]
        found = bridges(ends, georeference=georeference, gap_px=gap_px)
        root = list(range(len(numbers)))
        for bridge in found:
            low, high = sorted(_root(root, number) for number in bridge.cracks)
            root[high] = low
        members: dict[int, list[int]] = {}
        for number in range(len(numbers)):
            members.setdefault(_root(root, number), []).append(number)
        for first, own in members.items():
            within = [bridge for bridge in found if _root(root, bridge.cracks[0]) == first]
            # In the order of their places, so that sums do not depend on the order they came in.
            parts = sorted((cracks[numbers[number]] for number in own), key=lambda part: (part.window, part.area_m2))
            joined.append((tuple(numbers[number] for number in own), _bridged(parts, within, georeference)))
    return sorted(joined, key=lambda pair: pair[0])


def joined_components(
    measured: Sequence[MeasuredComponent], *, georeference: Georeference, gap_px: float, min_crack_length_px: float
) -> tuple[MeasuredComponent, ...]:
    """The components of one raster with their cracks joined: a joined crack stands where its first part stood.

    Cracks that were too short to be listed are listed where they continue another or make a long one together.
    """
    places = [(n, crack, False) for n, one in enumerate(measured) for crack in one.defects if crack.crack is not None]
    places += [(n, crack, True) for n, one in enumerate(measured) for crack in one.short_cracks]
    least_m = min_crack_length_px * georeference.centre_scale().gsd_m
    listed: dict[int, list[Defect]] = {}
    rescued: dict[int, list[Defect]] = {}
    whole_cracks = joined_cracks([crack for _, crack, _ in places], georeference=georeference, gap_px=gap_px)
    for numbers, whole in whole_cracks:
        parts = [places[number] for number in numbers]
        together_m = whole.crack.length_m if whole.crack is not None else 0.0
        if all(short for _, _, short in parts) and (len(parts) == 1 or together_m < least_m):
            continue
        listed.setdefault(parts[0][0], []).append(whole)
        for number, crack, short in parts:
            if short:
                rescued.setdefault(number, []).append(crack)
    return tuple(
        _with_cracks(one, listed.get(number, []), rescued.get(number, [])) for number, one in enumerate(measured)
    )


def _with_cracks(one: MeasuredComponent, cracks: Sequence[Defect], rescued: Sequence[Defect]) -> MeasuredComponent:
    length_m = sum(crack.crack.length_m for crack in rescued if crack.crack is not None)
    return replace(
        one,
        defects=(*(defect for defect in one.defects if defect.crack is None), *cracks),
        omitted_cracks=one.omitted_cracks if len(rescued) < max(1, len(one.short_cracks)) else 0,
        omitted_length_m=max(0.0, one.omitted_length_m - length_m),
        omitted_area_m2=max(0.0, one.omitted_area_m2 - sum(crack.area_m2 for crack in rescued)),
        short_cracks=(),
    )


def _fit(places: Floats, ways: Floats, pairs: np.ndarray, beside_px: float) -> tuple[Floats, Floats, np.ndarray]:
    """(gap, offset to the side, whether the pair may be joined), each ``(P,)``, in ground pixels."""
    one, other = pairs[:, 0], pairs[:, 1]
    between = places[other] - places[one]
    gap = np.hypot(*between.T)
    ahead = np.minimum((between * ways[one]).sum(axis=1), -(between * ways[other]).sum(axis=1))
    beside = np.maximum(np.abs(_cross(between, ways[one])), np.abs(_cross(between, ways[other])))
    turn = -(ways[one] * ways[other]).sum(axis=1)
    in_line = (beside <= beside_px + _BESIDE_SHARE * gap) & (turn >= np.cos(np.radians(_MOST_TURN_DEG)))
    # Ends that touch may overlap by the width of the line.
    return gap, beside, in_line & (ahead > -beside_px)


def _cross(one: Floats, other: Floats) -> Floats:
    cross: Floats = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return cross


def _key(end: CrackEnd) -> tuple[float, float, float]:
    return (end.row, end.col, end.heading_deg)


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        number = parent[number]
    return number


def _ends(crack: Defect) -> tuple[CrackEnd, ...]:
    return crack.crack.ends if crack.crack is not None else ()


def _bridged(parts: Sequence[Defect], found: Sequence[Bridge], georeference: Georeference) -> Defect:
    whole = merged_defect(parts)
    if not found or whole.crack is None:
        return whole
    lines = MultiLineString([[(b.one.col, b.one.row), (b.other.col, b.other.row)] for b in found])
    used = {_key(end) for bridge in found for end in (bridge.one, bridge.other)}
    bridged_m = sum(sorted(bridge.gap_m for bridge in found))
    placed = to_lonlat(lines, georeference)
    return replace(
        whole,
        pixel_geometry=put_together([whole.pixel_geometry, lines]),
        geometry=put_together([whole.geometry, placed]) if whole.geometry is not None and placed is not None else None,
        crack=replace(
            whole.crack,
            length_m=whole.crack.length_m + bridged_m,
            ends=tuple(end for end in whole.crack.ends if _key(end) not in used),
            bridged_m=whole.crack.bridged_m + bridged_m,
            bridged_gaps=whole.crack.bridged_gaps + len(found),
        ),
    )
