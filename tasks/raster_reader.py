"""Pixels of a raster as the model and the pictures need them: RGB uint8 and validity, windows only."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        where = RasterioWindow(window.col_start, window.row_start, window.shape[1], window.shape[0])
        try:
            bands = self._dataset.read(
                list(self._raster.rgb_bands), window=where, out_shape=(3, *shape), resampling=Resampling.average
            )
            known = read_validity(self._dataset, window, shape=shape)
        except RasterioError as error:
            raise InputRejected(
                "E_TILE_DECODE",
                self._raster.name,
                f"every pixel of rows {window.row_start}–{window.row_stop}, columns {window.col_start}–"
                f"{window.col_stop} must decode, got {error}",
                "write the raster again from its source and upload it again",
            ) from error
        return np.ascontiguousarray(_as_bytes(bands, self._raster.value_range).transpose(1, 2, 0)), known

    def validity_grid(self, cell_px: int) -> Flags:
        """Which cells of `cell_px` × `cell_px` pixels hold data in every pixel, bool ``(h, w)``."""
        georeference = self._raster.georeference
        shape = (-(-georeference.height // cell_px), -(-georeference.width // cell_px))
        return read_validity(self._dataset, Window(0, georeference.height, 0, georeference.width), shape=shape)

    def read_mirrored(self, window: Window) -> tuple[Bytes, Flags]:
        """Like `read`, for a window that may reach outside the raster, where the raster is mirrored."""
        georeference = self._raster.georeference
        plan = plan_read(window, georeference.height, georeference.width)
        image, validity = self.read(plan.source)
        return plan.fill(image), plan.fill(validity)


@contextmanager
def raster_reader(path: Path, raster: RasterInput) -> Iterator[RasterReader]:
    """Open a staged raster for reading by one thread."""
    with open_raster(path) as dataset:
        yield RasterReader(dataset, raster)


def _as_bytes(bands: npt.NDArray[np.generic], value_range: tuple[float, float]) -> Bytes:
    """Map `value_range` linearly to 0 … 255; the identity for uint8."""
    if bands.dtype == np.uint8:
        return bands.view(np.uint8)
    low, high = value_range
    scaled = (bands.astype(np.float32) - low) * (255.0 / (high - low))
    rounded: Bytes = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return rounded
