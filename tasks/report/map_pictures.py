"""Overviews of rasters and masks, turned and stretched onto the survey's map."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor, hypot, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import map_coordinates

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass
from segmentation.georeference import Floats, Georeference
from segmentation.windows import Window
from tasks.report.map_plane import Bounds, MapPlane, raster_on
from tasks.report.pictures import CLASS_COLOURS, Pixels, RasterPictures

_TOTAL_PX: Final = 9_000_000
"""Pixels of all overviews together."""
_LEAST_SIDE_PX: Final = 192
_LARGEST_SIDE_PX: Final = 2000
MOST_PICTURES: Final = 300
"""Beyond this number each would be a few pixels."""
_CONTROL_PX: Final = 24
"""Picture pixels between the points whose place in the raster is computed; between them it is interpolated."""
_STRIP_PX: Final = 128
"""Rows of a picture whose places are held at a time."""
_QUALITIES: Final = (76, 62, 48, 34, 20)
_HATCH_PX: Final = 8

_OUTSIDE, _CLEAN, _UNSEEN, _RUST, _CRACK = range(5)
"""Codes of a mask picture; where several meet in one of its pixels, the largest is drawn."""
_INK: Final = (23, 32, 42)


@dataclass(frozen=True, slots=True)
class MapPicture:
    """One raster on the map, its picture north up and transparent where it has no data."""

    name: str
    bounds: Bounds
    """Metres of the plane at the picture's outer edges."""
    imagery: str
    """Data URI, WebP."""
    mask: str
    """Data URI, WebP without loss."""
    m_per_px: float
    """Ground that one pixel of the picture covers."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """The pixels of one picture on the plane."""

    west: float
    north: float
    m_per_px: float
    height: int
    width: int

    @property
    def bounds(self) -> Bounds:
        east, south = self.west + self.width * self.m_per_px, self.north - self.height * self.m_per_px
        return self.west, south, east, self.north


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the middles of a grid's pixels lie in a raster, between control points that were computed."""

    down: Floats
    """Weights ``(H, K)`` of the control points above and below each row."""
    row_col: Floats
    """Pixel-corner coordinates ``(K, L, 2)`` of the control points."""
    across: Floats
    """Weights ``(W, L)`` of the control points on both sides of each column."""

    def of_rows(self, rows: slice) -> Floats:
        """(row, col) of the raster ``(rows, W, 2)``; negative where the raster's CRS has no such place."""
        places = np.stack([self.down[rows] @ self.row_col[..., axis] @ self.across.T for axis in (0, 1)], axis=-1)
        places[~np.isfinite(places).all(axis=-1)] = -1.0
        return places


def map_pictures(
    names: Sequence[str],
    georeferences: Mapping[str, Georeference],
    plane: MapPlane,
    pictures: RasterPictures,
    *,
    max_bytes: int,
) -> list[MapPicture]:
    """Imagery and mask of each raster, of a size and quality at which all data URIs together have at most `max_bytes`.

    Raises ValueError where even the smallest pictures are larger.
    """
    side_px = round(min(max(sqrt(_TOTAL_PX / max(1, len(names))), _LEAST_SIDE_PX), _LARGEST_SIDE_PX))
    made: list[MapPicture] = []
    for done, name in enumerate(names):
        # What one picture leaves over is there for those after it.
        share = (max_bytes - sum(len(one.imagery) + len(one.mask) for one in made)) // (len(names) - done)
        made.append(_map_picture(name, georeferences[name], plane, pictures, side_px=side_px, max_bytes=share))
    return made


def _map_picture(
    name: str,
    georeference: Georeference,
    plane: MapPlane,
    pictures: RasterPictures,
    *,
    side_px: int,
    max_bytes: int,
) -> MapPicture:
    window = Window(0, georeference.height, 0, georeference.width)
    colours = pictures.read_rgb(name, window, max_side_px=side_px)
    codes = _codes(pictures.read_mask(name, window, max_side_px=side_px))
    while True:
        grid = _grid(plane, name, georeference, side_px=side_px)
        drawn, warped = _on_grid(grid, _places(grid, plane, name, georeference), codes, colours, shape=window.shape)
        mask = _uri(_drawn_mask(drawn), lossless=True, quality=40)
        for quality in _QUALITIES:
            imagery = _uri(warped, lossless=False, quality=quality)
            if len(imagery) + len(mask) <= max_bytes:
                return MapPicture(name, grid.bounds, imagery, mask, grid.m_per_px)
        if side_px < 32:
            raise ValueError(f"the overview of {name} must fit into {max_bytes} bytes, but does not; allow more")
        side_px = side_px * 2 // 3


def _grid(plane: MapPlane, name: str, georeference: Georeference, *, side_px: int) -> _Grid:
    """Pixels about as large as those of an overview of `side_px`, around all of the raster."""
    west, south, east, north = raster_on(plane, name, georeference).bounds
    corners = np.array([[0, 0], [georeference.width, 0], [0, georeference.height]], np.float64)
    origin, across, down = plane.of_pixels(name, georeference, corners)
    longer_m = max(hypot(*(across - origin)), hypot(*(down - origin)))
    side_px = min(side_px, max(georeference.height, georeference.width))
    m_per_px = max(longer_m / side_px, max(east - west, north - south) / (1.5 * side_px))
    height, width = max(1, ceil((north - south) / m_per_px)), max(1, ceil((east - west) / m_per_px))
    return _Grid(west, north, m_per_px, height, width)


def _on_grid(
    grid: _Grid, places: _Places, codes: Pixels, colours: Pixels, *, shape: tuple[int, int]
) -> tuple[Pixels, Pixels]:
    """Codes ``(H, W)`` and RGBA ``(H, W, 4)`` of the grid's pixels, from those read of a raster of `shape`."""
    drawn = np.empty((grid.height, grid.width), np.uint8)
    warped = np.empty((grid.height, grid.width, 4), np.uint8)
    # In strips: a place is 16 bytes, and looking up the four pixels around it takes ten times that.
    for first in range(0, grid.height, _STRIP_PX):
        rows = slice(first, first + _STRIP_PX)
        at = places.of_rows(rows)
        drawn[rows] = _strongest(codes, at / _px_per_pixel(shape, codes.shape))
        warped[rows, :, :3] = _interpolated(colours, at / _px_per_pixel(shape, colours.shape[:2]))
    warped[..., 3] = np.where(drawn == _OUTSIDE, 0, 255)
    return drawn, warped


def _places(grid: _Grid, plane: MapPlane, name: str, georeference: Georeference) -> _Places:
    ys, xs = (_control(size) for size in (grid.height, grid.width))
    points = np.stack(np.meshgrid(grid.west + xs * grid.m_per_px, grid.north - ys * grid.m_per_px), axis=-1)
    col_row = plane.pixels_at(name, georeference, points.reshape(-1, 2)).reshape(*points.shape)
    return _Places(_weights(ys, grid.height), col_row[..., ::-1], _weights(xs, grid.width))


def _control(size_px: int) -> Floats:
    return np.linspace(0.0, size_px, max(2, ceil(size_px / _CONTROL_PX) + 1))


def _weights(at: Floats, size_px: int) -> Floats:
    """Linear interpolation from values at `at` ``(K,)`` to the middles of `size_px` pixels: ``(size_px, K)``."""
    middles = np.arange(size_px) + 0.5
    left = np.clip(np.searchsorted(at, middles, side="right") - 1, 0, len(at) - 2)
    share = (middles - at[left]) / (at[left + 1] - at[left])
    weights = np.zeros((size_px, len(at)))
    weights[np.arange(size_px), left] = 1 - share
    weights[np.arange(size_px), left + 1] = share
    return weights


def _px_per_pixel(window: tuple[int, int], read: tuple[int, ...]) -> Floats:
    """Raster pixels (rows, cols) per pixel of what was read; a mask is read at a whole step, whose last may be cut."""
    step = max(ceil(window[0] / read[0]), ceil(window[1] / read[1]))
    if (ceil(window[0] / step), ceil(window[1] / step)) == tuple(read):
        return np.array([step, step], np.float64)
    return np.array([window[0] / read[0], window[1] / read[1]])


def _codes(mask: Pixels) -> Pixels:
    table = np.full(256, _UNSEEN, np.uint8)
    table[[PixelClass.BACKGROUND, PixelClass.CRACK, PixelClass.RUST]] = _CLEAN, _CRACK, _RUST
    table[NODATA], table[NOT_INSPECTED] = _OUTSIDE, _UNSEEN
    return np.asarray(table[mask])


def _strongest(codes: Pixels, places: Floats) -> Pixels:
    """The largest code of the four pixels around each place, so that no thin line falls between them."""
    padded = np.pad(codes, 1, constant_values=_OUTSIDE)
    limit = np.array(codes.shape)
    inside = ((places >= 0) & (places <= limit)).all(axis=-1)
    low = np.clip(np.floor(places - 0.5).astype(np.int64) + 1, 0, limit)
    rows, cols = low[..., 0], low[..., 1]
    best = np.maximum.reduce([padded[rows + down, cols + across] for down in (0, 1) for across in (0, 1)])
    own = padded[_own(places, limit, axis=0), _own(places, limit, axis=1)]
    # The edge of the data stays where it is: damage is drawn stronger, not the ground around it.
    return np.where(inside & (own != _OUTSIDE), np.maximum(own, np.where(best >= _RUST, best, 0)), _OUTSIDE).astype(
        np.uint8
    )


def _own(places: Floats, limit: npt.NDArray[np.int64], *, axis: int) -> npt.NDArray[np.int64]:
    return np.clip(np.floor(places[..., axis]).astype(np.int64), 0, limit[axis] - 1) + 1


def _interpolated(colours: Pixels, places: Floats) -> Pixels:
    at = [places[..., axis] - 0.5 for axis in (0, 1)]
    bands = [map_coordinates(colours[..., band], at, order=1, mode="nearest", output=np.uint8) for band in range(3)]
    return np.dstack(bands)


def _drawn_mask(codes: Pixels) -> Pixels:
    """Colours with alpha ``(H, W, 4)``: damage in its colour, what was not inspected hatched, the rest transparent."""
    table = np.zeros((5, 4), np.uint8)
    table[_CRACK] = *CLASS_COLOURS[PixelClass.CRACK], 255
    table[_RUST] = *CLASS_COLOURS[PixelClass.RUST], 255
    drawn: Pixels = table[codes]
    rows, cols = np.indices(codes.shape, dtype=np.int32)
    on_stripe = (rows + cols) % _HATCH_PX < floor(_HATCH_PX / 3)
    drawn[(codes == _UNSEEN) & on_stripe] = *_INK, 230
    drawn[(codes == _UNSEEN) & ~on_stripe] = 255, 255, 255, 150
    return drawn


def _uri(pixels: Pixels, *, lossless: bool, quality: int) -> str:
    buffer = BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "WEBP", lossless=lossless, quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
