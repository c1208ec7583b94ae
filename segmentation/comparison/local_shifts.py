"""How far apart two pictures of the same place are: phase correlation of what the light does not change.

Each picture is compared twice, by its fine structure (brightness less its surroundings, over their contrast) and by
its edges (gradient magnitude, indifferent to which side is the brighter). Which of the answers are right is decided
by the fit over many places, not here. Kuglin and Hines, 1975; sub-pixel by Guizar-Sicairos et al., 2008.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from skimage.registration import phase_cross_correlation

Picture = npt.NDArray[np.float32]
"""Brightness ``(H, W)``, NaN where there is no data."""

_SURROUNDINGS_PX = 31
"""Side of what counts as the surroundings: light and shadow change slower than that."""
_SUBPIXEL = 20
_LEAST_KNOWN_SHARE = 0.5
_LEAST_CONTRAST = 1e-3


@dataclass(frozen=True, slots=True)
class Search:
    """The best of several trials over a whole picture."""

    index: int
    """Which trial."""
    shift: tuple[float, float]
    """(rows, columns) by which the trial's picture must be moved to lie on the reference."""
    sharpness: float
    """Height of the peak over the noise of its correlation, in standard deviations."""


def features(picture: Picture) -> tuple[Picture, Picture] | None:
    """(fine structure, edges) of a picture ``(H, W)``, each with mean 0 and tapered to its sides.

    None where too little of it is known or nothing is to be seen. What is not known is 0 in both and makes no edge.
    """
    known = np.isfinite(picture)
    if known.mean() < _LEAST_KNOWN_SHARE:
        return None
    is_whole = bool(known.all())
    weight = 1.0 if is_whole else np.maximum(_blurred(known.astype(np.float32), _SURROUNDINGS_PX), 0.0) + 1e-3
    filled = picture if is_whole else np.where(known, picture, 0.0).astype(np.float32)
    detail = np.where(known, filled - _blurred(filled, _SURROUNDINGS_PX) / weight, 0.0).astype(np.float32)
    # Running sums leave what is 0 a rounding below it.
    contrast = np.sqrt(np.maximum(_blurred(detail**2, _SURROUNDINGS_PX), 0.0) / weight)
    typical = float(contrast[known].mean())
    if typical < _LEAST_CONTRAST:
        return None
    fine = detail / (contrast + 0.3 * typical)
    edges = np.hypot(ndimage.sobel(fine, 0), ndimage.sobel(fine, 1))
    inside = known if is_whole else ndimage.binary_erosion(known, iterations=3)
    taper = _taper(picture.shape) * inside
    return _tapered(fine, taper), _tapered(edges, taper)


def local_shifts(reference: Picture, moved: Picture) -> list[tuple[float, float]]:
    """(rows, columns) by which `moved` must be moved to lie on `reference`, one answer by fine structure and one by
    edges; none where one of the pictures shows nothing.
    """
    ours, theirs = features(reference), features(moved)
    if ours is None or theirs is None:
        return []
    shifts = []
    for one, other in zip(ours, theirs, strict=True):
        shift, _, _ = phase_cross_correlation(one, other, upsample_factor=_SUBPIXEL, normalization="phase")
        shifts.append((float(shift[0]), float(shift[1])))
    return shifts


def best_of(reference: Picture, trials: Iterable[Picture]) -> Search | None:
    """The trial that lies best on the reference anywhere; None where nothing is to be seen."""
    ours = features(reference)
    if ours is None:
        return None
    spectra = [fft.rfft2(one) for one in ours]
    best: Search | None = None
    for index, trial in enumerate(trials):
        theirs = features(trial)
        if theirs is None:
            continue
        found = _peak(spectra, [fft.rfft2(one) for one in theirs], reference.shape)
        if best is None or found[1] > best.sharpness:
            best = Search(index, found[0], found[1])
    return best


def _peak(
    ours: list[npt.NDArray[np.complex64]], theirs: list[npt.NDArray[np.complex64]], shape: tuple[int, ...]
) -> tuple[tuple[float, float], float]:
    """Of the sum of both phase correlations: where it is highest, and how far above its noise."""
    crossed = []
    for one, other in zip(ours, theirs, strict=True):
        product = one * np.conj(other)
        crossed.append(product / (np.abs(product) + 1e-6 * np.abs(product).max()))
    surface = ndimage.gaussian_filter(fft.irfft2(crossed[0] + crossed[1], s=shape), 1.0, mode="wrap")
    row, col = np.unravel_index(int(surface.argmax()), surface.shape)
    shift = tuple(float(v - n if v > n // 2 else v) for v, n in zip((row, col), shape, strict=True))
    return (shift[0], shift[1]), float((surface.max() - surface.mean()) / (surface.std() + 1e-12))


def _blurred(values: Picture, side_px: int) -> Picture:
    """The mean over a square, twice: as smooth as is needed, at a cost that does not grow with the square."""
    once = ndimage.uniform_filter(values, side_px)
    return np.asarray(ndimage.uniform_filter(once, side_px), np.float32)


def _taper(shape: tuple[int, ...]) -> Picture:
    """A window that is 1 in the middle and falls to 0 within an eighth of each side."""
    sides = []
    for length in shape:
        ramp = max(2, length // 8)
        side = np.ones(length, np.float32)
        rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)).astype(np.float32)
        side[:ramp], side[-ramp:] = rise, rise[::-1]
        sides.append(side)
    return np.outer(sides[0], sides[1]).astype(np.float32)


def _tapered(values: npt.NDArray[np.floating], taper: Picture) -> Picture:
    weight = float(taper.sum())
    mean = float((values * taper).sum() / weight) if weight else 0.0
    result: Picture = ((values - mean) * taper).astype(np.float32)
    return result
