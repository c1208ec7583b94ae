"""The widths along a crack without the noise of the single width.

*Running width*: the running median over 7 px along the line. A widening shorter than that is flattened.

*Noise removed.* The largest of many noisy widths is larger than the crack is anywhere. So what a width exceeds the mean
of its line by, d, counts only as far as noise does not explain it: it becomes f · d with the larger of

    f = S⁴ / (S⁴ + s⁴),     S² = max(0, mean of d² along the line − 1.5 s²)     the line as a whole varies
    f = 1 − (λ²s² / d²)²,   λ² = 4 ln N                                         this place stands out

s being the noise of one width and N the number of independent places, one per 7 px. The first is a Wiener filter of a
line whose widths really vary, the second a shrinkage as that of James and Stein with a threshold of √2 times what the
largest of N errors reaches; both with their squares squared, so that what is doubtful goes and what stands out clearly
stays whole. Without either, an even crack keeps its mean, and not its largest error. The means of a crack's branches
are brought to the mean of the crack in the same way, each with the noise s · √(24 px / its length), since grounds are
mottled over some 24 px.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from segmentation.georeference import Floats
from segmentation.measurement.quantiles import median_of

RUNNING_PX = 7
"""Length of line over which a width is stated."""
MOTTLE_PX = 24
"""Length of line over which the ground beside it deceives all widths alike."""
_MASK_STEPS = 1.5
"""A mask's edges lie on whole pixels; one that exceeds it by more pixels may be another line's as well."""
_DOUBT = 1.5
"""So many times its noise must a line's widths vary by before any of it counts as real."""


def running_median(width: Floats, step: float) -> Floats:
    """Running median over `RUNNING_PX` of widths ``(N,)`` at points `step` pixels apart; NaN stays NaN."""
    known = np.isfinite(width)
    if not known.any():
        return width
    at = np.arange(width.size)
    filled = np.interp(at, at[known], width[known])
    size = max(1, round(RUNNING_PX / step) | 1)
    return np.where(known, median_filter(filled, size=size, mode="nearest"), np.nan)


def beyond_mask(width: Floats, *, mask_width: Floats, at: int, pixel: float) -> float:
    """By how much the width ``(N,)`` at one place exceeds what the mask's own width there ``(N,)`` lets expect; 0 where
    that is not more than 1.5 times the side of a `pixel`.

    A mask may be drawn fat or thin, so what is expected is the mask's width times their usual ratio along the crack.
    """
    usual = median_of(width / np.maximum(mask_width, 1e-9))
    beyond = float(width[at] - usual * mask_width[at])
    return beyond if beyond > _MASK_STEPS * pixel else 0.0


def without_noise(widths: Sequence[Floats], *, noise: float, steps: Sequence[float]) -> list[Floats]:
    """The running widths ``(N,)`` of each branch of one crack without what noise explains of them; NaN stays NaN.

    `noise` is that of one width, in the unit of the widths; `steps` the distance of neighbouring points in pixels.
    """
    found = list(widths)
    shown = [n for n, width in enumerate(widths) if np.isfinite(width).any()]
    if noise == 0.0 or not shown:
        return found
    told = [np.isfinite(widths[n]) for n in shown]
    means = np.array([widths[n][own].mean() for n, own in zip(shown, told, strict=True)])
    length_px = np.array([np.count_nonzero(own) * steps[n] for n, own in zip(shown, told, strict=True)])
    whole = float(means @ length_px / length_px.sum())
    of_mean = noise * np.minimum(1.0, np.sqrt(MOTTLE_PX / length_px))
    levels = whole + _real(means - whole, noise=of_mean, weight=length_px, places=len(shown))
    for n, own, mean, level, length in zip(shown, told, means, levels, length_px, strict=True):
        excess, weight = widths[n][own] - mean, np.ones(int(np.count_nonzero(own)))
        found[n] = np.full(own.size, np.nan)
        found[n][own] = level + _real(excess, noise=np.array(noise), weight=weight, places=length / RUNNING_PX)
    return found


def _real(excess: Floats, *, noise: Floats, weight: npt.NDArray[np.floating], places: float) -> Floats:
    """What of each excess ``(N,)`` over the mean noise does not explain; `weight` ``(N,)`` > 0."""
    # A square too small for a float would leave 0/0 where nothing varies.
    square, unexplained = excess**2, np.broadcast_to(np.maximum(noise**2, 1e-24), excess.shape)
    varied = max(0.0, float((square - _DOUBT * unexplained) @ weight / weight.sum()))
    outstanding = 1 - (4 * np.log(max(2.0, places)) * unexplained / np.maximum(square, 1e-12)) ** 2
    kept: Floats = excess * np.maximum(varied**2 / (varied**2 + unexplained**2), outstanding)
    return kept
