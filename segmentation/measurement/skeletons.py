"""Centre lines of a crack: from its pixels to smooth paths.

Skeleton (thinning) → graph of branches → spurs shorter than the crack's own half-width pruned → branches that
meet at a point which is no junction any more joined → staircase smoothed away → open ends led on to where the
crack's pixels end. Everything is in *ground pixels*: metres divided by the GSD, so that rotated and non-square
pixels need no care further on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from segmentation.georeference import Floats, PixelScale

Bools = npt.NDArray[np.bool_]

SMOOTHING_PX = 2.5
"""Gaussian smoothing of a centre line. Enough that the staircase of a skeleton (up to 8 % of its length) is gone,
and little enough that an arc of 20 px radius is drawn in by less than σ²/2r = 0.16 px."""

_SPUR_HALF_WIDTHS = 1.5
_SPUR_PX = 1.5
"""A side branch not longer than 1.5 half-widths + 1.5 px ends inside the crack's own ragged rim."""
_PRUNING_ROUNDS = 6
_JUNCTION_PX = 2.0
"""Junction pixels this near are one junction."""


class GroundFrame:
    """The plane of ground pixels: (row, col) ↔ metres on the ground divided by the GSD."""

    def __init__(self, scale: PixelScale) -> None:
        self.gsd_m = scale.gsd_m
        """Metres per ground pixel."""
        self._to = (
            np.array(
                [[scale.east_per_row_m, scale.east_per_col_m], [scale.north_per_row_m, scale.north_per_col_m]],
                np.float64,
            )
            / self.gsd_m
        )
        self._back = np.linalg.inv(self._to)

    def ground(self, points: Floats) -> Floats:
        """(row, col) ``(..., 2)`` to ground pixels (east, north) ``(..., 2)``."""
        return points @ self._to.T

    def pixel(self, points: Floats) -> Floats:
        """Ground pixels ``(..., 2)`` back to (row, col)."""
        return points @ self._back.T


@dataclass(frozen=True, slots=True)
class Path:
    """One smooth centre line between ends and junctions."""

    points: Floats
    """``(N, 2)`` ground pixels, evenly spaced."""
    normals: Floats
    """``(N, 2)`` unit normals in ground pixels."""
    half_width: Floats
    """``(N,)`` ground pixels from the line to the nearest pixel centre outside the crack."""
    core: Bools
    """``(N,)`` whether the width can be measured here: away from ends and junctions."""

    @property
    def step(self) -> float:
        """Distance of neighbouring points in ground pixels."""
        return float(np.hypot(*(self.points[1] - self.points[0])))

    @property
    def length(self) -> float:
        """Length in ground pixels."""
        return self.step * (len(self.points) - 1)


@dataclass(slots=True)
class _Branch:
    """A branch of the graph while it is pruned and joined."""

    start: int
    stop: int
    points: Floats

    @property
    def length(self) -> float:
        return float(np.hypot(*np.diff(self.points, axis=0).T).sum())

    def reversed(self) -> "_Branch":
        return _Branch(self.stop, self.start, self.points[::-1])


def centre_paths(pixels: Bools, *, frame: GroundFrame, step_px: float) -> tuple[Path, ...]:
    """Centre lines of one crack, bool ``(H, W)``, with points every `step_px` ground pixels, longest first.

    Coordinates are those of pixel indices of the array (a pixel's centre is its index). Never empty: a speck
    without a skeleton gives the main axis of its pixels. Raises ValueError where no pixel is set.
    """
    if not pixels.any():
        raise ValueError("a crack must have at least one pixel, got none")
    rim = _rim(pixels, frame)
    branches, degrees = _pruned(_graph(_skeleton(pixels), frame), rim)
    paths = [path for branch in branches if (path := _path(branch, degrees, pixels, rim, frame, step_px)) is not None]
    if not paths:
        paths = [_main_axis(pixels, frame, rim)]
    return tuple(sorted(paths, key=lambda path: (-path.length, *path.points[0])))


def _rim(pixels: Bools, frame: GroundFrame) -> cKDTree:
    """The pixels just outside the crack, as a tree: distances are asked for along centre lines only."""
    padded = np.pad(pixels, 1)
    near = np.zeros_like(padded)
    near[1:] |= padded[:-1]
    near[:-1] |= padded[1:]
    near[:, 1:] |= padded[:, :-1]
    near[:, :-1] |= padded[:, 1:]
    return cKDTree(frame.ground(np.argwhere(near & ~padded).astype(np.float64) - 1.0))


def _skeleton(pixels: Bools) -> Bools:
    # Zhang-Suen thinning, the default, eats diagonal lines of even width from their ends: up to 40 % of the length.
    skeleton: Bools = skeletonize(pixels, method="lee") > 0  # type: ignore[no-untyped-call]
    return skeleton


def _graph(skeleton: Bools, frame: GroundFrame) -> list[_Branch]:
    """Branches between ends and junctions; junction pixels side by side are one node."""
    if int(np.count_nonzero(skeleton)) < 2:
        return []
    # skan brings numba with it, a second of import that whoever measures no crack need not wait for.
    from skan import Skeleton

    graph = Skeleton(skeleton, keep_images=False)
    branches = []
    for number in range(graph.n_paths):
        nodes = graph.path(number)
        branches.append(
            _Branch(int(nodes[0]), int(nodes[-1]), frame.ground(graph.path_coordinates(number).astype(np.float64)))
        )
    return _with_whole_junctions(branches)


def _with_whole_junctions(branches: list[_Branch]) -> list[_Branch]:
    degree = _degrees(branches)
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while node in parent:
            node = parent[node]
        return node

    kept = []
    for branch in branches:
        tiny = branch.start != branch.stop and branch.length <= _JUNCTION_PX
        if tiny and degree[branch.start] > 2 and degree[branch.stop] > 2:
            one, other = root(branch.start), root(branch.stop)
            if one != other:
                parent[max(one, other)] = min(one, other)
        else:
            kept.append(branch)
    joined = [_Branch(root(branch.start), root(branch.stop), branch.points) for branch in kept]
    # A tiny loop inside what is one junction now is no branch.
    return [b for b in joined if b.start != b.stop or b.length > 2 * _JUNCTION_PX]


def _degrees(branches: list[_Branch]) -> dict[int, int]:
    degree: dict[int, int] = {}
    for branch in branches:
        for node in (branch.start, branch.stop):
            degree[node] = degree.get(node, 0) + 1
    return degree


def _pruned(branches: list[_Branch], rim: cKDTree) -> tuple[list[_Branch], dict[int, int]]:
    for _ in range(_PRUNING_ROUNDS):
        branches = _joined(branches)
        spurs = _spurs(branches, rim)
        if not spurs:
            break
        branches = [branch for number, branch in enumerate(branches) if number not in spurs]
    branches = _joined(branches)
    return branches, _degrees(branches)


def _spurs(branches: list[_Branch], rim: cKDTree) -> set[int]:
    """Branches from a junction to an open end that do not reach out of the crack's own width."""
    degree = _degrees(branches)
    at_junction: dict[int, list[tuple[float, int]]] = {}
    for number, branch in enumerate(branches):
        ends = (degree[branch.start], degree[branch.stop])
        if min(ends) != 1 or max(ends) < 3:
            continue
        junction, place = (branch.start, branch.points[0]) if ends[0] > 1 else (branch.stop, branch.points[-1])
        limit = _SPUR_HALF_WIDTHS * float(rim.query(place)[0]) + _SPUR_PX
        if branch.length <= limit:
            at_junction.setdefault(junction, []).append((branch.length, number))
    spurs: set[int] = set()
    for junction, candidates in at_junction.items():
        rest = degree[junction] - len(candidates)
        # Where nothing but spurs meet, the two longest are the crack.
        keep = 0 if rest >= 1 else 2
        spurs.update(number for _, number in sorted(candidates)[: len(candidates) - keep])
    return spurs


def _joined(branches: list[_Branch]) -> list[_Branch]:
    """Branches joined where only two of them meet."""
    degree = _degrees(branches)
    at: dict[int, list[int]] = {}
    for number, branch in enumerate(branches):
        at.setdefault(branch.start, []).append(number)
        at.setdefault(branch.stop, []).append(number)
    used: set[int] = set()
    result = []

    def grow(branch: _Branch) -> _Branch:
        parts = [branch.points]
        stop = branch.stop
        while degree[stop] == 2:
            onward = [number for number in at[stop] if number not in used]
            if not onward:
                break
            used.add(onward[0])
            following = branches[onward[0]]
            if following.start != stop:
                following = following.reversed()
            parts.append(following.points[1:] if np.allclose(following.points[0], parts[-1][-1]) else following.points)
            stop = following.stop
        return _Branch(branch.start, stop, np.concatenate(parts))

    for number, branch in enumerate(branches):
        if number not in used:
            used.add(number)
            result.append(grow(grow(branch).reversed()))
    return result


def _path(
    branch: _Branch, degrees: dict[int, int], pixels: Bools, rim: cKDTree, frame: GroundFrame, step_px: float
) -> Path | None:
    points = branch.points
    if len(points) < 2:
        return None
    closed = branch.start == branch.stop and degrees[branch.start] == 2
    open_ends = (degrees[branch.start] == 1, degrees[branch.stop] == 1)
    if closed:
        line = gaussian_filter1d(points[:-1], SMOOTHING_PX, axis=0, mode="wrap")
        line = np.concatenate([line, line[:1]])
    else:
        line = _smooth_open(points, open_ends, pixels, rim, frame)
    line = _resampled(line, step_px)
    if len(line) < 2:
        return None
    half_width = rim.query(line)[0]
    along = np.arange(len(line)) * float(np.hypot(*(line[1] - line[0])))
    core = np.ones(len(line), np.bool_)
    if not closed:
        typical = float(np.median(half_width))
        for from_end, end, is_open in ((along, 0, open_ends[0]), (along[-1] - along, -1, open_ends[1])):
            # Within a width of an open end profiles miss the line's side; near a junction, they cross the other branch.
            at_end = min(2 * typical + 3, 0.3 * along[-1])
            core &= from_end > (at_end if is_open else 2 * max(float(half_width[end]), typical) + 1)
    return Path(line, _normals(line, step_px, closed), half_width, core)


def _smooth_open(
    points: Floats, open_ends: tuple[bool, bool], pixels: Bools, rim: cKDTree, frame: GroundFrame
) -> Floats:
    """Smoothed line with its open ends cut back by a half-width (a skeleton bends to a corner there) and led on
    straight to the end of the crack's pixels."""
    reach = float(np.median(rim.query(points)[0]))
    cut = round(reach)
    first = cut if open_ends[0] and len(points) > 4 * cut + 4 else 0
    last = len(points) - (cut if open_ends[1] and len(points) > 4 * cut + 4 else 0)
    kept = points[first:last]
    line = _smoothed(kept)
    look_back = max(6, 2 * cut)
    if open_ends[0]:
        line = np.concatenate([_led_on(line[::-1], look_back, reach, pixels, frame)[::-1], line])
    if open_ends[1]:
        line = np.concatenate([line, _led_on(line, look_back, reach, pixels, frame)])
    return line


def _smoothed(points: Floats) -> Floats:
    """Gaussian along the line, mirrored about its ends, which stay where they are."""
    pad = min(len(points) - 1, int(4 * SMOOTHING_PX))
    before = 2 * points[0] - points[pad:0:-1]
    after = 2 * points[-1] - points[-2 : -pad - 2 : -1]
    padded = np.concatenate([before, points, after])
    smooth: Floats = gaussian_filter1d(padded, SMOOTHING_PX, axis=0)[pad : pad + len(points)]
    return smooth


def _led_on(line: Floats, look_back: int, reach: float, pixels: Bools, frame: GroundFrame) -> Floats:
    """The point ``(1, 2)`` at which the line, led on straight, leaves the crack's pixels."""
    direction = line[-1] - line[max(len(line) - 1 - look_back, 0)]
    norm = float(np.hypot(*direction))
    if norm == 0.0:
        return line[:0]
    ahead = np.arange(0.0, 3 * reach + 4, 0.125)
    places = frame.pixel(line[-1] + ahead[:, None] * (direction / norm))
    inside = map_coordinates(pixels.view(np.uint8), places.T, output=np.float32, order=1, mode="constant") >= 0.5
    leaves = int(np.argmin(inside)) if not inside.all() else round((2 * reach) / 0.125)
    led_on: Floats = line[-1:] + ahead[leaves] * (direction / norm)
    return led_on if leaves > 0 else line[:0]


def _resampled(line: Floats, step_px: float) -> Floats:
    """The line with evenly spaced points about `step_px` apart."""
    pieces = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(pieces)])
    distinct = np.concatenate([[True], pieces > 1e-9])
    if along[-1] <= 1e-6:
        return line[:1]
    count = max(round(along[-1] / step_px), 1) + 1
    at = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(at, along[distinct], line[distinct, axis]) for axis in (0, 1)], axis=1)


def _normals(line: Floats, step_px: float, closed: bool) -> Floats:
    sigma = SMOOTHING_PX / step_px
    tangent = np.gradient(line, axis=0)
    tangent = gaussian_filter1d(tangent, sigma, axis=0, mode="wrap" if closed else "nearest")
    norm = np.hypot(*tangent.T)
    tangent /= np.where(norm > 0, norm, 1.0)[:, None]
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def _main_axis(pixels: Bools, frame: GroundFrame, rim: cKDTree) -> Path:
    """The main axis of a speck's pixels, as long as a bar of the same second moment."""
    places = frame.ground(np.argwhere(pixels).astype(np.float64))
    centre = places.mean(axis=0)
    spread = np.cov(places.T, bias=True) + np.eye(2) / 12 if len(places) > 1 else np.eye(2) / 12
    values, vectors = np.linalg.eigh(spread)
    half = np.sqrt(12 * values[1]) / 2 * vectors[:, 1]
    line = np.stack([centre - half, centre + half])
    normal = np.array([-half[1], half[0]]) / np.hypot(*half)
    return Path(line, np.stack([normal, normal]), np.asarray(rim.query(line)[0]), np.zeros(2, np.bool_))
