"""What is on a structure and is no damage: seams, cables, shadows, stains, paint lines, bolts, ridges, leaves.

Each painter changes `image` ``(H, W, 3)`` float32 in [0, 1] in place; those that hide what lies below them
return where they do, ``(H, W)`` bool.
"""

from collections.abc import Callable

import numpy as np

from segmentation.synthetic.cracks import walk
from segmentation.synthetic.noise import Floats, fractal_field, smoothstep
from segmentation.synthetic.strokes import (
    Bools,
    Points,
    Stroke,
    blurred,
    composite,
    coverage,
    polygon_opacity,
    spots,
)
from segmentation.windows import Window


def _all(image: Floats) -> Window:
    return Window(0, image.shape[0], 0, image.shape[1])


def _line_across(rng: np.random.Generator, shape: tuple[int, int], angle_rad: float) -> Points:
    middle = np.array([rng.uniform(0.05, 0.95) * shape[0], rng.uniform(0.05, 0.95) * shape[1]])
    reach = 1.5 * max(shape)
    along = np.array([np.sin(angle_rad), np.cos(angle_rad)])
    return np.stack([middle - reach * along, middle + reach * along])


def _right_angle(rng: np.random.Generator) -> float:
    return float(rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.04))


def seam(rng: np.random.Generator, image: Floats) -> None:
    """Joints and formwork seams: straight, regular, dark or with a fin, sometimes several in parallel."""
    shape = (image.shape[0], image.shape[1])
    angle = _right_angle(rng)
    line = _line_across(rng, shape, angle)
    normal = np.array([np.cos(angle), -np.sin(angle)])
    width = float(np.exp(rng.uniform(np.log(0.9), np.log(14.0))))
    spacing = rng.uniform(0.15, 0.6) * max(shape)
    dark = rng.uniform(0.08, 0.4)
    colour = np.array([dark, dark, dark * rng.uniform(0.85, 1.0)], np.float32)
    opacity = rng.uniform(0.35, 0.95)
    for k in range(-2, 3) if rng.random() < 0.4 else range(1):
        stroke = Stroke(line + k * spacing * normal, np.full(2, width)).resampled(12.0)
        strengths = np.clip(1 + rng.uniform(0, 0.4) * rng.standard_normal(len(stroke.vertices)), 0.2, 1.0)
        cover = blurred(coverage(stroke, _all(image), strengths), rng.uniform(0.3, 1.0))
        if rng.random() < 0.5:
            lip = Stroke(line + k * spacing * normal + normal * (width / 2 + 0.8), np.full(2, max(1.0, width / 4)))
            image *= (1 + np.float32(rng.uniform(-0.3, 0.35)) * blurred(coverage(lip, _all(image)), 0.6))[..., None]
        composite(image, cover * np.float32(opacity), colour)


def board_marks(rng: np.random.Generator, image: Floats) -> None:
    """Formwork boards: strips of slightly different brightness with a fine edge between."""
    height, width = image.shape[:2]
    vertical = rng.random() < 0.6
    length = width if vertical else height
    board = rng.uniform(0.08, 0.5) * length
    position = (np.arange(length, dtype=np.float32) + np.float32(rng.uniform(0, board))) / np.float32(board)
    tones = (1 + rng.normal(0, 0.05, int(position.max()) + 2)).astype(np.float32)[position.astype(np.intp)]
    near_edge = np.minimum(position % 1, 1 - position % 1) * np.float32(board) < rng.uniform(0.5, 1.6)
    tones = tones * np.where(near_edge, np.float32(rng.uniform(0.75, 1.08)), np.float32(1.0))
    image *= tones[None, :, None] if vertical else tones[:, None, None]


def cable(rng: np.random.Generator, image: Floats) -> Bools:
    """A cable, rope or twig: smooth, round in its shading, often with a shadow beside it."""
    shape = (image.shape[0], image.shape[1])
    start = (float(rng.uniform(0, shape[0])), float(rng.choice([-5.0, rng.uniform(0, shape[1])])))
    path = walk(
        rng,
        start=start,
        heading_rad=rng.uniform(-np.pi, np.pi),
        length_px=2.0 * max(shape),
        step_px=6.0,
        wander=rng.uniform(0.05, 0.6),
        jitter=0.0,
    )
    width = float(np.exp(rng.uniform(np.log(1.5), np.log(12.0))))
    stroke = Stroke(path, np.full(len(path), width))
    offset = rng.normal(0, 1.2 * width, 2)
    if rng.random() < 0.7:
        shadow_stroke = Stroke(path + offset, np.full(len(path), width))
        image *= (1 - np.float32(rng.uniform(0.2, 0.6)) * blurred(coverage(shadow_stroke, _all(image)), 0.2 * width))[
            ..., None
        ]
    cover = coverage(stroke, _all(image))
    shine = coverage(Stroke(path - 0.15 * width, np.full(len(path), max(1.0, 0.35 * width))), _all(image))
    tone = rng.choice([0.06, 0.1, 0.5, 0.85])
    colour = np.clip(tone * (1 + rng.normal(0, 0.12, 3)), 0, 1).astype(np.float32)
    composite(image, cover, colour)
    composite(image, blurred(shine, 0.4) * cover * np.float32(rng.uniform(0.1, 0.4)), np.minimum(colour + 0.35, 1.0))
    return cover >= 0.5


def shadow(rng: np.random.Generator, image: Floats) -> None:
    """A shadow with a soft or a hard edge, straight like a beam's or ragged like a tree's; bluish."""
    shape = (image.shape[0], image.shape[1])
    if rng.random() < 0.6:
        line = _line_across(rng, shape, rng.uniform(0, np.pi))
        along = line[1] - line[0]
        normal = np.array([-along[1], along[0]]) / np.hypot(*along)
        depth = rng.choice([rng.uniform(4, 30), rng.uniform(0.1, 0.5) * max(shape), 3.0 * max(shape)])
        soft = float(rng.choice([0.3, 0.8, 2.5, 10.0]))
        inside = polygon_opacity(_all(image), np.vstack([line, line[::-1] + depth * normal]), soft_px=soft)
    else:
        coarse = rng.uniform(20, 120)
        fall = fractal_field(rng, shape, coarsest_px=coarse, finest_px=4, persistence=0.5).window(_all(image))
        inside = smoothstep(fall, 0.1, 0.1 + rng.uniform(0.05, 0.6))
    depth_of_shadow = rng.uniform(0.25, 0.7)
    tint = np.array([1.0, 0.97, 0.9], np.float32) * np.float32(depth_of_shadow)
    image *= 1 - inside[..., None] * tint


def slat_shadow(rng: np.random.Generator, image: Floats) -> None:
    """The shadow of a railing, a ladder or a truss: straight bars side by side, with or without one across them."""
    opacity = slat_opacity(rng, (image.shape[0], image.shape[1]))
    tint = np.array([1.0, 0.97, 0.9], np.float32) * np.float32(rng.uniform(0.25, 0.65))
    image *= 1 - opacity[..., None] * tint


def slat_opacity(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """How much light ``(H, W)`` parallel bars take away, 0 to 1: 3 to 60 px wide, at any angle, sharp or soft."""
    width_px = float(np.exp(rng.uniform(np.log(3.0), np.log(60.0))))
    soft_px = float(rng.choice([0.4, 0.8, 2.0, 0.15 * width_px + 0.4]))
    angle_rad = float(rng.uniform(0, np.pi))
    opacity = _bars(rng, shape, width_px, width_px * float(rng.uniform(1.6, 12.0)), angle_rad, soft_px)
    if rng.random() < 0.3:
        crossing = angle_rad + float(rng.uniform(0.3, 2.8))
        np.maximum(opacity, _bars(rng, shape, 1.4 * width_px, 4.0 * max(shape), crossing, soft_px), out=opacity)
    return opacity


def _bars(
    rng: np.random.Generator, shape: tuple[int, int], width_px: float, pitch_px: float, angle_rad: float, soft_px: float
) -> Floats:
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    middle = rng.uniform(0.2, 0.8, 2) * shape
    across = np.cos(angle_rad) * (rows - middle[0]) - np.sin(angle_rad) * (cols - middle[1])
    from_middle = np.abs(np.mod(across + pitch_px / 2, pitch_px) - pitch_px / 2).astype(np.float32)
    return smoothstep(np.float32(width_px / 2) - from_middle, -soft_px, soft_px)


def ridges(rng: np.random.Generator, image: Floats) -> None:
    """Flanges, lips and laps of a profile: straight lines across all of it, light beside dark."""
    shape = (image.shape[0], image.shape[1])
    angle_rad = float(rng.uniform(0, np.pi))
    light = np.ones(shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        width_px = float(np.exp(rng.uniform(np.log(1.5), np.log(14.0))))
        line = _line_across(rng, shape, angle_rad)
        along = (line[1] - line[0]) / np.hypot(*(line[1] - line[0]))
        normal = np.array([-along[1], along[0]])
        tone = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.08, 0.4))
        for shift, strength in ((0.0, tone), (float(rng.uniform(0.8, 2.5)), -tone * float(rng.uniform(0.0, 1.0)))):
            flange = Stroke(line + shift * width_px * normal, np.full(2, width_px))
            light += np.float32(strength) * coverage(flange, _all(image))
    image *= np.maximum(light, np.float32(0.2))[..., None]


def stain(rng: np.random.Generator, image: Floats) -> None:
    """Oil, water, moss, soot or lime: a blotch or a run with an irregular edge."""
    shape = (image.shape[0], image.shape[1])
    stretch = (float(rng.uniform(2, 6)), 1.0) if rng.random() < 0.4 else (1.0, 1.0)
    shape_field = fractal_field(
        rng, shape, coarsest_px=rng.uniform(30, 150), finest_px=2.5, persistence=0.6, stretch=stretch
    ).window(_all(image))
    threshold = rng.uniform(0.6, 1.6)
    inside = smoothstep(shape_field, threshold, threshold + rng.uniform(0.3, 1.6))
    colours = ((0.12, 0.12, 0.12), (0.30, 0.29, 0.27), (0.22, 0.26, 0.16), (0.85, 0.84, 0.80), (0.42, 0.38, 0.32))
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float32)
    if rng.random() < 0.5:
        image *= 1 - inside[..., None] * (1 - (0.4 + 0.6 * colour)) * np.float32(rng.uniform(0.2, 0.8))
    else:
        composite(image, inside * np.float32(rng.uniform(0.1, 0.55)), colour)


def paint_line(rng: np.random.Generator, image: Floats) -> None:
    """A road marking, a chalk line or lettering: white, yellow, red or brown paint, worn."""
    shape = (image.shape[0], image.shape[1])
    line = _line_across(rng, shape, rng.uniform(0, np.pi))
    width = float(np.exp(rng.uniform(np.log(2.0), np.log(60.0))))
    wear = fractal_field(rng, shape, coarsest_px=20, finest_px=1.5, persistence=0.85).window(_all(image))
    worn = smoothstep(wear, -rng.uniform(0.6, 3.0), 0.3)
    colours = ((0.92, 0.92, 0.88), (0.90, 0.72, 0.18), (0.70, 0.14, 0.12), (0.42, 0.24, 0.16), (0.15, 0.25, 0.55))
    colour = np.array(colours[int(rng.choice(5, p=[0.4, 0.2, 0.15, 0.15, 0.1]))], np.float32)
    cover = coverage(Stroke(line, np.full(2, width)), _all(image))
    composite(image, blurred(cover, 0.5) * worn * np.float32(rng.uniform(0.6, 1.0)), colour)


def bolts(rng: np.random.Generator, image: Floats) -> None:
    """A row or a field of rivets or bolt heads, lit from one side."""
    shape = (image.shape[0], image.shape[1])
    radius = float(rng.uniform(3, 16))
    pitch = radius * rng.uniform(3, 7)
    angle = _right_angle(rng)
    along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
    origin = rng.uniform(0.1, 0.9, 2) * shape
    grid = [i * pitch * along + j * pitch * across for i in range(-12, 13) for j in range(int(rng.integers(1, 4)))]
    image *= rivet_light(_all(image), origin + np.array(grid), radius, float(rng.uniform(0.1, 0.35)))[..., None]


def rivet_light(origin: Window, centres: Points, radius_px: float, strength: float) -> Floats:
    """Relative light ``(rows, cols)`` that rivet heads at `centres` ``(N, 2)`` make: domes, each with its shadow."""
    radii, angles = np.full(len(centres), radius_px), np.zeros(len(centres))

    def disc(shift: float, scale: float, soft: float) -> Floats:
        return spots(origin, centres + shift * radius_px, radii * scale, angles, flatness=1.0, soft_px=soft)

    head = disc(0.0, 1.0, 1.0)
    cast = disc(0.35, 1.05, 0.5 * radius_px) * (1 - head)
    dome = disc(-0.3, 0.75, 0.9 * radius_px) - disc(0.35, 0.75, 0.9 * radius_px)
    return np.asarray(
        (1 - np.float32(2 * strength) * cast) * (1 + np.float32(1.5 * strength) * head * dome), np.float32
    )


def leaves(rng: np.random.Generator, image: Floats) -> Bools:
    """Leaves, litter or tufts lying on the surface, each with its shadow."""
    count = int(rng.integers(1, 25))
    centres = rng.uniform(0, 1, (count, 2)) * image.shape[:2]
    radii, angles = rng.uniform(2, 14, count), rng.uniform(0, np.pi, count)
    flatness = float(rng.uniform(0.25, 0.7))
    cast = spots(_all(image), centres + 2, radii, angles, flatness=flatness, soft_px=3.0)
    image *= (1 - np.float32(0.5) * cast)[..., None]
    cover = spots(_all(image), centres, radii, angles, flatness=flatness, soft_px=1.0)
    colours = ((0.25, 0.35, 0.12), (0.48, 0.42, 0.18), (0.34, 0.24, 0.13), (0.75, 0.72, 0.66))
    colour = np.array(colours[int(rng.integers(len(colours)))]) * rng.uniform(0.7, 1.2)
    tone = fractal_field(rng, (image.shape[0], image.shape[1]), coarsest_px=12, finest_px=2, persistence=0.7)
    texture = colour.astype(np.float32) * (1 + np.float32(0.2) * tone.window(_all(image)))[..., None]
    composite(image, cover, np.asarray(texture, np.float32))
    return cover >= 0.5


def tyre_marks(rng: np.random.Generator, image: Floats) -> None:
    """Skid and tyre marks: broad dark bands that run along, ribbed."""
    shape = (image.shape[0], image.shape[1])
    start = (float(rng.uniform(0, shape[0])), -20.0)
    path = walk(
        rng,
        start=start,
        heading_rad=rng.normal(0, 0.3),
        length_px=1.6 * max(shape),
        step_px=10.0,
        wander=rng.uniform(0, 0.2),
        jitter=0.0,
    )
    width = rng.uniform(12, 60)
    for k in range(int(rng.integers(1, 3))):
        for rib in np.linspace(-0.5, 0.5, int(rng.integers(1, 5))):
            shifted = path + np.array([k * 4 * width + rib * width, 0.0])
            cover = coverage(Stroke(shifted, np.full(len(path), width / 4)), _all(image))
            image *= (1 - np.float32(rng.uniform(0.08, 0.3)) * blurred(cover, 2.0))[..., None]


def scratches(rng: np.random.Generator, image: Floats) -> None:
    """Fine straight pale or dark scratches."""
    shape = (image.shape[0], image.shape[1])
    tone = np.float32(rng.choice([0.25, 0.9]))
    for _ in range(int(rng.integers(1, 8))):
        line = _line_across(rng, shape, rng.uniform(0, np.pi))
        a, b = sorted(rng.uniform(0.35, 0.65, 2))
        part = np.stack([line[0] + a * (line[1] - line[0]), line[0] + b * (line[1] - line[0])])
        cover = coverage(Stroke(part, np.full(2, rng.uniform(0.5, 1.4))), _all(image))
        composite(image, blurred(cover, 0.4) * np.float32(rng.uniform(0.1, 0.4)), np.full(3, tone, np.float32))


UNDER: tuple[tuple[Callable[[np.random.Generator, Floats], None], float], ...] = (
    (seam, 0.24),
    (board_marks, 0.10),
    (stain, 0.22),
    (paint_line, 0.08),
    (bolts, 0.08),
    (ridges, 0.10),
    (tyre_marks, 0.06),
    (scratches, 0.12),
)
"""Painters that go below damage, with their weights."""
OVER: tuple[tuple[Callable[[np.random.Generator, Floats], Bools], float], ...] = ((cable, 0.5), (leaves, 0.5))
"""Painters that hide what is below them, with their weights."""
