"""What a camera does to a surface: light, optics, sensor, compression."""

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from segmentation.synthetic.noise import Floats, fractal_field
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]


def quantised(image: Floats) -> Bytes:
    """``(H, W, 3)`` of [0, 1] as uint8, clipped."""
    scaled = image * np.float32(255)
    scaled += np.float32(0.5)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def light_gradient(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> Floats:
    """Uneven light over a picture, ``(H, W)`` about 1: a slope and a broad unevenness of `strength`."""
    rows = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    cols = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None, :]
    turn = rng.uniform(0, 2 * np.pi)
    broad = fractal_field(rng, shape, coarsest_px=max(shape) / 2, finest_px=max(shape) / 4, persistence=0.5)
    slope = rows * np.float32(np.sin(turn)) + cols * np.float32(np.cos(turn))
    field = broad.window(Window(0, shape[0], 0, shape[1]))
    return np.asarray(1 + np.float32(strength) * (slope + np.float32(0.25) * field), np.float32)


def photograph(rng: np.random.Generator, image: Floats) -> Bytes:
    """A picture of the surface `image` ``(H, W, 3)`` in [0, 1] by some camera on some day, uint8."""
    shape = (image.shape[0], image.shape[1])
    image = image * light_gradient(rng, shape, abs(rng.normal(0, 0.18)))[..., None]
    mean = image.mean(axis=(0, 1), keepdims=True)
    image = mean + (image - mean) * np.float32(rng.uniform(0.7, 1.3))
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * np.float32(rng.uniform(0.6, 1.35))
    balance = np.exp(rng.normal(0, 0.03, 3)).astype(np.float32)
    exposure = np.exp(rng.normal(0.03, 0.28)) * (0.55 / max(float(image.mean()), 0.05)) ** 0.4
    highlight = float(np.percentile(image[::4, ::4], 97)) * exposure
    limit = rng.uniform(0.85, 1.04)  # a camera meters: it seldom burns out a whole surface
    exposure *= min(1.0, limit / max(highlight, 1e-3))
    image = np.clip(image * balance * np.float32(exposure), 0.0, 1.25)
    image = image ** np.float32(np.exp(rng.normal(0, 0.15)))
    sigma = float(rng.choice([0.0, 0.45, 0.6, 0.8, 1.1, 1.6], p=[0.12, 0.2, 0.25, 0.23, 0.15, 0.05]))
    if sigma > 0:
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=3.0)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0.002, 0.022))
    if rng.random() < 0.3:
        blurry = ndimage.gaussian_filter(image, (1.2, 1.2, 0), truncate=2.5)
        image = image + np.float32(rng.uniform(0.3, 1.2)) * (image - blurry)
    picture = quantised(np.asarray(image + noise, np.float32))
    if rng.random() < 0.5:
        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=int(rng.integers(45, 96)))
        picture = np.asarray(Image.open(buffer), np.uint8)
    return picture
