"""Grey values of the image across a crack's centre line, brought to depth below the background.

Two passes: a coarse one finds the middle of the dark line beside the path, the fine one samples across that middle
and averages along the crack. The background is a straight line between the medians of a strip on each side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, median_filter

from segmentation.georeference import Floats
from segmentation.measurement.skeletons import GroundFrame, Path

Bools = npt.NDArray[np.bool_]
Floats32 = npt.NDArray[np.float32]
Reals = npt.NDArray[np.floating]
Ints = npt.NDArray[np.intp]

ACROSS_STEP_PX = 0.5
"""Sampling across the crack: twice as fine as the pixels, which the blur has smoothed already."""
ACROSS_PX: Floats = np.arange(-20, 21, dtype=np.float64) * ACROSS_STEP_PX
"""Places across the line ``(41,)`` at which profiles are kept."""
_STRIP = 12
"""Samples of the strip on each side from which the background is taken: 6 px."""
_ALONG_PX = 1.5
"""Profiles are averaged along the crack over this σ."""
_COARSE_STEP_PX = 1.0
"""Sampling across where only the middle of the line is looked for."""
_DENSE_STEP_PX = 1.5
"""Points farther apart are sampled between as well."""
_CLEARANCE_PX = 6.0
"""Pixels that are read beyond the farthest place, for what the line lies beside the path."""
_CHUNK = 1024
_LEAST_CONTRAST = 6.0
"""Grey levels: less is no crack that the image shows."""
_LEAST_SIGNAL_TO_NOISE = 4.0
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


def crack_profiles(
    paths: Sequence[Path], *, image: npt.NDArray[np.uint8], foreign: Bools, frame: GroundFrame
) -> Profiles:
    """Profiles across all points of the paths.

    `image` uint8 ``(H, W, 3)``; `foreign` bool ``(H, W)`` marks pixels that are likely a crack, which are kept out
    of the background unless they are the crack under the profile itself.
    """
    parts = []
    for chunk in _chunks(paths):
        points = np.concatenate([path.points[part] for path, part, _ in chunk])
        normals = np.concatenate([path.normals[part] for path, part, _ in chunk])
        half_width = np.concatenate([path.half_width[part] for path, part, _ in chunk])
        lengths = [part.stop - part.start for _, part, _ in chunk]
        line = _Line(points, normals, half_width, lengths, chunk[0][0].step)
        found = _measured(_Sampler(line, image=image, foreign=foreign, frame=frame))
        inner = np.concatenate([np.arange(n) + at for n, at in _inner(chunk, lengths)])
        parts.append(Profiles(*(field[inner] for field in found)))
    if not parts:
        return _nothing(0)
    return Profiles(*(np.concatenate([getattr(part, name) for part in parts]) for name in Profiles.__slots__))


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


_Piece = tuple[Path, slice, slice]
"""A path, the points of it that are sampled, and those among them that are kept (the rest is a halo)."""


def _chunks(paths: Sequence[Path]) -> list[list[_Piece]]:
    """Paths put together, or cut apart, to some thousand points: little overhead for short ones, bounded memory."""
    chunks: list[list[_Piece]] = []
    filled = _CHUNK
    for path in paths:
        halo = int(4 * _ALONG_PX / path.step) + 1
        for start in range(0, len(path.points), _CHUNK):
            stop = min(start + _CHUNK, len(path.points))
            outer = slice(max(start - halo, 0), min(stop + halo, len(path.points)))
            if filled + (stop - start) > _CHUNK:
                chunks.append([])
                filled = 0
            chunks[-1].append((path, outer, slice(start - outer.start, stop - outer.start)))
            filled += stop - start
    return chunks


def _inner(chunk: list[_Piece], lengths: list[int]) -> list[tuple[int, int]]:
    """(number, first row) of the rows kept of each piece."""
    first = np.concatenate([[0], np.cumsum(lengths)])
    return [(kept.stop - kept.start, int(at) + kept.start) for (_, _, kept), at in zip(chunk, first[:-1], strict=True)]


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

    def __init__(self, line: _Line, *, image: npt.NDArray[np.uint8], foreign: Bools, frame: GroundFrame) -> None:
        self.line = line
        self._at, self._way = frame.pixel(line.points), frame.pixel(line.normals)
        reach = float(line.half_width.max()) * 1.1 + _STRIP * ACROSS_STEP_PX + 2.5
        side = max(int(np.ceil(reach / ACROSS_STEP_PX)), ACROSS_PX.size // 2)
        self.across: Floats32 = np.arange(-side, side + 1, dtype=np.float32) * np.float32(ACROSS_STEP_PX)
        margin = side * ACROSS_STEP_PX * float(np.abs(self._way).max()) + _CLEARANCE_PX
        low = np.floor(self._at.min(axis=0) - margin).astype(int)
        high = np.ceil(self._at.max(axis=0) + margin).astype(int)
        self._size = np.array(foreign.shape) - 1.0
        self._whole = bool((low >= 0).all() and (high < self._size).all())
        rows = slice(max(low[0], 0), min(high[0], foreign.shape[0]))
        cols = slice(max(low[1], 0), min(high[1], foreign.shape[1]))
        self._origin = np.array([rows.start, cols.start], np.float64)
        self._grey: Floats32 = luminance(image[rows, cols])
        self._sharp = sharpened(self._grey)
        self._foreign = foreign[rows, cols]

    def coarse(self, across: Floats32) -> Floats32:
        """``(N, M)`` at `across`, linear between pixels."""
        return linear_between(self._grey, self._places(self._at, self._way, across, None))

    def fine(self, shift: Floats) -> Reals:
        """Grey values ``(N, M)`` at `self.across` about the shifted points, averaged along the crack."""
        lengths, step = self.line.lengths, self.line.step
        if step < _DENSE_STEP_PX:
            values = linear_between(self._sharp, self._places(self._at, self._way, self.across, shift))
            return _along(values, lengths, _ALONG_PX / step)
        # Points farther apart would leave out pixels between them, and their noise would average out less.
        dense = [_with_middles(field, lengths) for field in (self._at, self._way, shift[:, None])]
        values = linear_between(self._sharp, self._places(dense[0], dense[1], self.across, dense[2][:, 0]))
        twice = [2 * n - 1 for n in lengths]
        first = np.concatenate([[0], np.cumsum(twice)])[:-1]
        kept = np.concatenate([np.arange(at, at + n, 2) for at, n in zip(first, twice, strict=True)])
        averaged: Reals = _along(values, twice, 2 * _ALONG_PX / step)[kept]
        return averaged

    def usable(self, shift: Floats) -> Bools:
        """Which of the places ``(N, M)`` about the shifted points may serve: inside the image, no other crack."""
        places = self._places(self._at, self._way, self.across, shift)
        row, col = (np.clip((places[a] + 0.5).astype(np.int32), 0, self._grey.shape[a] - 1) for a in (0, 1))
        found: Bools = ~self._foreign.take(row * np.int32(self._grey.shape[1]) + col)
        found |= np.abs(self.across) <= self.line.half_width[:, None] + 1.0
        if not self._whole or float(np.abs(shift).max()) > _CLEARANCE_PX / 2:
            for axis in (0, 1):
                low, high = -self._origin[axis], self._size[axis] - self._origin[axis]
                found &= (places[axis] >= low) & (places[axis] <= high)
        return found

    def _places(self, at: Floats, way: Floats, across: Floats32, shift: Floats | None) -> Floats32:
        start, ways = (at - self._origin).astype(np.float32), way.astype(np.float32)
        offset = across[None] if shift is None else shift[:, None].astype(np.float32) + across
        return np.stack([start[:, a, None] + offset * ways[:, a, None] for a in (0, 1)])


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
    height, width = grey.shape
    row = np.clip(places[0], 0, height - 1)
    col = np.clip(places[1], 0, width - 1)
    top, left = row.astype(np.int32), col.astype(np.int32)
    row -= top
    col -= left
    flat = grey.ravel()
    first = top * np.int32(width) + left
    down = np.where(top < height - 1, np.int32(width), np.int32(0))
    right = (left < width - 1).astype(np.int32)
    upper: Floats32 = flat.take(first)
    lower: Floats32 = flat.take(first + down)
    upper += col * (flat.take(first + right) - upper)
    first += down
    lower += col * (flat.take(first + right) - lower)
    upper += row * (lower - upper)
    return upper


def _with_middles(values: Floats, lengths: list[int]) -> Floats:
    """Rows ``(N, M)`` of pieces with the means of neighbours between them: ``2n − 1`` rows of each piece of n."""
    dense = np.repeat(values, 2, axis=0)
    dense[1:-1:2] = (values[:-1] + values[1:]) / 2
    # What follows each piece's last row would lie between two pieces.
    return np.delete(dense, 2 * np.cumsum(lengths) - 1, axis=0)


def _measured(sampler: _Sampler) -> tuple[npt.NDArray[np.generic], ...]:
    line = sampler.line
    shift = _smoothed_shift(_middles(sampler), line.lengths, line.step)
    grey, usable = sampler.fine(shift), sampler.usable(shift)
    half_width = line.half_width.astype(np.float32)
    fwhm, base, noise = full_width(grey, sampler.across, usable=usable, half_width=half_width)
    middle, half = sampler.across.size // 2, ACROSS_PX.size // 2
    near = slice(middle - half, middle + half + 1)
    level = np.maximum(base[:, near], 1.0)
    darkness = ((base[:, near] - grey[:, near]) / level).astype(np.float32)
    known = np.isfinite(darkness)
    shift = np.where(np.isfinite(fwhm), shift, np.nan)
    return fwhm, shift, np.where(known, darkness, 0.0), usable[:, near] & known, noise / level[:, half]


def _middles(sampler: _Sampler) -> Floats:
    """Middle of the dark line about each point, coarsely: the centroid of what is darker than the half of it."""
    half_width = sampler.line.half_width
    side = int(np.ceil((float(half_width.max()) + 4.0) / _COARSE_STEP_PX))
    across: Floats32 = np.arange(-side, side + 1, dtype=np.float32) * np.float32(_COARSE_STEP_PX)
    grey = gaussian_filter1d(sampler.coarse(across), 1.0 / sampler.line.step, axis=0, mode="nearest")
    near = np.abs(across) <= half_width[:, None] + 1.0
    outside = (~near).sum(axis=1)
    base = np.where(near, np.float32(0), grey).sum(axis=1) / np.maximum(outside, 1)
    depth = np.where(near, base[:, None] - grey, 0.0)
    weight = np.maximum(depth - 0.4 * depth.max(axis=1)[:, None], 0.0)
    total = weight.sum(axis=1)
    middle: Floats = np.where(total > 0, (weight @ across) / np.maximum(total, 1e-9), np.nan)
    return middle


def _smoothed_shift(middle: Floats, lengths: list[int], step: float) -> Floats:
    known = np.isfinite(middle)
    if not known.any():
        return np.zeros(middle.size)
    at = np.arange(middle.size)
    filled = np.interp(at, at[known], middle[known])
    smooth = _along(filled[:, None], lengths, 2.5 / step, median=5)[:, 0]
    return smooth.astype(np.float64)


def _along(values: Reals, lengths: list[int], sigma: float, median: int = 1) -> Reals:
    """Gaussian along each path ``(N, M)``, its ends repeated, no path mixed with another."""
    pad = int(4 * sigma) + 1 + median
    steps = [np.clip(np.arange(-pad, n + pad), 0, n - 1) for n in lengths]
    first = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    padded = values[np.concatenate([ids + at for ids, at in zip(steps, first, strict=True)])]
    if median > 1:
        padded = median_filter(padded, size=(median, 1), mode="nearest")
    smooth = gaussian_filter1d(padded, sigma, axis=0, mode="nearest")
    kept = np.concatenate(
        [np.arange(n) + at + (2 * k + 1) * pad for k, (n, at) in enumerate(zip(lengths, first, strict=True))]
    )
    result: Reals = smooth[kept]
    return result


def full_width(grey: Reals, across: Reals, *, usable: Bools, half_width: Reals) -> tuple[Reals, Reals, Reals]:
    """Full width at half depth ``(N,)`` of dark lines ``(N, M)`` sampled at `across` ``(M,)``, with the background
    ``(N, M)`` and its noise ``(N,)``; NaN where no clear dark line is shown.

    The background is the straight line between the medians of two strips of 6 px, first outside
    `half_width` ``(N,)``, then outside the edges found. The depth is the mean over the middle half of the line,
    so that noise does not deepen it. `usable` ``(N, M)`` says what may serve as background.
    """
    left, right = -half_width, half_width
    for rounds in (1, 2):
        base, strips, known = _background(grey, across, usable, left - 1.5, right + 1.5)
        left, right, depth = half_depth_edges(base - grey, across, half_width + 1.0, rounds=rounds)
        known &= np.isfinite(left) & np.isfinite(right)
        left, right = np.where(known, left, -half_width), np.where(known, right, half_width)
    noise = np.fmax(*(1.4826 * _row_medians(np.abs(strip)) for strip in strips))
    clear = known & (depth > _LEAST_CONTRAST) & (depth > _LEAST_SIGNAL_TO_NOISE * noise)
    span = half_width * 1.25 + 3.0
    clear &= (left > -span) & (right < span)
    return np.where(clear, right - left, np.nan), base, noise


def _background(
    grey: Reals, across: Reals, usable: Bools, left: Reals, right: Reals
) -> tuple[Reals, list[Reals], Bools]:
    """Background ``(N, M)``, how both strips ``(N, 12)`` differ from their medians, and whether both sides show it
    ``(N,)``."""
    rows = np.arange(len(grey))[:, None] * across.size
    levels, places, strips = [], [], []
    for edge, side in ((left, -1), (right, 1)):
        first = np.ceil((edge * side - across[0]) / ACROSS_STEP_PX).astype(np.intp)
        outward = first[:, None] + np.arange(_STRIP)
        within = outward < across.size
        outward = np.minimum(outward, across.size - 1)
        at = rows + (outward if side > 0 else across.size - 1 - outward)
        strip = np.where(usable.take(at) & within, grey.take(at), np.float32(np.nan))
        enough = np.isfinite(strip).sum(axis=1) * ACROSS_STEP_PX >= 2.0
        level = np.where(enough, _row_medians(strip), np.nan)
        strips.append(strip - level[:, None])
        levels.append(level)
        places.append(edge + side * (_STRIP - 1) * ACROSS_STEP_PX / 2)
    known = np.isfinite(levels[0]) & np.isfinite(levels[1])
    slope = (levels[1] - levels[0]) / (places[1] - places[0])
    base = levels[0][:, None] + slope[:, None] * (across - places[0][:, None])
    return base, strips, known


def _row_medians(values: Reals) -> Reals:
    """Median of each row without its NaNs; NaN where there is nothing else. numpy's own takes ten times as long."""
    known = np.isfinite(values).sum(axis=1)
    ordered = np.sort(values, axis=1)
    rows, last = np.arange(len(values)), values.shape[1] - 1
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, last)
    medians: Reals = (ordered[rows, low] + ordered[rows, high]) / 2
    return medians


def half_depth_edges(deficit: Reals, across: Reals, reach: Reals, *, rounds: int) -> tuple[Reals, Reals, Reals]:
    """(left edge, right edge, depth), each ``(N,)``, of lines whose deepest point lies within `reach` of 0.

    The depth is that of the deepest point at first, from then on the mean over the middle half: noise cannot deepen
    it as it deepens a maximum.
    """
    rows = np.arange(len(deficit))
    shown = np.where((np.abs(across) <= reach[:, None]) & np.isfinite(deficit), deficit, -np.inf)
    peak_at = shown.argmax(axis=1)
    depth = shown[rows, peak_at]
    depth = np.where(np.isfinite(depth), depth, np.nan)
    left = right = np.full(len(deficit), np.nan)
    for _ in range(rounds):
        left = -falls_below(deficit[:, ::-1], -across[::-1], len(across) - 1 - peak_at, depth / 2)
        right = falls_below(deficit, across, peak_at, depth / 2)
        quarter = (right - left) / 4
        inner = np.abs(across - ((left + right) / 2)[:, None]) <= np.maximum(quarter, ACROSS_STEP_PX)[:, None]
        total = np.where(inner, deficit, 0.0).sum(axis=1)
        depth = np.where(inner.any(axis=1), total / np.maximum(inner.sum(axis=1), 1), np.nan)
    return left, right, depth


def falls_below(deficit: Reals, across: Reals, start: Ints, level: Reals) -> Reals:
    """Where the deficit first falls below `level` to the right of index `start`, linear between samples."""
    below = deficit < level[:, None]
    below &= np.arange(across.size) > start[:, None]
    rows = np.arange(len(deficit))
    at = below.argmax(axis=1)
    found = below[rows, at]
    at = np.where(found, at, 1)
    inner, outer = deficit[rows, at - 1], deficit[rows, at]
    drop = np.where(inner != outer, inner - outer, 1.0)
    place = across[at - 1] + (across[at] - across[at - 1]) * np.clip((inner - level) / drop, 0.0, 1.0)
    return np.where(found, place, np.nan)
