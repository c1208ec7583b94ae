"""Width of a crack from the image's darkness across it.

The grey value along a line across a crack is a box (the crack) seen through the blur of lens, pixel and
resampling. Its full width at half of its own depth (FWHM) is the crack's width where the crack is wide against
the blur, and stays above the blur's own FWHM where it is not. The bias in between is known: it depends on
width / blur alone, and is taken off with the inverse of this very estimator applied to ideal profiles
(`_unblurred`). The blur is estimated from the crack's own edges where it is wide enough, else assumed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, map_coordinates, median_filter, spline_filter
from scipy.special import erf

from segmentation.georeference import Floats
from segmentation.measurement.skeletons import GroundFrame, Path

Bools = npt.NDArray[np.bool_]

ASSUMED_BLUR_PX = 0.85
"""Blur (σ) of a drone raster where the crack itself does not show it: lens, pixel box (1/√12) and resampling."""
ASSUMED_BLUR_SPREAD = 0.35
"""Relative uncertainty (σ) of the assumed blur: sharp rasters have 0.65 px, soft ones 1.2 px and more."""
_BLURS_PX = np.geomspace(0.45, 2.6, 50)
"""Blurs that are tried."""
_LEAST_MISFIT = 0.02
"""Share of the depth by which a real profile differs from an ideal one at best."""

_ACROSS_PX = 0.25
"""Sampling across the crack."""
_FLANK_PX = 6.0
"""Width of the strip on each side from which the background is taken."""
_ALONG_PX = 1.5
"""Profiles are averaged along the crack over this σ."""
_CHUNK = 256
_LEAST_CONTRAST = 6.0
"""Grey levels: less is no crack that the image shows."""
_LEAST_SIGNAL_TO_NOISE = 4.0
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class WidthProfile:
    """Widths along one path, in ground pixels."""

    fwhm: Floats
    """``(N,)`` full width at half depth, blur and all; NaN where the image does not tell."""
    noise: Floats
    """``(N,)`` noise of the background beside the line as a share of the line's depth; NaN as `fwhm`."""
    shift: Floats
    """``(N,)`` from the path to the middle of the dark line, along the normal."""


@dataclass(frozen=True, slots=True)
class FullWidth:
    """What a set of profiles ``(N, M)`` shows, each ``(N,)``, NaN where it shows no clear dark line."""

    fwhm: Floats
    middle: Floats
    noise: Floats
    """Noise of the background as a share of the line's depth."""
    deficit: Floats
    """``(N, M)`` depth below the background."""


class ProfileStack:
    """Profiles of like width, averaged: together they show the blur that no single one shows for its noise."""

    ACROSS = np.arange(-32, 33) * _ACROSS_PX
    """Places across the line, ``(65,)``."""
    BINS_PX = np.arange(1.5, 9.01, 0.75)
    """Limits of the full widths that are averaged together."""

    def __init__(self) -> None:
        self._sum = np.zeros((self.BINS_PX.size + 1, self.ACROSS.size))
        self._count = np.zeros(self.BINS_PX.size + 1)

    def add(self, deficit: Floats, across: Floats, fwhm: Floats) -> None:
        """Take in profiles ``(N, M)`` of depth below the background, sampled at `across` ``(M,)``."""
        middle = int(np.abs(across).argmin())
        half = self.ACROSS.size // 2
        known = np.isfinite(fwhm)
        bins = np.searchsorted(self.BINS_PX, fwhm[known])
        np.add.at(self._sum, bins, deficit[known][:, middle - half : middle + half + 1])
        np.add.at(self._count, bins, 1.0)

    def means(self) -> list[tuple[Floats, float]]:
        """Mean profiles ``(65,)`` with their share of all, of the widths of which there are enough."""
        enough = self._count >= 8
        enough[[0, -1]] = False
        count = self._count[enough]
        mean = self._sum[enough] / count[:, None]
        return list(zip(mean, (count / count.sum()).tolist(), strict=True)) if count.size else []


def measure_profiles(
    path: Path, *, image: npt.NDArray[np.uint8], foreign: npt.NDArray[np.bool_], frame: GroundFrame, stack: ProfileStack
) -> WidthProfile:
    """Full widths at half depth across a path; its profiles are added to `stack`.

    `image` uint8 ``(H, W, 3)``; `foreign` bool ``(H, W)`` marks pixels that are likely a crack, which are
    kept out of the background unless they are the crack under the profile itself.
    """
    count = len(path.points)
    fwhm, noise, shift = np.full((3, count), np.nan)
    halo = int(4 * _ALONG_PX / path.step) + 1
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        outer = slice(max(start - halo, 0), min(stop + halo, count))
        inner = slice(start - outer.start, stop - outer.start)
        found, shifted, across = _chunk(path, outer, image=image, foreign=foreign, frame=frame)
        fwhm[start:stop], noise[start:stop] = found.fwhm[inner], found.noise[inner]
        shift[start:stop] = shifted[inner]
        stack.add(found.deficit[inner], across, np.where(path.core[start:stop], fwhm[start:stop], np.nan))
    return WidthProfile(fwhm, noise, shift)


def _chunk(
    path: Path, part: slice, *, image: npt.NDArray[np.uint8], foreign: Bools, frame: GroundFrame
) -> tuple[FullWidth, Floats, Floats]:
    points, normals, half_width = path.points[part], path.normals[part], path.half_width[part]
    reach = float(half_width.max()) * 1.25 + _FLANK_PX + 4.0
    across = np.arange(-np.ceil(reach / _ACROSS_PX), np.ceil(reach / _ACROSS_PX) + 1) * _ACROSS_PX
    sigma = _ALONG_PX / path.step

    def sampled(shift: Floats) -> tuple[Floats, Bools]:
        places = frame.pixel(points[:, None] + (shift[:, None] + across)[..., None] * normals[:, None])
        grey, usable = _sample(image, foreign, places, across, half_width)
        return gaussian_filter1d(grey, sigma, axis=0, mode="nearest"), usable

    grey, usable = sampled(np.zeros(len(points)))
    first = full_width(grey, across, usable=usable, half_width=half_width)
    # Profiles are averaged along the crack, so their middles are brought into line first.
    shift = _smooth_shift(first.middle, path.step)
    grey, usable = sampled(shift)
    return full_width(grey, across, usable=usable, half_width=half_width), shift, across


def _smooth_shift(middle: Floats, step: float) -> Floats:
    known = np.isfinite(middle)
    if not known.any():
        return np.zeros(middle.size)
    at = np.arange(middle.size)
    filled = np.interp(at, at[known], middle[known])
    smooth: Floats = gaussian_filter1d(median_filter(filled, size=5, mode="nearest"), 2.5 / step, mode="nearest")
    return smooth


def _sample(
    image: npt.NDArray[np.uint8], foreign: Bools, places: Floats, across: Floats, half_width: Floats
) -> tuple[Floats, Bools]:
    """Grey values ``(N, M)`` at places ``(N, M, 2)``, and which of them may serve as background."""
    height, width = foreign.shape
    low = np.floor(places.min(axis=(0, 1))).astype(int) - 4
    high = np.ceil(places.max(axis=(0, 1))).astype(int) + 5
    rows = slice(max(low[0], 0), min(high[0], height))
    cols = slice(max(low[1], 0), min(high[1], width))
    origin = np.array([rows.start, cols.start])
    grey = spline_filter(image[rows, cols].astype(np.float32) @ _LUMINANCE, order=3, output=np.float32, mode="mirror")
    at = np.moveaxis(places - origin, -1, 0)
    values = map_coordinates(grey, at, order=3, mode="mirror", prefilter=False, output=np.float64)
    inside = ((places >= 0) & (places <= np.array([height - 1, width - 1]))).all(axis=-1)
    at_pixel = np.clip(np.rint(at).astype(int), 0, np.array(grey.shape).reshape(2, 1, 1) - 1)
    other = foreign[rows, cols][at_pixel[0], at_pixel[1]] & (np.abs(across) > half_width[:, None] + 1.0)
    return values, inside & ~other


def mask_widths(path: Path, *, pixels: Bools, frame: GroundFrame) -> Floats:
    """Distance ``(N,)`` in ground pixels between the edges of the crack's pixels across the path.

    It is capped by the distance transform (twice the distance to the nearest pixel outside, and a pixel for that
    pixel's own extent), so that a line that runs on into another branch is not taken for width.
    """
    widths = np.zeros(len(path.points))
    for start in range(0, len(widths), _CHUNK):
        part = slice(start, start + _CHUNK)
        half_width = path.half_width[part]
        count = np.ceil((2 * float(half_width.max()) + 3) / _ACROSS_PX)
        across = np.arange(-count, count + 1) * _ACROSS_PX
        places = frame.pixel(path.points[part, None] + across[:, None] * path.normals[part, None])
        inside = map_coordinates(
            pixels.view(np.uint8), np.moveaxis(places, -1, 0), output=np.float64, order=1, mode="constant"
        )
        middle = np.full(len(half_width), int(count))
        level = np.full(len(half_width), 0.5)
        right = _crossing(inside, across, middle, level)
        left = -_crossing(inside[:, ::-1], -across[::-1], middle, level)
        widths[part] = np.fmin(right - left, 2 * half_width + 1)
    return widths


def full_width(grey: Floats, across: Floats, *, usable: Bools, half_width: Floats) -> FullWidth:
    """Full width at half depth of dark lines ``(N, M)`` sampled at `across` ``(M,)``.

    The background is the straight line between the medians of two strips of 6 px, first outside
    `half_width` ``(N,)``, then outside the edges found. The depth is the mean over the middle half of the line,
    so that noise does not deepen it. `usable` ``(N, M)`` says what may serve as background.
    """
    left, right = -half_width, half_width
    middle = np.zeros(len(grey))
    for _ in range(2):
        base, noise, known = _background(grey, across, usable, left - 1.5, right + 1.5)
        deficit = base - grey
        reach = half_width + 1.0
        left, right, depth = _half_depth_edges(deficit, across, reach)
        middle = (left + right) / 2
        known &= np.isfinite(left) & np.isfinite(right)
        left, right = np.where(known, left, -half_width), np.where(known, right, half_width)
    clear = known & (depth > _LEAST_CONTRAST) & (depth > _LEAST_SIGNAL_TO_NOISE * noise)
    span = half_width * 1.25 + 3.0
    clear &= (left > -span) & (right < span)
    unclear = np.where(clear, 0.0, np.nan)
    share = noise / np.where(clear, depth, 1.0) + unclear
    return FullWidth(right - left + unclear, middle + unclear, share, deficit)


def _background(
    grey: Floats, across: Floats, usable: Bools, left: Floats, right: Floats
) -> tuple[Floats, Floats, Bools]:
    """Background ``(N, M)``, its noise after averaging ``(N,)`` and whether both sides show it ``(N,)``."""
    levels, places, noises = [], [], []
    for edge, side in ((left, -1), (right, 1)):
        outward = (across - edge[:, None]) * side
        strip = np.where(usable & (outward >= 0) & (outward <= _FLANK_PX), grey, np.nan)
        enough = np.isfinite(strip).sum(axis=1) * _ACROSS_PX >= 2.0
        level = np.where(enough, _row_medians(strip), np.nan)
        noises.append(1.4826 * _row_medians(np.abs(strip - level[:, None])))
        levels.append(level)
        places.append(edge + side * _FLANK_PX / 2)
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


def _half_depth_edges(deficit: Floats, across: Floats, reach: Floats) -> tuple[Floats, Floats, Floats]:
    rows = np.arange(len(deficit))
    shown = np.where((np.abs(across) <= reach[:, None]) & np.isfinite(deficit), deficit, -np.inf)
    peak_at = shown.argmax(axis=1)
    depth = shown[rows, peak_at]
    depth = np.where(np.isfinite(depth), depth, np.nan)
    left = right = np.full(len(deficit), np.nan)
    for _ in range(3):
        left = _crossing(deficit[:, ::-1], -across[::-1], len(across) - 1 - peak_at, depth / 2)
        right = _crossing(deficit, across, peak_at, depth / 2)
        left = -left
        # The mean over the middle half: noise cannot deepen it as it deepens a maximum.
        quarter = (right - left) / 4
        inner = np.abs(across - ((left + right) / 2)[:, None]) <= np.maximum(quarter, _ACROSS_PX)[:, None]
        total = np.where(inner, deficit, 0.0).sum(axis=1)
        depth = np.where(inner.any(axis=1), total / np.maximum(inner.sum(axis=1), 1), np.nan)
    return left, right, depth


def _crossing(deficit: Floats, across: Floats, start: npt.NDArray[np.intp], level: Floats) -> Floats:
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


@lru_cache(maxsize=1)
def _ideal() -> tuple[Floats, Floats]:
    """(FWHM, width) of ideal lines, in units of the blur, as this very estimator sees them."""
    width = np.concatenate([np.linspace(0.05, 6.0, 120), np.linspace(6.5, 12.0, 12)])
    across = np.arange(-24.0, 24.01, _ACROSS_PX)
    half = width[:, None] / 2
    deficit = (erf((across + half) / np.sqrt(2)) - erf((across - half) / np.sqrt(2))) / 2
    left, right, _ = _half_depth_edges(deficit, across, np.full(width.size, 8.0))
    return np.maximum.accumulate(right - left), width


def unblurred(fwhm: Floats, blur: float | Floats) -> Floats:
    """True width of lines of full width at half depth `fwhm` seen through a Gaussian blur of σ `blur`."""
    seen, true = _ideal()
    relative = fwhm / blur
    narrow = np.interp(relative, seen, true)
    return np.where(relative > seen[-1], fwhm, narrow * blur)


def blur_of(stack: ProfileStack) -> tuple[float, float]:
    """(σ of the blur in ground pixels, its relative uncertainty).

    Ideal lines of every width and blur are fitted to the mean profiles, each with a depth of its own. The
    likelihood of each blur, times a prior of `ASSUMED_BLUR_PX` ± `ASSUMED_BLUR_SPREAD`, gives mean and spread:
    wide cracks show their blur, narrow ones leave it near the prior and its uncertainty large.
    """
    ideal = _ideal_stack()
    misfit = (np.log(_BLURS_PX / ASSUMED_BLUR_PX) / ASSUMED_BLUR_SPREAD) ** 2
    for profile, share in stack.means():
        scale = (ideal @ profile) / (ideal**2).sum(axis=-1)
        depth = float(profile.max())
        outside = np.abs(ProfileStack.ACROSS) > 6.0
        noise = max(float(np.sqrt(np.mean(profile[outside] ** 2))), _LEAST_MISFIT * depth)
        # Samples a quarter of a pixel apart are not independent: one in four counts.
        square = ((scale[..., None] * ideal - profile) ** 2).sum(axis=-1) * _ACROSS_PX / noise**2
        # Their errors are akin: together they tell no more than one of them.
        misfit = misfit + share * square.min(axis=1)
    weight = np.exp(-(misfit - misfit.min()) / 2)
    weight /= weight.sum()
    mean = float(weight @ _BLURS_PX)
    spread = float(np.sqrt(weight @ (_BLURS_PX - mean) ** 2))
    return mean, max(spread / mean, 0.02)


@lru_cache(maxsize=1)
def _ideal_stack() -> Floats:
    """Ideal lines of unit depth ``(blurs, widths, 65)``."""
    width = np.concatenate([np.linspace(0.1, 6.0, 60), np.linspace(6.2, 9.4, 17)])
    half, sigma = width[:, None] / 2, _BLURS_PX[:, None, None] * np.sqrt(2)
    across = ProfileStack.ACROSS
    lines: Floats = (erf((across + half) / sigma) - erf((across - half) / sigma)) / 2
    return lines
