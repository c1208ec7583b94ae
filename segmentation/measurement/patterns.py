"""How the cracks of a structure lie to one another: their spacing and their pattern.

*Spacing*: the median, by length, of the distance from a crack to the nearest other crack. A crack that is a net (four
junctions or more) is also spaced within itself: by s = 2·A / L, the side of the squares of a net of length L that
covers the area A, here that of the net's convex hull; the smaller of the two counts. So map cracking that hangs
together in one crack is spaced as closely as its cells. Grades and reports state this one spacing.

*Pattern*, a rule of this project's own, after what inspection manuals tell apart by eye:

- `map`: the lines have no common direction (concentration below 0.5) and form a net: four junctions or more, or four
  cracks or more that are nearer to one another than they are long;
- `parallel`: three cracks or more of one direction (concentration 0.7 and more), nearer to one another than they
  are long;
- `isolated`: everything else, where there is a crack.

The concentration is |Σ L·e^(2iθ)| / Σ L over all branches of length L and direction θ: 1 for parallel lines, 0 for
lines of all directions. "As long" is the median length of the cracks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Floats
from segmentation.records import Defect

Ints = npt.NDArray[np.intp]

_METRES_PER_DEGREE = 111_195.0
"""Of latitude on the mean sphere: 0.6 % at most from the ellipsoid, which a spacing can bear."""
_SAMPLES = 4000
"""Points along all cracks of a structure."""
_NEIGHBOURS = 48
_LEAST_STEP_M = 0.005
_NET_JUNCTIONS = 4
"""From so many junctions on lines form a net."""


@dataclass(frozen=True, slots=True)
class CrackPattern:
    """Spacing and pattern of the cracks of one structure."""

    spacing_m: float | None
    """None with fewer than two cracks and no net."""
    pattern: str | None
    """``isolated``, ``parallel`` or ``map``; None without cracks."""


def crack_pattern(cracks: Sequence[Defect], *, gsd_m: float) -> CrackPattern:
    """The pattern of the cracks of one structure, in any order; `gsd_m` scales cracks without a place on the earth."""
    if not cracks:
        return CrackPattern(None, None)
    lines = [_metres(crack, cracks, gsd_m) for crack in cracks]
    nets_m = [_net_spacing_m(crack, line) for crack, line in zip(cracks, lines, strict=True)]
    spacing_m = _spacing_m(lines, nets_m)
    typical_m = float(np.median([crack.crack.length_m for crack in cracks if crack.crack is not None]))
    near = spacing_m is not None and spacing_m <= typical_m
    concentration = _concentration(cracks)
    junctions = sum(crack.crack.junction_count for crack in cracks if crack.crack is not None)
    if concentration < 0.5 and (junctions >= _NET_JUNCTIONS or (len(cracks) >= 4 and near)):
        return CrackPattern(spacing_m, "map")
    if concentration >= 0.7 and len(cracks) >= 3 and near:
        return CrackPattern(spacing_m, "parallel")
    return CrackPattern(spacing_m, "isolated")


def _concentration(cracks: Sequence[Defect]) -> float:
    branches = [branch for crack in cracks if crack.crack is not None for branch in crack.crack.branches]
    length = np.array([branch.length_m for branch in branches])
    turn = np.radians([2 * branch.orientation_deg for branch in branches])
    return float(np.abs((length * np.exp(1j * turn)).sum()) / length.sum()) if branches else 1.0


def _metres(crack: Defect, cracks: Sequence[Defect], gsd_m: float) -> BaseGeometry:
    """Centre lines in a plane of metres that all cracks of the structure share."""
    if crack.geometry is None:
        return shapely.transform(crack.pixel_geometry, lambda points: points * gsd_m)
    first = min((other.geometry.bounds[:2] for other in cracks if other.geometry is not None), default=(0.0, 0.0))
    scale = np.array([_METRES_PER_DEGREE * np.cos(np.radians(first[1])), _METRES_PER_DEGREE])
    return shapely.transform(crack.geometry, lambda points: (points - first) * scale)


def _net_spacing_m(crack: Defect, line: BaseGeometry) -> float:
    """Spacing of a crack's own lines where they form a net; infinite where they do not."""
    is_net = crack.crack is not None and crack.crack.junction_count >= _NET_JUNCTIONS and line.length > 0
    return float(2 * line.convex_hull.area / line.length) if is_net else np.inf


def _spacing_m(lines: Sequence[BaseGeometry], nets_m: Sequence[float]) -> float | None:
    """`nets_m` is the spacing within each crack, infinite where it is no net."""
    if len(lines) < 2:
        return nets_m[0] if np.isfinite(nets_m[0]) else None
    step_m = max(sum(line.length for line in lines) / _SAMPLES, _LEAST_STEP_M)
    points, owner = [], []
    for number, line in enumerate(lines):
        at = [(part, np.arange(part.length / step_m // 1 + 1) * step_m) for part in shapely.get_parts(line)]
        points.append(np.concatenate([_points(shapely.line_interpolate_point(part, along)) for part, along in at]))
        owner.append(np.full(len(points[-1]), number, np.intp))
    owners = np.concatenate(owner)
    away = np.minimum(_nearest_other(np.concatenate(points), owners), np.array(nets_m)[owners])
    weight = np.array([line.length for line in lines])[owners] / np.bincount(owners)[owners]
    order = np.argsort(away, kind="stable")
    reached = np.cumsum(weight[order])
    return float(away[order][np.searchsorted(reached, reached[-1] / 2)])


def _points(found: object) -> Floats:
    coordinates: Floats = shapely.get_coordinates(found)
    return coordinates


def _nearest_other(points: Floats, owner: Ints) -> Floats:
    """Distance ``(N,)`` from each point to the nearest of another owner."""
    tree = cKDTree(points)
    distance, found = tree.query(points, k=min(_NEIGHBOURS, len(points)))
    other = owner[found] != owner[:, None]
    away: Floats = np.where(other, distance, np.inf).min(axis=1)
    # Whoever has none but its own line among its neighbours is asked again, against the others alone.
    for number in np.unique(owner[np.isinf(away)]):
        rows = np.flatnonzero((owner == number) & np.isinf(away))
        away[rows] = cKDTree(points[owner != number]).query(points[rows])[0]
    return away
