"""The graph of a skeleton: branches between ends and junctions, spurs pruned, what no longer branches joined.

Pixels are neighbours by a side or a corner. A pixel of three and more neighbours belongs to a junction, and junction
pixels side by side are one junction, at their centroid; the rest of the skeleton falls apart into chains, each a
branch. Nothing here is compiled at first use, and nothing as large as the window is made.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, depth_first_order
from scipy.spatial import cKDTree

from segmentation.georeference import Floats

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.int32]

_SPUR_HALF_WIDTHS = 1.5
_SPUR_PX = 1.5
"""A side branch not longer than 1.5 half-widths + 1.5 px ends inside the crack's own ragged rim."""
_PRUNING_ROUNDS = 6
_ONE_JUNCTION_HALF_WIDTHS = 1.5
"""Junctions nearer than 1.5 half-widths lie in the body of one."""
_JUNCTION_PX = 2.0
"""Junction pixels this near are one junction."""
_ONE_LINE_PX = 3.0
"""Two branches between the same junctions nearer than this on average are one line."""
_ONE_JUNCTION_PX = 5.0
"""So are, once spurs are gone, the two junctions of thin lines that cross askew."""


@dataclass(slots=True)
class Branch:
    """A branch of the graph while it is pruned and joined."""

    start: int
    """Node that it begins at."""
    stop: int
    """Node that it ends at; the same as `start` for a loop."""
    points: Floats
    """``(N, 2)`` from node to node, in the plane that lengths are measured in."""
    bodies: tuple[float, float] = (0.0, 0.0)
    """How much of it lies in the bodies of the junctions at its start and stop."""

    @property
    def length(self) -> float:
        """Length of the line through the points."""
        return float(np.hypot(*np.diff(self.points, axis=0).T).sum())

    def reversed(self) -> "Branch":
        """The same, walked the other way."""
        return Branch(self.stop, self.start, self.points[::-1], self.bodies[::-1])


def skeleton_graph(pixels: Ints, place: Callable[[Floats], Floats]) -> list[Branch]:
    """Branches of a skeleton of 8-connected pixels; a pixel on its own has none.

    `pixels` are (row, col) ``(N, 2)`` in raster order (`set_pixels`); `place` takes such to the plane that the branches
    are wanted in.
    """
    neighbours = _neighbours(pixels)
    at = place(pixels.astype(np.float64))
    junction_of, centres = _junctions(at, neighbours, (neighbours >= 0).sum(axis=1) > 2)
    branches = []
    first_end = len(centres)
    for chain, is_ring in _chains(neighbours, junction_of < 0):
        if is_ring:
            node = first_end + int(chain[0])
            branches.append(Branch(node, node, at[np.append(chain, chain[0])]))
            continue
        met = _met(chain, neighbours, junction_of)
        nodes = [first_end + int(chain[end]) if met[end] < 0 else met[end] for end in (0, -1)]
        before, after = (centres[junction : junction + 1] if junction >= 0 else centres[:0] for junction in met)
        line = np.concatenate([before, at[chain], after])
        if len(line) > 1:
            # The ends of a chain of one pixel that meets one junction only are two nodes.
            stop = nodes[1] if nodes[0] != nodes[1] or met[0] >= 0 else nodes[1] + len(pixels)
            branches.append(Branch(nodes[0], stop, line))
    branches = _with_whole_junctions(branches, lambda _: _JUNCTION_PX)
    # A tiny loop of a junction's own pixels is no branch.
    return [b for b in branches if b.start != b.stop or b.start >= first_end or b.length > 2 * _JUNCTION_PX]


def set_pixels(pixels: Bools) -> Ints:
    """(row, col) ``(N, 2)`` of the pixels set, in order; numpy's own `argwhere` takes several times as long."""
    return np.stack(np.divmod(np.flatnonzero(pixels), pixels.shape[1]), axis=1)


def _neighbours(pixels: Ints) -> Numbers:
    """Numbers of the neighbours ``(N, 8)`` of pixels (row, col) ``(N, 2)`` in raster order, −1 for none: above, left,
    right, below, then the corners."""
    neighbours = np.full((len(pixels), 8), -1, np.int32)
    if len(pixels) == 0:
        return neighbours
    width = int(pixels[:, 1].max()) + 3
    flat = pixels[:, 0] * width + pixels[:, 1]
    padded = np.append(flat, -1)

    def link(found: Ints, other: Ints, way: int, back: int) -> None:
        neighbours[found, way] = other
        neighbours[other, back] = found

    follows = np.flatnonzero(flat[1:] == flat[:-1] + 1)
    link(follows, follows + 1, 2, 1)
    # The three below follow one another where they are set.
    at = np.searchsorted(flat, flat + (width - 1))
    for step, way, back in ((width - 1, 6, 5), (width, 3, 0), (width + 1, 7, 4)):
        is_set = padded[at] == flat + step
        found = np.flatnonzero(is_set)
        link(found, at[found], way, back)
        at = at + is_set
    return neighbours


def _junctions(at: Floats, neighbours: Numbers, branching: Bools) -> tuple[Numbers, Floats]:
    """The junction that each pixel belongs to ``(N,)``, −1 for none, and the junctions' centroids ``(J, 2)``."""
    number = np.full(len(at), -1, np.int32)
    members = np.flatnonzero(branching)
    if members.size == 0:
        return number, np.empty((0, 2))
    near = neighbours[members]
    both = (near >= 0) & branching[near]
    rank = np.cumsum(branching) - 1
    rows, cols = np.repeat(np.arange(members.size), both.sum(axis=1)), rank[near[both]]
    count, label = connected_components(_graph(rows, cols, members.size), directed=False)
    number[members] = label
    size = np.bincount(label, minlength=count)
    centres = np.stack([np.bincount(label, at[members, axis], count) / size for axis in (0, 1)], axis=1)
    return number, centres


def _chains(neighbours: Numbers, free: Bools) -> list[tuple[Ints, bool]]:
    """Pixels of no junction, which have two neighbours at most, from end to end, and whether they are a ring; rings
    come last, each from its first pixel on."""
    members = np.flatnonzero(free)
    if members.size == 0:
        return []
    near = neighbours[members]
    both = (near >= 0) & free[near]
    rank = np.cumsum(free) - 1
    degree = both.sum(axis=1)
    rows, cols = np.repeat(np.arange(members.size), degree), rank[near[both]]
    ends = np.flatnonzero(degree < 2)
    if ends.size == 2:  # one line alone, as most cracks are, unless rings lie beside it
        walk = _walk(rows, cols, links=(ends[:0], ends[:0]), first=int(ends[0]), count=members.size)
        if walk.size == members.size:
            return [(members[walk], False)]
    count, label = connected_components(_graph(rows, cols, members.size), directed=False)
    heads, tails = np.full(count, -1), np.empty(count, np.intp)
    heads[label[ends[::-1]]] = ends[::-1]  # of equal indices the last one assigned stays
    tails[label[ends]] = ends
    is_ring = heads < 0
    if is_ring.any():
        begin = np.empty(count, np.intp)
        begin[label[::-1]] = np.arange(members.size)[::-1]
        heads[is_ring] = begin[is_ring]
        # A ring is walked towards the first neighbour of its first pixel, and ends at the second.
        tails[is_ring] = cols[np.searchsorted(rows, heads[is_ring]) + 1]
    order = np.lexsort((heads, is_ring))
    walk = _walk(
        rows, cols, links=(tails[order[:-1]], heads[order[1:]]), first=int(heads[order[0]]), count=members.size
    )
    cuts = np.cumsum(np.bincount(label, minlength=count)[order])[:-1]
    return list(zip(np.split(members[walk], cuts), is_ring[order].tolist(), strict=True))


def _walk(rows: Ints, cols: Ints, *, links: tuple[Ints, Ints], first: int, count: int) -> Ints:
    """All of `count` pixels in the order of a walk from `first` along pairs of neighbours, and where no pixel is left
    along the links from one chain's tail to the next one's head."""
    if links[0].size:
        by_source = np.argsort(np.concatenate([rows, links[0]]), kind="stable")
        rows = np.concatenate([rows, links[0]])[by_source]
        cols = np.concatenate([cols, links[1]])[by_source]
    graph = _graph(rows, cols, count)
    walk: Ints = depth_first_order(graph, first, directed=True, return_predecessors=False)
    return walk


def _graph(rows: Ints, cols: Ints, count: int) -> csr_array:
    """Graph of `count` nodes with an edge from each of `rows`, ascending, to its `cols`."""
    begins = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=count), out=begins[1:])
    return csr_array((np.ones(cols.size), cols.astype(np.int32), begins), shape=(count, count))


def _met(chain: Ints, neighbours: Numbers, junction_of: Numbers) -> tuple[int, int]:
    """Junctions that the two ends of a chain touch, −1 for an open end."""
    met = []
    for end in (0, -1):
        near = neighbours[chain[end]]
        found = junction_of[near[near >= 0]]
        met.append([*found[found >= 0].tolist(), -1])
    if len(chain) > 1:
        return met[0][0], met[1][0]
    # One pixel between two junctions, or at the end of one.
    return met[0][0], met[0][1] if len(met[0]) > 2 else -1


def _with_whole_junctions(branches: list[Branch], reach: Callable[[Floats], float]) -> list[Branch]:
    """Junctions nearer to one another than `reach` of their places made one, at their middle."""
    degree = degrees_of(branches)
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while node in parent:
            node = parent[node]
        return node

    kept, middles = [], []
    for branch in branches:
        inner = branch.start != branch.stop and degree[branch.start] > 2 and degree[branch.stop] > 2
        if inner and branch.length <= min(reach(branch.points[0]), reach(branch.points[-1])):
            one, other = root(branch.start), root(branch.stop)
            if one != other:
                parent[max(one, other)] = min(one, other)
                middles.append((min(one, other), (branch.points[0] + branch.points[-1]) / 2))
        else:
            kept.append(branch)
    if not middles:
        return branches
    at: dict[int, list[Floats]] = {}
    for node, middle in middles:
        at.setdefault(root(node), []).append(middle)
    joined = [_moved(replace(branch, start=root(branch.start), stop=root(branch.stop)), at) for branch in kept]
    # A tiny loop inside what is one junction now is no branch.
    return [b for b in joined if b.start != b.stop or b.length > 2 * reach(b.points[0])]


def _moved(branch: Branch, at: dict[int, list[Floats]]) -> Branch:
    """The branch with its ends at the middle of the junctions that they are part of now."""
    points = branch.points.copy()
    for end, node in ((0, branch.start), (-1, branch.stop)):
        if node in at:
            points[end] = np.mean(at[node], axis=0)
    return replace(branch, points=points)


def degrees_of(branches: list[Branch]) -> dict[int, int]:
    """How many branches meet at each node; a loop counts twice."""
    degree: dict[int, int] = {}
    for branch in branches:
        for node in (branch.start, branch.stop):
            degree[node] = degree.get(node, 0) + 1
    return degree


def pruned(branches: list[Branch], rim: cKDTree) -> list[Branch]:
    """The branches without the spurs inside the crack's own rim, joined where no more than two meet.

    `rim` holds the pixels just outside the crack, in the plane of the branches.
    """
    for _ in range(_PRUNING_ROUNDS):
        branches = _joined(branches)
        spurs = _spurs(branches, rim) | _doubles(branches)
        if not spurs:
            break
        branches = [branch for number, branch in enumerate(branches) if number not in spurs]
    return with_whole_junctions(_joined(branches), rim)


def with_whole_junctions(branches: list[Branch], rim: cKDTree) -> list[Branch]:
    """The branches with what are two junctions inside the width that lines share made one; `rim` as in `pruned`."""
    return _joined(
        _with_whole_junctions(
            branches, lambda at: max(_ONE_JUNCTION_PX, _ONE_JUNCTION_HALF_WIDTHS * float(rim.query(at)[0]))
        )
    )


def _spurs(branches: list[Branch], rim: cKDTree) -> set[int]:
    """Branches from a junction to an open end that do not reach out of the crack's own width."""
    degree = degrees_of(branches)
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


def _doubles(branches: list[Branch]) -> set[int]:
    """The longer of each two branches between the same junctions that lie too near to one another to be two lines:
    the skeleton went round a pinhole."""
    first: dict[tuple[int, int], int] = {}
    doubles: set[int] = set()
    for number, branch in sorted(enumerate(branches), key=lambda pair: pair[1].length):
        nodes = (min(branch.start, branch.stop), max(branch.start, branch.stop))
        if branch.start == branch.stop or nodes not in first:
            first[nodes] = number
            continue
        other = branches[first[nodes]]
        ring = np.concatenate([branch.points, (other if other.start == branch.stop else other.reversed()).points])
        area = abs(float(ring[:, 0] @ np.roll(ring[:, 1], -1) - ring[:, 1] @ np.roll(ring[:, 0], -1))) / 2
        if area < _ONE_LINE_PX * branch.length:
            doubles.add(number)
    return doubles


def _joined(branches: list[Branch]) -> list[Branch]:
    """Branches joined where only two of them meet."""
    degree = degrees_of(branches)
    at: dict[int, list[int]] = {}
    for number, branch in enumerate(branches):
        at.setdefault(branch.start, []).append(number)
        at.setdefault(branch.stop, []).append(number)
    used: set[int] = set()
    result = []

    def grow(branch: Branch) -> Branch:
        parts = [branch.points]
        stop, body_px = branch.stop, branch.bodies[1]
        while degree[stop] == 2:
            onward = [number for number in at[stop] if number not in used]
            if not onward:
                break
            used.add(onward[0])
            following = branches[onward[0]]
            if following.start != stop:
                following = following.reversed()
            parts.append(following.points[1:] if np.allclose(following.points[0], parts[-1][-1]) else following.points)
            stop, body_px = following.stop, following.bodies[1]
        return Branch(branch.start, stop, np.concatenate(parts), (branch.bodies[0], body_px))

    for number, branch in enumerate(branches):
        if number not in used:
            used.add(number)
            result.append(grow(grow(branch).reversed()))
    return result
