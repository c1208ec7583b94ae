"""How far apart two pictures of the same place are: phase correlation of what the light does not change.

Each picture is compared twice, by its fine structure (brightness less its surroundings, over their contrast) and by
its edges (gradient magnitude, indifferent to which side is the brighter). Which of the answers are right is decided
by the fit over many places, not here. Kuglin and Hines, 1975; sub-pixel by Guizar-Sicairos et al., 2008.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Picture = npt.NDArray[np.float32]
"""Brightness ``(H, W)``, NaN where there is no data."""
Spectrum = npt.NDArray[np.complex64]
"""Of a real picture: ``(H, W // 2 + 1)``, as `scipy.fft.rfft2` gives it."""

_SURROUNDINGS_PX = 31
"""Side of what counts as the surroundings: light and shadow change slower than that."""
_SUBPIXEL: Final = 20
_FINE_REACH: Final = 15
"""Steps of 1 / `_SUBPIXEL` px on each side of the highest whole pixel among which the sub-pixel one is looked for."""
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


@dataclass(frozen=True)
class Surface:
    """What of a picture ``(H, W)`` the light does not change, each part with mean 0 and tapered to its sides."""

    fine: Picture
    """Brightness less its surroundings, over their contrast; 0 where nothing is known."""
    edges: Picture
    """Magnitude of the gradient of that."""

    @cached_property
    def spectra(self) -> tuple[Spectrum, Spectrum]:
        """Of both parts."""
        return fft.rfft2(self.fine), fft.rfft2(self.edges)


def surface_of(picture: Picture) -> Surface | None:
    """What of a picture ``(H, W)`` the light does not change.

    None where too little of it is known or nothing is to be seen. What is not known is 0 and makes no edge.
    """
    known = np.isfinite(picture)
    is_whole = bool(known.all())
    if not is_whole and known.mean() < _LEAST_KNOWN_SHARE:
        return None
    if is_whole:
        detail = picture - _blurred(picture)
        contrast = np.sqrt(_blurred(detail * detail))
        typical = float(contrast.mean())
    else:
        weight = _blurred(known.astype(np.float32)) + 1e-3
        filled = np.where(known, picture, 0.0).astype(np.float32)
        detail = np.where(known, filled - _blurred(filled) / weight, 0.0).astype(np.float32)
        contrast = np.sqrt(_blurred(detail**2) / weight)
        typical = float(contrast[known].mean())
    if typical < _LEAST_CONTRAST:
        return None
    fine = np.asarray(detail / (contrast + 0.3 * typical), np.float32)
    taper = _taper(picture.shape)
    if not is_whole:
        taper = taper * ndimage.binary_erosion(known, iterations=3)
    return Surface(_tapered(fine, taper), _tapered(_edges(fine), taper))


def local_shifts(reference: Surface | None, moved: Surface | None) -> list[tuple[float, float]]:
    """(rows, columns) by which `moved` must be moved to lie on `reference`, one answer by fine structure and one by
    edges; none where one of the pictures shows nothing.
    """
    if reference is None or moved is None:
        return []
    shape = reference.fine.shape
    return [_sub_pixel_shift(one, other, shape) for one, other in zip(reference.spectra, moved.spectra, strict=True)]


def crossed(one: Spectrum, other: Spectrum, *, least: float) -> Spectrum:
    """The cross-power spectrum of two pictures, its magnitudes 1 where they are well above `least`."""
    product = one * np.conj(other)
    magnitude = np.abs(product)
    product /= magnitude + np.float32(least * magnitude.max())
    return product


def _sub_pixel_shift(one: Spectrum, other: Spectrum, shape: tuple[int, ...]) -> tuple[float, float]:
    """Where the phase correlation of two pictures is highest, to 1 / `_SUBPIXEL` px.

    The inverse transform is evaluated on a fine grid around the highest whole pixel alone (Guizar-Sicairos et al.).
    """
    product = one * np.conj(other)
    product /= np.maximum(np.abs(product), 100 * np.finfo(np.float32).eps)
    coarse = np.abs(fft.irfft2(product, s=shape))
    at = np.unravel_index(int(coarse.argmax()), coarse.shape)
    whole = [float(v - n if v > n // 2 else v) for v, n in zip(at, shape, strict=True)]
    steps = np.arange(-_FINE_REACH, _FINE_REACH) / _SUBPIXEL
    rows, cols = (
        np.exp(2j * np.pi * np.outer(shift + steps, frequencies)).astype(np.complex64)
        for shift, frequencies in zip(whole, (fft.fftfreq(shape[0]), fft.rfftfreq(shape[1])), strict=True)
    )
    cols[:, 1 : (shape[1] + 1) // 2] *= 2  # the half of the spectrum that a real picture's own need not hold
    fine = np.abs((rows @ product @ cols.T).real)
    row, col = np.unravel_index(int(fine.argmax()), fine.shape)
    return whole[0] + float(steps[row]), whole[1] + float(steps[col])


def best_of(reference: Picture, trials: Iterable[Picture]) -> Search | None:
    """The trial that lies best on the reference anywhere; None where nothing is to be seen."""
    ours = surface_of(reference)
    if ours is None:
        return None
    best: Search | None = None
    for index, trial in enumerate(trials):
        theirs = surface_of(trial)
        if theirs is None:
            continue
        found = _peak(ours, theirs)
        if best is None or found[1] > best.sharpness:
            best = Search(index, found[0], found[1])
    return best


def _peak(ours: Surface, theirs: Surface) -> tuple[tuple[float, float], float]:
    """Of the sum of both phase correlations: where it is highest, and how far above its noise."""
    shape = ours.fine.shape
    both = [crossed(one, other, least=1e-6) for one, other in zip(ours.spectra, theirs.spectra, strict=True)]
    correlated = ndimage.gaussian_filter(fft.irfft2(both[0] + both[1], s=shape), 1.0, mode="wrap")
    row, col = np.unravel_index(int(correlated.argmax()), correlated.shape)
    shift = tuple(float(v - n if v > n // 2 else v) for v, n in zip((row, col), shape, strict=True))
    return (shift[0], shift[1]), float((correlated.max() - correlated.mean()) / (correlated.std() + 1e-12))


def _edges(values: Picture) -> Picture:
    """The magnitude of the gradient after Sobel, mirrored at the sides."""
    around = np.pad(values, 1, mode="symmetric")
    across, along = around[:, 2:] - around[:, :-2], around[2:] - around[:-2]
    right = across[:-2] + 2 * across[1:-1] + across[2:]
    down = along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]
    magnitude: Picture = np.sqrt(right * right + down * down)
    return magnitude


def _blurred(values: Picture) -> Picture:
    """The mean over the surroundings, twice, mirrored at the sides."""
    down, across = (_blur_along(length) for length in values.shape)
    return np.asarray(down @ values @ across.T, np.float32)


@lru_cache(maxsize=16)
def _blur_along(length: int) -> npt.NDArray[np.float32]:
    """What blurs a side of so many pixels, as a matrix: in pictures of some hundred pixels sooner done than summing."""
    once = ndimage.uniform_filter1d(np.eye(length), _SURROUNDINGS_PX, axis=0)
    twice = ndimage.uniform_filter1d(once, _SURROUNDINGS_PX, axis=0)
    # Running sums leave what is 0 a rounding below it.
    return np.asarray(np.maximum(twice, 0.0), np.float32)


@lru_cache(maxsize=8)
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
    result: Picture = ((values - np.float32(mean)) * taper).astype(np.float32)
    return result
