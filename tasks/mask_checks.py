"""May this mask, made by somebody else, be measured: from its first bytes to its values and its grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from segmentation.georeference import Georeference
from segmentation.given_mask import UNKNOWN, Bools, Bytes, allowed_values_text, class_table, given_classes
from segmentation.windows import Window
from tasks.input_limits import InputLimits
from tasks.raster_checks import check_header
from tasks.raster_file import gdal_words, open_raster, read_validity
from tasks.raster_place import check_gsd, place_of

SAME_GRID_PX = 0.01
"""Distance between the corners of two grids that is rounding."""
MOST_SHIFT_PX = 0.5
"""Distance from which pixels of the same row and column are no longer the same place."""
_SAMPLED_SIDE = 6
_SAMPLE_PX = 512


@dataclass(frozen=True, slots=True)
class CheckedMask:
    """What the checks found out about a mask that may be measured."""

    georeference: Georeference
    """Its place, size and scale."""
    gsd_m: float
    """GSD at its centre, metres per pixel."""
    warnings: tuple[str, ...]
    """What was assumed, for the reader of the report."""


def check_mask(
    path: Path, *, name: str, single: PixelClass | None, gsd_m_override: float | None, limits: InputLimits
) -> CheckedMask:
    """What the mask at `path` is; raises InputRejected with the first reason against it.

    `single` is the class of a mask of 0 and 255, None for one of class ids. Its values are looked at in a sample here;
    `read_given` checks each one.
    """
    layout, _ = check_header(path, name, limits)
    with open_raster(path) as dataset:
        _check_band(dataset, name)
        _check_nodata(dataset, name, single)
        place, warnings = place_of(dataset, layout, name, gsd_m_override=gsd_m_override)
        gsd_m = check_gsd(place, name, gsd_range_m=None)
        for window in _sample(dataset.height, dataset.width):
            read_given(dataset, window, name=name, single=single, pictured=None)
    return CheckedMask(place, gsd_m, warnings)


def read_given(
    dataset: rasterio.DatasetReader, window: Window, *, name: str, single: PixelClass | None, pictured: Bools | None
) -> Bytes:
    """Class ids ``(H, W)`` of a window of an open mask (`segmentation.given_mask.given_classes`).

    Raises InputRejected E_TILE_DECODE where it cannot be decoded, E_MASK_VALUES for a value that is no class.
    """
    where = RasterioWindow(window.col_start, window.row_start, window.shape[1], window.shape[0])
    try:
        values = dataset.read(1, window=where)
        known = read_validity(dataset, window)
    except RasterioError as error:
        cause = (
            f"every pixel of rows {window.row_start}–{window.row_stop}, columns {window.col_start}–{window.col_stop} "
            f"must decode, got {gdal_words(error, Path(dataset.name))}"
        )
        raise InputRejected("E_TILE_DECODE", name, cause, "write the mask again from its source") from error
    classes = given_classes(values, known=known, pictured=pictured, single=single)
    unknown = classes == UNKNOWN
    if unknown.any():
        raise _unknown_values(values, unknown, window, name, single)
    return classes


def check_same_grid(
    mask: Georeference, image: Georeference, *, mask_name: str, image_name: str, word: str = "picture"
) -> tuple[str, ...]:
    """Warnings on how the picture lies to the mask; raises InputRejected E_GRID where it is not on the mask's grid.

    `word` is what it is called, since it may be something else that comes beside the mask.

    Size and CRS must be the same, and the corners lie within half a pixel: beyond that a pixel of the mask and the
    pixel of the picture in the same row and column show different places.
    """
    remedy = f"give the {word} that {mask_name} was drawn on, or warp one to the grid of the other"
    if (mask.height, mask.width) != (image.height, image.width):
        cause = (
            f"the {word} must have the mask's size of {mask.height} × {mask.width} px, "
            f"got {image.height} × {image.width} px"
        )
        raise InputRejected("E_GRID", image_name, cause, remedy)
    if not _same_crs(mask, image):
        cause = f"the {word} must have the mask's CRS, {_crs_name(mask)}, got {_crs_name(image)}"
        raise InputRejected("E_GRID", image_name, cause, remedy)
    shift_px = _largest_shift_px(mask, image)
    if shift_px > MOST_SHIFT_PX:
        cause = (
            f"the {word} must lie on the mask's grid within {MOST_SHIFT_PX:g} px, got corners {shift_px:.4g} px apart"
        )
        raise InputRejected("E_GRID", image_name, cause, remedy)
    if shift_px <= SAME_GRID_PX:
        return ()
    return (
        f"{image_name}: lies up to {shift_px:.2f} px beside the grid of {mask_name}; pixels of the same row and "
        "column were taken for the same place, and places are those of the mask",
    )


def _check_band(dataset: rasterio.DatasetReader, name: str) -> None:
    if dataset.count != 1:
        cause = f"a mask must have one band of class ids, got {dataset.count} bands"
        remedy = "write the classes as one band without alpha; a picture is inspected with `spanscan inspect`"
        raise InputRejected("E_BANDS", name, cause, remedy)
    if dataset.dtypes[0] != "uint8":
        cause = f"a mask must be uint8, got {dataset.dtypes[0]}"
        remedy = "write it as uint8 class ids, for instance with gdal_translate -ot Byte; cut probabilities first"
        raise InputRejected("E_DTYPE", name, cause, remedy)


def _check_nodata(dataset: rasterio.DatasetReader, name: str, single: PixelClass | None) -> None:
    nodata = dataset.nodata
    if nodata is None or not 0 <= nodata <= 255 or int(nodata) != nodata:
        return
    meant = int(class_table(single)[int(nodata)])
    if meant in tuple(PixelClass):
        word = PixelClass(meant).name.lower()
        cause = f"the nodata value must not be a class, got {int(nodata)}, which is {word}"
        remedy = "take the declaration away (gdal_edit.py -unsetnodata), and write 255 where nobody looked"
        if single is not None:
            remedy = "take the declaration away (gdal_edit.py -unsetnodata), or leave --class out for a mask of ids"
        raise InputRejected("E_MASK_NODATA", name, cause, remedy)


def _unknown_values(
    values: Bytes, unknown: Bools, window: Window, name: str, single: PixelClass | None
) -> InputRejected:
    found = np.unique(values[unknown])
    row, col = (int(at[0]) for at in np.nonzero(unknown))
    shown = ", ".join(map(str, found[:5].tolist())) + (" …" if found.size > 5 else "")
    cause = (
        f"a mask must hold {allowed_values_text(single)} alone, got {shown} (first in row {window.row_start + row}, "
        f"column {window.col_start + col})"
    )
    remedy = "map its values to these, and write it without smoothing and lossy compression"
    remedy += "; leave --class out for a mask of class ids" if single else "; give --class for a mask of 0 and 255"
    return InputRejected("E_MASK_VALUES", name, cause, remedy)


def _sample(height: int, width: int) -> Iterator[Window]:
    """Windows spread over a raster, all of a small one."""
    rows = sorted({round(i * max(0, height - _SAMPLE_PX) / (_SAMPLED_SIDE - 1)) for i in range(_SAMPLED_SIDE)})
    cols = sorted({round(i * max(0, width - _SAMPLE_PX) / (_SAMPLED_SIDE - 1)) for i in range(_SAMPLED_SIDE)})
    for row in rows:
        for col in cols:
            yield Window(row, row + _SAMPLE_PX, col, col + _SAMPLE_PX).clip(height, width)


def _same_crs(one: Georeference, other: Georeference) -> bool:
    if one.crs_wkt is None or other.crs_wkt is None:
        return one.crs_wkt is other.crs_wkt
    return CRS.from_wkt(one.crs_wkt).equals(CRS.from_wkt(other.crs_wkt), ignore_axis_order=True)


def _crs_name(place: Georeference) -> str:
    return "none" if place.crs_wkt is None else CRS.from_wkt(place.crs_wkt).name


def _largest_shift_px(mask: Georeference, image: Georeference) -> float:
    """Largest distance between the same corner of both grids, in pixels of the picture."""
    rows, cols = (np.array(at, np.float64) for at in ([0, 0, mask.height, mask.height], [0, mask.width, 0, mask.width]))
    seen_rows, seen_cols = image.pixel_from_crs(*mask.crs_from_pixel(rows, cols))
    return float(np.hypot(seen_rows - rows, seen_cols - cols).max())
