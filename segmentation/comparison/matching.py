"""Which defects of two surveys are the same: overlap of their geometry and distance along their graphs.

The older survey's geometries are registered first. One to many is allowed: a crack that was two and is now one is one
group. A crack belongs to another where at least half of one of them runs beside the other; mere crossings do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.comparison.records import SurveyDefect

Floats = npt.NDArray[np.float64]

_LEAST_LINE_SHARE: Final = 0.5
"""Of the length of one of two cracks, what must run beside the other."""
_LEAST_AREA_SHARE: Final = 0.3
"""Of the area of the smaller of two patches, what must lie in the other."""
_CROSSING_REACH: Final = 3.0
"""A line that crosses another runs beside it for less than this many times the reach."""
_REACH_PX: Final = 3.0
_STEP_SHARE: Final = 0.7
_MOST_SAMPLES: Final = 400


@dataclass(frozen=True, slots=True)
class Samples:
    """Points along a geometry, each standing for a piece of it."""

    points: Floats
    """``(N, 2)`` in metres."""
    weights: Floats
    """Length that each stands for, ``(N,)``."""


@dataclass(frozen=True, slots=True)
class Link:
    """One older and one newer defect that are, at least in part, the same."""

    older: int
    newer: int
    overlap: float
    """Length (cracks, m) or area (rust, m²) in common."""
    distance_m: float
    """Mean distance between them where they run beside each other; 0 for rust."""


@dataclass(frozen=True, slots=True)
class Group:
    """What belongs together; one side is empty where nothing matches."""

    older: tuple[int, ...]
    newer: tuple[int, ...]
    links: tuple[Link, ...]


def reach_m(defect: SurveyDefect, *, residual_m: float, gsd_m: float) -> float:
    """How far apart two surveys may see one line: registration, some pixels of either mask, and part of its width."""
    width_m = (defect.max_width_mm or 0.0) / 1000
    return 3 * residual_m + _REACH_PX * gsd_m + width_m / 4


def sampled(geometry: BaseGeometry, *, step_m: float) -> Samples:
    """Points along lines or outlines about `step_m` apart, at most some hundred; none for an empty geometry."""
    lines = shapely.get_parts(geometry if geometry.geom_type.endswith("LineString") else geometry.boundary)
    total_m = float(shapely.length(lines).sum())
    step_m = max(step_m, total_m / _MOST_SAMPLES)
    points, weights = [], []
    for line, length_m in zip(lines, shapely.length(lines), strict=True):
        count = max(1, round(length_m / step_m))
        at = (np.arange(count) + 0.5) * length_m / count
        points.append(shapely.get_coordinates(shapely.line_interpolate_point(line, at)))
        weights.append(np.full(count, length_m / count))
    if not points:
        return Samples(np.zeros((0, 2)), np.zeros(0))
    return Samples(np.concatenate(points), np.concatenate(weights))


def matched(
    older: Sequence[SurveyDefect], newer: Sequence[SurveyDefect], *, residual_m: float, gsd_m: float
) -> tuple[Group, ...]:
    """The groups of both surveys' defects, those of the newer one first, in their order.

    `older` is registered: its geometries lie where the newer survey states them.
    """
    links: list[Link] = []
    for pixel_class in (PixelClass.CRACK, PixelClass.RUST):
        ours = [index for index, defect in enumerate(older) if defect.pixel_class == pixel_class]
        theirs = [index for index, defect in enumerate(newer) if defect.pixel_class == pixel_class]
        if not ours or not theirs:
            continue
        reaches = np.array([reach_m(older[index], residual_m=residual_m, gsd_m=gsd_m) for index in ours])
        for one, other, reach in _near(older, newer, ours, theirs, reaches):
            compare = _line_link if pixel_class == PixelClass.CRACK else _area_link
            link = compare(one, other, older[one], newer[other], reach)
            if link is not None:
                links.append(link)
    return _grouped(len(older), len(newer), links)


def _near(
    older: Sequence[SurveyDefect], newer: Sequence[SurveyDefect], ours: list[int], theirs: list[int], reaches: Floats
) -> list[tuple[int, int, float]]:
    tree = shapely.STRtree([newer[index].geometry for index in theirs])
    geometries = np.array([older[index].geometry for index in ours], dtype=object)
    at_older, at_newer = tree.query(geometries, predicate="dwithin", distance=reaches)
    return [(ours[a], theirs[b], float(reaches[a])) for a, b in zip(at_older.tolist(), at_newer.tolist(), strict=True)]


def _line_link(one: int, other: int, before: SurveyDefect, now: SurveyDefect, reach: float) -> Link | None:
    step_m = _STEP_SHARE * reach
    ours, theirs = sampled(before.geometry, step_m=step_m), sampled(now.geometry, step_m=step_m)
    ours_beside, our_distance = _beside(ours, now.geometry, reach)
    theirs_beside, their_distance = _beside(theirs, before.geometry, reach)
    our_share = ours_beside / max(float(ours.weights.sum()), 1e-12)
    their_share = theirs_beside / max(float(theirs.weights.sum()), 1e-12)
    overlap = max(ours_beside, theirs_beside)
    mutual = min(our_share, their_share) >= _LEAST_LINE_SHARE
    if max(our_share, their_share) < _LEAST_LINE_SHARE or (overlap < _CROSSING_REACH * reach and not mutual):
        return None
    return Link(one, other, overlap, (our_distance + their_distance) / 2)


def _beside(samples: Samples, line: BaseGeometry, reach: float) -> tuple[float, float]:
    """(length of the samples within `reach` of a line, their mean distance from it)."""
    shapely.prepare(line)
    points = shapely.points(samples.points)
    near = shapely.dwithin(line, points, reach)
    if not near.any():
        return 0.0, 0.0
    distances = shapely.distance(points[near], line)
    return float(samples.weights[near].sum()), float(np.average(distances, weights=samples.weights[near]))


def _area_link(one: int, other: int, before: SurveyDefect, now: SurveyDefect, reach: float) -> Link | None:
    shared = float(shapely.area(shapely.intersection(before.geometry, now.geometry)))
    smaller = min(float(before.geometry.area), float(now.geometry.area))
    if shared < _LEAST_AREA_SHARE * smaller:
        # Specks a few pixels across may miss each other by the reach and still be the same.
        if min(before.geometry.length, now.geometry.length) > 8 * reach:
            return None
        shared = float(shapely.area(shapely.intersection(before.geometry.buffer(reach), now.geometry)))
        if shared < _LEAST_AREA_SHARE * smaller:
            return None
    return Link(one, other, shared, 0.0)


def _grouped(older_count: int, newer_count: int, links: list[Link]) -> tuple[Group, ...]:
    total = older_count + newer_count
    rows = np.array([link.newer for link in links], np.intp)
    cols = np.array([newer_count + link.older for link in links], np.intp)
    graph = coo_array((np.ones(len(links), np.int8), (rows, cols)), shape=(total, total))
    count, labels = connected_components(graph, directed=False)
    members: list[tuple[list[int], list[int], list[Link]]] = [([], [], []) for _ in range(count)]
    for node, label in enumerate(labels.tolist()):
        if node < newer_count:
            members[label][1].append(node)
        else:
            members[label][0].append(node - newer_count)
    for link in links:
        members[int(labels[link.newer])][2].append(link)
    groups = [Group(tuple(o), tuple(n), tuple(found)) for o, n, found in members if o or n]
    return tuple(sorted(groups, key=lambda g: (not g.newer, g.newer, g.older)))
