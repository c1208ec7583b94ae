"""The demo's bridge deck: brushed concrete with joints, traffic and shadows, cracks and a little rust."""

from dataclasses import dataclass, replace

import numpy as np
from shapely.geometry import box

from segmentation.synthetic.cracks import Crack, CrackLook, random_crack
from segmentation.synthetic.noise import Field, Floats, fractal_field, smoothstep
from segmentation.synthetic.rust import RustLook, rust_patch
from segmentation.synthetic.scenes import Canvas, Scene
from segmentation.synthetic.strokes import composite, polygon_opacity
from segmentation.synthetic.surfaces import LayeredSurface, concrete
from segmentation.windows import Window

GSD_M = 0.0015
_HEIGHT_PX, _WIDTH_PX = 4200, 6400
_JOINT_HALF_PX = 7.0
_SHORTEST_M = 0.15
"""Least length of a crack in a small scene."""


@dataclass(frozen=True, slots=True)
class Railing:
    """The shadow of a railing: a band under its handrail, and below it the stripes of its posts."""

    top_share: float = 0.87
    """Where the handrail's shadow begins, as a share of the deck's height; the stripes reach to the lower edge."""
    post_px: float = 26.0
    """Width of a stripe."""
    spacing_px: float = 230.0
    """From stripe to stripe."""
    lean_share: float = 0.05
    """Columns that a stripe moves on its way down, as a share of the deck's height."""
    strength: float = 1.0
    """1 for a clear sky; 0 for no shadow."""


RAILING = Railing()
"""The demo's."""


def random_railing(rng: np.random.Generator) -> Railing:
    """A railing as training wants it: stripes from hairlines to planks, short and across half the deck."""
    post_px = float(np.exp(rng.uniform(np.log(3.0), np.log(45.0))))
    return Railing(
        top_share=float(rng.uniform(0.35, 0.9)),
        post_px=post_px,
        spacing_px=post_px * float(rng.uniform(2.0, 10.0)),
        lean_share=float(rng.uniform(-0.3, 0.3)),
        strength=float(rng.uniform(0.35, 1.0)),
    )


@dataclass(frozen=True, slots=True)
class PlannedCrack:
    """Size of a crack to be painted."""

    length_m: float
    """Length of the main line on the full-size deck."""
    width_mm: float
    """Mean width of the main line."""
    heading_rad: float
    """0 along the deck, π/2 across."""
    branches: int
    """Number of branches."""


_PLAN = (
    PlannedCrack(4.0, 6.0, 1.55, 1),
    PlannedCrack(2.5, 8.0, 0.10, 2),
    PlannedCrack(1.2, 3.0, 0.90, 0),
    PlannedCrack(3.6, 4.0, 1.62, 0),
    PlannedCrack(2.2, 3.2, 0.40, 0),
    PlannedCrack(1.8, 5.0, 2.40, 1),
    PlannedCrack(1.6, 12.0, 1.30, 0),
    PlannedCrack(1.4, 2.6, 2.90, 0),
    PlannedCrack(1.2, 4.0, 0.70, 1),
    PlannedCrack(0.9, 7.0, 2.10, 0),
    PlannedCrack(0.7, 2.4, 1.00, 0),
    PlannedCrack(0.6, 5.0, 0.20, 0),
    PlannedCrack(0.45, 3.5, 2.70, 0),
    PlannedCrack(0.3, 2.8, 1.80, 0),
)
"""In an order whose first entries make a fair small deck as well."""


@dataclass(frozen=True, slots=True)
class DeckSurface:
    """Concrete with all that lies below the damage: tyre marks, the edge line, stains, sealed joints."""

    ground: LayeredSurface
    joint_cols_px: tuple[float, ...]
    lane_rows_px: tuple[float, ...]
    line_row_px: float
    streaks: Field
    blotches: Field
    wear: Field
    sway: Field

    def render(self, window: Window) -> Floats:
        """Colours of `window`, ``(rows, cols, 3)`` float32, about [0, 1]."""
        image = self.ground.render(window)
        rows = np.arange(window.row_start, window.row_stop, dtype=np.float32)[:, None] + np.float32(0.5)
        cols = np.arange(window.col_start, window.col_stop, dtype=np.float32)[None, :] + np.float32(0.5)
        lanes = sum(np.exp(-(((rows - np.float32(r)) / np.float32(130)) ** 2)) for r in self.lane_rows_px)
        light = 1 - np.float32(0.11) * lanes * np.clip(1 + np.float32(0.6) * self.streaks.window(window), 0.0, 2.5)
        light -= np.float32(0.30) * smoothstep(self.blotches.window(window), 1.75, 2.6)
        image *= np.asarray(light, np.float32)[..., None]
        wear = self.wear.window(window)
        from_line = np.abs(rows - np.float32(self.line_row_px)) + np.float32(0.6) * wear
        paint = smoothstep(-from_line, -51.0, -49.5) * smoothstep(wear, -1.1, 0.2) * np.float32(0.9)
        if paint.any():
            composite(image, paint, np.array([0.86, 0.86, 0.82], np.float32))
        sway = self.sway.window(window)
        for col in self.joint_cols_px:
            self._joint(image, np.abs(cols - np.float32(col) + np.float32(0.7) * sway), wear, window, col)
        return image

    def _joint(self, image: Floats, distance: Floats, wear: Floats, window: Window, col: float) -> None:
        low, high = int(col - 60 - window.col_start), int(col + 60 - window.col_start)
        part = (slice(None), slice(max(low, 0), max(high, 0)))
        sealant = smoothstep(-distance[part], -_JOINT_HALF_PX - 0.8, -_JOINT_HALF_PX + 0.8)
        spill = smoothstep(-distance[part] + 3.0 * wear[part], -24.0, -8.0) * np.float32(0.25)
        image[part] *= (1 - spill)[..., None]
        tone = np.float32(0.13) + np.float32(0.02) * wear[part]
        composite(image[part], sealant * np.float32(0.95), np.repeat(tone[..., None], 3, axis=2))


def deck_scene(rng: np.random.Generator, *, scale: float, railing: Railing = RAILING) -> Scene:
    """The deck; `scale` below 1 gives fewer pixels at the same GSD, with fewer and shorter cracks."""
    shape = (round(_HEIGHT_PX * scale), round(_WIDTH_PX * scale))
    canvas = Canvas(shape, GSD_M)
    surface = _surface(rng, shape)
    canvas.cover(surface)
    for col in surface.joint_cols_px:
        canvas.take(Window(0, shape[0], int(col) - 24, int(col) + 24))
    line = int(surface.line_row_px)
    canvas.take(Window(line - 60, line + 60, 0, shape[1]))
    _add_cracks(rng, canvas, scale)
    _add_rust(rng, canvas, scale)
    _railing_shadow(canvas, railing)
    footprint = box(0.0, 0.0, float(shape[1]), float(shape[0]))
    return Scene("deck", "bridge deck", "concrete", canvas.image, canvas.validity, canvas.mask, canvas.truth(footprint))


def _surface(rng: np.random.Generator, shape: tuple[int, int]) -> DeckSurface:
    height, width = shape
    ground = replace(concrete(rng, shape, scale=2.0, finish="brushed", grey=0.60), hue_shift=(0.006, 0.0, -0.006))
    return DeckSurface(
        ground=ground,
        joint_cols_px=(width / 3, 2 * width / 3),
        lane_rows_px=(0.22 * height, 0.40 * height, 0.62 * height),
        line_row_px=0.80 * height,
        streaks=fractal_field(rng, shape, coarsest_px=40, finest_px=5, persistence=0.8, stretch=(1.0, 60.0)),
        blotches=fractal_field(rng, shape, coarsest_px=380, finest_px=12, persistence=0.45),
        wear=fractal_field(rng, shape, coarsest_px=60, finest_px=4, persistence=0.8),
        sway=fractal_field(rng, shape, coarsest_px=400, finest_px=50, persistence=0.5),
    )


def _add_cracks(rng: np.random.Generator, canvas: Canvas, scale: float) -> None:
    for planned in _PLAN[: max(3, round(len(_PLAN) * scale))]:
        crack = place_crack(rng, canvas, planned, scale)
        if crack is None:
            continue
        tone = float(rng.uniform(0.05, 0.12))
        look = CrackLook(
            darkness=float(rng.uniform(0.82, 0.97)),
            tint=(tone, tone, tone * 0.95),
            unevenness=float(rng.uniform(0.05, 0.3)),
            soft_px=0.7,
            shoulder=0.0,
        )
        canvas.add_crack(crack, look, rng)


def place_crack(rng: np.random.Generator, canvas: Canvas, planned: PlannedCrack, scale: float) -> Crack | None:
    """A crack as planned, somewhere clear of everything else; None where no such place was found."""
    for attempt in range(200):
        shrink = 1.0 if attempt < 100 else 0.6
        heading = planned.heading_rad + float(rng.normal(0, 0.08))
        length_px = max(planned.length_m * scale, _SHORTEST_M) * shrink / canvas.gsd_m
        middle = rng.uniform(0.04, 0.96, 2) * canvas.shape
        crack = random_crack(
            rng,
            start=(
                float(middle[0] - length_px / 2 * np.sin(heading)),
                float(middle[1] - length_px / 2 * np.cos(heading)),
            ),
            heading_rad=heading,
            length_px=length_px,
            width_px=planned.width_mm / 1e3 / canvas.gsd_m,
            variation=0.18,
            wander=0.22,
            jitter=0.38,
            branches=planned.branches,
            taper=False,
        )
        if canvas.has_room_for(crack, 16.0):
            return crack
    return None


def _add_rust(rng: np.random.Generator, canvas: Canvas, scale: float) -> None:
    height, width = canvas.shape
    for _ in range(max(2, round(8 * scale))):
        look = RustLook(
            brightness=float(rng.uniform(0.4, 0.75)),
            contrast=0.8,
            opacity=0.93,
            soft_px=0.8,
            saturation=float(rng.uniform(0.8, 1.05)),
        )
        for _ in range(60):
            centre = (float(rng.uniform(0.06, 0.94) * height), float(rng.uniform(0.04, 0.96) * width))
            patch = rust_patch(
                rng,
                centre=centre,
                radius_px=float(rng.uniform(22, 60)),
                raggedness=1.2,
                speckle=0.6,
                runs=0,
                run_length_px=0.0,
                stain=0.9,
            )
            if canvas.is_free(patch.window):
                canvas.add_rust(patch, look, rng)
                break


def _railing_shadow(canvas: Canvas, railing: Railing) -> None:
    height, width = canvas.shape
    top, lean, post = railing.top_share * height, railing.lean_share * height, railing.post_px
    polygons = [np.array([[top, -50.0], [top - 20, width + 50.0], [top + 50, width + 50.0], [top + 70, -50.0]])]
    reach = max(0.1 * width, abs(lean))
    polygons += [
        np.array([[top, col], [top, col + post], [height + 9.0, col + post + lean], [height + 9.0, col + lean]])
        for col in np.arange(-reach, width + reach, railing.spacing_px)
    ]

    def darken(colours: Floats, window: Window) -> None:
        opacity = np.zeros(window.shape, np.float32)
        for polygon in polygons:
            np.maximum(opacity, polygon_opacity(window, polygon, soft_px=0.0), out=opacity)
        tint = np.float32(railing.strength) * np.array([0.52, 0.50, 0.45], np.float32)
        colours *= 1 - opacity[..., None] * tint

    canvas.change(Window(int(top) - 40, height, 0, width), darken)
