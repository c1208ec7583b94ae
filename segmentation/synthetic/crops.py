"""Training crops: a random surface with random damage and distractors, and the mask of what was painted."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmentation.classes import PixelClass
from segmentation.synthetic import distractors, surfaces, textures
from segmentation.synthetic.cracks import (
    Crack,
    CrackLook,
    crack_mask,
    crack_network,
    paint_crack,
    random_crack,
    widths_along,
)
from segmentation.synthetic.masonry import MasonrySurface, masonry, stepped_path
from segmentation.synthetic.noise import Floats
from segmentation.synthetic.photograph import Bytes, photograph
from segmentation.synthetic.rust import RustLook, paint_rust, rust_patch, rust_texture
from segmentation.synthetic.strokes import Bools, Points, Stroke, blurred, composite, polygon_opacity
from segmentation.windows import Window

SURFACES = ("cast", "brushed", "aggregate", "asphalt", "painted", "galvanised", "masonry", "plaster")
"""Kinds of surface that damage is painted on."""
_SURFACE_WEIGHTS = (0.27, 0.06, 0.06, 0.12, 0.15, 0.06, 0.16, 0.12)
_ROUGH_GROUND_CHANCE = 0.34
_STEEL = ("painted", "galvanised")
_CONTENTS = ("clean", "distractors", "crack", "rust", "both")
_CONTENT_WEIGHTS_STEEL = (0.10, 0.17, 0.13, 0.55, 0.05)
_CONTENT_WEIGHTS_OTHER = (0.09, 0.20, 0.56, 0.08, 0.07)


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and the truth about it."""

    image: Bytes
    """``(H, W, 3)`` uint8."""
    mask: Bytes
    """``(H, W)`` uint8: class ids of `segmentation.classes` (0 background, 1 crack, 2 rust)."""
    instances: npt.NDArray[np.uint16]
    """``(H, W)``: ids of the rust patches as they were painted, 0 where there is no rust; patches may touch."""


def sample_crop(rng: np.random.Generator, *, size_px: int) -> Sample:
    """A training crop of `size_px` × `size_px`; the same generator state gives the same crop in any process.

    One in three shows rough ground (`segmentation.synthetic.textures`), which holds no damage; of the others about a
    quarter hold none: half of those are clean but for shadows, the rest show distractors only.
    """
    if rng.random() < _ROUGH_GROUND_CHANCE:
        return _rough_ground(rng, (size_px, size_px))
    kind = str(rng.choice(SURFACES, p=_SURFACE_WEIGHTS))
    weights = _CONTENT_WEIGHTS_STEEL if kind in _STEEL else _CONTENT_WEIGHTS_OTHER
    content = str(rng.choice(_CONTENTS, p=weights))
    shape, window = (size_px, size_px), Window(0, size_px, 0, size_px)
    surface = random_surface(rng, kind, shape)
    image = surface.render(window)
    mask, instances = np.zeros(shape, np.uint8), np.zeros(shape, np.uint16)
    busy = content != "clean"
    if kind in _STEEL and rng.random() < 0.3:
        distractors.ridges(rng, image)
    if busy:
        _paint_some(rng, image, kind)
    if content in ("rust", "both"):
        _add_rust(rng, image, mask, instances, kind)
    if content in ("crack", "both"):
        _add_cracks(rng, image, mask, surface)
    if rng.random() < (0.40 if kind in _STEEL else 0.15):
        _add_backdrop(rng, image, mask, is_bar=kind in _STEEL and bool(rng.random() < 0.65))
    if busy and rng.random() < 0.12:
        painters, chances = zip(*distractors.OVER, strict=True)
        hidden = painters[int(rng.choice(len(painters), p=chances))](rng, image)
        mask[hidden] = PixelClass.BACKGROUND
    if rng.random() < 0.4:
        (distractors.slat_shadow if rng.random() < 0.5 else distractors.shadow)(rng, image)
    instances[mask != PixelClass.RUST] = 0
    return Sample(photograph(rng, image), mask, instances)


def _rough_ground(rng: np.random.Generator, shape: tuple[int, int]) -> Sample:
    image = textures.rough_ground(rng, shape)
    if rng.random() < 0.4:
        distractors.shadow(rng, image)
    return Sample(photograph(rng, image), np.zeros(shape, np.uint8), np.zeros(shape, np.uint16))


def random_surface(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> surfaces.Surface:
    """A surface of `kind` (one of `SURFACES`) at a random scale, for a raster of `shape`."""
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(2.4))))
    if kind in ("cast", "brushed", "aggregate"):
        return surfaces.concrete(rng, shape, scale=scale, finish=kind)
    if kind == "masonry":
        return masonry(rng, shape, scale=scale)
    makers = {
        "asphalt": surfaces.asphalt,
        "painted": surfaces.painted_steel,
        "galvanised": surfaces.galvanised_steel,
        "plaster": surfaces.plaster,
    }
    return makers[kind](rng, shape, scale=scale)


def _paint_some(rng: np.random.Generator, image: Floats, kind: str) -> None:
    painters, weights = zip(*distractors.UNDER, strict=True)
    unlikely = (
        {distractors.board_marks, distractors.seam, distractors.bolts, distractors.ridges}
        if kind == "masonry"
        else set()
    )
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.2, 0.4, 0.3, 0.1]))):
        painter = painters[int(rng.choice(len(painters), p=weights))]
        if painter not in unlikely:
            painter(rng, image)


def _crack_look(rng: np.random.Generator, image: Floats, width_px: float) -> CrackLook:
    near = image.mean(axis=(0, 1))
    wide = float(np.clip((width_px - 2.0) / 4.0, 0.0, 1.0))  # a wide crack is deep, so it is dark
    depth = rng.uniform(0.03, 0.4 - 0.22 * wide)
    tint = np.clip(near * depth * (1 + rng.normal(0, 0.06, 3)), 0.0, 1.0)
    return CrackLook(
        darkness=float(np.clip(rng.beta(2.6, 1.3), 0.28 + 0.5 * wide, 1.0)),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        unevenness=float(rng.uniform(0.0, 0.65 - 0.35 * wide)),
        soft_px=float(rng.uniform(0.25, 0.9)),
        shoulder=float(rng.normal(0, 0.16)) if rng.random() < 0.6 else 0.0,
    )


def _add_cracks(rng: np.random.Generator, image: Floats, mask: Bytes, surface: surfaces.Surface) -> None:
    size = image.shape[0]
    window = Window(0, size, 0, image.shape[1])
    style = rng.random()
    for _ in range(1 if style < 0.65 else int(rng.integers(2, 4))):
        width = float(np.exp(rng.uniform(np.log(0.9), np.log(5.0))))
        if rng.random() < 0.07:
            width = float(rng.uniform(6.0, 16.0))
        if isinstance(surface, MasonrySurface) and rng.random() < 0.65:
            crack = _stepped_crack(rng, surface, size, width)
        else:
            crack = _network(rng, size, width) if rng.random() < 0.07 else _free_crack(rng, size, width)
        painted = image.copy()
        paint_crack(painted, window, crack, _crack_look(rng, image, crack.mean_width_px), rng)
        inside = crack_mask(crack, window)
        if _is_visible(image, painted, inside):
            image[:] = painted
            mask[inside] = PixelClass.CRACK


def _is_visible(before: Floats, after: Floats, inside: Bools) -> bool:
    """Whether a crack stands out from its surface: nobody labels what nobody sees."""
    if not inside.any():
        return False
    green = before[..., 1]
    ground = float(green[inside].mean())
    loss = float((green - after[..., 1])[inside].mean())
    fine = np.abs(green - blurred(green, 3.0))
    texture = 1.48 * float(np.median(fine))  # robust: joints and stains must not hide a crack elsewhere
    return loss > 0.075 * ground and loss > 1.4 * texture and loss > 0.03


def _free_crack(rng: np.random.Generator, size: int, width_px: float) -> Crack:
    heading = float(rng.uniform(-np.pi, np.pi))
    length = float(size * rng.uniform(0.35, 1.7))
    through = rng.uniform(0.15, 0.85, 2) * size
    back = rng.uniform(0.2, 0.8) * length
    start = (float(through[0] - back * np.sin(heading)), float(through[1] - back * np.cos(heading)))
    return random_crack(
        rng,
        start=start,
        heading_rad=heading,
        length_px=length,
        width_px=width_px,
        variation=float(rng.uniform(0.1, 0.55 if width_px < 3.5 else 0.28)),
        wander=float(rng.uniform(0.1, 0.6)),
        jitter=float(rng.uniform(0.2, 0.85)),
        branches=int(rng.choice([0, 1, 2, 4], p=[0.5, 0.25, 0.15, 0.1])),
        taper=bool(rng.random() < 0.6),
    )


def _network(rng: np.random.Generator, size: int, width_px: float) -> Crack:
    rows, cols = (sorted(rng.uniform(0, size, 2)) for _ in range(2))
    window = Window(int(rows[0]), int(rows[1]) + 40, int(cols[0]), int(cols[1]) + 40)
    cell = float(rng.uniform(18, 70))
    net = crack_network(rng, window=window, cell_px=cell, width_px=min(width_px, 3.0), kept=float(rng.uniform(0.4, 1)))
    return net if net is not None else _free_crack(rng, size, width_px)


def _stepped_crack(rng: np.random.Generator, surface: MasonrySurface, size: int, width_px: float) -> Crack:
    layout = surface.layout
    steps = max(2, int(rng.uniform(0.5, 1.3) * size / layout.course_px))
    path = stepped_path(rng, layout, start_row=float(rng.uniform(-0.2, 0.4) * size), steps=steps)
    fine = Stroke(path, np.ones(len(path))).resampled(4.0).vertices
    rough = fine + rng.normal(0, 0.35, fine.shape)
    width = min(width_px, 0.9 * layout.joint_px + 1.0)
    return Crack((Stroke(rough, widths_along(rng, len(rough), width_px=width, variation=0.5, taper=True)),))


def _add_rust(
    rng: np.random.Generator, image: Floats, mask: Bytes, instances: npt.NDArray[np.uint16], kind: str
) -> None:
    size = image.shape[0]
    window = Window(0, size, 0, image.shape[1])
    look = RustLook(
        brightness=float(rng.uniform(0.0, 0.85)),
        contrast=float(rng.uniform(0.4, 1.4)),
        opacity=float(rng.uniform(0.8, 1.0)),
        soft_px=float(rng.uniform(0.3, 1.2)),
        saturation=float(rng.uniform(0.3, 1.05)),
    )
    if kind in _STEEL and rng.random() < 0.08:
        composite(image, np.full(mask.shape, 0.97, np.float32), rust_texture(rng, mask.shape, look, 2.0))
        mask[:], instances[:] = PixelClass.RUST, 1
        return
    many = rng.random() < 0.3
    for number in range(1, 1 + (int(rng.integers(6, 40)) if many else int(rng.integers(1, 5)))):
        radius = float(np.exp(rng.uniform(np.log(2.0), np.log(12.0 if many else 0.45 * size))))
        patch = rust_patch(
            rng,
            centre=(float(rng.uniform(0, size)), float(rng.uniform(0, size))),
            radius_px=radius,
            raggedness=float(rng.uniform(0.5, 1.6)),
            speckle=float(rng.uniform(0.0, 1.3)),
            runs=int(rng.integers(1, 6)) if not many and rng.random() < 0.4 else 0,
            run_length_px=radius * float(rng.uniform(1.0, 5.0)),
            stain=float(rng.uniform(0.0, 1.0)),
        )
        seen = paint_rust(image, window, patch, look, rng)
        covered = patch.mask[seen.within(patch.window)]
        mask[seen.slices()][covered], instances[seen.slices()][covered] = PixelClass.RUST, number


def _add_backdrop(rng: np.random.Generator, image: Floats, mask: Bytes, *, is_bar: bool) -> None:
    """Let the structure end inside the crop: beyond one edge, or on both sides of a bar or pipe, lies clutter, which
    holds no damage.
    """
    shape = (mask.shape[0], mask.shape[1])
    window = Window(0, shape[0], 0, shape[1])
    angle = float(rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.25))
    through = rng.uniform(0.15, 0.85, 2) * shape
    along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
    far = 3.0 * max(shape)
    half = float(rng.uniform(0.08, 0.4)) * max(shape)
    sides = (1.0, -1.0) if is_bar else (float(rng.choice([-1.0, 1.0])),)
    if is_bar:
        _shade_round(rng, image, through, across, half)
    clutter = surfaces.clutter(rng, shape, scale=1.0).render(window)
    soft, cast = float(rng.uniform(0.3, 1.0)), np.float32(rng.uniform(0, 0.4))
    for side in sides:
        edge = through + (side * half * across if is_bar else 0.0)
        inner, outer = (edge - far * along, edge + far * along), far * side * across
        polygon = np.array([inner[0], inner[1], inner[1] + outer, inner[0] + outer])
        cover = polygon_opacity(window, polygon, soft_px=soft)
        image *= (1 - cast * polygon_opacity(window, polygon, soft_px=4.0))[..., None]
        composite(image, cover, clutter)
        mask[cover >= 0.5] = PixelClass.BACKGROUND


def _shade_round(rng: np.random.Generator, image: Floats, through: Points, across: Points, half_px: float) -> None:
    """Shade a bar from side to side: round like a pipe, or with a kink like an angle section."""
    rows = np.arange(image.shape[0], dtype=np.float32)[:, None] - np.float32(through[0])
    cols = np.arange(image.shape[1], dtype=np.float32)[None, :] - np.float32(through[1])
    offset = (rows * np.float32(across[0]) + cols * np.float32(across[1])) / np.float32(half_px)
    strength = np.float32(rng.uniform(0.1, 0.55))
    if rng.random() < 0.5:
        lit = np.float32(rng.uniform(-0.5, 0.5))
        light = 1 + np.float32(0.4) * strength - strength * (np.clip(offset, -1, 1) - lit) ** 2
    else:
        light = np.where(offset > np.float32(rng.uniform(-0.6, 0.6)), 1 - strength, np.float32(1.0))
    image *= np.asarray(np.clip(light, 0.15, 1.4), np.float32)[..., None]
