"""Masonry: courses of bricks or blocks with mortar between, and cracks that follow the joints."""

from dataclasses import dataclass

import numpy as np

from segmentation.synthetic.noise import Field, Floats, Grain, fractal_field, relief, smoothstep
from segmentation.synthetic.strokes import Points
from segmentation.windows import Window


@dataclass(frozen=True, slots=True)
class BondLayout:
    """Where the joints run: stretcher bond."""

    course_px: float
    """Height of a course with its joint."""
    brick_px: float
    """Length of a brick with its joint."""
    joint_px: float
    """Width of the joints."""
    row_px: float
    """Row of a bed joint's centre."""
    col_px: float
    """Column of a head joint's centre in the even courses; odd courses are shifted by half a brick."""


@dataclass(frozen=True, slots=True)
class MasonrySurface:
    """Bricks of varied colour, mortar, and their textures."""

    layout: BondLayout
    brick_colours: Floats
    """Palette of bricks, ``(N, 3)``."""
    mortar: tuple[float, float, float]
    """Colour of the mortar."""
    texture: Field
    """Texture of the brick faces."""
    weather: Field
    """Broad changes of brightness."""
    warp: tuple[Field, Field]
    """Unevenness of the joints along rows and columns, pixels per unit is `warp_px`."""
    warp_px: float
    roughness: float
    """Relative brightness of the texture."""
    depth: float
    """How dark and shaded the joints are, 0 … 1."""
    grain: Grain
    seed: int
    """Chooses the colour of each brick."""

    def render(self, window: Window) -> Floats:
        """Colours of `window`, ``(rows, cols, 3)`` float32, about [0, 1]."""
        lay = self.layout
        rows = np.arange(window.row_start, window.row_stop, dtype=np.float32)[:, None] + np.float32(0.5 - lay.row_px)
        cols = np.arange(window.col_start, window.col_stop, dtype=np.float32)[None, :] + np.float32(0.5 - lay.col_px)
        rows = rows + self.warp[0].window(window) * np.float32(self.warp_px)
        cols = cols + self.warp[1].window(window) * np.float32(self.warp_px)
        course = np.floor(rows / np.float32(lay.course_px))
        cols = cols + (course % 2) * np.float32(lay.brick_px / 2)
        brick = np.floor(cols / np.float32(lay.brick_px))
        from_bed = rows - course * np.float32(lay.course_px)
        from_head = cols - brick * np.float32(lay.brick_px)
        to_joint = np.minimum(
            np.minimum(from_bed, np.float32(lay.course_px) - from_bed),
            np.minimum(from_head, np.float32(lay.brick_px) - from_head),
        )
        texture = self.texture.window(window)
        edge = to_joint - np.float32(lay.joint_px / 2) + texture * np.float32(0.08 * lay.joint_px)
        face = smoothstep(edge, -0.8, 0.8)
        chance = (course * 7919 + brick * 104729 + self.seed) % 1009 * 977 % 1009 / 1009
        colour = self.brick_colours[(chance * len(self.brick_colours)).astype(np.intp)]
        colour = colour * (0.86 + 0.28 * ((chance * 31) % 1.0))[..., None]
        image = np.asarray(self.mortar, np.float32) + face[..., None] * (colour - np.asarray(self.mortar, np.float32))
        light = 1 + np.float32(self.roughness) * texture + 0.07 * self.weather.window(window)
        light += np.float32(self.depth) * relief(np.asarray(face, np.float32), (-0.45, -0.3))
        light -= np.float32(0.35 * self.depth) * (1 - face)
        light += 0.02 * self.grain.window(window) + np.float32(0.6 * self.roughness) * relief(texture, (0.7, 0.7))
        return np.asarray(image * np.clip(light, 0.1, 1.8)[..., None], np.float32)


def masonry(rng: np.random.Generator, shape: tuple[int, int], *, scale: float) -> MasonrySurface:
    """A wall of red, orange, brown, yellow or grey bricks, or of pale blocks, with varied joints."""
    blocks = rng.random() < 0.25
    course = float(rng.uniform(28, 75) * scale * (1.8 if blocks else 1.0))
    layout = BondLayout(
        course,
        course * float(rng.uniform(1.9, 3.4)),
        max(2.0, course * float(rng.uniform(0.06, 0.2))),
        float(rng.uniform(0, course)),
        float(rng.uniform(0, course)),
    )
    families = ([0.58, 0.28, 0.20], [0.72, 0.40, 0.24], [0.42, 0.24, 0.20], [0.66, 0.52, 0.36], [0.48, 0.46, 0.44])
    base = np.array([0.66, 0.64, 0.60] if blocks else families[int(rng.integers(len(families)))])
    palette = base * rng.uniform(0.7, 1.25, (7, 1)) + rng.normal(0, 0.02, (7, 3))
    mortar = float(rng.uniform(0.35, 0.85))
    fine = float(rng.uniform(1.4, 3.0))
    bent = [fractal_field(rng, shape, coarsest_px=course, finest_px=6, persistence=0.5) for _ in range(2)]
    return MasonrySurface(
        layout,
        np.asarray(palette, np.float32),
        (mortar, mortar * 0.97, mortar * 0.9),
        fractal_field(rng, shape, coarsest_px=course, finest_px=fine, persistence=0.8),
        fractal_field(rng, shape, coarsest_px=300 * scale, finest_px=30 * scale, persistence=0.6),
        (bent[0], bent[1]),
        0.03 * course * float(rng.uniform(0.3, 1.4)),
        float(rng.uniform(0.03, 0.14)),
        float(rng.uniform(0.1, 1.0)),
        Grain.draw(rng, shape),
        int(rng.integers(10_000)),
    )


def stepped_path(rng: np.random.Generator, layout: BondLayout, *, start_row: float, steps: int) -> Points:
    """A crack's way along the joints, down and to one side, now and then straight through a brick, ``(N, 2)``."""
    course = round((start_row - layout.row_px) / layout.course_px)
    col = layout.col_px + layout.brick_px * (float(rng.integers(0, 3)) + 0.5 * ((course + 1) % 2))
    side = float(rng.choice([-1.0, 1.0]))
    points = [(layout.row_px + course * layout.course_px, col)]
    for _ in range(steps):
        across = layout.brick_px / 2 * side
        col_next = points[-1][1] + (across if rng.random() < 0.8 else 0.0)
        row = points[-1][0]
        for t in np.linspace(0.25, 1.0, 4):
            points.append((row + float(rng.normal(0, 0.12)) * layout.joint_px, points[-1][1] * (1 - t) + col_next * t))
        for t in np.linspace(0.25, 1.0, 4):
            wobble = float(rng.normal(0, 0.15)) * layout.joint_px
            points.append((row + t * layout.course_px, col_next + wobble))
    return np.asarray(points, np.float64)
