"""What a camera, the light and the flight do to a picture: random changes of training crops.

Images are uint8 ``(H, W, 3)``. Geometry changes image and label maps together; the rest changes the image only.
"""

from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from segmentation.synthetic.distractors import slat_opacity
from segmentation.training.labels import Bools

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

LINE_KEPT: Final = 0.3
"""Share of a resized pixel that must have been damage for it to be damage, for lines: they must not break."""
AREA_KEPT: Final = 0.5
"""The same for damage of true width."""
DOUBTFUL: Final = 0.2
"""From this share on a pixel that is not damage is ignored."""


def resized_to(
    image: Pixels, damage: Bools, ignore: Bools, *, height: int, width: int, line_labels: bool
) -> tuple[Pixels, Bools, Bools]:
    """Image and label maps resized with antialiasing.

    A pixel is damage where half of it was (for lines less, so that they do not break when they are reduced);
    between that and a fifth it is ignored.
    """
    if damage.shape == (height, width):
        return image, damage, ignore
    size = (width, height)
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    covered, unsure = (share_of(layer, size) for layer in (damage, ignore))
    kept = covered >= (LINE_KEPT if line_labels else AREA_KEPT)
    doubtful = (covered >= DOUBTFUL) | (unsure >= DOUBTFUL)
    return small, kept, doubtful & ~kept


def share_of(layer: Bools, size: tuple[int, int]) -> Floats:
    """Share of each pixel of the resized layer that was set; `size` is (width, height)."""
    picture = Image.fromarray(layer.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32) / np.float32(255)


def turned(rng: np.random.Generator, image: Pixels, labels: Pixels) -> tuple[Pixels, Pixels]:
    """One of the eight turns and flips of a square, of image and labels alike."""
    quarter_turns = int(rng.integers(4))
    image, labels = np.rot90(image, quarter_turns), np.rot90(labels, quarter_turns)
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(labels)


def photographed(rng: np.random.Generator, image: Pixels, *, strength: float) -> Pixels:
    """Random light, colour, shadow, blur, noise and JPEG; `strength` 0 changes nothing, 1 is usual."""
    if rng.random() < 0.15 * strength:
        image = _blurred(image, radius_px=float(rng.uniform(0.3, 1.4)))
    light: Floats = image.astype(np.float32) / np.float32(255)
    if rng.random() < 0.2 * strength:
        light *= _shadow(rng, image.shape[0], image.shape[1])[..., None]
    light = _recoloured(rng, light, strength)
    if rng.random() < 0.3 * strength:
        light += rng.standard_normal(light.shape, dtype=np.float32) * np.float32(rng.uniform(0.003, 0.03))
    changed = (np.clip(light, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _compressed(changed, quality=int(rng.integers(35, 95))) if rng.random() < 0.3 * strength else changed


def _recoloured(rng: np.random.Generator, light: Floats, strength: float) -> Floats:
    grey = light.mean(2, keepdims=True)
    light = grey + (light - grey) * np.float32(1 + strength * rng.uniform(-0.35, 0.35))
    light *= (1 + strength * rng.uniform(-0.08, 0.08, 3)).astype(np.float32)
    contrast, brightness = 1 + strength * rng.uniform(-0.35, 0.35), strength * rng.uniform(-0.15, 0.15)
    level = float(light.mean())
    light = np.clip((light - level) * np.float32(contrast) + np.float32(level + brightness), 1e-4, 1)
    return np.asarray(light ** np.float32(np.exp(strength * rng.uniform(-0.35, 0.35))), np.float32)


def _shadow(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Light ``(H, W)`` under an obstacle: one straight edge, more or less soft, or the bars of a railing."""
    if rng.random() < 0.4:
        return np.asarray(1 - rng.uniform(0.2, 0.65) * slat_opacity(rng, (height, width)), np.float32)
    angle_rad = rng.uniform(0, 2 * np.pi)
    rows, cols = np.mgrid[0:height, 0:width].astype(np.float32)
    along = np.cos(angle_rad) * (rows - rng.uniform(0, height)) + np.sin(angle_rad) * (cols - rng.uniform(0, width))
    covered = 1 / (1 + np.exp(np.clip(-along / rng.uniform(0.5, 8), -30, 30)))
    return np.asarray(1 - rng.uniform(0.2, 0.65) * covered, np.float32)


def _blurred(image: Pixels, *, radius_px: float) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius_px)))


def _compressed(image: Pixels, *, quality: int) -> Pixels:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
