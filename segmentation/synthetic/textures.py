"""Rough ground without damage: gravel, foliage, planks, pavers. What looks like cracks to a net that never saw it.

Their dark gaps are lines as narrow and as dark as cracks; what tells them apart is that they close around every
stone, leaf or board. Images are float32 ``(H, W, 3)`` in [0, 1].
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

from segmentation.synthetic.noise import Floats, fractal_field, relief, smoothstep
from segmentation.windows import Window

Painter = Callable[[np.random.Generator, tuple[int, int]], Floats]


def rough_ground(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Some rough ground of `shape`, ``(H, W, 3)``."""
    return PAINTERS[str(rng.choice(list(PAINTERS), p=_WEIGHTS))](rng, shape)


def gravel(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Stones side by side, some on top of others, with dark gaps between them."""
    size_px = float(np.exp(rng.uniform(np.log(5.0), np.log(48.0))))
    image = _stones(rng, shape, size_px, gap=float(rng.uniform(0.06, 0.4)), roundness=float(rng.uniform(0.1, 0.7)))
    if rng.random() < 0.6:  # mixed sizes: larger stones lie on the smaller ones
        large = size_px * float(rng.uniform(1.6, 3.5))
        upper = _stones(rng, shape, large, gap=0.0, roundness=0.5)
        kept = _noise(rng, shape, large * 1.5) > float(rng.uniform(0.0, 1.2))
        image = np.where(kept[..., None], upper, image)
    return image


def foliage(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Blades and leaves over each other, lit from above, with shadow between them."""
    hue = np.array(rng.choice([(0.30, 0.42, 0.16), (0.40, 0.42, 0.20), (0.45, 0.38, 0.22)]), np.float32)
    picture = Image.new("RGB", (shape[1], shape[0]), tuple(int(30 * c / hue.max()) for c in hue))
    pen = ImageDraw.Draw(picture)
    length_px = float(np.exp(rng.uniform(np.log(6.0), np.log(60.0))))
    slender = float(rng.uniform(0.06, 0.5))
    lie = float(rng.uniform(0, np.pi))
    spread = float(rng.choice([0.4, 3.2]))
    count = min(9000, int(6.0 * shape[0] * shape[1] / (length_px**2 * max(slender, 0.12))))
    for level in np.linspace(0.25, 1.0, count):
        middle = rng.uniform(-0.05, 1.05, 2) * shape
        turn = lie + rng.uniform(-spread, spread) / 2
        half = length_px * float(rng.uniform(0.25, 0.6))
        along = np.array([np.sin(turn), np.cos(turn)]) * half
        across = np.array([np.cos(turn), -np.sin(turn)]) * half * slender * float(rng.uniform(0.6, 1.4))
        leaf = [middle - along, middle + across, middle + along, middle - across]
        light = level * float(rng.uniform(0.55, 1.45)) * 1.25
        colour = np.clip(hue * light * (1 + rng.normal(0, 0.12, 3)), 0, 1) * 255
        pen.polygon([(float(p[1]), float(p[0])) for p in leaf], fill=tuple(int(c) for c in colour))
    return np.asarray(picture, np.float32) / np.float32(255)


def planks(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Boards with grain, knots and dark straight gaps between them."""
    board_px = float(np.exp(rng.uniform(np.log(14.0), np.log(140.0))))
    gap_px = float(rng.uniform(0.8, max(1.2, 0.07 * board_px)))
    rows = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(rng.uniform(0, board_px))
    cols = np.arange(shape[1], dtype=np.float32)[None, :]
    rows = rows + cols * np.float32(rng.normal(0, 0.01))
    board = np.floor(rows / np.float32(board_px)).astype(int) + 4
    within = rows - np.floor(rows / np.float32(board_px)) * np.float32(board_px)
    tone = rng.uniform(0.75, 1.15, board.max() + 5).astype(np.float32)[board]
    full = Window(0, shape[0], 0, shape[1])
    grain = fractal_field(
        rng, shape, coarsest_px=12.0, finest_px=1.5, persistence=0.8, stretch=(1.0, float(rng.uniform(12, 40)))
    ).window(full)
    light = tone * (1 + np.float32(rng.uniform(0.03, 0.16)) * grain)
    light *= 1 - np.float32(rng.uniform(0.5, 0.95)) * smoothstep(np.float32(gap_px) - within, -0.7, 0.7)
    wood = np.array(rng.choice([(0.62, 0.50, 0.36), (0.55, 0.53, 0.50), (0.45, 0.34, 0.24)]), np.float32)
    image = light[..., None] * wood
    return np.asarray(np.rot90(image) if shape[0] == shape[1] and rng.random() < 0.5 else image, np.float32)


def pavers(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Setts or slabs of one size in rows, with sand or shadow in their joints."""
    side_px = float(np.exp(rng.uniform(np.log(18.0), np.log(120.0))))
    ratio, joint_px = float(rng.choice([1.0, 1.0, 1.6, 2.0])), float(rng.uniform(1.0, max(1.5, 0.08 * side_px)))
    turn = float(rng.uniform(0, np.pi))
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    v = np.float32(np.cos(turn)) * rows + np.float32(np.sin(turn)) * cols
    u = np.float32(np.cos(turn)) * cols - np.float32(np.sin(turn)) * rows
    wobble = np.float32(rng.uniform(0.0, 0.03) * side_px)
    v, u = v + wobble * _noise(rng, shape, side_px / 2), u + wobble * _noise(rng, shape, side_px / 2)
    course = np.floor(v / side_px)
    u = u + np.float32(0.5 * side_px * ratio) * (course % 2) * np.float32(rng.integers(0, 2))
    column = np.floor(u / (side_px * ratio))
    inside = np.minimum(v - course * side_px, side_px - (v - course * side_px))
    sideways = u - column * side_px * ratio
    inside = np.minimum(inside, np.minimum(sideways, side_px * ratio - sideways))
    number = (course.astype(int) * 7919 + column.astype(int) * 104729) % 1021
    tone = rng.normal(1.0, rng.uniform(0.02, 0.15), 1021).astype(np.float32)[number]
    light = tone * (1 + np.float32(0.06) * _noise(rng, shape, 3.0))
    joint = np.float32(rng.uniform(0.25, 1.25)) * (1 + np.float32(0.1) * _noise(rng, shape, 2.0))
    share = smoothstep(np.asarray(inside, np.float32), joint_px / 2 - 0.7, joint_px / 2 + 0.7)
    return _tinted(rng, light * share + joint * np.float32(0.55) * (1 - share))


PAINTERS: Final[dict[str, Painter]] = {"gravel": gravel, "foliage": foliage, "planks": planks, "pavers": pavers}
"""Kinds of rough ground by name."""
_WEIGHTS: Final = (0.4, 0.25, 0.2, 0.15)


def _stones(rng: np.random.Generator, shape: tuple[int, int], size_px: float, gap: float, roundness: float) -> Floats:
    """Stones as the cells of nearest seeds, each of its own colour and domed towards its middle."""
    margin = 2 * size_px
    extent = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    count = max(8, int(extent[0] * extent[1] / size_px**2))
    seeds = rng.uniform(0, 1, (count, 2)) * extent - margin
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]]
    bend = 0.12 * size_px
    places = np.stack(
        [rows + bend * _noise(rng, shape, size_px / 2), cols + bend * _noise(rng, shape, size_px / 2)], -1
    )
    distance, nearest = cKDTree(seeds).query(places.reshape(-1, 2), k=2)
    own, other = (distance[:, k].reshape(shape).astype(np.float32) for k in (0, 1))
    stone = nearest[:, 0].reshape(shape)
    inside = (other - own) / np.float32(size_px)  # 0 on the border between two stones
    tone = np.clip(rng.normal(1.0, rng.uniform(0.08, 0.35), count), 0.3, 1.9).astype(np.float32)
    dome = smoothstep(inside, 0.0, 0.7) * np.float32(roundness)
    angle = rng.uniform(0, 2 * np.pi)
    slope = relief(dome * np.float32(size_px), (float(np.sin(angle)), float(np.cos(angle))))
    light = tone[stone] * (1 - np.float32(roundness) * np.float32(0.4) + np.float32(0.4) * dome)
    light = light * (1 + np.clip(np.float32(0.5) * slope, -0.5, 0.5)) * (1 + np.float32(0.07) * _noise(rng, shape, 2.0))
    if gap > 0:
        light = light * (np.float32(rng.uniform(0.05, 0.6)) + smoothstep(inside, gap * 0.3, gap) * np.float32(0.7))
    return _tinted(rng, light, by=stone, count=count)


def _noise(rng: np.random.Generator, shape: tuple[int, int], cell_px: float) -> Floats:
    field = fractal_field(rng, shape, coarsest_px=2 * cell_px, finest_px=max(cell_px, 1.0), persistence=0.5)
    return field.window(Window(0, shape[0], 0, shape[1]))


def _tinted(
    rng: np.random.Generator, light: Floats, *, by: npt.NDArray[np.int64] | None = None, count: int = 1
) -> Floats:
    """Light ``(H, W)`` in the colour of stone, a little different for each stone where `by` numbers them."""
    base = rng.uniform(0.3, 0.62) * np.array([1.04, 1.0, 0.94]) * (1 + rng.normal(0, 0.035, 3))
    colours = (base * (1 + rng.normal(0, rng.uniform(0.0, 0.09), (count, 3)))).astype(np.float32)
    tint = colours[0] if by is None else colours[by]
    return np.asarray(np.clip(light[..., None] * tint, 0, 1), np.float32)
