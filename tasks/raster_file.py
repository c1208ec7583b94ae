"""The one way to open an uploaded raster: GDAL locked down to the file itself.

No other driver than GeoTIFF, no look at the files beside it (overviews, masks, world files, `.aux.xml`), no
georeference from elsewhere. A file named .tif may otherwise be a recipe that reads local files and URLs.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import MaskFlags, Resampling
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from segmentation.errors import InputRejected
from segmentation.windows import Window

_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GTIFF_REPORT_COMPD_CS": "YES",
}
GDAL_CACHE_BYTES = 64 << 20
"""GDAL's block cache, for the whole process: by default it takes 5 % of the memory. It holds what is read again of
the last blocks in the order of `tasks.strips`, in tiles of 512 px; twice as much saved 7 % of the reading."""

# Once for the process and in bytes: `rasterio.Env` would give the default back when the first of several threads
# leaves it, and takes GDAL_CACHEMAX=64 for 64 bytes.
set_gdal_config("GDAL_CACHEMAX", GDAL_CACHE_BYTES)

# Whether a raster has a place is ours to check, with a code and a remedy.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


@contextmanager
def open_raster(path: Path) -> Iterator[rasterio.DatasetReader]:
    """Open the GeoTIFF at `path` and nothing else, for one thread.

    Raises InputRejected E_TIFF_HEADER where GDAL cannot open it.
    """
    with locked_down(), open_locked_down(path) as dataset:
        yield dataset


@contextmanager
def locked_down() -> Iterator[None]:
    """GDAL's options in this thread: whoever opens or reads an uploaded raster does so within them."""
    with rasterio.Env(**_OPTIONS):
        yield


def open_locked_down(path: Path) -> rasterio.DatasetReader:
    """Like `open_raster`, for a handle that is closed by its owner, perhaps in another thread; see `locked_down`."""
    path = path.absolute()
    if path.parts[1:2] and path.parts[1].startswith("vsi"):
        raise InputRejected("E_KEY", str(path), "a raster must lie in a plain folder, got a virtual one", "copy it")
    # A Path, not a str: rasterio takes text such as "zip+https://…" for an address.
    try:
        return rasterio.open(path, driver="GTiff")
    except (RasterioError, ValueError) as error:
        cause = f"GDAL must be able to open it, got: {gdal_words(error, path)}"
        raise InputRejected("E_TIFF_HEADER", path.name, cause, "write the raster again and upload it again") from error


def read_validity(
    dataset: rasterio.DatasetReader, window: Window, *, shape: tuple[int, int] | None = None
) -> npt.NDArray[np.bool_]:
    """Which pixels of a window inside the raster hold data, bool ``(H, W)``: the one nodata rule.

    With `shape` the window is resampled to it: a cell holds data only where all its pixels do.

    An internal mask decides where there is one, else the alpha band (opaque in any degree), else the nodata
    value: a pixel is nodata where every band has it. Black alone is never nodata.
    """
    rows, cols = window.shape
    if all(MaskFlags.all_valid in flags for flags in dataset.mask_flag_enums):
        return np.ones(shape or window.shape, np.bool_)
    where = RasterioWindow(window.col_start, window.row_start, cols, rows)
    if shape is None or shape == window.shape:
        known: npt.NDArray[np.bool_] = dataset.dataset_mask(window=where) > 0
        return known
    share = dataset.dataset_mask(window=where, out_shape=shape, resampling=Resampling.average)
    whole: npt.NDArray[np.bool_] = share == 255
    return whole


def gdal_words(error: BaseException, path: Path) -> str:
    """GDAL's message in one line, without the folder it was found in."""
    inner = error.__cause__ or error.__context__
    text = f"{error}" if inner is None or str(inner) in str(error) else f"{error} ({inner})"
    return " ".join(text.replace(f"{path.parent}/", "").split())[:300]
