"""The probability of crack that comes beside a given mask: checked, read, and grown into where that is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from segmentation.classes import DEFECT_CLASSES, NODATA, NOT_INSPECTED, PixelClass
from segmentation.errors import InputRejected
from segmentation.georeference import Georeference
from segmentation.given_mask import certain_probability
from segmentation.records import SourceObject
from segmentation.windows import Window
from tasks.input_limits import InputLimits
from tasks.mask_checks import check_same_grid
from tasks.raster_checks import check_header
from tasks.raster_file import gdal_words, open_raster
from tasks.raster_place import place_of

Bytes = npt.NDArray[np.uint8]

_DTYPES: Final = ("uint8", "float32", "float64")
_ROUNDING: Final = 1e-3
"""So far outside 0…1 a float may lie."""


@dataclass(frozen=True, slots=True)
class ProbabilityInput:
    """The probability of crack of each pixel of a given mask, pinned."""

    source: SourceObject
    """Where its bytes are."""
    grow_above: float | None
    """Cracks grow through connected pixels of at least this probability; None: they do not."""

    @property
    def least(self) -> int:
        """`grow_above` as it is stored, 255 for 1; 256 where nothing grows."""
        return 256 if self.grow_above is None else max(1, round(self.grow_above * 255))


def check_probability(
    path: Path, *, name: str, mask: Georeference, mask_name: str, gsd_m_override: float | None, limits: InputLimits
) -> tuple[str, ...]:
    """Warnings on how the file lies to the mask; raises InputRejected E_BANDS, E_DTYPE, E_GRID or for its header."""
    layout, _ = check_header(path, name, limits)
    with open_raster(path) as dataset:
        if dataset.count != 1:
            cause = f"a probability must have one band, that of the class crack, got {dataset.count} bands"
            raise InputRejected("E_BANDS", name, cause, "write the band of the class crack alone (gdal_translate -b)")
        if dataset.dtypes[0] not in _DTYPES:
            cause = f"a probability must be uint8 (255 is 1) or a float of 0…1, got {dataset.dtypes[0]}"
            raise InputRejected("E_DTYPE", name, cause, "write it in one of the two forms")
        place, _ = place_of(dataset, layout, name, gsd_m_override=gsd_m_override)
    return check_same_grid(mask, place, mask_name=mask_name, image_name=name, word="probability")


def read_probability(dataset: rasterio.DatasetReader, window: Window, *, name: str) -> Bytes:
    """Probability of crack of a window, uint8 ``(H, W)``, 255 for 1; what is NaN or nodata is 0.

    Raises InputRejected E_TILE_DECODE where it cannot be decoded, E_MASK_VALUES for a value outside 0…1.
    """
    where = RasterioWindow(window.col_start, window.row_start, window.shape[1], window.shape[0])
    try:
        values = dataset.read(1, window=where)
    except RasterioError as error:
        cause = f"every pixel of {window} must decode, got {gdal_words(error, Path(dataset.name))}"
        raise InputRejected("E_TILE_DECODE", name, cause, "write the file again from its source") from error
    if dataset.nodata is not None:
        values[values == dataset.nodata] = 0
    if values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    values = np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)
    if float(values.min(initial=0.0)) < -_ROUNDING or float(values.max(initial=0.0)) > 1 + _ROUNDING:
        cause = f"a probability must lie in 0…1, got {values.min():g} to {values.max():g}"
        raise InputRejected("E_MASK_VALUES", name, cause, "give probabilities (after the sigmoid), not scores")
    quantised: Bytes = np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
    return quantised


def stored_probability(classes: Bytes, crack: Bytes | None) -> Bytes:
    """Quantised probability uint8 ``(2, H, W)`` of CRACK and RUST; `crack` ``(H, W)`` where it was given.

    Where nothing was inspected it is 0.
    """
    stored = certain_probability(classes)
    if crack is not None:
        unseen = (classes == NODATA) | (classes == NOT_INSPECTED)
        stored[DEFECT_CLASSES.index(PixelClass.CRACK)] = np.where(unseen, np.uint8(0), crack)
    return stored
