"""Centre lines of a crack: from its pixels to smooth paths.

Skeleton (thinning) → graph of branches → spurs shorter than the crack's own half-width pruned → branches that
meet at a point which is no junction any more joined → staircase smoothed away → open ends led on to where the
crack's pixels end. Everything is in *ground pixels*: metres divided by the GSD, so that rotated and non-square
pixels need no care further on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d, gaussian_filter1d, map_coordinates
from scipy.spatial import cKDTree

from segmentation.georeference import Floats, PixelScale
from segmentation.measurement.junctions import meeting
from segmentation.measurement.outlines import Outline, outline
from segmentation.measurement.quantiles import median_of
from segmentation.measurement.skeleton_graph import Branch, degrees_of, pruned, set_pixels, skeleton_graph
from segmentation.measurement.views import ComponentView, window_about

Bools = npt.NDArray[np.bool_]

SMOOTHING_PX = 3.0
"""Gaussian smoothing of a centre line, with what it took away smoothed and added again (Tukey's twicing): the staircase
of a skeleton (up to 8 % of its length) goes, and of a wave of 45 px only 0.7 % of its height, a tenth of what a plain
Gaussian that smooths as much takes."""
_SMOOTHING: Floats = np.exp(-0.5 * (np.arange(-4 * SMOOTHING_PX, 4 * SMOOTHING_PX + 1) / SMOOTHING_PX) ** 2)
_SMOOTHING /= _SMOOTHING.sum()
_DIRECTION_PX = 2.5
"""Gaussian smoothing of its direction."""
_AHEAD_STEP_PX = 0.25
_STROKE: Floats = np.linspace(-0.5, 0.5, 5)
"""Places across the line, in half-widths, that tell where the crack's pixels end."""
_LOOK_BACK_PX = 8
_LOOK_BACK_HALF_WIDTHS = 3.0
"""Length of line that tells how it goes on."""
_BENDING_HALF_WIDTH_PX = 3.0
"""The end of a thinner line is too near for its bend to count."""


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
        self.pixel_area = abs(float(a * d - b * c))
        """Area of a pixel of the raster in ground pixels."""
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


def centre_paths(view: ComponentView, *, frame: GroundFrame, step_px: float) -> tuple[Path, ...]:
    """Centre lines of one crack with points every `step_px` ground pixels, longest first.

    Coordinates are those of pixel indices of the view's frame (a pixel's centre is its index). Never empty: a speck
    without a skeleton gives the main axis of its pixels.
    """
    drawn = outline(view)
    # As a tree: distances are asked for along centre lines only.
    rim = cKDTree(frame.ground(drawn.outside.astype(np.float64)), balanced_tree=False)
    branches = meeting(pruned(skeleton_graph(drawn.skeleton, frame.ground), rim), rim)
    degrees = degrees_of(branches)
    paths = [path for branch in branches if (path := _path(branch, degrees, drawn, rim, frame, step_px)) is not None]
    if not paths:
        paths = [_main_axis(view, frame, rim)]
    return tuple(sorted(paths, key=lambda path: (-path.length, *path.points[0])))


def _path(
    branch: Branch, degrees: dict[int, int], drawn: Outline, rim: cKDTree, frame: GroundFrame, step_px: float
) -> Path | None:
    points = branch.points
    if len(points) < 2:
        return None
    closed = branch.start == branch.stop and degrees[branch.start] == 2
    open_ends = (degrees[branch.start] == 1, degrees[branch.stop] == 1)
    if closed:
        line = gaussian_filter1d(points[:-1], SMOOTHING_PX, axis=0, mode="wrap")
        line += gaussian_filter1d(points[:-1] - line, SMOOTHING_PX, axis=0, mode="wrap")
        line = np.concatenate([line, line[:1]])
    else:
        line = _smooth_open(points, open_ends, drawn, rim, frame)
    line = _resampled(line, step_px)
    if len(line) < 2:
        return None
    half_width = rim.query(line)[0]
    along = np.arange(len(line)) * float(np.hypot(*(line[1] - line[0])))
    core = np.ones(len(line), np.bool_)
    if not closed:
        typical = median_of(half_width)
        for from_end, end, is_open in ((along, 0, open_ends[0]), (along[-1] - along, -1, open_ends[1])):
            # Within a width of an open end profiles miss the line's side; near a junction, they cross the other branch.
            at_end = min(2 * typical + 1, 0.3 * along[-1])
            at_junction = max(2 * max(float(half_width[end]), typical) + 1, branch.bodies[end] + typical)
            core &= from_end > (at_end if is_open else at_junction)
    ends = (branch.start, branch.stop)
    return Path(
        line, _normals(line, step_px, closed), half_width, core, ends, (degrees[branch.start], degrees[branch.stop])
    )


def _smooth_open(
    points: Floats, open_ends: tuple[bool, bool], drawn: Outline, rim: cKDTree, frame: GroundFrame
) -> Floats:
    """Smoothed line with its open ends cut back by a half-width (a skeleton bends to a corner there) and led on as
    they bend to the end of the crack's pixels."""
    reach = median_of(rim.query(points[:: max(1, len(points) // 64)])[0])
    cut = round(reach)
    first = cut if open_ends[0] and len(points) > 4 * cut + 4 else 0
    last = len(points) - (cut if open_ends[1] and len(points) > 4 * cut + 4 else 0)
    line = _smoothed(points[first:last])
    before = _led_on(line[::-1], reach, first + 0.5, drawn, frame)[::-1] if open_ends[0] else line[:0]
    after = _led_on(line, reach, len(points) - last + 0.5, drawn, frame) if open_ends[1] else line[:0]
    return np.concatenate([before, line, after])


def _smoothed(points: Floats) -> Floats:
    """Smoothed along the line, mirrored about its ends, which stay where they are."""
    once = _blurred(points)
    return once + _blurred(points - once)


def _blurred(points: Floats) -> Floats:
    pad = min(len(points) - 1, int(4 * SMOOTHING_PX))
    before = 2 * points[0] - points[pad:0:-1]
    after = 2 * points[-1] - points[-2 : -pad - 2 : -1]
    padded = np.concatenate([before, points, after])
    smooth: Floats = correlate1d(padded, _SMOOTHING, axis=0)[pad : pad + len(points)]
    return smooth


def _led_on(line: Floats, reach: float, least: float, drawn: Outline, frame: GroundFrame) -> Floats:
    """Points ``(N, 2)`` by which the line, led on as it bends, reaches the end of the crack's pixels: where they
    cover less than half of a stroke across its middle, so that a corner draws no end out.

    It is at least `least` ahead: a thin line of pixels that touch by corners is left and entered again.
    """
    ahead = np.arange(0.0, 3 * reach + 4, _AHEAD_STEP_PX)
    way = _way_on(line, reach, ahead)
    if way is None:
        return line[:0]
    across = np.empty_like(way)
    across[1:, 0], across[1:, 1] = way[:-1, 1] - way[1:, 1], way[1:, 0] - way[:-1, 0]
    across[0] = across[1]
    strokes = way[:, None] + (reach / _AHEAD_STEP_PX * _STROKE)[:, None] * across[:, None]
    places = frame.pixel(strokes)
    window = window_about(places, drawn.view.shape)
    covered = map_coordinates(
        drawn.filled(window).view(np.uint8),
        np.moveaxis(places, -1, 0) - np.array([window.row_start, window.col_start])[:, None, None],
        output=np.float32,
        order=1,
        mode="constant",
    )
    inside = covered.mean(axis=1) >= 0.5
    leaves = int(np.argmin(inside)) if not inside.all() else round((2 * reach) / _AHEAD_STEP_PX)
    leaves = max(leaves, min(round(least / _AHEAD_STEP_PX), ahead.size - 1))
    led_on: Floats = way[np.arange(leaves, 0, -round(1 / _AHEAD_STEP_PX))[::-1]]
    return led_on


def _way_on(line: Floats, reach: float, ahead: Floats) -> Floats | None:
    """Where the line comes to so many pixels `ahead` ``(N,)`` of its last point; None where it has no direction.

    A parabola through its last points for a wide line, whose end is far, a straight line for a thin one.
    """
    back = line[-1 - min(len(line) - 1, max(_LOOK_BACK_PX, round(_LOOK_BACK_HALF_WIDTHS * reach))) :]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(back, axis=0).T))])
    if along[-1] == 0.0:
        return None
    along -= along[-1]
    if reach < _BENDING_HALF_WIDTH_PX or len(back) <= 2 * reach:
        factor = along @ (back - line[-1]) / (along @ along)
        straight: Floats = line[-1] + ahead[:, None] * factor / np.hypot(*factor)
        return straight
    factors = np.linalg.lstsq(np.stack([along, along**2], axis=1), back - line[-1], rcond=None)[0]
    way: Floats = line[-1] + np.stack([ahead, ahead**2], axis=1) @ factors / np.hypot(*factors[0])
    return way


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
    sigma = _DIRECTION_PX / step_px
    steps = np.diff(line, axis=0)
    tangent = np.empty_like(line)
    tangent[0], tangent[-1] = steps[0], steps[-1]
    tangent[1:-1] = (steps[1:] + steps[:-1]) / 2
    tangent = gaussian_filter1d(tangent, sigma, axis=0, mode="wrap" if closed else "nearest")
    norm = np.hypot(tangent[:, 0], tangent[:, 1])
    norm[norm == 0] = 1.0
    normals: Floats = tangent[:, ::-1] / norm[:, None]
    normals[:, 0] *= -1
    return normals


def _main_axis(view: ComponentView, frame: GroundFrame, rim: cKDTree) -> Path:
    """The main axis of a speck's pixels, as long as a bar of the same second moment."""
    cells = [set_pixels(view.pixels(cell)) + np.array([cell.row_start, cell.col_start]) for cell in view.cells()]
    places = frame.ground(np.concatenate(cells).astype(np.float64))
    centre = places.mean(axis=0)
    spread = np.cov(places.T, bias=True) + np.eye(2) / 12 if len(places) > 1 else np.eye(2) / 12
    values, vectors = np.linalg.eigh(spread)
    half = np.sqrt(12 * values[1]) / 2 * vectors[:, 1]
    line = np.stack([centre - half, centre + half])
    normal = np.array([-half[1], half[0]]) / np.hypot(*half)
    return Path(line, np.stack([normal, normal]), np.asarray(rim.query(line)[0]), np.zeros(2, np.bool_), (0, 1), (1, 1))
