"""Grey values of the image across a crack's centre line, brought to depth below the background.

Two passes: a coarse one finds the middle of the dark line beside the path, the fine one samples across that middle
and averages along the crack. The background is a straight line between the medians of a strip on each side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, map_coordinates, median_filter, spline_filter

from segmentation.georeference import Floats
from segmentation.measurement.skeletons import GroundFrame, Path

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

ACROSS_STEP_PX = 0.5
"""Sampling across the crack: twice as fine as the pixels, which the blur has smoothed already."""
ACROSS_PX: Floats = np.arange(-20, 21, dtype=np.float64) * ACROSS_STEP_PX
"""Places across the line ``(41,)`` at which profiles are kept."""
_STRIP = 12
"""Samples of the strip on each side from which the background is taken: 6 px."""
_ALONG_PX = 1.5
"""Profiles are averaged along the crack over this σ."""
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
        sampler = _Sampler(points, normals, half_width, image=image, foreign=foreign, frame=frame)
        found = _measured(sampler, lengths, chunk[0][0].step)
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


class _Sampler:
    """Grey values of the image at places across the points of a chunk."""

    def __init__(
        self,
        points: Floats,
        normals: Floats,
        half_width: Floats,
        *,
        image: npt.NDArray[np.uint8],
        foreign: Bools,
        frame: GroundFrame,
    ) -> None:
        self.half_width = half_width
        self._at, self._way = frame.pixel(points), frame.pixel(normals)
        reach = float(half_width.max()) * 1.1 + _STRIP * ACROSS_STEP_PX + 2.5
        side = max(int(np.ceil(reach / ACROSS_STEP_PX)), ACROSS_PX.size // 2)
        self.across: Floats = np.arange(-side, side + 1, dtype=np.float64) * ACROSS_STEP_PX
        margin = side * ACROSS_STEP_PX * float(np.abs(self._way).max()) + 6.0
        low = np.floor(self._at.min(axis=0) - margin).astype(int)
        high = np.ceil(self._at.max(axis=0) + margin).astype(int)
        self._size = np.array(foreign.shape) - 1.0
        rows = slice(max(low[0], 0), min(high[0], foreign.shape[0]))
        cols = slice(max(low[1], 0), min(high[1], foreign.shape[1]))
        self._origin = np.array([rows.start, cols.start], np.float64)
        self._grey = image[rows, cols].astype(np.float32) @ _LUMINANCE
        self._foreign = foreign[rows, cols]
        self._spline = spline_filter(self._grey, order=3, output=np.float32, mode="mirror")

    def coarse(self, across: Floats) -> Floats:
        """``(N, M)`` at `across`, linear between pixels."""
        return np.asarray(map_coordinates(self._grey, self._places(across, None), order=1, mode="nearest"))

    def fine(self, shift: Floats) -> tuple[Floats, Bools]:
        """Grey values ``(N, M)`` at `self.across` about the shifted points, and which of them may serve."""
        places = self._places(self.across, shift)
        values = map_coordinates(self._spline, places, order=3, mode="mirror", prefilter=False, output=np.float64)
        inside = np.ones(values.shape, np.bool_)
        for axis in (0, 1):
            low, high = -self._origin[axis], self._size[axis] - self._origin[axis]
            inside &= (places[axis] >= low) & (places[axis] <= high)
        pixel = [np.clip((places[a] + 0.5).astype(np.intp), 0, self._grey.shape[a] - 1) for a in (0, 1)]
        other = self._foreign[pixel[0], pixel[1]] & (np.abs(self.across) > self.half_width[:, None] + 1.0)
        return values, inside & ~other

    def _places(self, across: Floats, shift: Floats | None) -> npt.NDArray[np.float64]:
        offset = across[None] if shift is None else shift[:, None] + across
        start = self._at - self._origin
        return np.stack([start[:, a, None] + offset * self._way[:, a, None] for a in (0, 1)])


def _measured(sampler: _Sampler, lengths: list[int], step: float) -> tuple[npt.NDArray[np.generic], ...]:
    shift = _smoothed_shift(_middles(sampler), lengths, step)
    grey, usable = sampler.fine(shift)
    grey = _along(grey, lengths, _ALONG_PX / step)
    fwhm, base, noise = full_width(grey, sampler.across, usable=usable, half_width=sampler.half_width)
    middle, half = sampler.across.size // 2, ACROSS_PX.size // 2
    near = slice(middle - half, middle + half + 1)
    level = np.maximum(base[:, near], 1.0)
    darkness = ((base[:, near] - grey[:, near]) / level).astype(np.float32)
    known = np.isfinite(darkness)
    shift = np.where(np.isfinite(fwhm), shift, np.nan)
    return fwhm, shift, np.where(known, darkness, 0.0), usable[:, near] & known, noise / level[:, half]


def _middles(sampler: _Sampler) -> Floats:
    """Middle of the dark line about each point, coarsely: the centroid of what is darker than the half of it."""
    reach = float(sampler.half_width.max()) + 4.0
    side = int(np.ceil(reach / ACROSS_STEP_PX))
    across: Floats = np.arange(-side, side + 1, dtype=np.float64) * ACROSS_STEP_PX
    grey = gaussian_filter1d(sampler.coarse(across), 1.0, axis=0, mode="nearest")
    near = np.abs(across) <= sampler.half_width[:, None] + 1.0
    outside = (~near).sum(axis=1)
    base = np.where(near, 0.0, grey).sum(axis=1) / np.maximum(outside, 1)
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
    return _along(filled[:, None], lengths, 2.5 / step, median=5)[:, 0]


def _along(values: Floats, lengths: list[int], sigma: float, median: int = 1) -> Floats:
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
    result: Floats = smooth[kept]
    return result


def full_width(grey: Floats, across: Floats, *, usable: Bools, half_width: Floats) -> tuple[Floats, Floats, Floats]:
    """Full width at half depth ``(N,)`` of dark lines ``(N, M)`` sampled at `across` ``(M,)``, with the background
    ``(N, M)`` and its noise ``(N,)``; NaN where no clear dark line is shown.

    The background is the straight line between the medians of two strips of 6 px, first outside
    `half_width` ``(N,)``, then outside the edges found. The depth is the mean over the middle half of the line,
    so that noise does not deepen it. `usable` ``(N, M)`` says what may serve as background.
    """
    left, right = -half_width, half_width
    for rounds in (1, 2):
        base, noise, known = _background(grey, across, usable, left - 1.5, right + 1.5)
        left, right, depth = half_depth_edges(base - grey, across, half_width + 1.0, rounds=rounds)
        known &= np.isfinite(left) & np.isfinite(right)
        left, right = np.where(known, left, -half_width), np.where(known, right, half_width)
    clear = known & (depth > _LEAST_CONTRAST) & (depth > _LEAST_SIGNAL_TO_NOISE * noise)
    span = half_width * 1.25 + 3.0
    clear &= (left > -span) & (right < span)
    return np.where(clear, right - left, np.nan), base, noise


def _background(
    grey: Floats, across: Floats, usable: Bools, left: Floats, right: Floats
) -> tuple[Floats, Floats, Bools]:
    """Background ``(N, M)``, its noise after averaging ``(N,)`` and whether both sides show it ``(N,)``."""
    rows = np.arange(len(grey))[:, None]
    levels, places, noises = [], [], []
    for edge, side in ((left, -1), (right, 1)):
        first = np.ceil((edge * side - across[0]) / ACROSS_STEP_PX).astype(np.intp)
        outward = np.minimum(first[:, None] + np.arange(_STRIP), across.size - 1)
        cols = outward if side > 0 else across.size - 1 - outward
        repeated = first[:, None] + np.arange(_STRIP) >= across.size
        strip = np.where(usable[rows, cols] & ~repeated, grey[rows, cols], np.nan)
        enough = np.isfinite(strip).sum(axis=1) * ACROSS_STEP_PX >= 2.0
        level = np.where(enough, _row_medians(strip), np.nan)
        noises.append(1.4826 * _row_medians(np.abs(strip - level[:, None])))
        levels.append(level)
        places.append(edge + side * (_STRIP - 1) * ACROSS_STEP_PX / 2)
    known = np.isfinite(levels[0]) & np.isfinite(levels[1])
    slope = (levels[1] - levels[0]) / (places[1] - places[0])
    base = levels[0][:, None] + slope[:, None] * (across - places[0][:, None])
    return base, np.fmax(*noises), known


def _row_medians(values: Floats) -> Floats:
    """Median of each row without its NaNs; NaN where there is nothing else. numpy's own takes ten times as long."""
    known = np.isfinite(values).sum(axis=1)
    ordered = np.sort(values, axis=1)
    rows, last = np.arange(len(values)), values.shape[1] - 1
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, last)
    medians: Floats = (ordered[rows, low] + ordered[rows, high]) / 2
    return medians


def half_depth_edges(deficit: Floats, across: Floats, reach: Floats, *, rounds: int) -> tuple[Floats, Floats, Floats]:
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


def falls_below(deficit: Floats, across: Floats, start: Ints, level: Floats) -> Floats:
    """Where the deficit first falls below `level` to the right of index `start`, linear between samples."""
    after = np.arange(across.size) > start[:, None]
    below = after & (deficit < level[:, None])
    found = below.any(axis=1)
    at = np.where(found, below.argmax(axis=1), 1)
    rows = np.arange(len(deficit))
    inner, outer = deficit[rows, at - 1], deficit[rows, at]
    drop = np.where(inner != outer, inner - outer, 1.0)
    place = across[at - 1] + (across[at] - across[at - 1]) * np.clip((inner - level) / drop, 0.0, 1.0)
    return np.where(found, place, np.nan)
