"""Grey values of the image across a crack's centre line, brought to depth below the background.

Two passes: a coarse one finds the middle of the dark line beside the path, the fine one samples across that middle
and averages along the crack. The background is a straight line between the medians of a strip on each side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter1d, median_filter

from segmentation.georeference import Floats
from segmentation.measurement.dark_lines import ACROSS_STEP_PX, STRIP, full_width
from segmentation.measurement.skeletons import GroundFrame, Path
from segmentation.measurement.views import ComponentView
from segmentation.windows import Window

Bools = npt.NDArray[np.bool_]
Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

ACROSS_PX: Floats = np.arange(-20, 21, dtype=np.float64) * ACROSS_STEP_PX
"""Places across the line ``(41,)`` at which profiles are kept."""
_ALONG_PX = 1.5
"""Profiles are averaged along the crack over this σ."""
_COARSE_STEP_PX = 1.0
"""Sampling across where only the middle of the line is looked for."""
_DENSE_STEP_PX = 1.5
"""Points farther apart are sampled between as well."""
_CLEARANCE_PX = 6.0
"""Pixels that are read beyond the farthest place, for what the line lies beside the path."""
_CHUNK = 1024
"""Points that are sampled at once."""
_PIECE = 128
"""Points of a path that are taken together where the crack is spread over a large frame."""
_NEAR_PX = 512.0
"""Pieces in the same square of this side are sampled one after the other."""
_LOCAL_PX = 1_000_000
"""Pixels of the image that are sampled at once."""
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Profiles:
    """What the image shows across centre lines, one row per point of all paths in turn; widths in ground pixels."""

    fwhm: Floats
    """``(N,)`` full width at half depth, blur and all; NaN where the image shows no clear dark line."""
    shift: Floats
    """``(N,)`` from the path to the middle of the dark line, along the normal."""
    darkness: npt.NDArray[np.float32]
    """``(N, 41)`` depth below the background as a share of it, at `ACROSS_PX`."""
    usable: Bools
    """``(N, 41)`` whether that is the crack and its background: inside the image, no other crack."""
    noise: Floats
    """``(N,)`` noise of the background as a share of it."""


def crack_profiles(paths: Sequence[Path], *, view: ComponentView, frame: GroundFrame) -> Profiles:
    """Profiles across all points of the paths of one crack.

    What is likely a crack (`ComponentView.likely`) is kept out of the background, unless it is the crack under the
    profile itself.
    """
    parts, rows = [], []
    for chunk in _chunks(paths, is_local=view.frame.area_px <= _LOCAL_PX):
        points = np.concatenate([piece.path.points[piece.sampled] for piece in chunk])
        normals = np.concatenate([piece.path.normals[piece.sampled] for piece in chunk])
        half_width = np.concatenate([piece.path.half_width[piece.sampled] for piece in chunk])
        lengths = [piece.sampled.stop - piece.sampled.start for piece in chunk]
        line = _Line(points, normals, half_width, lengths, chunk[0].path.step)
        found = _measured(_Sampler(line, view=view, frame=frame))
        first = np.concatenate([[0], np.cumsum(lengths)])
        inner = np.concatenate(
            [np.arange(one.kept.start, one.kept.stop) + at for one, at in zip(chunk, first[:-1], strict=True)]
        )
        parts.append(Profiles(*(field[inner] for field in found)))
        rows.append(np.concatenate([np.arange(one.count) + one.row for one in chunk]))
    if not parts:
        return _nothing(0)
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate(rows))
    return Profiles(*(np.concatenate([getattr(part, name) for part in parts])[order] for name in Profiles.__slots__))


def unseen(count: int) -> Profiles:
    """Profiles of points that nobody looked at."""
    return _nothing(count)


def joined(one: Profiles, other: Profiles) -> Profiles:
    """The rows of both."""
    return Profiles(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in Profiles.__slots__))


def _nothing(count: int) -> Profiles:
    none = np.full(count, np.nan)
    width = ACROSS_PX.size
    return Profiles(none, none, np.zeros((count, width), np.float32), np.zeros((count, width), np.bool_), none)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a path, at most as long as is sampled at once."""

    path: Path
    sampled: slice
    """Its points, and those on both sides that they are averaged with."""
    kept: slice
    """Its own among those."""
    row: int
    """Number of its first own point among the points of all paths in turn."""

    @property
    def count(self) -> int:
        """Its own points."""
        return int(self.kept.stop - self.kept.start)

    @property
    def ground(self) -> Floats:
        """Its own points ``(N, 2)``."""
        return self.path.points[self.sampled][self.kept]


def _chunks(paths: Sequence[Path], *, is_local: bool) -> list[list[_Piece]]:
    """Paths put together, or cut apart, to some thousand points: little overhead for short ones, bounded memory.

    Where all lie near to one another they are taken as they come, otherwise by their places, so that what is read of
    the image for one chunk is bounded too.
    """
    if is_local:
        return _filled(_pieces(paths, most=_CHUNK), most_px=None)
    pieces = _pieces(paths, most=_PIECE)
    cells = np.array([np.floor(piece.ground[0] / _NEAR_PX) for piece in pieces]).reshape(-1, 2)
    order = np.lexsort((np.arange(len(pieces)), cells[:, 1], cells[:, 0]))
    return _filled([pieces[k] for k in order], most_px=_LOCAL_PX)


def _pieces(paths: Sequence[Path], *, most: int) -> list[_Piece]:
    """The paths in pieces of at most so many points."""
    pieces, row = [], 0
    for path in paths:
        halo = int(4 * _ALONG_PX / path.step) + 1
        for start in range(0, len(path.points), most):
            stop = min(start + most, len(path.points))
            sampled = slice(max(start - halo, 0), min(stop + halo, len(path.points)))
            pieces.append(_Piece(path, sampled, slice(start - sampled.start, stop - sampled.start), row + start))
        row += len(path.points)
    return pieces


def _filled(pieces: Sequence[_Piece], *, most_px: float | None) -> list[list[_Piece]]:
    """The pieces in their order, as many together as come to `_CHUNK` points and to a rectangle of `most_px`."""
    chunks: list[list[_Piece]] = []
    filled = _CHUNK
    low = high = np.zeros(2)
    for piece in pieces:
        if most_px is not None:
            ground = piece.ground
            around = np.minimum(low, ground.min(axis=0)), np.maximum(high, ground.max(axis=0))
            if float(np.prod(around[1] - around[0])) > most_px:
                filled = _CHUNK
        if filled + piece.count > _CHUNK:
            chunks.append([])
            filled = 0
            if most_px is not None:
                around = ground.min(axis=0), ground.max(axis=0)
        if most_px is not None:
            low, high = around
        chunks[-1].append(piece)
        filled += piece.count
    return chunks


@dataclass(frozen=True, slots=True)
class _Line:
    """The points of a chunk's pieces in turn, in ground pixels."""

    points: Floats
    normals: Floats
    half_width: Floats
    lengths: list[int]
    """Points of each piece."""
    step: float
    """From point to point."""


class _Sampler:
    """Grey values of the image at places across the points of a chunk."""

    def __init__(self, line: _Line, *, view: ComponentView, frame: GroundFrame) -> None:
        self.line = line
        self._at, self._way = frame.pixel(line.points), frame.pixel(line.normals)
        reach = float(line.half_width.max()) * 1.1 + STRIP * ACROSS_STEP_PX + 2.5
        side = max(int(np.ceil(reach / ACROSS_STEP_PX)), ACROSS_PX.size // 2)
        self.across: Floats32 = np.arange(-side, side + 1, dtype=np.float32) * np.float32(ACROSS_STEP_PX)
        margin = side * ACROSS_STEP_PX * float(np.abs(self._way).max()) + _CLEARANCE_PX
        low = np.floor(self._at.min(axis=0) - margin).astype(int)
        high = np.ceil(self._at.max(axis=0) + margin).astype(int)
        self._size = np.array(view.shape) - 1.0
        self._whole = bool((low >= 0).all() and (high < self._size).all())
        window = Window(int(low[0]), int(high[0]), int(low[1]), int(high[1])).clip(*view.shape)
        self._origin = np.array([window.row_start, window.col_start], np.float64)
        self._grey: Floats32 = luminance(view.image(window))
        self._sharp = sharpened(self._grey)
        self._foreign = view.likely(window)

    def coarse(self, across: Floats32) -> Floats32:
        """``(N, M)`` at `across`, linear between pixels."""
        return linear_between(self._grey, self._places(self._at, self._way, across, None))

    def fine(self, shift: Floats) -> Floats32:
        """Grey values ``(N, M)`` at `self.across` about the shifted points, averaged along the crack."""
        lengths, step = self.line.lengths, self.line.step
        if step < _DENSE_STEP_PX:
            values = linear_between(self._sharp, self._places(self._at, self._way, self.across, shift))
            return _along(values, lengths, _ALONG_PX / step)
        # Points farther apart would leave out pixels between them, and their noise would average out less.
        dense = _with_middles(np.column_stack([self._at, self._way, shift]), lengths)
        values = linear_between(self._sharp, self._places(dense[:, :2], dense[:, 2:4], self.across, dense[:, 4]))
        twice = [2 * n - 1 for n in lengths]
        return _along(values, twice, 2 * _ALONG_PX / step, every=2)

    def usable(self, shift: Floats) -> Bools:
        """Which of the places ``(N, M)`` about the shifted points may serve: inside the image, no other crack."""
        places = self._places(self._at, self._way, self.across, shift)
        row, col = (places + np.float32(0.5)).astype(np.intp)
        is_inside = self._whole and float(np.abs(shift).max()) <= _CLEARANCE_PX / 2
        if not is_inside:
            row, col = (np.clip(at, 0, side - 1) for at, side in zip((row, col), self._grey.shape, strict=True))
        row *= self._grey.shape[1]
        row += col
        found: Bools = ~self._foreign.take(row)
        found |= np.abs(self.across).astype(np.float64) <= self.line.half_width[:, None] + 1.0
        if not is_inside:
            for axis in (0, 1):
                low, high = -self._origin[axis], self._size[axis] - self._origin[axis]
                found &= (places[axis] >= low) & (places[axis] <= high)
        return found

    def _places(self, at: Floats, way: Floats, across: Floats32, shift: Floats | None) -> Floats32:
        start, ways = (at - self._origin).T[..., None].astype(np.float32), way.T[..., None].astype(np.float32)
        offset = across[None] if shift is None else shift[:, None].astype(np.float32) + across
        places: Floats32 = offset * ways
        places += start
        return places


def luminance(image: npt.NDArray[np.uint8]) -> Floats32:
    """Grey values ``(H, W)`` of ``(H, W, 3)``."""
    grey: Floats32 = image.astype(np.float32) @ _LUMINANCE
    return grey


def sharpened(grey: Floats32) -> Floats32:
    """The grey values ``(H, W)`` without 1/12 of their second differences along both axes.

    Linear interpolation adds 1/6 px² to the variance of whatever it is done on, in any direction; the differences
    taken off beforehand are of just that variance, so that no line is widened.
    """
    sharp, part = grey * np.float32(4 / 3), grey * np.float32(1 / 12)
    for one, other in ((sharp, part), (sharp.T, part.T)):
        one[1:] -= other[:-1]
        one[:-1] -= other[1:]
        # The pixels beyond the rim are those of the rim.
        one[0] -= other[0]
        one[-1] -= other[-1]
    return sharp


def linear_between(grey: Floats32, places: Floats32) -> Floats32:
    """Values ``(N, M)`` of ``(H, W)`` at (row, col) ``(2, N, M)``, linear between pixels, beyond the rim those of
    the rim. The same as scipy's `map_coordinates` of order 1, which serves any order, in half the time."""
    (row, top), (col, left) = (_split(at, side) for at, side in zip(places, grey.shape, strict=True))
    top *= grey.shape[1]
    top += left
    flat = grey.ravel()
    right, down = int(grey.shape[1] > 1), grey.shape[1] * int(grey.shape[0] > 1)
    upper: Floats32 = flat.take(top)
    upper += col * (flat[right:].take(top) - upper)
    lower: Floats32 = flat[down:].take(top)
    lower += col * (flat[down + right :].take(top) - lower)
    upper += row * (lower - upper)
    return upper


def _split(at: Floats32, side: int) -> tuple[Floats32, Ints]:
    """Places along an axis of `side` pixels as (share, pixel): so far from that pixel to the next one."""
    share = np.minimum(np.maximum(at, np.float32(0)), np.float32(side - 1))
    whole = np.minimum(np.floor(share), np.float32(max(side - 2, 0)))
    share -= whole
    return share, whole.astype(np.intp)


def _with_middles(values: Floats, lengths: list[int]) -> Floats:
    """Rows ``(N, M)`` of pieces with the means of neighbours between them: ``2n − 1`` rows of each piece of n."""
    dense = np.empty((2 * len(values) - 1, values.shape[1]))
    dense[::2] = values
    dense[1::2] = (values[:-1] + values[1:]) / 2
    # What follows a piece's last row would lie between two pieces.
    return dense if len(lengths) == 1 else np.delete(dense, 2 * np.cumsum(lengths[:-1]) - 1, axis=0)


def _measured(sampler: _Sampler) -> tuple[npt.NDArray[np.generic], ...]:
    line = sampler.line
    shift = _smoothed_shift(_middles(sampler), line.lengths, line.step)
    grey, usable = sampler.fine(shift), sampler.usable(shift)
    half_width = line.half_width.astype(np.float32)
    fwhm, base, noise = full_width(grey, sampler.across, usable=usable, half_width=half_width)
    middle, half = sampler.across.size // 2, ACROSS_PX.size // 2
    near = slice(middle - half, middle + half + 1)
    level = np.maximum(base[:, near], 1.0)
    darkness = (base[:, near] - grey[:, near]) / level
    known = np.isfinite(darkness)
    shift = np.where(np.isfinite(fwhm), shift, np.nan)
    darkness = np.where(known, darkness, np.float32(0))
    return fwhm, shift, darkness, usable[:, near] & known, (noise / level[:, half]).astype(np.float64)


def _middles(sampler: _Sampler) -> Floats:
    """Middle of the dark line about each point, coarsely: the centroid of what is darker than the half of it."""
    half_width = sampler.line.half_width.astype(np.float32)
    side = int(np.ceil((float(half_width.max()) + 4.0) / _COARSE_STEP_PX))
    across: Floats32 = np.arange(-side, side + 1, dtype=np.float32) * np.float32(_COARSE_STEP_PX)
    coarse = sampler.coarse(across)
    grey = _along(coarse, [len(coarse)], 1.0 / sampler.line.step)
    near = (np.abs(across) <= half_width[:, None] + 1.0).astype(np.float32)
    ones, outside = np.ones(across.size, np.float32), 1 - near
    base = np.einsum("nm,nm->n", grey, outside) / np.maximum(outside @ ones, 1)
    depth = (base[:, None] - grey) * near
    weight = np.maximum(depth - np.float32(0.4) * depth.max(axis=1)[:, None], 0)
    total, moment = weight @ ones, weight @ across
    middle: Floats = np.where(total > 0, moment / np.maximum(total, 1e-9), np.nan).astype(np.float64)
    return middle


def _smoothed_shift(middle: Floats, lengths: list[int], step: float) -> Floats:
    known = np.isfinite(middle)
    if not known.any():
        return np.zeros(middle.size)
    at = np.arange(middle.size)
    filled = np.interp(at, at[known], middle[known])
    sigma, median = 2.5 / step, 5
    rows, kept = _apart(lengths, int(4 * sigma) + median, every=1)
    smooth: Floats = gaussian_filter1d(median_filter(filled[rows], size=median, mode="nearest"), sigma, mode="nearest")
    return smooth[kept]


def _along(values: Floats32, lengths: list[int], sigma: float, *, every: int = 1) -> Floats32:
    """Gaussian along each piece ``(N, M)``, its ends repeated, no piece mixed with another: of every so many-th row of
    each, which takes a fifth of the time of scipy's."""
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    rows, kept = _apart(lengths, reach, every=every)
    windows = sliding_window_view(values[rows], weights.size, axis=0)[::every]
    smooth: Floats32 = (weights / weights.sum()).astype(np.float32) @ np.moveaxis(windows, -1, 1)
    return smooth[(kept - reach) // every]


def _apart(lengths: list[int], pad: int, *, every: int) -> tuple[Ints, Ints]:
    """Rows of pieces that lie one after the other, each with its ends repeated `pad` times and more, and where the rows
    of each, or every so many-th of them, are then: at multiples of that and `pad`."""
    first = np.cumsum([0, *lengths[:-1]])
    padded = [-(-(n + 2 * pad) // every) * every for n in lengths]
    rows = [np.clip(np.arange(-pad, m - pad), 0, n - 1) + at for m, n, at in zip(padded, lengths, first, strict=True)]
    begins = np.cumsum([pad, *padded[:-1]])
    kept = [np.arange(at, at + n, every) for at, n in zip(begins, lengths, strict=True)]
    return np.concatenate(rows), np.concatenate(kept)
