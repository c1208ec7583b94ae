"""Damage of known size, rendered: a line of known width in metres, through any pixel grid, blurred and noisy."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from segmentation.georeference import PixelScale

SQUARE_MM = PixelScale(0.001, 0.0, 0.0, -0.001)
"""A north-up raster of 1 mm per pixel: a pixel is a millimetre."""


@dataclass(frozen=True)
class Rendered:
    pixels: np.ndarray
    """bool (H, W): coverage of at least half, or of half the largest where the line is thin."""
    image: np.ndarray
    """uint8 (H, W, 3)."""
    probability: np.ndarray
    """float32 (H, W)."""


def ground_of(scale: PixelScale, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Metres (east, north) ``(..., 2)`` of pixel-corner coordinates from the window's first corner."""
    return np.stack(
        [
            scale.east_per_col_m * cols + scale.east_per_row_m * rows,
            scale.north_per_col_m * cols + scale.north_per_row_m * rows,
        ],
        axis=-1,
    )


def pixels_of(scale: PixelScale, ground: np.ndarray) -> np.ndarray:
    """(row, col) of metres (east, north)."""
    matrix = np.array([[scale.east_per_row_m, scale.east_per_col_m], [scale.north_per_row_m, scale.north_per_col_m]])
    return ground @ np.linalg.inv(matrix).T


def render(
    lines: list[np.ndarray],
    *,
    width_m: float | list[np.ndarray],
    shape: tuple[int, int],
    scale: PixelScale = SQUARE_MM,
    blur_px: float = 0.8,
    noise: float = 4.0,
    contrast: float = 90.0,
    seed: int = 0,
    samples: int = 5,
) -> Rendered:
    """Lines ``(N, 2)`` of (east, north) metres with flat ends, `width_m` wide, on a mottled ground; `width_m` may
    be the width ``(N,)`` at each point of each line."""
    height, width = shape
    covered = np.zeros(shape)
    parts = (np.arange(samples) + 0.5) / samples
    own = [np.full(len(line), width_m) for line in lines] if isinstance(width_m, float | int) else width_m
    dense, halves = zip(
        *(_dense(line, w / 2, scale.gsd_m / 8) for line, w in zip(lines, own, strict=True)), strict=True
    )
    rows, cols = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    reach = max(half.max() for half in halves) + 2 * max(scale.gsd_x_m, scale.gsd_y_m)
    centres = ground_of(scale, rows + 0.5, cols + 0.5)
    near = np.zeros(shape, bool)
    for points in dense:
        near |= cKDTree(points).query(centres.reshape(-1, 2), distance_upper_bound=reach)[0].reshape(shape) <= reach
    at_rows, at_cols = np.nonzero(near)
    for d_row in parts:
        for d_col in parts:
            places = ground_of(scale, at_rows + d_row, at_cols + d_col)
            hit = np.zeros(len(places))
            for points, half in zip(dense, halves, strict=True):
                hit = np.maximum(hit, _on_line(points, half, places, scale.gsd_m / samples))
            covered[at_rows, at_cols] += hit / samples**2
    rng = np.random.default_rng(seed)
    ground = 150 + 25 * gaussian_filter(rng.normal(0, 1, shape), 8) * 8
    grey = gaussian_filter(ground - contrast * covered, blur_px) + rng.normal(0, noise, shape)
    image = np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    pixels = covered >= min(0.5, 0.5 * covered.max())
    return Rendered(pixels, image, np.clip(gaussian_filter(covered, 0.7), 0, 1).astype(np.float32))


def straight(centre_m: tuple[float, float], *, length_m: float, angle_deg: float) -> np.ndarray:
    """A straight line through `centre_m`, its angle counted from east to north."""
    way = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))]) * length_m / 2
    return np.array([np.array(centre_m) - way, np.array(centre_m) + way])


def length_of(line: np.ndarray) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def centre_of(scale: PixelScale, shape: tuple[int, int]) -> tuple[float, float]:
    east, north = ground_of(scale, np.array(shape[0] / 2), np.array(shape[1] / 2))
    return float(east), float(north)


def _dense(line: np.ndarray, half: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    pieces = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(pieces)])
    at = np.linspace(0, along[-1], int(along[-1] / step) + 2)
    points = np.stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)], axis=1)
    return points, np.interp(at, along, half)


def _on_line(points: np.ndarray, half: np.ndarray, places: np.ndarray, part_m: float) -> np.ndarray:
    """Share of a part of a pixel within half a width of the line, and not beyond its flat ends."""
    distance, nearest = cKDTree(points).query(places)
    beyond_first = (nearest == 0) & ((places - points[0]) @ (points[0] - points[1]) > 0)
    beyond_last = (nearest == len(points) - 1) & ((places - points[-1]) @ (points[-1] - points[-2]) > 0)
    share = np.clip((half[nearest] - distance) / part_m + 0.5, 0.0, 1.0)
    return np.where(beyond_first | beyond_last, 0.0, share)
