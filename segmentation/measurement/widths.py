"""Width of a crack from the image's darkness across it.

The grey value across a crack is a box (the crack: width w, darkness r) seen through a Gaussian blur σ of lens, pixel
and resampling:

    darkness(x) = r · [Φ((x + w/2)/σ) − Φ((x − w/2)/σ)]

*The crack as a whole* tells σ and r (`line_shape`): mean profiles of its places of like width are compared with all
boxes of a grid; the likelihood times the raster's prior (`segmentation.measurement.appearance`) gives σ and r with
their uncertainty, and what that uncertainty makes of the width. *Each place* then has the width w of greatest
likelihood at that σ, its own darkness within 10 % of r (`fitted_widths`). Where w is large against σ the edges decide
this; where it is small, the darkness summed across, r · w, does: the two are one formula.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates
from scipy.special import erf

from segmentation.georeference import Floats
from segmentation.measurement.appearance import ASSUMED, CrackAppearance, Estimate
from segmentation.measurement.dark_lines import ACROSS_STEP_PX, edges_about
from segmentation.measurement.profiles import ACROSS_PX, Profiles
from segmentation.measurement.skeletons import GroundFrame, Path
from segmentation.measurement.views import ComponentView, window_about

Bools = npt.NDArray[np.bool_]
Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

_BLURS_PX = np.geomspace(0.45, 2.5, 106)
"""Blurs that are tried, 1.6 % apart; every third of them at first."""
_DARKNESSES = np.geomspace(0.1, 0.95, 106)
"""Darknesses that are tried, 2.1 % apart; every third of them at first."""
_COARSE = slice(None, None, 3)
_MOST_TRIED = 36
"""Blurs, or darknesses, that are tried at once."""
_UNLIKELY = 1e-8
"""Share of the greatest likelihood below which nothing is looked for."""
_WIDTHS = 12
"""Widths that a mean profile is compared with, for each blur about the one that its full width speaks for."""
_FINE_WIDTHS_PX = np.concatenate([np.arange(0.1, 4.0, 0.1), np.arange(4.0, 12.3, 0.25)])
"""Widths that single profiles are compared with."""
_BIN_EDGES_PX = np.arange(1.5, 13.1, 0.5)
"""Limits of the full widths that are averaged together."""
_MOST_BINS = 4
_LEAST_MISFIT = 0.02
"""Share of the darkness by which a real profile differs from an ideal one at best."""
_MEAN_MISFIT = 0.02
"""The same for mean profiles, whose places are not quite alike."""
_DOUBT = 16.0
"""The ± counts the misfit of a mean profile as four times that: a mottled ground may look like another blur."""
_AT_ONCE = 1 << 14
"""Places that are fitted at once."""
_OWN_DARKNESS_SPREAD = 0.10
"""How much the darkness differs along one crack."""
_TELLING_BLURS = 4.0
"""A full width of fewer σ of blur may be a pale wide crack or a dark thin one, and tells neither blur nor darkness."""
_WIDE_PX = 11.0
"""From here on the full width at half depth is the width: the blur does not reach the middle."""


@dataclass(frozen=True, slots=True)
class LineShape:
    """What a crack as a whole shows."""

    blur_px: float
    darkness: float
    seen_px: Floats
    """``(B,)`` full widths at which `spread_px` is known, ascending; empty where too little was seen."""
    spread_px: Floats
    """``(B,)`` σ of the width there, as far as blur and darkness are uncertain."""

    def spread_at(self, fwhm: float) -> float:
        """σ of the width of a line of this full width, from the uncertainty of blur and darkness."""
        return float(np.interp(fwhm, self.seen_px, self.spread_px)) if self.seen_px.size else 0.0


def line_shape(profiles: Profiles, core: Bools, prior: CrackAppearance) -> LineShape:
    """Blur and darkness of one crack from its profiles, of which `core` ``(N,)`` may serve."""
    told, seen = _means(profiles, core)
    if seen.size == 0:
        none = np.empty(0)
        return LineShape(prior.blur_px.value, prior.darkness.value, none, none)
    blurs, darknesses = _likely(told.likelihood(_COARSE, _COARSE)[0] + _log_prior(prior, _COARSE, _COARSE))
    likelihood, widths = told.likelihood(blurs, darknesses)
    log_prior = _log_prior(prior, blurs, darknesses)
    blur, darkness = _estimates(_normal(likelihood + log_prior), blurs, darknesses)
    doubtful = _normal(likelihood / _DOUBT + log_prior)
    return LineShape(blur.value, darkness.value, seen, np.array([_moments(width, doubtful)[1] for width in widths]))


def shown_appearance(profiles: Profiles, core: Bools) -> CrackAppearance:
    """What one crack tells of blur and darkness without any prior: wide spreads where it is narrow."""
    told, seen = _means(profiles, core)
    if seen.size == 0:
        return ASSUMED
    coarse, _ = told.likelihood(_COARSE, _COARSE)
    chosen = _likely(coarse + _log_prior(ASSUMED, _COARSE, _COARSE))
    blur, darkness = _estimates(_normal(told.likelihood(*chosen)[0] + _log_prior(ASSUMED, *chosen)), *chosen)
    if told.share[seen >= _TELLING_BLURS * blur.value].sum() < 0.5:
        return CrackAppearance(Estimate(blur.value, 1.0), Estimate(darkness.value, 1.0))
    chosen = _likely(coarse)
    return CrackAppearance(*_estimates(_normal(told.likelihood(*chosen)[0]), *chosen))


@dataclass(frozen=True, slots=True)
class _Told:
    """Mean profiles of places of like full width, in bins."""

    bins: Ints
    """``(B,)`` number of each bin."""
    means: Floats
    """``(B, 41)`` its mean profile."""
    noise: Floats
    """``(B,)`` the noise of that."""
    share: Floats
    """``(B,)`` share of all places."""

    def likelihood(self, blurs: slice, darknesses: slice) -> tuple[Floats, list[Floats]]:
        """Log likelihood ``(S, R)`` of the blurs and darknesses chosen, and what the width of each bin is there."""
        r = _DARKNESSES[darknesses].astype(np.float32)
        total, widths = np.zeros((_BLURS_PX[blurs].size, r.size)), []
        for number, mean, error, part in zip(self.bins.tolist(), self.means, self.noise, self.share, strict=True):
            width, boxes, squares = (table[blurs] for table in _bin_boxes(number))
            unit = np.float32(0.5 * ACROSS_STEP_PX * part / error**2)
            # What the profile's own square adds is the same for all.
            log_weight = (2 * unit * (boxes @ mean.astype(np.float32)))[..., None] * r
            log_weight -= (unit * squares)[..., None] * r**2
            log_weight -= log_weight.max()
            weight = np.exp(log_weight, out=log_weight)
            # Thin cracks are as likely as wide ones by their ratio, not by their difference: weight 1 / width.
            ratio = (width[:, 1:2] - width[:, :1]) / width
            over_widths, sums = np.moveaxis(np.stack([ratio, ratio * width], axis=1) @ weight, 1, 0)
            over_widths = np.maximum(over_widths, np.float32(1e-30))
            widths.append((sums / over_widths).astype(np.float64))
            total += np.log(over_widths)
        return total, widths


def _likely(log_weight: Floats) -> tuple[slice, slice]:
    """The blurs and darknesses about the greatest of the coarse weights ``(S, R)``, as fine as can be tried at once."""
    found = []
    for axis, count in ((1, _BLURS_PX.size), (0, _DARKNESSES.size)):
        best = log_weight.max(axis=axis)
        at = np.flatnonzero(best > best.max() + np.log(_UNLIKELY))
        first, last = max(3 * int(at[0]) - 3, 0), min(3 * int(at[-1]) + 3, count - 1)
        found.append(slice(first, last + 1, -(-(last + 1 - first) // _MOST_TRIED)))
    return found[0], found[1]


def _means(profiles: Profiles, core: Bools) -> tuple[_Told, Floats]:
    """Mean profiles of the places that may serve, and the mean full width ``(B,)`` of each bin."""
    whole = profiles.usable[:, 8:-8].all(axis=1)
    able = np.flatnonzero(core & whole & np.isfinite(profiles.fwhm))
    number = np.searchsorted(_BIN_EDGES_PX, profiles.fwhm[able])
    count = np.bincount(number, minlength=_BIN_EDGES_PX.size + 1)
    count[[0, -1]] = 0
    order = np.argsort(-count, kind="stable")[:_MOST_BINS]
    chosen = np.sort(order[count[order] >= max(6, 0.1 * count.sum())])
    means, seen, noise = [], [], []
    for one in chosen:
        rows = able[number == one]
        usable = profiles.usable[rows]
        total = np.where(usable, profiles.darkness[rows], 0.0).sum(axis=0, dtype=np.float64)
        mean = total / np.maximum(usable.sum(axis=0), 1)
        outside = np.abs(ACROSS_PX) > 5.5
        far = np.abs(ACROSS_PX) > _BIN_EDGES_PX[one] / 2 + 2.5
        outside = far if far[0] else outside
        means.append(mean)
        seen.append(float(profiles.fwhm[rows].mean()))
        noise.append(max(float(np.sqrt(np.mean(mean[outside] ** 2))), _MEAN_MISFIT * float(mean.max())))
    share = count[chosen] / max(int(count[chosen].sum()), 1)
    return _Told(chosen, np.array(means).reshape(-1, ACROSS_PX.size), np.array(noise), share), np.array(seen)


def _log_prior(prior: CrackAppearance, blurs: slice, darknesses: slice) -> Floats:
    """``(S, R)`` of the blurs and darknesses chosen."""
    blur = -0.5 * (np.log(_BLURS_PX[blurs] / prior.blur_px.value) / prior.blur_px.spread) ** 2
    darkness = -0.5 * (np.log(_DARKNESSES[darknesses] / prior.darkness.value) / prior.darkness.spread) ** 2
    total: Floats = blur[:, None] + darkness
    return total


def _normal(log_weight: Floats) -> Floats:
    weight = np.exp(log_weight - log_weight.max())
    total: Floats = weight / weight.sum()
    return total


def _moments(values: Floats, weight: Floats) -> tuple[float, float]:
    mean = float((values * weight).sum())
    return mean, float(np.sqrt(max((((values - mean) ** 2) * weight).sum(), 0.0)))


def _estimates(weight: Floats, blurs: slice, darknesses: slice) -> tuple[Estimate, Estimate]:
    """Blur and darkness; a grid's step is the least they are uncertain by."""
    found = []
    for grid, one in ((_BLURS_PX[blurs], weight.sum(axis=1)), (_DARKNESSES[darknesses], weight.sum(axis=0))):
        mean, spread = _moments(np.log(grid), one)
        found.append(Estimate(float(np.exp(mean)), max(spread, 0.3 * float(np.log(grid[1] / grid[0])))))
    return found[0], found[1]


def fitted_widths(profiles: Profiles, shape: LineShape) -> tuple[Floats, Floats]:
    """(width ``(N,)`` in ground pixels of each profile, σ of its noise ``(N,)``); NaN where nothing is shown.

    The darkness of each place is free within 10 % of the crack's own and integrated out.
    """
    width, noise = np.full((2, profiles.fwhm.size), np.nan)
    wide = profiles.fwhm >= _WIDE_PX
    width[wide] = profiles.fwhm[wide]
    noise[wide] = 2.0**0.5 * (2 * np.pi) ** 0.5 * shape.blur_px * profiles.noise[wide] / shape.darkness
    rows = np.flatnonzero(np.isfinite(profiles.fwhm) & ~wide)
    for start in range(0, rows.size, _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        width[part], noise[part] = _fitted(profiles, part, shape)
    return width, noise


def _fitted(profiles: Profiles, rows: npt.NDArray[np.intp], shape: LineShape) -> tuple[Floats, Floats]:
    templates = _boxes(_FINE_WIDTHS_PX, np.array([shape.blur_px]))[0]
    reach = (profiles.fwhm[rows] / 2 + 3.0 * shape.blur_px + 1.0).astype(np.float32)
    used = profiles.usable[rows] & (np.abs(ACROSS_PX) <= reach[:, None])
    error = np.maximum(profiles.noise[rows], _LEAST_MISFIT * shape.darkness)[:, None]
    unit = used * (ACROSS_STEP_PX / error**2)
    prior = 1 / (_OWN_DARKNESS_SPREAD * shape.darkness) ** 2
    square = unit @ (templates**2).T
    square += prior
    # In double precision: a top is told from differences that single precision leaves a ten-thousandth of a pixel off.
    twice_score = (unit * profiles.darkness[rows]) @ templates.T
    twice_score += shape.darkness * prior
    twice_score *= twice_score
    twice_score /= square
    twice_score -= np.log(square, out=square)
    near = np.clip(twice_score.argmax(axis=1), 1, _FINE_WIDTHS_PX.size - 2)[:, None] + np.arange(-1, 2)
    return _vertex(_FINE_WIDTHS_PX[near], twice_score[np.arange(rows.size)[:, None], near] / 2)


def _vertex(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Top of the parabola through three points ``(N, 3)``, kept between them, and its σ as of a log likelihood."""
    left, right = (y[:, 1] - y[:, 0]) / (x[:, 1] - x[:, 0]), (y[:, 2] - y[:, 1]) / (x[:, 2] - x[:, 1])
    bend = np.minimum((right - left) / ((x[:, 2] - x[:, 0]) / 2), -1e-6)
    top = (x[:, 0] + x[:, 1]) / 2 - left / bend
    return np.clip(top, x[:, 0], x[:, 2]), np.minimum(1 / np.sqrt(-bend), 3.0)


def _boxes(widths: Floats, blurs: Floats) -> Floats:
    """Boxes of darkness 1 seen through blurs ``(S, W, 41)``."""
    edges = erf((ACROSS_PX + widths[:, None] / 2) / (blurs[:, None, None] * np.sqrt(2)))
    lines: Floats = (edges + edges[..., ::-1]) / 2  # the other edge is this one's mirror image, turned over
    return lines


@lru_cache(maxsize=_BIN_EDGES_PX.size)
def _bin_boxes(number: int) -> tuple[Floats32, Floats32, Floats32]:
    """Widths ``(S, W)`` that a full width of this bin may come from, their boxes ``(S, W, 41)``, squares ``(S, W)``."""
    low, high = _BIN_EDGES_PX[number - 1], _BIN_EDGES_PX[number]
    width = np.stack([np.linspace(max(_true(low, s) - 0.5, 0.05), _true(high, s) + 0.5, _WIDTHS) for s in _BLURS_PX])
    boxes = np.stack([_boxes(w, np.array([s]))[0] for w, s in zip(width, _BLURS_PX, strict=True)])
    return width.astype(np.float32), boxes.astype(np.float32), (boxes**2).sum(axis=-1).astype(np.float32)


def _true(fwhm: float, blur: float) -> float:
    """Width of the box that has this full width at half depth behind this blur; 0 where even the blur has more."""
    seen, width = _seen_widths()
    return float(np.interp(fwhm / blur, seen, width, left=0.0, right=fwhm / blur)) * blur


@lru_cache(maxsize=1)
def _seen_widths() -> tuple[Floats, Floats]:
    """(full width at half depth, width) of boxes, both in units of the blur."""
    width = np.linspace(0.01, 8.0, 400)
    half = np.linspace(0.0, 6.0, 600)
    line = erf((half + width[:, None] / 2) / 2**0.5) - erf((half - width[:, None] / 2) / 2**0.5)
    return 2 * half[(line >= line[:, :1] / 2).sum(axis=1) - 1], width


def mask_widths(paths: Sequence[Path], *, wanted: Bools, view: ComponentView, frame: GroundFrame) -> Floats:
    """Distance ``(N,)`` in ground pixels between the edges of the crack's pixels across the points of all paths;
    NaN but where `wanted` ``(N,)``.

    It is capped by the distance transform (twice the distance to the nearest pixel outside, and a pixel for that
    pixel's own extent), so that a line that runs on into another branch is not taken for width.
    """
    rows = np.flatnonzero(wanted)
    if rows.size == 0:
        return np.full(wanted.size, np.nan)
    points, normals, half_width = (
        np.concatenate([getattr(path, name) for path in paths])[rows] for name in ("points", "normals", "half_width")
    )
    found = np.empty(rows.size)
    at_once = 1024 if view.is_one_piece else 128
    for start in range(0, rows.size, at_once):
        part = slice(start, start + at_once)
        half = half_width[part]
        count = np.ceil((2 * float(half.max()) + 3) / ACROSS_STEP_PX)
        across = np.arange(-count, count + 1) * ACROSS_STEP_PX
        at, way = frame.pixel(points[part]), frame.pixel(normals[part])
        places = np.stack([at[:, a, None] + across * way[:, a, None] for a in (0, 1)])
        window = window_about(np.stack([at + across[0] * way, at + across[-1] * way]), view.shape)
        places -= np.array([window.row_start, window.col_start])[:, None, None]
        pixels = view.pixels(window).view(np.uint8)
        inside = map_coordinates(pixels, places, output=np.float64, order=1, mode="constant")
        before, after = (np.broadcast_to(side, inside.shape) for side in (across < 0, across > 0))
        left, right = edges_about(inside, across, (before, after), np.full(half.size, 0.5))
        found[part] = np.fmin(right - left, 2 * half + 1)
    widths = np.full(wanted.size, np.nan)
    widths[rows] = found
    return widths
