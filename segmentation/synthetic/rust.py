"""Rust of known area: patches with irregular outlines, runs and pits.

What counts as rust is the patch with its solid runs: opacity ≥ 0.5 before blur. The stain around it is kept below an
opacity of 0.2 and does not count.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.synthetic.noise import Floats, fractal_field, relief, smoothstep
from segmentation.synthetic.strokes import Bools, blurred, composite
from segmentation.windows import Window

_PALETTE = np.array(
    [[0.15, 0.09, 0.08], [0.28, 0.16, 0.12], [0.42, 0.24, 0.16], [0.57, 0.34, 0.20], [0.70, 0.46, 0.28]], np.float32
)
"""Dark core to fresh orange."""


@dataclass(frozen=True, slots=True)
class RustPatch:
    """Where one patch lies and what it does to each pixel of its window."""

    window: Window
    """Pixel rectangle of the arrays below; may leave the raster."""
    solid: Floats
    """Opacity of patch and runs, ``(rows, cols)``."""
    stain: Floats
    """Opacity of the stain around, below 0.2, ``(rows, cols)``."""

    @property
    def mask(self) -> Bools:
        """Pixels that count as rust, ``(rows, cols)``."""
        return self.solid >= 0.5


def rust_patch(
    rng: np.random.Generator,
    *,
    centre: tuple[float, float],
    radius_px: float,
    raggedness: float,
    speckle: float,
    runs: int,
    run_length_px: float,
    stain: float,
) -> RustPatch:
    """A patch of about `radius_px`; `raggedness` 0 … 1 of its outline, `speckle` 0 … 1 of holes and satellites,
    `runs` streaks of up to `run_length_px` below it, and a stain of strength 0 … 1 around it.
    """
    margin = int(radius_px * 1.9) + 6
    below = int(run_length_px) + 4 if runs else 0
    row, col = int(centre[0]), int(centre[1])
    window = Window(row - margin, row + margin + below, col - margin, col + margin)
    local = Window(0, window.shape[0], 0, window.shape[1])
    shape = local.shape
    aspect, turn = rng.uniform(0.55, 1.0), rng.uniform(0.0, np.pi)
    rows = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(margin + centre[0] - row)
    cols = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(margin + centre[1] - col)
    u = rows * np.float32(np.cos(turn)) + cols * np.float32(np.sin(turn))
    v = (cols * np.float32(np.cos(turn)) - rows * np.float32(np.sin(turn))) / np.float32(aspect)
    outline = fractal_field(rng, shape, coarsest_px=max(radius_px, 4.0), finest_px=2.0, persistence=0.62).window(local)
    fine = fractal_field(rng, shape, coarsest_px=max(radius_px / 5, 3.0), finest_px=1.5, persistence=0.8).window(local)
    depth = 1.0 - np.hypot(u, v) / np.float32(radius_px)
    level = depth + np.float32(0.32 * raggedness) * outline + np.float32(0.30 * speckle) * fine
    level[depth < -0.85] = -1.0
    if runs:
        level = np.maximum(level, _runs(rng, local, margin, radius_px, runs, run_length_px))
    edge = np.float32(1.4 / max(radius_px, 4.0))
    solid = np.clip(level / edge + 0.5, 0.0, 1.0)
    reach = blurred(solid, 0.35 * radius_px) if stain > 0 else solid
    halo = np.minimum(np.float32(0.19), np.float32(0.3 * stain) * reach * (0.7 + 0.3 * outline))
    return RustPatch(window, np.asarray(solid, np.float32), np.asarray(np.clip(halo, 0, 0.19), np.float32))


def _runs(
    rng: np.random.Generator, local: Window, margin: int, radius_px: float, count: int, length_px: float
) -> Floats:
    rows = np.arange(local.shape[0], dtype=np.float32)[:, None]
    cols = np.arange(local.shape[1], dtype=np.float32)[None, :]
    level = np.full(local.shape, -1.0, np.float32)
    sway = fractal_field(rng, local.shape, coarsest_px=60, finest_px=15, persistence=0.5, stretch=(3.0, 1.0))
    shift = sway.window(local) * np.float32(1.2)
    for _ in range(count):
        col = margin + rng.uniform(-0.6, 0.6) * radius_px
        half = max(0.8, rng.uniform(0.03, 0.14) * radius_px)
        stop = margin + length_px * rng.uniform(0.4, 1.0)
        taper = np.clip((stop - rows) / np.float32(max(stop - margin, 1.0)), 0.0, 1.0)
        inside = np.float32(half) * (0.35 + 0.65 * taper) - np.abs(cols + shift - np.float32(col))
        inside = np.where((rows >= margin) & (rows < stop), inside, -1.0)
        level = np.maximum(level, inside / np.float32(max(radius_px, 4.0)))
    return level


@dataclass(frozen=True, slots=True)
class RustLook:
    """How rust shows: its truth does not depend on it."""

    brightness: float
    """0 dark old rust … 1 fresh orange."""
    contrast: float
    """Spread between dark cores and bright rims, 0 … 1."""
    opacity: float
    """Opacity of the solid part, 0.75 … 1."""
    soft_px: float
    """Sigma of the optical blur of its edge."""
    saturation: float
    """1 as the palette, 0 grey."""


def rust_texture(rng: np.random.Generator, shape: tuple[int, int], look: RustLook, grain_px: float) -> Floats:
    """Colour of rust, ``(H, W, 3)`` in [0, 1]: scales and pits between dark brown and orange."""
    local = Window(0, shape[0], 0, shape[1])
    broad = fractal_field(rng, shape, coarsest_px=24 * grain_px, finest_px=3 * grain_px, persistence=0.7).window(local)
    crust = fractal_field(rng, shape, coarsest_px=6 * grain_px, finest_px=1.2, persistence=0.85).window(local)
    tone = np.float32(0.15 + 0.6 * look.brightness) + np.float32(look.contrast) * (0.16 * broad + 0.12 * crust)
    position = np.clip(tone, 0.0, 0.999) * (len(_PALETTE) - 1)
    lower = position.astype(np.intp)
    part = (position - lower)[..., None]
    colour = _PALETTE[lower] * (1 - part) + _PALETTE[np.minimum(lower + 1, len(_PALETTE) - 1)] * part
    pits = smoothstep(crust, 1.3, 2.0) * np.float32(0.6 * look.contrast)
    grey = colour.mean(axis=2, keepdims=True)
    colour = grey + (colour - grey) * np.float32(look.saturation)
    shade = 1.0 + np.float32(0.12 * look.contrast) * relief(crust, (0.7, 0.7)) - pits
    return np.asarray(np.clip(colour * np.clip(shade, 0.2, 1.5)[..., None], 0.0, 1.0), np.float32)


def paint_rust(image: Floats, origin: Window, patch: RustPatch, look: RustLook, rng: np.random.Generator) -> Window:
    """Paint `patch` in place over `image` ``(H, W, 3)`` in [0, 1], which shows the pixels of `origin`; returns the
    part of the patch's window that was painted.
    """
    seen = patch.window.intersect(origin)
    if seen is None:
        return Window(0, 0, 0, 0)
    target, source = seen.within(origin), seen.within(patch.window)
    view = image[target]
    colour = rust_texture(rng, seen.shape, look, 1.0 + 0.02 * patch.window.shape[1])
    composite(view, patch.stain[source], np.array([0.62, 0.42, 0.26], np.float32))
    opacity = blurred(patch.solid[source], look.soft_px) * np.float32(look.opacity)
    composite(view, opacity, colour)
    return seen
