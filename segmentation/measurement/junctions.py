"""Junctions put where the lines that meet there meet: a skeleton puts them where the pixels do.

In the body of a junction a skeleton runs between the lines, not along them: two lines that cross at an acute angle
share a stretch of it, and so do the two arms of a narrow fork, which counts once what is there twice. So each branch is
looked at beyond the body, where it is itself; the junction goes to the place nearest to all those lines, if they meet
there, and each branch is led there straight. Two junctions whose four other branches go on as each other in pairs, and
meet at one place, are one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from segmentation.georeference import Floats
from segmentation.measurement.quantiles import median_of
from segmentation.measurement.skeleton_graph import Branch, degrees_of, with_whole_junctions

_BODY_HALF_WIDTHS = 1.5
"""The body of a junction reaches so far at least."""
_BODY_WIDER = 1.15
_BODY_WIDER_PX = 0.3
"""It goes on where the crack is wider than the branch's median by this factor and so many pixels more."""
_MOST_BODY_HALF_WIDTHS = 8.0
_LINE_PX = 10.0
_LINE_HALF_WIDTHS = 3.0
"""Length of branch beyond the body that tells its line."""
_LEAST_LINE_PX = 5.0
_MISSES_PX = 1.0
_MISSES_HALF_WIDTHS = 0.35
"""Lines that pass the place at most this far meet there."""
_MOST_BACK_HALF_WIDTHS = 2.0
"""So far beyond the body of a branch may the place lie."""
_LEAST_ANGLE = float(np.sin(np.radians(8.0)))
"""Lines more parallel than this meet nowhere in particular."""
_MOST_TURN = float(np.cos(np.radians(20.0)))
"""Branches that differ by less go on as each other."""


@dataclass(frozen=True, slots=True)
class _Arm:
    """A branch as it leaves a junction."""

    number: int
    is_start: bool
    """Whether it is the branch's first end that lies at the junction."""
    body_px: float
    """Along the branch to where it is itself."""
    beyond: int
    """Number of its points from this end on that lie in the body."""
    half_width: float
    """That of the crack at the junction."""
    junction: Floats
    """Where the junction lies as yet."""
    place: Floats
    """A point of its line beyond the body."""
    way: Floats | None
    """Unit vector away from the junction; None where too little of it is left to tell."""


def meeting(branches: list[Branch], rim: cKDTree) -> list[Branch]:
    """The branches with the junctions at which they meet where their lines do; `rim` as in `skeleton_graph.pruned`."""
    arms = _arms(branches, rim)
    if not arms:
        return branches
    result: list[Branch | None] = list(branches)
    for number, branch in enumerate(branches):
        if _is_inner(branch, arms) and (crossing := _crossing(number, branch, arms)) is not None:
            result[number] = None
            own = [*arms.pop(branch.start), *arms.pop(branch.stop)]
            own = [arm for arm in own if arm.number != number]
            arms[branch.start] = []
            for arm in own:
                _lead(result, arm, crossing, node=branch.start)
    for own in arms.values():
        place = _meeting_place(own) if len(own) > 2 else None
        if place is not None and (all(arm.way is not None for arm in own) or _is_near(place, own[0])):
            for arm in own:
                _lead(result, arm, place, node=None)
    return with_whole_junctions([branch for branch in result if branch is not None], rim)


def _arms(branches: list[Branch], rim: cKDTree) -> dict[int, list[_Arm]]:
    """The branches that leave each junction, by its node."""
    degrees = degrees_of(branches)
    arms: dict[int, list[_Arm]] = {}
    if max(degrees.values(), default=0) <= 2:
        return arms
    for number, branch in enumerate(branches):
        # A few places tell how wide the branch is; only its ends are looked at place by place.
        typical = median_of(rim.query(branch.points[:: max(1, len(branch.points) // 64)])[0])
        for node, is_start in ((branch.start, True), (branch.stop, False)):
            if degrees[node] > 2:
                arms.setdefault(node, []).append(_arm(number, branch.points, typical, rim, is_start))
    return arms


def _arm(number: int, points: Floats, typical: float, rim: cKDTree, is_start: bool) -> _Arm:
    """A branch as it leaves a junction; `typical` is the median of its half-widths."""
    points = points if is_start else points[::-1]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at_junction = float(rim.query(points[0])[0])
    body_px = _MOST_BODY_HALF_WIDTHS * at_junction + max(_LINE_PX, _LINE_HALF_WIDTHS * typical) + 2
    points = points[: int(np.searchsorted(along, body_px)) + 1]
    half_width, whole_px, along = np.asarray(rim.query(points)[0]), float(along[-1]), along[: len(points)]
    inside = half_width > _BODY_WIDER * typical + _BODY_WIDER_PX
    inside |= along < _BODY_HALF_WIDTHS * at_junction
    inside &= along <= min(_MOST_BODY_HALF_WIDTHS * at_junction, whole_px / 2)
    beyond = len(inside) - 1 if inside.all() else int(np.argmin(inside))
    stop = int(np.searchsorted(along, along[beyond] + max(_LINE_PX, _LINE_HALF_WIDTHS * typical), side="right"))
    line = points[beyond:stop]
    way = None
    if along[min(stop, len(along)) - 1] - along[beyond] >= _LEAST_LINE_PX:
        way = _direction(line - line.mean(axis=0))
        way = way if float(way @ (line[-1] - line[0])) > 0 else -way
    return _Arm(number, is_start, float(along[beyond]), beyond, at_junction, points[0], line.mean(axis=0), way)


def _direction(points: Floats) -> Floats:
    """Unit vector of the main axis of points ``(N, 2)`` about 0."""
    (a, b), (_, d) = points.T @ points
    turn = np.arctan2(2 * b, a - d) / 2
    return np.array([np.cos(turn), np.sin(turn)])


def _is_inner(branch: Branch, arms: dict[int, list[_Arm]]) -> bool:
    """Whether it may be the stretch that two crossing lines share."""
    ends = (arms.get(branch.start, []), arms.get(branch.stop, []))
    if branch.start == branch.stop or any(len(own) != 3 for own in ends):
        return False
    return branch.length <= _MOST_BODY_HALF_WIDTHS * max(own[0].half_width for own in ends)


def _crossing(number: int, inner: Branch, arms: dict[int, list[_Arm]]) -> Floats | None:
    """Where the lines cross that share an inner branch; None where its ends are two junctions."""
    one, other = ([arm for arm in arms[node] if arm.number != number] for node in (inner.start, inner.stop))
    if len(one) != 2 or len(other) != 2 or len({arm.number for arm in (*one, *other)}) != 4:
        return None
    for pairs in (((one[0], other[0]), (one[1], other[1])), ((one[0], other[1]), (one[1], other[0]))):
        if all(_goes_on(first, second) for first, second in pairs):
            return _meeting_place([*one, *other])
    return None


def _goes_on(one: _Arm, other: _Arm) -> bool:
    return one.way is not None and other.way is not None and float(-one.way @ other.way) >= _MOST_TURN


def _is_near(place: Floats, arm: _Arm) -> bool:
    """Whether a junction may be moved to `place` that some of its branches are too short to speak for."""
    return float(np.hypot(*(place - arm.junction))) <= _MOST_BACK_HALF_WIDTHS * arm.half_width


def _meeting_place(arms: Sequence[_Arm]) -> Floats | None:
    """The place nearest to the lines of all arms, by least squares; None where they do not meet."""
    lines = [(arm.place, arm.way, arm.half_width) for arm in arms if arm.way is not None]
    if len(lines) < 2:
        return None
    places = np.array([place for place, _, _ in lines])
    ways = np.array([way for _, way, _ in lines])
    normals = np.stack([-ways[:, 1], ways[:, 0]], axis=1)
    if np.linalg.svd(normals, compute_uv=False)[1] < _LEAST_ANGLE:
        return None
    found: Floats = np.linalg.lstsq(normals, (normals * places).sum(axis=1), rcond=None)[0]
    half_width = max(arm.half_width for arm in arms)
    missed = np.abs(((found - places) * normals).sum(axis=1))
    if float(missed.max()) > max(_MISSES_PX, _MISSES_HALF_WIDTHS * half_width):
        return None
    # A line that would have to turn back far does not meet the others there.
    ahead = ((places - found) * ways).sum(axis=1)
    return found if float(ahead.min()) > -_MOST_BACK_HALF_WIDTHS * half_width else None


def _lead(branches: list[Branch | None], arm: _Arm, place: Floats, *, node: int | None) -> None:
    """The arm's branch led straight from where it is itself to `place`, which is `node` from now on if given."""
    branch = branches[arm.number]
    if branch is None:
        return
    points = branch.points if arm.is_start else branch.points[::-1]
    # A branch that was led at its other end before may have less points left.
    beyond = min(arm.beyond, len(points) - 1)
    if arm.way is not None:
        # The stem of a narrow fork is itself beyond the place at which its arms part.
        ahead = (points[beyond : max(len(points) // 2, beyond + 1)] - place) @ arm.way > 0
        beyond += int(np.argmax(ahead)) if ahead.any() else len(ahead) - 1
    kept = points[beyond:]
    count = max(round(float(np.hypot(*(kept[0] - place)))), 1)
    straight = place + (kept[0] - place) * (np.arange(count) / count)[:, None]
    line = np.concatenate([straight, kept])
    body_px = float(np.hypot(*(kept[0] - place)))
    if arm.is_start:
        branch = replace(branch, points=line, bodies=(body_px, branch.bodies[1]))
        branches[arm.number] = branch if node is None else replace(branch, start=node)
    else:
        branch = replace(branch, points=line[::-1], bodies=(branch.bodies[0], body_px))
        branches[arm.number] = branch if node is None else replace(branch, stop=node)
