"""Cracks of known size drawn by another hand than `tests.segmentation.measurement.rendering`.

Polygons are rasterised five times as fine as the pixels, blurred there, and averaged down (so that the pixel's own box
comes on top of the lens's blur); the ground has coarse stains, fine grain and a gradient of light, channels differ, and
some pictures go through JPEG. What is tuned on the one renderer is checked on the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.features import rasterize
from rasterio.io import MemoryFile
from scipy.ndimage import binary_dilation, gaussian_filter
from shapely.geometry import LineString, Polygon
from shapely.ops import unary_union

SIDE_PX = 192
FINE = 5
"""Parts of a pixel's side."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """How a raster shows its cracks."""

    name: str
    psf_px: float
    """σ of the lens's blur; the pixel's box (1/√12) comes on top."""
    noise: float
    """σ in grey levels, of each pixel."""
    darkness: float
    """Depth of the crack as a share of the ground."""
    texture: float
    """σ of the ground's own grain in grey levels, before the lens."""
    jpeg_quality: int | None = None
    fat_px: int = 0
    """Rounds of dilation of the mask."""


LOOKS = (
    Look("clean", 0.8, 2.0, 0.60, 0.0),
    Look("plain noise", 0.8, 5.0, 0.55, 0.0),
    Look("sharp, grainy", 0.6, 3.0, 0.55, 8.0),
    Look("soft, fat mask", 1.0, 4.0, 0.55, 4.0, fat_px=1),
    Look("noisy, pale", 0.8, 8.0, 0.40, 4.0),
    Look("jpeg", 0.8, 4.0, 0.50, 6.0, jpeg_quality=88),
)


@dataclass(frozen=True)
class Scene:
    """One crack and its picture."""

    width_px: float
    """True width; the largest mean over 7 px where it varies."""
    mean_px: float
    """True mean width."""
    length_px: float
    pixels: npt.NDArray[np.bool_]
    image: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.float32]


def even_scenes(look: Look, width_px: float, count: int, seed: int) -> Iterator[Scene]:
    """Cracks of one width: straight at any angle, arcs, waves, wandering ones, crosses and forks."""
    rng = np.random.default_rng([seed, round(1000 * width_px), len(look.name)])
    for k in range(count):
        lines = _SHAPES[k % len(_SHAPES)](rng)
        area = unary_union([LineString(line).buffer(width_px / 2, cap_style="flat", quad_segs=16) for line in lines])
        yield _scene(look, area, width_px, width_px, sum(map(_length, lines)), rng)


def varied_scenes(look: Look, count: int, seed: int) -> Iterator[Scene]:
    """Straight cracks that open towards one end, swell in the middle, or wander in width."""
    rng = np.random.default_rng([seed, 77, len(look.name)])
    for k in range(count):
        line = _straight(rng)[0]
        at = np.linspace(0, 1, 401)
        line = line[0] + at[:, None] * (line[-1] - line[0])
        length = _length(line)
        least, most = rng.uniform(1.2, 4.0), rng.uniform(0.5, 4.0)
        swell = (at, np.sin(np.pi * at) ** 2, _wandering(rng, at, length))[k % 3]
        width = least + most * swell
        way = (line[-1] - line[0]) / length
        side = np.array([-way[1], way[0]]) * (width / 2)[:, None]
        area = Polygon(np.concatenate([line + side, (line - side)[::-1]]))
        window = max(1, round(7 / (length / 400)))
        over_7_px = np.convolve(width, np.ones(window) / window, "valid")
        yield _scene(look, area, float(over_7_px.max()), float(width.mean()), length, rng)


def _scene(
    look: Look, area: Polygon, width_px: float, mean_px: float, length_px: float, rng: np.random.Generator
) -> Scene:
    fine = rasterize([area], out_shape=(SIDE_PX * FINE,) * 2, transform=rasterio.Affine.scale(1 / FINE))
    covered = _averaged(fine.astype(np.float32))
    seen = _averaged(gaussian_filter(fine.astype(np.float32), look.psf_px * FINE, truncate=3.5))
    shape = (SIDE_PX, SIDE_PX)
    y, x = np.indices(shape) / SIDE_PX
    slope = rng.uniform(-12, 12, 2)
    stains = gaussian_filter(rng.normal(0, 1, shape), 20) * 20 * rng.uniform(1, 4)
    grain = gaussian_filter(rng.normal(0, 1, shape), look.psf_px)
    ground = rng.uniform(135, 190) + slope[0] * y + slope[1] * x + stains
    ground += look.texture * grain
    depth = look.darkness * rng.uniform(0.95, 1.05)
    light = ground * (1 - depth * seen)
    tint = np.array([1.0, 0.97, 0.9])
    grey = light[..., None] * tint + rng.normal(0, look.noise, shape)[..., None]
    image = np.clip(np.rint(grey + rng.normal(0, look.noise / 3, (*shape, 3))), 0, 255).astype(np.uint8)
    if look.jpeg_quality is not None:
        image = _through_jpeg(image, look.jpeg_quality)
    pixels = covered >= min(0.5, 0.5 * float(covered.max()))
    if look.fat_px:
        pixels = binary_dilation(pixels, iterations=look.fat_px)
    probability = np.clip(gaussian_filter(pixels.astype(np.float32), 0.7), 0, 1)
    return Scene(width_px, mean_px, length_px, pixels, image, probability)


def _averaged(fine: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    side = fine.shape[0] // FINE
    found: npt.NDArray[np.float32] = fine.reshape(side, FINE, side, FINE).mean(axis=(1, 3))
    return found


def _through_jpeg(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    with MemoryFile() as memory:
        with memory.open(
            driver="JPEG", width=SIDE_PX, height=SIDE_PX, count=3, dtype="uint8", quality=quality
        ) as dataset:
            dataset.write(np.moveaxis(image, 2, 0))
        with memory.open() as dataset:
            return np.ascontiguousarray(np.moveaxis(dataset.read(), 0, 2))


def _length(line: Floats) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _middle(rng: np.random.Generator) -> Floats:
    found: Floats = SIDE_PX / 2 + rng.uniform(-3, 3, 2)
    return found


def _way(angle: float) -> Floats:
    return np.array([np.cos(angle), np.sin(angle)])


def _straight(rng: np.random.Generator) -> list[Floats]:
    half, centre = rng.uniform(50, 75) * _way(rng.uniform(0, 2 * np.pi)), _middle(rng)
    return [np.stack([centre - half, centre + half])]


def _arc(rng: np.random.Generator) -> list[Floats]:
    turn = rng.uniform(0, 2 * np.pi) + np.linspace(0, rng.uniform(1.5, 3.5), 200)
    return [_middle(rng) + rng.uniform(30, 60) * np.stack([np.cos(turn), np.sin(turn)], axis=1)]


def _wave(rng: np.random.Generator) -> list[Floats]:
    along = np.linspace(-65, 65, 300)
    across = rng.uniform(3, 8) * np.sin(along * 2 * np.pi / rng.uniform(45, 90) + rng.uniform(0, 6))
    a = rng.uniform(0, 2 * np.pi)
    return [_middle(rng) + along[:, None] * _way(a) + across[:, None] * _way(a + np.pi / 2)]


def _walk(rng: np.random.Generator) -> list[Floats]:
    """A line whose direction wanders, as cracks do."""
    turn = gaussian_filter(rng.normal(0, 1, 260), 12) * 12 * 0.11
    line = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], axis=1) * 0.5, axis=0)
    a = rng.uniform(0, 2 * np.pi)
    line = (line - line.mean(axis=0)) @ np.stack([_way(a), _way(a + np.pi / 2)])
    return [line + _middle(rng)]


def _cross(rng: np.random.Generator) -> list[Floats]:
    centre, a = _middle(rng), rng.uniform(0, np.pi)
    b = a + rng.uniform(0.7, np.pi - 0.7)
    return [
        np.stack([centre - 60 * _way(a), centre + 60 * _way(a)]),
        np.stack([centre - 50 * _way(b), centre + 50 * _way(b)]),
    ]


def _fork(rng: np.random.Generator) -> list[Floats]:
    centre, a = _middle(rng), rng.uniform(0, 2 * np.pi)
    turns = (a, a + rng.uniform(1.9, 2.5), a - rng.uniform(1.9, 2.5))
    return [np.stack([centre, centre + rng.uniform(40, 65) * _way(turn)]) for turn in turns]


def _wandering(rng: np.random.Generator, at: Floats, length: float) -> Floats:
    """Smooth noise in [0, 1] that changes over some 25 px."""
    rough = gaussian_filter(rng.normal(0, 1, at.size), 12 / (length / at.size), mode="reflect")
    found: Floats = (rough - rough.min()) / np.ptp(rough)
    return found


_SHAPES = (_straight, _arc, _straight, _wave, _walk, _cross, _straight, _fork)
