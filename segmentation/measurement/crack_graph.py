"""A traced crack as a graph: what is said of each branch, and of its junctions and ends.

Orientation is the main direction of a line's pieces, weighted by length: the angle from east towards north in
[0°, 180°), from the mean of the doubled angles. Tortuosity is length over the distance between the ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmentation.georeference import Floats, PixelScale
from segmentation.measurement.quantiles import median_of, quantile_of
from segmentation.measurement.widths import LineShape
from segmentation.records import CrackBranch, CrackEnd

Bools = npt.NDArray[np.bool_]

_END_DIRECTION_PX = 20.0
"""Length of line from which the direction of an open end is taken."""


@dataclass(frozen=True, slots=True)
class TracedPath:
    """One centre line with its widths."""

    points: Floats
    """``(N, 2)`` (row, col) in raster pixel-corner coordinates."""
    piece_m: Floats
    """``(N − 1,)`` length of each piece."""
    width_m: Floats
    """``(N,)`` by profile; NaN where the image does not tell."""
    removed_m: Floats
    """``(N,)`` what of it was taken for noise; NaN as `width_m`."""
    distance_width_m: Floats
    """``(N,)`` between the edges of the mask; NaN where the profile tells the width."""
    mask_width_m: Floats
    """``(N,)`` twice the distance to the nearest pixel outside the mask."""
    core: Bools
    """``(N,)`` away from ends and junctions."""
    fwhm_px: Floats
    """``(N,)`` full width at half depth, blur and all; NaN as `width_m`."""
    nodes: tuple[int, int]
    """Nodes that it begins and ends at."""
    degrees: tuple[int, int]
    """How many lines meet there: 1 is an open end, 2 a ring's own."""


@dataclass(frozen=True, slots=True)
class CrackTrace:
    """A whole crack, measured once; `cracks.crack_result` sums it up, in one or in parts."""

    paths: tuple[TracedPath, ...]
    """Longest first."""
    scale: PixelScale
    """Metres per pixel step."""
    noise_m: float
    """Noise of one profile width."""
    shape: LineShape
    """Blur and darkness of the whole crack, in ground pixels."""

    @property
    def gsd_m(self) -> float:
        """Metres per ground pixel."""
        return self.scale.gsd_m


@dataclass(frozen=True, slots=True)
class CrackFigures:
    """What is said of a crack, or a part of it, as a graph."""

    branches: tuple[CrackBranch, ...]
    """One per stretch of line, longest first."""
    ends: tuple[CrackEnd, ...]
    """Open ends."""
    junctions: int
    """Places at which three lines or more meet."""
    orientation_deg: float
    tortuosity: float
    """Length of all branches over the distances between their ends; 1 where they have none."""


def crack_figures(trace: CrackTrace, chosen: Sequence[Bools], *, by_profile: bool) -> CrackFigures:
    """Figures of the pieces chosen of each path ``(N − 1,)``, with widths by profile or between the mask's edges."""
    branches: list[CrackBranch] = []
    ends: list[CrackEnd] = []
    junctions: set[int] = set()
    vectors, chords_m = [], 0.0
    for path, pieces in zip(trace.paths, chosen, strict=True):
        width = path.width_m if by_profile else np.where(path.core, path.distance_width_m, np.nan)
        for start, stop in stretches(pieces):
            part = slice(start, stop + 1)
            ways = _ground(np.diff(path.points[part], axis=0), trace.scale)
            chord_m = float(np.hypot(*ways.sum(axis=0)))
            chords_m += chord_m
            vectors.append(ways)
            branches.append(_branch(path.points[part], ways, width[part], chord_m))
        for at, number in ((0, 0), (-1, 1)):
            if pieces.size == 0 or not pieces[at]:
                continue
            if path.degrees[number] == 1:
                ends.append(_end(path.points if at else path.points[::-1], trace.scale))
            elif path.degrees[number] > 2:
                junctions.add(path.nodes[number])
    all_ways = np.concatenate(vectors) if vectors else np.empty((0, 2))
    length_m = sum(branch.length_m for branch in branches)
    return CrackFigures(
        branches=tuple(sorted(branches, key=lambda branch: -branch.length_m)),
        ends=tuple(ends),
        junctions=len(junctions),
        orientation_deg=_orientation_deg(all_ways),
        tortuosity=max(1.0, length_m / chords_m) if chords_m > 0 else 1.0,
    )


def stretches(chosen: Bools) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return list(zip(change[::2].tolist(), change[1::2].tolist(), strict=True))


def _branch(points: Floats, ways: Floats, width_m: Floats, chord_m: float) -> CrackBranch:
    length_m = float(np.hypot(*ways.T).sum())
    told = np.flatnonzero(np.isfinite(width_m))
    found = width_m[told] * 1e3
    widest = told[found.argmax()] if told.size else None
    return CrackBranch(
        length_m=length_m,
        orientation_deg=_orientation_deg(ways),
        tortuosity=max(1.0, length_m / chord_m) if chord_m > length_m / 100 else None,
        max_width_mm=float(found.max()) if told.size else None,
        p95_width_mm=quantile_of(np.sort(found), 0.95) if told.size else None,
        mean_width_mm=float(found.mean()) if told.size else None,
        median_width_mm=median_of(found) if told.size else None,
        widest_at=(float(points[widest, 0]), float(points[widest, 1])) if widest is not None else None,
    )


def _end(points: Floats, scale: PixelScale) -> CrackEnd:
    """The last point of a line and the way it goes on there."""
    gsd_m = scale.gsd_m
    ways = _ground(points - points[-1], scale)
    away = np.hypot(*ways.T)
    beyond = np.flatnonzero(away > _END_DIRECTION_PX * gsd_m)
    back = ways[beyond[-1]] if beyond.size else ways[0]
    return CrackEnd(
        row=float(points[-1, 0]),
        col=float(points[-1, 1]),
        heading_deg=float(np.degrees(np.arctan2(-back[1], -back[0]))) % 360.0,
    )


def _ground(steps: Floats, scale: PixelScale) -> Floats:
    """Steps ``(N, 2)`` of (row, col) as metres (east, north)."""
    matrix = np.array([[scale.east_per_row_m, scale.north_per_row_m], [scale.east_per_col_m, scale.north_per_col_m]])
    ways: Floats = steps @ matrix
    return ways


def _orientation_deg(ways: Floats) -> float:
    length = np.hypot(*ways.T)
    turn = 2 * np.arctan2(ways[:, 1], ways[:, 0])
    mean = np.arctan2((length * np.sin(turn)).sum(), (length * np.cos(turn)).sum()) / 2
    return float(np.degrees(mean)) % 180.0
