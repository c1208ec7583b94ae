"""Cracks of known length and width: random walks with persistence, branches, and the pixels that belong to them."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from scipy.spatial import Voronoi

from segmentation.synthetic.noise import Floats, fractal_field
from segmentation.synthetic.strokes import Bools, Points, Stroke, blurred, centre_pixels, composite, coverage
from segmentation.windows import Window

_THIN_PX = 1.5
"""Below this width coverage ≥ 0.5 may break the line: the pixels on the centre line belong to the mask as well."""


@dataclass(frozen=True, slots=True)
class Crack:
    """One crack: a main line and its branches."""

    strokes: tuple[Stroke, ...]
    """The main line first."""

    @property
    def length_px(self) -> float:
        """Length of all lines together."""
        return sum(stroke.length_px for stroke in self.strokes)

    @property
    def mean_width_px(self) -> float:
        """Width averaged along all lines."""
        return float(np.average([s.mean_width_px for s in self.strokes], weights=[s.length_px for s in self.strokes]))

    @property
    def max_width_px(self) -> float:
        """Largest width at a vertex."""
        return max(float(s.widths_px.max()) for s in self.strokes)

    def window(self, margin_px: float) -> Window:
        """Pixel rectangle that holds the crack and `margin_px` more; may leave the raster."""
        first, *others = (stroke.window(margin_px) for stroke in self.strokes)
        for other in others:
            first = first.union(other)
        return first


def crack_mask(crack: Crack, window: Window) -> Bools:
    """Pixels of `window` that are crack, ``(rows, cols)``: coverage ≥ 0.5, and the centre line where it is thin."""
    mask = np.zeros(window.shape, bool)
    for stroke in crack.strokes:
        mask |= coverage(stroke, window) >= 0.5
        mask |= centre_pixels(stroke, window, below_width_px=_THIN_PX)
    return mask


def walk(
    rng: np.random.Generator,
    *,
    start: tuple[float, float],
    heading_rad: float,
    length_px: float,
    step_px: float,
    wander: float,
    jitter: float,
) -> Points:
    """Random walk with persistence, ``(N, 2)`` (row, col): the heading drifts slowly (`wander`, radians) and jags
    from step to step (`jitter`, radians) about `heading_rad` (0 = along the columns).
    """
    count = max(2, round(length_px / step_px))
    slow = _drift(rng, count, memory=max(8.0, 90.0 / step_px)) * wander
    fast = _drift(rng, count, memory=max(0.6, 7.0 / step_px)) * jitter
    heading = heading_rad + slow + fast
    steps = np.stack([np.sin(heading), np.cos(heading)], axis=1) * step_px
    return np.vstack([[start], start + np.cumsum(steps, axis=0)])


def _drift(rng: np.random.Generator, count: int, memory: float) -> Points:
    keep = float(np.exp(-1.0 / memory))
    noise = rng.standard_normal(count) * np.sqrt(1.0 - keep**2)
    noise[0] = rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -keep], noise), np.float64)


def widths_along(rng: np.random.Generator, count: int, *, width_px: float, variation: float, taper: bool) -> Points:
    """Width at each of `count` vertices: mean exactly `width_px` before the taper, ends thinning out with it."""
    relative = np.exp(variation * (0.8 * _drift(rng, count, 14.0) + 0.6 * _drift(rng, count, 1.5)))
    relative = np.clip(relative / relative.mean(), 0.4, 2.2)
    if taper:
        at = np.linspace(0.0, 1.0, count)
        relative *= np.clip(np.minimum(at, 1.0 - at) / 0.12, 0.35, 1.0)
    return np.asarray(relative * width_px / relative.mean(), np.float64)


def random_crack(
    rng: np.random.Generator,
    *,
    start: tuple[float, float],
    heading_rad: float,
    length_px: float,
    width_px: float,
    variation: float,
    wander: float,
    jitter: float,
    branches: int,
    taper: bool,
) -> Crack:
    """A main line of `length_px` and mean width `width_px`, with thinner and shorter `branches`."""
    step = float(np.clip(0.9 * width_px, 2.0, 4.0))
    line = walk(
        rng, start=start, heading_rad=heading_rad, length_px=length_px, step_px=step, wander=wander, jitter=jitter
    )
    widths = widths_along(rng, len(line), width_px=width_px, variation=variation, taper=taper)
    strokes = [Stroke(line, widths)]
    for _ in range(branches):
        at = int(rng.integers(len(line) // 5, max(len(line) // 5 + 1, 4 * len(line) // 5)))
        ahead = line[min(at + 6, len(line) - 1)] - line[max(at - 6, 0)]
        turn = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.2)
        branch = walk(
            rng,
            start=(float(line[at, 0]), float(line[at, 1])),
            heading_rad=float(np.arctan2(ahead[0], ahead[1]) + turn),
            length_px=length_px * rng.uniform(0.12, 0.4),
            step_px=step,
            wander=wander,
            jitter=jitter,
        )
        thin = float(widths[at]) * rng.uniform(0.45, 0.9)
        taper_off = np.linspace(1.0, 0.6, len(branch))
        strokes.append(
            Stroke(branch, widths_along(rng, len(branch), width_px=thin, variation=variation, taper=False) * taper_off)
        )
    return Crack(tuple(strokes))


def crack_network(
    rng: np.random.Generator, *, window: Window, cell_px: float, width_px: float, kept: float
) -> Crack | None:
    """Map or alligator cracking over `window`: the borders of random cells of about `cell_px`, of which the share
    `kept` is painted; None where nothing is left.
    """
    height, width = window.shape
    count = max(8, round(1.4 * (height + 2 * cell_px) * (width + 2 * cell_px) / cell_px**2))
    seeds = rng.uniform(0, 1, (count, 2)) * (height + 2 * cell_px, width + 2 * cell_px)
    cells = Voronoi(seeds - cell_px + (window.row_start, window.col_start))
    strokes = []
    for a, b in cells.ridge_vertices:
        if a < 0 or rng.random() > kept:
            continue
        ends = cells.vertices[[a, b]]
        if np.hypot(*(ends[1] - ends[0])) > 3 * cell_px:
            continue
        line = Stroke(ends, np.ones(2)).resampled(5.0).vertices
        bend = np.cumsum(rng.normal(0, 0.7, line.shape), axis=0)
        bend -= np.linspace(0.0, 1.0, len(line))[:, None] * bend[-1]
        mean = width_px * float(rng.uniform(0.6, 1.3))
        strokes.append(Stroke(line + bend, widths_along(rng, len(line), width_px=mean, variation=0.3, taper=False)))
    return Crack(tuple(strokes)) if strokes else None


@dataclass(frozen=True, slots=True)
class CrackLook:
    """How a crack shows: its truth does not depend on it."""

    darkness: float
    """Light that the crack takes away where it covers a pixel fully, [0, 1]."""
    tint: tuple[float, float, float]
    """Colour of its depth, [0, 1]."""
    unevenness: float
    """How much the darkness varies along the crack, 0 … 1; near 1 it is interrupted."""
    soft_px: float
    """Sigma of the optical blur."""
    shoulder: float
    """Strength of worn shoulders (brighter or darker seam beside the crack), -0.3 … 0.3."""


def paint_crack(image: Floats, origin: Window, crack: Crack, look: CrackLook, rng: np.random.Generator) -> None:
    """Paint `crack` in place over `image` ``(H, W, 3)`` in [0, 1], which shows the pixels of `origin`."""
    opacity = np.zeros(image.shape[:2], np.float32)
    for stroke in crack.strokes:
        strengths = 1.0 - look.unevenness * np.clip(0.45 + 0.5 * _drift(rng, len(stroke.vertices), 9.0), 0.0, 1.0)
        np.maximum(opacity, coverage(stroke, origin, strengths), out=opacity)
    if abs(look.shoulder) > 0.02:
        wide = blurred(opacity, 1.0 + 0.5 * crack.mean_width_px)
        ragged = np.clip(
            fractal_field(rng, image.shape[:2], coarsest_px=16, finest_px=2, persistence=0.8).window(
                Window(0, image.shape[0], 0, image.shape[1])
            ),
            0.0,
            1.5,
        )
        image *= (1.0 + np.float32(look.shoulder) * wide * ragged)[..., None]
    opacity = blurred(opacity, look.soft_px) * np.float32(look.darkness)
    composite(image, opacity, np.asarray(look.tint, np.float32))
