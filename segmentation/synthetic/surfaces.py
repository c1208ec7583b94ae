"""Procedural surfaces of structures, drawn window by window: concrete, asphalt, steel, plaster, and clutter.

A surface is made once for a raster and renders any window of it, without a seam between windows.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from segmentation.synthetic.noise import Field, Floats, Grain, fractal_field, relief, smoothstep
from segmentation.synthetic.strokes import Points, composite, spots
from segmentation.windows import Window


class Surface(Protocol):
    """Something that can be photographed."""

    def render(self, window: Window) -> Floats:
        """Colours of `window`, ``(rows, cols, 3)`` float32, about [0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """One random field and what it does to the light."""

    field: Field
    """Where it is high or low."""
    amount: float
    """Relative change of brightness for one standard deviation."""
    threshold: tuple[float, float] | None = None
    """Where set, the field is first mapped to 0 … 1 between these two values: blotches with an edge."""
    light: tuple[float, float] | None = None
    """Where set, the field is a height that is lit from this direction (rows, cols)."""


@dataclass(frozen=True, slots=True)
class SpotLayer:
    """Many small ellipses: pores, chips, grains of aggregate."""

    centres: Points
    radii_px: Points
    angles: Points
    flatness: float
    soft_px: float
    colour: tuple[float, float, float]
    opacity: float


@dataclass(frozen=True, slots=True)
class LayeredSurface:
    """A base colour, changed by fields of brightness, one field of hue, grain and spots."""

    base: tuple[float, float, float]
    """Mean colour, [0, 1]."""
    layers: tuple[Layer, ...]
    """Fields of brightness."""
    grain: Grain
    """White noise."""
    grain_amount: float
    """Relative brightness of one standard deviation of the grain."""
    hue: Field | None = None
    """Where the surface turns towards `hue_shift`."""
    hue_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Added colour for one standard deviation of `hue`."""
    spot_layers: tuple[SpotLayer, ...] = field(default=())
    """Painted last, in this order."""

    def render(self, window: Window) -> Floats:
        """Colours of `window`, ``(rows, cols, 3)`` float32, about [0, 1]."""
        light = self.grain.window(window) * np.float32(self.grain_amount) + np.float32(1.0)
        for layer in self.layers:
            light += np.float32(layer.amount) * _layer_values(layer, window)
        np.clip(light, 0.05, 2.0, out=light)
        image = np.empty((*window.shape, 3), np.float32)
        hue = None if self.hue is None else self.hue.window(window)
        for channel, (base, shift) in enumerate(zip(self.base, self.hue_shift, strict=True)):
            np.multiply(light, np.float32(base), out=image[..., channel])
            if hue is not None and shift:
                image[..., channel] += np.float32(shift) * hue
        for dots in self.spot_layers:
            opacity = spots(
                window, dots.centres, dots.radii_px, dots.angles, flatness=dots.flatness, soft_px=dots.soft_px
            )
            composite(image, opacity * np.float32(dots.opacity), np.asarray(dots.colour, np.float32))
        return image


def _layer_values(layer: Layer, window: Window) -> Floats:
    if layer.light is not None:
        grown = Window(window.row_start - 1, window.row_stop, window.col_start - 1, window.col_stop)
        return relief(layer.field.window(grown), layer.light)[1:, 1:]
    values = layer.field.window(window)
    return values if layer.threshold is None else smoothstep(values, *layer.threshold)


def random_spots(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    per_mpx: float,
    radius_px: tuple[float, float],
    flatness: float,
    angle_rad: float | None,
    soft_px: float,
    colour: tuple[float, float, float],
    opacity: float,
) -> SpotLayer:
    """Spots all over a raster of `shape`, their radii spread over `radius_px` with many small and few large ones."""
    count = int(rng.poisson(per_mpx * shape[0] * shape[1] / 1e6))
    radii = radius_px[0] + (radius_px[1] - radius_px[0]) * rng.power(0.35, count)
    angles = rng.uniform(0, np.pi, count) if angle_rad is None else rng.normal(angle_rad, 0.25, count)
    centres = rng.uniform(0, 1, (count, 2)) * shape
    return SpotLayer(centres, radii, angles, flatness, soft_px, colour, opacity)


def _tinted(rng: np.random.Generator, grey: float, warmth: float, spread: float) -> tuple[float, float, float]:
    warm = rng.normal(warmth, spread)
    green = rng.normal(0.0, spread / 3)
    return (grey * (1 + warm), grey * (1 + green), grey * (1 - warm))


def concrete(
    rng: np.random.Generator, shape: tuple[int, int], *, scale: float, finish: str, grey: float | None = None
) -> LayeredSurface:
    """Concrete; `finish` is cast, brushed or aggregate; `scale` is the size of its features, 1 at about 1.5 mm/px."""
    grey = rng.uniform(0.38, 0.80) if grey is None else grey
    base = _tinted(rng, grey, 0.02, 0.025)
    blotch = fractal_field(rng, shape, coarsest_px=400 * scale, finest_px=12 * scale, persistence=0.68)
    mottle = fractal_field(rng, shape, coarsest_px=24 * scale, finest_px=3 * scale, persistence=0.75)
    rough = fractal_field(
        rng, shape, coarsest_px=max(5 * scale, 1.5), finest_px=max(1.3, 1.2 * scale), persistence=0.85
    )
    hue = fractal_field(rng, shape, coarsest_px=500 * scale, finest_px=60 * scale, persistence=0.6)
    layers = [
        Layer(blotch, rng.uniform(0.03, 0.09)),
        Layer(mottle, rng.uniform(0.012, 0.04)),
        Layer(rough, rng.uniform(0.01, 0.05), light=(0.8, 0.6)),
    ]
    dirt = fractal_field(rng, shape, coarsest_px=120 * scale, finest_px=3 * scale, persistence=0.75)
    layers.append(Layer(dirt, -rng.uniform(0.05, 0.22), threshold=(rng.uniform(0.7, 1.6), 2.0)))
    spot_layers: list[SpotLayer] = []
    dark = (base[0] * 0.3, base[1] * 0.3, base[2] * 0.3)
    if finish == "cast":
        streak = fractal_field(rng, shape, coarsest_px=30, finest_px=3, persistence=0.8, stretch=(40 * scale, scale))
        layers.append(Layer(streak, rng.uniform(0.0, 0.05)))
        flecks = fractal_field(
            rng,
            shape,
            coarsest_px=14 * scale,
            finest_px=max(2.2 * scale, 1.4),
            persistence=0.55,
            stretch=(float(rng.uniform(0.7, 1.8)), float(rng.uniform(0.7, 1.4))),
        )
        onset = rng.uniform(1.1, 2.2)
        layers.append(Layer(flecks, -rng.uniform(0.04, 0.28), threshold=(onset, onset + rng.uniform(0.2, 0.6))))
        spot_layers += [
            random_spots(
                rng,
                shape,
                per_mpx=rng.uniform(20, 900) / scale**1.5,
                radius_px=(0.6, 3.2 * scale + 0.6),
                flatness=rng.uniform(0.5, 0.95),
                angle_rad=None,
                soft_px=1.0,
                colour=dark,
                opacity=rng.uniform(0.4, 0.95),
            ),
        ]
    elif finish == "brushed":
        streak = fractal_field(rng, shape, coarsest_px=12, finest_px=1.4, persistence=0.9, stretch=(1.0, 30 * scale))
        layers.append(Layer(streak, rng.uniform(0.02, 0.06)))
    else:
        stones = fractal_field(rng, shape, coarsest_px=7 * scale, finest_px=max(3.0 * scale, 1.5), persistence=0.5)
        layers.append(Layer(stones, rng.uniform(0.08, 0.25), threshold=(0.2, 0.6)))
        layers.append(Layer(stones, rng.uniform(0.05, 0.15), light=(0.8, 0.6)))
        spot_layers.append(
            random_spots(
                rng,
                shape,
                per_mpx=rng.uniform(500, 4000) / scale**2,
                radius_px=(0.8, 3.5 * scale),
                flatness=0.75,
                angle_rad=None,
                soft_px=1.2,
                colour=_tinted(rng, rng.uniform(0.25, 0.9), 0.05, 0.05),
                opacity=0.6,
            )
        )
    return LayeredSurface(
        base,
        tuple(layers),
        Grain.draw(rng, shape),
        rng.uniform(0.006, 0.03),
        hue,
        (rng.normal(0, 0.012), 0.0, rng.normal(0, 0.012)),
        tuple(spot_layers),
    )


def asphalt(rng: np.random.Generator, shape: tuple[int, int], *, scale: float) -> LayeredSurface:
    """Asphalt: dark binder with lighter stones, from new (dark) to worn (grey)."""
    base = _tinted(rng, rng.uniform(0.18, 0.55), 0.015, 0.02)
    stones = fractal_field(
        rng, shape, coarsest_px=max(6 * scale, 2.0), finest_px=max(1.6 * scale, 1.2), persistence=0.9
    )
    layers = (
        Layer(fractal_field(rng, shape, coarsest_px=500 * scale, finest_px=20 * scale, persistence=0.6), 0.06),
        Layer(stones, rng.uniform(0.06, 0.18)),
        Layer(stones, rng.uniform(0.05, 0.16), light=(0.8, 0.6)),
    )
    pale = random_spots(
        rng,
        shape,
        per_mpx=rng.uniform(1000, 9000) / scale**1.6,
        radius_px=(0.6, 2.6 * scale + 0.4),
        flatness=0.7,
        angle_rad=None,
        soft_px=1.0,
        colour=_tinted(rng, min(0.85, base[1] * 1.9), 0.03, 0.04),
        opacity=rng.uniform(0.2, 0.8),
    )
    return LayeredSurface(base, layers, Grain.draw(rng, shape), rng.uniform(0.02, 0.07), spot_layers=(pale,))


_STEEL_PAINTS = (
    (0.55, 0.57, 0.58),
    (0.42, 0.47, 0.52),
    (0.30, 0.42, 0.36),
    (0.38, 0.50, 0.40),
    (0.75, 0.76, 0.74),
    (0.25, 0.36, 0.50),
    (0.62, 0.60, 0.50),
    (0.20, 0.21, 0.22),
    (0.72, 0.62, 0.22),
    (0.60, 0.16, 0.13),
    (0.45, 0.25, 0.19),
)
"""Greys, greens, white, blue, buff, black, yellow; the last two are red and red-oxide paint, which is not rust."""


def painted_steel(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    scale: float,
    paint: tuple[float, float, float] | None = None,
) -> LayeredSurface:
    """Painted steel: even colour, chalking, orange peel, dirt that runs down."""
    chosen = _STEEL_PAINTS[int(rng.integers(len(_STEEL_PAINTS)))] if paint is None else paint
    gain = rng.uniform(0.75, 1.15) if paint is None else 1.0
    base = (chosen[0] * gain, chosen[1] * gain, chosen[2] * gain)
    runs = fractal_field(rng, shape, coarsest_px=40, finest_px=5, persistence=0.75, stretch=(25 * scale, scale))
    layers = (
        Layer(fractal_field(rng, shape, coarsest_px=600 * scale, finest_px=35 * scale, persistence=0.6), 0.05),
        Layer(runs, -rng.uniform(0.03, 0.2), threshold=(0.4, 2.2)),
        Layer(
            fractal_field(rng, shape, coarsest_px=9 * scale, finest_px=2 * scale, persistence=0.8),
            rng.uniform(0.0, 0.03),
            light=(0.8, 0.5),
        ),
    )
    chips = random_spots(
        rng,
        shape,
        per_mpx=rng.uniform(0, 150),
        radius_px=(0.6, 3.0 * scale),
        flatness=0.7,
        angle_rad=None,
        soft_px=1.0,
        colour=(base[0] * 0.55, base[1] * 0.55, base[2] * 0.55),
        opacity=rng.uniform(0.2, 0.7),
    )
    hue = fractal_field(rng, shape, coarsest_px=300 * scale, finest_px=40 * scale, persistence=0.6)
    return LayeredSurface(
        base,
        layers,
        Grain.draw(rng, shape),
        rng.uniform(0.004, 0.02),
        hue,
        (rng.normal(0, 0.01), 0.0, rng.normal(0, 0.01)),
        (chips,),
    )


def galvanised_steel(rng: np.random.Generator, shape: tuple[int, int], *, scale: float) -> LayeredSurface:
    """Galvanised steel: spangle, white bloom, streaks."""
    spangle = fractal_field(rng, shape, coarsest_px=26 * scale, finest_px=13 * scale, persistence=0.9)
    layers = (
        Layer(spangle, rng.uniform(0.01, 0.05), threshold=(-0.25, 0.25)),
        Layer(spangle, rng.uniform(0.01, 0.05), threshold=(0.5, 0.9)),
        Layer(
            fractal_field(rng, shape, coarsest_px=300 * scale, finest_px=6 * scale, persistence=0.7),
            rng.uniform(0.04, 0.10),
        ),
        Layer(fractal_field(rng, shape, coarsest_px=24, finest_px=2, persistence=0.8, stretch=(30 * scale, 1.0)), 0.03),
    )
    base = _tinted(rng, rng.uniform(0.4, 0.75), -0.015, 0.015)
    return LayeredSurface(base, layers, Grain.draw(rng, shape), rng.uniform(0.005, 0.02))


def plaster(rng: np.random.Generator, shape: tuple[int, int], *, scale: float) -> LayeredSurface:
    """Plaster or render: any pale colour, a relief of trowel or roughcast, weathering."""
    base = _tinted(rng, rng.uniform(0.5, 0.92), rng.choice([0.0, 0.06, 0.15]), 0.04)
    coarse = rng.uniform(5, 30) * scale
    bumps = fractal_field(rng, shape, coarsest_px=coarse, finest_px=max(coarse / 8, 1.3), persistence=0.75)
    weather = fractal_field(rng, shape, coarsest_px=200 * scale, finest_px=5 * scale, persistence=0.75)
    layers = (
        Layer(bumps, rng.uniform(0.02, 0.15), light=(0.85, 0.5)),
        Layer(weather, rng.uniform(0.02, 0.06)),
        Layer(weather, -rng.uniform(0.0, 0.35), threshold=(1.0, 2.0)),
    )
    return LayeredSurface(base, layers, Grain.draw(rng, shape), rng.uniform(0.005, 0.03))


def clutter(rng: np.random.Generator, shape: tuple[int, int], *, scale: float) -> LayeredSurface:
    """Whatever else is in a photograph: vegetation, soil, wood, cloth, sky: a colour and a texture at random."""
    colours = (
        (0.15, 0.28, 0.10),
        (0.30, 0.38, 0.15),
        (0.48, 0.38, 0.27),
        (0.60, 0.72, 0.85),
        (0.36, 0.26, 0.18),
        (0.10, 0.10, 0.11),
        (0.70, 0.68, 0.60),
        (0.55, 0.30, 0.18),
        (0.66, 0.42, 0.16),
        (0.40, 0.10, 0.09),
        (0.85, 0.85, 0.84),
    )
    base = np.array(colours[int(rng.integers(len(colours)))]) * rng.uniform(0.6, 1.2)
    stretch = (1.0, 1.0) if rng.random() < 0.6 else (float(rng.uniform(4, 30)), 1.0)
    rough = fractal_field(
        rng,
        shape,
        coarsest_px=rng.uniform(6, 60) * scale,
        finest_px=rng.uniform(1.5, 5),
        persistence=0.8,
        stretch=stretch,
    )
    looks_like_rust = base[0] > 1.5 * base[2] and base[0] > 0.35
    strength = 0.03 if looks_like_rust else rng.choice([0.02, 0.15, 0.4])
    hue = fractal_field(rng, shape, coarsest_px=40 * scale, finest_px=4 * scale, persistence=0.8)
    turn = rng.normal(0, 0.12, 3) * strength * base.mean()
    layers = (Layer(rough, strength), Layer(rough, strength, light=(0.8, 0.5)))
    return LayeredSurface(
        (float(base[0]), float(base[1]), float(base[2])),
        layers,
        Grain.draw(rng, shape),
        0.02,
        hue,
        (float(turn[0]), float(turn[1]), float(turn[2])),
    )
