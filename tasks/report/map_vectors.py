"""Lines and outlines of the survey's map as whole numbers: simplified, quantised, each point told from the last."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

Geometries = npt.NDArray[np.object_]

_SIMPLIFY_SHARE: Final = 0.25
"""Tolerance of the simplification in steps: with the rounding, at most √½, no point is off by more than one step."""
_LARGEST: Final = 2**30

Paths = list[list[int]]
"""Lines or rings of one geometry: x₀, y₀, Δx₁, Δy₁, … in steps, a ring without its closing point."""


def fitting_step_m(geometries: Sequence[BaseGeometry], *, finest_m: float, most_points: int) -> float:
    """The least of 1, 2, 4, … times `finest_m` at which the simplified geometries have at most `most_points` points."""
    step_m = finest_m
    held = np.array(geometries, dtype=np.object_)
    while (simplified := _simplified(held, step_m)).size and _point_count(simplified) > most_points:
        if step_m > 2**20 * finest_m:
            break
        held, step_m = simplified, 2 * step_m
    return step_m


def encoded_paths(geometries: Sequence[BaseGeometry], *, step_m: float, origin: tuple[float, float]) -> list[Paths]:
    """The paths of each geometry (metres of the plane, lines or polygons), at most one step off.

    A geometry smaller than a step is a path of one point, an empty one has no path. Raises ValueError where a step is
    too fine for the distance from `origin`.
    """
    held = np.array(geometries, dtype=np.object_)
    simplified = _simplified(held, step_m)
    lines, owners = _lines(simplified)
    coordinates, line_of = shapely.get_coordinates(lines, return_index=True)
    steps = np.rint((coordinates - np.array(origin)) / step_m)
    if steps.size and np.abs(steps).max() > _LARGEST:
        raise ValueError(f"a step must be at least a 2³⁰th of the map, got {step_m} m")
    whole = steps.astype(np.int64)
    first = np.ones(len(whole), np.bool_)
    first[1:] = line_of[1:] != line_of[:-1]
    moves = np.ones_like(whole)
    moves[1:] = whole[1:] - whole[:-1]
    moves[first] = whole[first]
    kept = first | (moves != 0).any(axis=1)
    # Points that fall on the one before add nothing; the steps between those that are kept stay the same.
    numbers, line_of = moves[kept], line_of[kept]
    paths: list[Paths] = [[] for _ in held]
    starts = np.searchsorted(line_of, np.arange(len(lines) + 1))
    for line, owner in enumerate(owners.tolist()):
        paths[owner].append(numbers[starts[line] : starts[line + 1]].ravel().tolist())
    return [_without_specks(one) for one in paths]


def _without_specks(paths: Paths) -> Paths:
    """Rings and lines that fell on one point go where there are others."""
    large = [path for path in paths if len(path) > 2]
    return large or paths[:1]


def _simplified(geometries: Geometries, step_m: float) -> Geometries:
    """Simplified without regard to topology; what vanishes stays as it was."""
    simplified = shapely.simplify(geometries, _SIMPLIFY_SHARE * step_m, preserve_topology=False)
    lost = shapely.is_empty(simplified) & ~shapely.is_empty(geometries)
    result: Geometries = np.where(lost, geometries, simplified)
    return result


def _lines(geometries: Geometries) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Every line and every ring, rings open, with the index of the geometry that each belongs to."""
    parts, owners = shapely.get_parts(geometries, return_index=True)
    kinds = shapely.get_type_id(parts)
    polygons, lines = kinds == shapely.GeometryType.POLYGON, kinds == shapely.GeometryType.LINESTRING
    rings, ring_of = shapely.get_rings(parts[polygons], return_index=True)
    points, point_of = shapely.get_coordinates(rings, return_index=True)
    last = np.ones(len(points), np.bool_)
    last[:-1] = point_of[1:] != point_of[:-1]
    opened = shapely.linestrings(points[~last], indices=point_of[~last]) if len(rings) else np.empty(0, np.object_)
    all_lines = np.concatenate([parts[lines], opened])
    all_owners = np.concatenate([owners[lines], owners[polygons][ring_of]])
    order = np.argsort(all_owners, kind="stable")
    return all_lines[order], all_owners[order]


def _point_count(geometries: Geometries) -> int:
    return int(shapely.get_num_coordinates(geometries).sum())
