"""What the values of a raster mean: its colours, its range, and whether there are any."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, gcd
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from segmentation.errors import InputRejected
from segmentation.windows import Window
from tasks.raster_file import gdal_words, read_validity
from tasks.tiff_header import BlockTable, Layout

_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_UNNAMED = frozenset({ColorInterp.gray, ColorInterp.undefined})
_FOREIGN_PHOTOMETRIC = {0: "white is zero", 3: "palette", 5: "CMYK", 8: "CIELab", 9: "ICCLab", 10: "ITULab"}
_SAMPLED_BLOCKS = 64
_SAMPLE_SIDE_PX = 1024
_SEARCH_LIMIT_PX = 200_000_000
_ROBUST_PERCENTILE = 99.9
_MAP_BANDS = (
    "write an RGB or RGBA raster, or name the bands of red, green and blue in SPANSCAN_RGB_BANDS, for instance [1,2,3]"
)


def rgb_bands_of(
    dataset: rasterio.DatasetReader, layout: Layout, name: str, *, rgb_bands: tuple[int, int, int] | None
) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """1-based bands of red, green and blue, and warnings; raises InputRejected E_BANDS.

    `rgb_bands` is the operator's word and wins. Else the colour interpretation tells, in any order and with an
    alpha band anywhere; three bands that say nothing of colour are taken for red, green and blue.
    """
    count = dataset.count
    if rgb_bands is not None:
        if not all(1 <= band <= count for band in rgb_bands) or len(set(rgb_bands)) != 3:
            cause = f"SPANSCAN_RGB_BANDS must name three of its {count} bands, got {rgb_bands}"
            raise InputRejected("E_BANDS", name, cause, "mend the setting")
        return rgb_bands, ()
    colours = dataset.colorinterp
    _check_one_validity(dataset, name)
    foreign = _FOREIGN_PHOTOMETRIC.get(layout.photometric)
    if foreign is not None or ColorInterp.palette in colours:
        cause = f"the colours must be RGB or RGBA, got {foreign or 'palette'}"
        raise InputRejected("E_BANDS", name, cause, "write it as RGB, for instance with gdal_translate -expand rgb")
    seen = [(band, colour) for band, colour in enumerate(colours, 1) if colour != ColorInterp.alpha]
    by_colour = {colour: band for band, colour in seen}
    if len(seen) == 3 and all(colour in by_colour for colour in _COLOURS):
        red, green, blue = (by_colour[colour] for colour in _COLOURS)
        return (red, green, blue), ()
    if len(seen) == 3 and all(colour in _UNNAMED for _, colour in seen):
        first, second, third = (band for band, _ in seen)
        return (first, second, third), (f"{name}: bands without colours, taken for red, green and blue",)
    cause = f"the bands must be red, green, blue and perhaps alpha, got {', '.join(c.name for c in colours[:12])}"
    raise InputRejected("E_BANDS", name, cause, _MAP_BANDS)


def _check_one_validity(dataset: rasterio.DatasetReader, name: str) -> None:
    """Raise InputRejected E_BANDS for an alpha band beside a nodata value, which GDAL takes for the alpha's own."""
    is_masked = any(MaskFlags.per_dataset in flags for flags in dataset.mask_flag_enums)
    if is_masked or ColorInterp.alpha not in dataset.colorinterp or dataset.nodata in (None, 0):
        return
    cause = f"an alpha band must alone tell what holds data, got the nodata value {dataset.nodata:g} beside it"
    raise InputRejected("E_BANDS", name, cause, "take the value away, for instance with gdal_edit.py -unsetnodata")


def check_dtype(dataset: rasterio.DatasetReader, layout: Layout, bands: tuple[int, int, int], name: str) -> str:
    """``uint8`` or ``uint16``; raises InputRejected E_DTYPE for anything else."""
    kinds = {dataset.dtypes[band - 1] for band in bands}
    kind = next(iter(kinds))
    if len(kinds) == 1 and layout.sample_format == 1 and (kind, layout.bits) in _accepted_kinds():
        return str(kind)
    cause = f"values must be uint8 or uint16, got {', '.join(sorted(kinds))} of {layout.bits} bits"
    raise InputRejected("E_DTYPE", name, cause, "write it as uint8, for instance with gdal_translate -ot Byte -scale")


def check_holds_data(dataset: rasterio.DatasetReader, layout: Layout, table: BlockTable, name: str) -> None:
    """Raise InputRejected E_ALL_NODATA where no pixel that is looked at holds data, blocks far apart first."""
    if all(MaskFlags.all_valid in flags for flags in dataset.mask_flag_enums):
        return
    looked_px = 0
    for window in _spread_windows(layout, table):
        with _telling_decode_errors(name, window):
            if read_validity(dataset, window).any():
                return
        looked_px += window.area_px
        if looked_px > _SEARCH_LIMIT_PX:
            break
    cause = f"some pixel must hold data, got nodata in all {looked_px} looked at"
    raise InputRejected("E_ALL_NODATA", name, cause, "check the nodata value and the mask of the raster")


def value_range_of(
    dataset: rasterio.DatasetReader, layout: Layout, table: BlockTable, bands: tuple[int, int, int], name: str
) -> tuple[tuple[float, float], tuple[str, ...]]:
    """The values to be mapped to 0 and 255, and warnings.

    uint8: (0, 255). uint16: (0, 2ⁿ − 1), with n the bits per sample where fewer than 16 are declared, else the
    least n ≥ 8 whose range holds the 99.9th percentile of some 64 blocks spread over the raster. So a raster
    that was widened from 8 bits maps back to what it was, a 12-bit camera keeps its full scale, black stays
    black and a few hot pixels decide nothing.
    """
    if layout.bits == 8:
        return (0.0, 255.0), ()
    bits = layout.bits if layout.bits < 16 else _bits_in_use(dataset, layout, table, bands, name)
    return (0.0, float(2**bits - 1)), (f"{name}: uint16, values 0 … {2**bits - 1} mapped to 0 … 255",)


@contextmanager
def _telling_decode_errors(name: str, window: Window) -> Iterator[None]:
    try:
        yield
    except RasterioError as error:
        cause = (
            f"every pixel must decode, got an error in rows {window.row_start}–{window.row_stop}, "
            f"columns {window.col_start}–{window.col_stop}: {gdal_words(error, Path(name))}"
        )
        raise InputRejected("E_TILE_DECODE", name, cause, "write the raster again and upload it again") from error


def _accepted_kinds() -> frozenset[tuple[str, int]]:
    return frozenset({("uint8", 8), *(("uint16", bits) for bits in range(9, 17))})


def _bits_in_use(
    dataset: rasterio.DatasetReader, layout: Layout, table: BlockTable, bands: tuple[int, int, int], name: str
) -> int:
    histogram = np.zeros(65536, np.int64)
    for sampled, window in enumerate(_spread_windows(layout, table)):
        if sampled == _SAMPLED_BLOCKS:
            break
        with _telling_decode_errors(name, window):
            values = _read(dataset, bands, window)
            known = read_validity(dataset, window)
        histogram += np.bincount(values[:, known].ravel(), minlength=65536)
    if not histogram.any():
        return 16
    share = np.cumsum(histogram) / histogram.sum()
    return max(8, int(np.searchsorted(share, _ROBUST_PERCENTILE / 100)).bit_length())


def _read(dataset: rasterio.DatasetReader, bands: tuple[int, int, int], window: Window) -> npt.NDArray[np.uint16]:
    rows, cols = window.shape
    where = RasterioWindow(window.col_start, window.row_start, cols, rows)
    values: npt.NDArray[np.uint16] = dataset.read(list(bands), window=where)
    return values


def _spread_windows(layout: Layout, table: BlockTable) -> Iterator[Window]:
    """Windows that cover the blocks that were written, each inside one, in an order that jumps about.

    A step near the golden ratio of the count, prime to it, visits all and leaves no region out for long.
    """
    across = ceil(layout.width / layout.block_width)
    per_plane = across * ceil(layout.height / layout.block_height)
    blocks = table.written_sample if table.missing_count else range(per_plane)
    height, width = min(layout.block_height, _SAMPLE_SIDE_PX), min(layout.block_width, _SAMPLE_SIDE_PX)
    parts_down, parts_across = ceil(layout.block_height / height), ceil(layout.block_width / width)
    count = len(blocks) * parts_down * parts_across
    step = max(1, round(count * 0.618))
    while gcd(step, count) != 1:
        step += 1
    for i in range(count):
        block, part = divmod(i * step % count, parts_down * parts_across)
        block_row, block_col = divmod(blocks[block] % per_plane, across)
        part_row, part_col = divmod(part, parts_across)
        row, col = (
            block_row * layout.block_height + part_row * height,
            block_col * layout.block_width + part_col * width,
        )
        block_window = Window(
            block_row * layout.block_height,
            (block_row + 1) * layout.block_height,
            block_col * layout.block_width,
            (block_col + 1) * layout.block_width,
        ).clip(layout.height, layout.width)
        window = block_window.intersect(Window(row, row + height, col, col + width))
        if window is not None:
            yield window
