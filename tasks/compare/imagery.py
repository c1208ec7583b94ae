"""Pictures of a run in the plane of a structure: of its rasters where they are still there, else of its masks."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from math import sqrt
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from segmentation.classes import PixelClass
from segmentation.comparison.grids import GridToPlane, resampled
from segmentation.comparison.local_shifts import Picture
from segmentation.errors import SpanscanError
from segmentation.windows import Window
from tasks.compare.plane import Plane, grid_to_pixels
from tasks.compare.published import PublishedRun, RunRaster
from tasks.compare.rasters import FoundRasters
from tasks.raster_reader import RasterReader, raster_reader
from tasks.report.drawn_mask import drawn_mask

ReadBands = Callable[[RunRaster, Window, float], list[Picture] | None]
"""Reads the bands of a window of a raster, each pixel standing for so many; None where they cannot be read."""

MASKS = "masks"
_LEAST_HELD_PX, _MOST_HELD_PX = 512**2, 2048**2
"""What is read at full scale is held where it is as large as a structure and small enough: 16 MB."""
_HATCH_PX, _HATCH_GREY = 12, 196
_SHADES = np.full(256, np.nan, np.float32)
"""Brightness by class id where the masks stand for the imagery; NaN where nothing was inspected."""
_SHADES[[PixelClass.BACKGROUND, PixelClass.CRACK, PixelClass.RUST]] = 0.0, 1.0, 0.6


class RunImagery:
    """Opens the rasters of a run once for several structures; for one thread, closed by its `with`."""

    def __init__(self, run: PublishedRun, found: FoundRasters) -> None:
        self.run = run
        self._found = found
        self._open = ExitStack()
        self._readers: dict[str, RasterReader | None] = {}
        self._held: tuple[str, Window, Picture] | None = None
        self.missing: dict[str, str] = {}
        """Why a raster cannot be read, by its name."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def reader(self, raster: RunRaster) -> RasterReader | None:
        """The reader of a raster; None where its pixels are no longer what the run inspected."""
        if raster.name not in self._readers:
            self._readers[raster.name] = self._opened(raster.name)
        return self._readers[raster.name]

    def brightness(self, raster: RunRaster, window: Window, *, max_side_px: int) -> Picture | None:
        """Brightness ``(H, W)`` of a window, NaN where there is no data; None where the raster cannot be read.

        Of a window larger than `max_side_px` it is averaged down. What lies in the structure's picture, which is read
        first, is cut from that.
        """
        is_whole = max(window.shape) <= max_side_px
        if is_whole and self._held is not None:
            name, held, picture = self._held
            if name == raster.name and window.intersect(held) == window:
                return picture[window.within(held)]
        reader = self.reader(raster)
        if reader is None:
            return None
        image, known = reader.read(window, max_side_px=max_side_px)
        picture = _brightness_of(image, known)
        if is_whole and _LEAST_HELD_PX <= window.area_px <= _MOST_HELD_PX:
            self._held = raster.name, window, picture
        return picture

    def _opened(self, name: str) -> RasterReader | None:
        found = self._found[name]
        if isinstance(found, str):
            self.missing[name] = found
            return None
        try:
            return self._open.enter_context(raster_reader(found.path, found.raster))
        except SpanscanError as error:
            self.missing[name] = error.cause
            return None


class PlanePictures:
    """What one survey shows of a structure's plane; called, a `segmentation.comparison.registration.ReadPlane`."""

    def __init__(self, imagery: RunImagery, rasters: Iterable[RunRaster], plane: Plane, *, of: str) -> None:
        self._imagery = imagery
        self._rasters = tuple(rasters)
        self._plane = plane
        self._of = of

    def __call__(self, grid: GridToPlane, shape: tuple[int, int]) -> Picture:
        """Brightness ``(H, W)`` float32 of a grid in the plane; NaN where there is no data. Windows only are read."""
        (picture,) = self._bands(grid, shape, self._shade)
        return picture

    def colours(self, grid: GridToPlane, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """RGB ``(H, W, 3)`` of a grid in the plane, hatched where there is no data."""
        bands = np.stack(self._bands(grid, shape, self._colour), axis=2)
        rows, cols = np.ogrid[: shape[0], : shape[1]]
        hatching = np.where((rows + cols) % _HATCH_PX < _HATCH_PX // 4, _HATCH_GREY, 255)[..., None]
        return np.where(np.isnan(bands), hatching, np.clip(np.rint(np.nan_to_num(bands)), 0, 255)).astype(np.uint8)

    def _bands(self, grid: GridToPlane, shape: tuple[int, int], read: ReadBands) -> list[Picture]:
        """The bands that `read` gives, of the first raster that knows a place."""
        seen: list[Picture] | None = None
        for raster in self._rasters:
            part = self._part(raster, grid, shape, read)
            if part is None:
                continue
            seen = part if seen is None else [np.where(np.isnan(s), p, s) for s, p in zip(seen, part, strict=True)]
            if not np.isnan(seen[0]).any():
                break
        return seen or [np.full(shape, np.nan, np.float32)] * (1 if read == self._shade else 3)

    def _part(
        self, raster: RunRaster, grid: GridToPlane, shape: tuple[int, int], read: ReadBands
    ) -> list[Picture] | None:
        to_raster = grid_to_pixels(self._plane, raster.georeference, grid, shape)
        window = window_of(to_raster, shape, raster)
        if window is None:
            return None
        step = max(1.0, sqrt(abs(float(np.linalg.det(to_raster[:2, :2])))))
        bands = read(raster, window, step)
        if bands is None:
            return None
        rows, cols = window.shape
        to_read = np.diag([bands[0].shape[1] / cols, bands[0].shape[0] / rows, 1.0])
        to_read[:2, 2] = -window.col_start * to_read[0, 0], -window.row_start * to_read[1, 1]
        return [resampled(band, to_read @ to_raster, shape) for band in bands]

    def _shade(self, raster: RunRaster, window: Window, step: float) -> list[Picture] | None:
        if self._of == MASKS:
            return [_SHADES[self._imagery.run.masks.read_mask(raster.slug, window, step=int(step))]]
        shade = self._imagery.brightness(raster, window, max_side_px=max(1, round(max(window.shape) / step)))
        return None if shade is None else [shade]

    def _colour(self, raster: RunRaster, window: Window, step: float) -> list[Picture] | None:
        reader = self._imagery.reader(raster)
        if reader is None:
            drawn = drawn_mask(self._imagery.run.masks.read_mask(raster.slug, window, step=int(step)))
            return [band.astype(np.float32) for band in np.moveaxis(drawn, 2, 0)]
        image, known = reader.read(window, max_side_px=max(1, round(max(window.shape) / step)))
        return [np.where(known, band, np.nan).astype(np.float32) for band in np.moveaxis(image, 2, 0)]


def _brightness_of(image: npt.NDArray[np.uint8], known: npt.NDArray[np.bool_]) -> Picture:
    # Band by band: a mean over three neighbours takes ten times as long.
    total = np.add(image[..., 0], image[..., 1], dtype=np.uint16)
    total += image[..., 2]
    shade: Picture = np.divide(total, 3, dtype=np.float32)
    if not known.all():
        shade[~known] = np.nan
    return shade


def window_of(to_raster: GridToPlane, shape: tuple[int, int], raster: RunRaster) -> Window | None:
    """The pixels of a raster that a grid touches, with a margin for interpolation; None where none."""
    height, width = shape
    corners = np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]]) @ to_raster[:2, :2].T
    corners = corners + to_raster[:2, 2]
    if not np.isfinite(corners).all():
        return None
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)) - 2, np.ceil(corners.max(axis=0)) + 2
    place = raster.georeference
    window = Window(int(top), int(bottom), int(left), int(right)).clip(place.height, place.width)
    return window if window.area_px > 0 else None
