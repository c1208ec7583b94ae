"""Pixels of a raster as the model and the pictures need them: RGB uint8 and validity, windows only."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from segmentation.errors import InputRejected
from segmentation.inference.geometry import plan_read
from segmentation.records import RasterInput
from segmentation.windows import Window
from tasks.raster_file import open_raster, read_validity

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Pixel = TypeVar("Pixel", bound=np.generic)


class RasterReader:
    """Windows of one open raster; not to be shared between threads."""

    def __init__(self, dataset: rasterio.DatasetReader, raster: RasterInput) -> None:
        self._dataset = dataset
        self._raster = raster

    def read(self, window: Window, *, max_side_px: int | None = None) -> tuple[Bytes, Flags]:
        """RGB ``(H, W, 3)`` and validity ``(H, W)`` of a window inside the raster.

        With `max_side_px` the window is averaged down so that its longer side is at most that.
        Raises InputRejected E_TILE_DECODE where the pixels cannot be decoded.
        """
        shape = window.shape
        if max_side_px is not None and max(shape) > max_side_px:
            shape = (
                max(1, round(shape[0] * max_side_px / max(shape))),
                max(1, round(shape[1] * max_side_px / max(shape))),
            )
        image = np.empty((*shape, 3), np.uint8)
        return image, self._read_into(image, window)

    def _read_into(self, image: Bytes, window: Window) -> Flags:
        """Fill `image` ``(H, W, 3)``, which may be part of a larger one, with a window; its validity ``(H, W)``."""
        shape = image.shape[:2]
        where = RasterioWindow(window.col_start, window.row_start, window.shape[1], window.shape[0])
        # GDAL writes pixel by pixel where it is asked to: so the bands are never turned over in a copy.
        values = image if self._raster.dtype == "uint8" else np.empty(image.shape, self._raster.dtype)
        try:
            self._dataset.read(
                list(self._raster.rgb_bands),
                window=where,
                out=values.transpose(2, 0, 1),
                resampling=Resampling.average,
            )
            known = read_validity(self._dataset, window, shape=(shape[0], shape[1]))
        except RasterioError as error:
            raise InputRejected(
                "E_TILE_DECODE",
                self._raster.name,
                f"every pixel of rows {window.row_start}–{window.row_stop}, columns {window.col_start}–"
                f"{window.col_stop} must decode, got {error}",
                "write the raster again from its source and upload it again",
            ) from error
        if values is not image:
            image[:] = _as_bytes(values, self._raster.value_range)
        return known

    def validity_grid(self, cell_px: int) -> Flags:
        """Which cells of `cell_px` × `cell_px` pixels hold data in every pixel, bool ``(h, w)``."""
        georeference = self._raster.georeference
        shape = (-(-georeference.height // cell_px), -(-georeference.width // cell_px))
        return read_validity(self._dataset, Window(0, georeference.height, 0, georeference.width), shape=shape)

    def read_mirrored(self, window: Window, *, into: tuple[Bytes, Flags] | None = None) -> tuple[Bytes, Flags]:
        """Like `read`, for a window that may reach outside the raster, where the raster is mirrored.

        `into` are buffers of the window's shape that may be used for the answer.
        """
        georeference = self._raster.georeference
        plan = plan_read(window, georeference.height, georeference.width)
        inside = window.clip(georeference.height, georeference.width)
        if plan.source != inside:
            image, validity = self.read(plan.source)
            return plan.fill(image), plan.fill(validity)
        # All that is mirrored lies in the window itself: read in place, so that only the margins are copied.
        image, validity = into or (np.empty((*window.shape, 3), np.uint8), np.empty(window.shape, np.bool_))
        here = inside.within(window)
        validity[here] = self._read_into(image[here], inside)
        for pixels in (image, validity):
            _mirror_margins(pixels, here, plan.rows, plan.cols)
        return image, validity


@contextmanager
def raster_reader(path: Path, raster: RasterInput) -> Iterator[RasterReader]:
    """Open a staged raster for reading by one thread."""
    with open_raster(path) as dataset:
        yield RasterReader(dataset, raster)


def _mirror_margins(
    pixels: npt.NDArray[Pixel], inside: tuple[slice, slice], rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp]
) -> None:
    """Fill what lies around `inside` in `pixels` ``(H, W, …)`` from it; `rows` and `cols` count from its corner."""
    at_rows, at_cols = inside
    filled = pixels[at_rows]
    for margin in (slice(0, at_cols.start), slice(at_cols.stop, len(cols))):
        filled[:, margin] = filled[:, at_cols.start + cols[margin]]
    for margin in (slice(0, at_rows.start), slice(at_rows.stop, len(rows))):
        pixels[margin] = pixels[at_rows.start + rows[margin]]


def _as_bytes(bands: npt.NDArray[np.generic], value_range: tuple[float, float]) -> Bytes:
    """Map `value_range` linearly to 0 … 255."""
    low, high = value_range
    scaled = (bands.astype(np.float32) - low) * (255.0 / (high - low))
    rounded: Bytes = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return rounded
