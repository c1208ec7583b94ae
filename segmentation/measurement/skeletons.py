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
from segmentation.measurement.skeleton_graph import Branch, pruned, set_pixels, skeleton_graph

Bools = npt.NDArray[np.bool_]

SMOOTHING_PX = 2.5
"""Gaussian smoothing of a centre line. Enough that the staircase of a skeleton (up to 8 % of its length) is gone,
and little enough that an arc of 20 px radius is drawn in by less than σ²/2r = 0.16 px."""


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
        (a, b), (c, d) = self._to
        self._back: Floats = np.array([[d, -b], [-c, a]], np.float64) / (a * d - b * c)

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
    nodes: tuple[int, int]
    """Nodes of the graph that it begins and ends at."""
    degrees: tuple[int, int]
    """How many lines meet there."""

    @property
    def step(self) -> float:
        """Distance of neighbouring points in ground pixels."""
        return float(np.hypot(*(self.points[1] - self.points[0])))

    @property
    def length(self) -> float:
        """Length in ground pixels."""
        return self.step * (len(self.points) - 1)


def centre_paths(pixels: Bools, *, frame: GroundFrame, step_px: float) -> tuple[Path, ...]:
    """Centre lines of one crack, bool ``(H, W)``, with points every `step_px` ground pixels, longest first.

    Coordinates are those of pixel indices of the array (a pixel's centre is its index). Never empty: a speck
    without a skeleton gives the main axis of its pixels. Raises ValueError where no pixel is set.
    """
    if not pixels.any():
        raise ValueError("a crack must have at least one pixel, got none")
    rim = _rim(pixels, frame)
    branches, degrees = pruned(skeleton_graph(_skeleton(pixels), frame.ground), rim)
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
    places = frame.ground(set_pixels(near & ~padded).astype(np.float64) - 1.0)
    return cKDTree(places, leafsize=32, balanced_tree=False, compact_nodes=False)


def _skeleton(pixels: Bools) -> Bools:
    # Zhang-Suen thinning, the default, eats diagonal lines of even width from their ends: up to 40 % of the length.
    rows, cols = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    inner = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    skeleton = np.zeros_like(pixels)
    skeleton[inner] = skeletonize(pixels[inner], method="lee") > 0
    return skeleton


def _path(
    branch: Branch, degrees: dict[int, int], pixels: Bools, rim: cKDTree, frame: GroundFrame, step_px: float
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
            at_end = min(2 * typical + 1, 0.3 * along[-1])
            core &= from_end > (at_end if is_open else 2 * max(float(half_width[end]), typical) + 1)
    ends = (branch.start, branch.stop)
    return Path(
        line, _normals(line, step_px, closed), half_width, core, ends, (degrees[branch.start], degrees[branch.stop])
    )


def _smooth_open(
    points: Floats, open_ends: tuple[bool, bool], pixels: Bools, rim: cKDTree, frame: GroundFrame
) -> Floats:
    """Smoothed line with its open ends cut back by a half-width (a skeleton bends to a corner there) and led on
    straight to the end of the crack's pixels."""
    reach = float(np.median(rim.query(points[:: max(1, len(points) // 64)])[0]))
    cut = round(reach)
    first = cut if open_ends[0] and len(points) > 4 * cut + 4 else 0
    last = len(points) - (cut if open_ends[1] and len(points) > 4 * cut + 4 else 0)
    kept = points[first:last]
    line = _smoothed(kept)
    look_back = max(6, 2 * cut)
    if open_ends[0]:
        line = np.concatenate([_led_on(line[::-1], look_back, reach, first + 0.5, pixels, frame)[::-1], line])
    if open_ends[1]:
        line = np.concatenate([line, _led_on(line, look_back, reach, len(points) - last + 0.5, pixels, frame)])
    return line


def _smoothed(points: Floats) -> Floats:
    """Gaussian along the line, mirrored about its ends, which stay where they are."""
    pad = min(len(points) - 1, int(4 * SMOOTHING_PX))
    before = 2 * points[0] - points[pad:0:-1]
    after = 2 * points[-1] - points[-2 : -pad - 2 : -1]
    padded = np.concatenate([before, points, after])
    smooth: Floats = gaussian_filter1d(padded, SMOOTHING_PX, axis=0)[pad : pad + len(points)]
    return smooth


def _led_on(line: Floats, look_back: int, reach: float, least: float, pixels: Bools, frame: GroundFrame) -> Floats:
    """The point ``(1, 2)`` at which the line, led on straight, leaves the crack's pixels.

    It is at least `least` ahead: a thin line of pixels that touch by corners is left and entered again.
    """
    direction = line[-1] - line[max(len(line) - 1 - look_back, 0)]
    norm = float(np.hypot(*direction))
    if norm == 0.0:
        return line[:0]
    ahead = np.arange(0.0, 3 * reach + 4, 0.125)
    places = frame.pixel(line[-1] + ahead[:, None] * (direction / norm))
    inside = map_coordinates(pixels.view(np.uint8), places.T, output=np.float32, order=1, mode="constant") >= 0.5
    leaves = int(np.argmin(inside)) if not inside.all() else round((2 * reach) / 0.125)
    leaves = max(leaves, min(round(least / 0.125), ahead.size - 1))
    led_on: Floats = line[-1:] + ahead[leaves] * (direction / norm)
    return led_on if leaves > 0 else line[:0]


def _resampled(line: Floats, step_px: float) -> Floats:
    """The line with evenly spaced points about `step_px` apart."""
    pieces = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(pieces)])
    distinct = np.concatenate([[True], pieces > 1e-9])
    if along[-1] <= 1e-6:
        return line[:1]
    # A small ring in one piece would begin and end at the same place, and have no step.
    returns = float(np.hypot(*(line[-1] - line[0]))) < along[-1] / 3
    count = max(round(along[-1] / step_px), 3 if returns else 1) + 1
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
    return Path(line, np.stack([normal, normal]), np.asarray(rim.query(line)[0]), np.zeros(2, np.bool_), (0, 1), (1, 1))
