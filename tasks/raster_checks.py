"""May this raster be inspected: from its first bytes to its scale, cheapest question first."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

from segmentation.errors import InputRejected
from segmentation.windows import Window
from tasks.input_limits import InputLimits
from tasks.raster_checked import CheckedRaster
from tasks.raster_decode import check_decodes
from tasks.raster_file import open_raster
from tasks.raster_place import check_gsd, place_of
from tasks.raster_values import check_dtype, check_holds_data, rgb_bands_of, value_range_of
from tasks.sparse import missing_reads_as_nodata
from tasks.tiff_header import BlockTable, CutOffError, HeaderError, Layout, TiffHeader

_WRITE_AGAIN = "write the raster again as a GeoTIFF from its source and upload it again"
_UPLOAD_AGAIN = "upload the file again"
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHER_MAGIC = {
    b"\xff\xd8\xff": "a JPEG",
    b"\x89PNG": "a PNG",
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"<": "XML or HTML text",
    b"{": "JSON text",
}
_RATIO_FROM_BYTES = 1 << 30
"""Below this decoded size a high ratio does no harm: a plain colour compresses a thousandfold."""


def check_raster(
    path: Path,
    *,
    name: str,
    gsd_range_m: tuple[float, float] | None,
    gsd_m_override: float | None,
    rgb_bands: tuple[int, int, int] | None,
    limits: InputLimits,
    most_decoded_bytes: int | None,
    on_window: Callable[[Window], None],
) -> CheckedRaster:
    """What the raster at `path` is; raises InputRejected with the first reason against it.

    `gsd_range_m` None: any scale. `gsd_m_override` is the scale of a raster without a place on the earth;
    `rgb_bands` None: from the colour interpretation. `name` is what the operator calls the file. At most about
    `most_decoded_bytes` of its pixels are decoded, None: all; `on_window` is called before each window of them.
    """
    layout, table = check_header(path, name, limits)
    with open_raster(path) as dataset, path.open("rb") as handle:
        if (dataset.height, dataset.width) != (layout.height, layout.width):
            cause = f"GDAL must see {layout.height} × {layout.width} px, got {dataset.height} × {dataset.width}"
            raise InputRejected("E_TIFF_HEADER", name, cause, _WRITE_AGAIN)
        bands, band_warnings = rgb_bands_of(dataset, layout, name, rgb_bands=rgb_bands)
        dtype = check_dtype(dataset, layout, bands, name)
        if table.missing_count:
            _check_missing_is_nodata(dataset, layout, table, TiffHeader(handle).written(0), name)
        place, place_warnings = place_of(dataset, layout, name, gsd_m_override=gsd_m_override)
        gsd_m = check_gsd(place, name, gsd_range_m=gsd_range_m)
        check_holds_data(dataset, layout, table, name)
        value_range, value_warnings = value_range_of(dataset, layout, table, bands, name)
        look = check_decodes(path, dataset, name, most_bytes=most_decoded_bytes, on_window=on_window)
    warnings = (*band_warnings, *place_warnings, *value_warnings)
    return CheckedRaster(place, gsd_m, dtype, bands, value_range, warnings, look)


def check_header(path: Path, name: str, limits: InputLimits) -> tuple[Layout, BlockTable]:
    """The layout and the block offsets of the one image of the file, once its directories and offsets hold."""
    with path.open("rb") as handle:
        _check_magic(handle.read(4), name)
        try:
            header = TiffHeader(handle)
            layouts = [header.layout(index) for index in range(header.count)]
            _check_single_image(layouts, name)
            for layout in layouts:
                _check_size(layout, name, limits)
            tables = [header.blocks(index) for index in range(header.count)]
            is_masked = _is_masked_where_missing(header, layouts)
        except CutOffError as error:
            raise InputRejected("E_TRUNCATED", name, str(error), _UPLOAD_AGAIN) from error
        except HeaderError as error:
            raise InputRejected("E_TIFF_HEADER", name, str(error), _WRITE_AGAIN) from error
    outside_count = sum(table.outside_count for table in tables)
    if outside_count:
        cause = (
            f"every strip and tile must lie inside the file of {path.stat().st_size} bytes, got {outside_count} beyond"
        )
        raise InputRejected("E_TRUNCATED", name, cause, _UPLOAD_AGAIN)
    if not is_masked:
        _check_missing(layouts[0], tables[0].missing_count, name)
    _check_ratio(layouts[0], tables[0].missing_count, path.stat().st_size, name, limits)
    return layouts[0], tables[0]


def _check_magic(magic: bytes, name: str) -> None:
    if not magic:
        raise InputRejected("E_EMPTY", name, "the file must hold a raster, got 0 bytes", _UPLOAD_AGAIN)
    if magic in _TIFF_MAGIC:
        return
    kind = next((kind for start, kind in _OTHER_MAGIC.items() if magic.startswith(start)), f"bytes {magic.hex(' ')}")
    raise InputRejected("E_NOT_TIFF", name, f"the file must begin as a TIFF does, got {kind}", "upload a GeoTIFF")


def _check_single_image(layouts: list[Layout], name: str) -> None:
    first, others = layouts[0], layouts[1:]
    is_image = not first.is_overview and not first.is_mask
    pages = [page for page in others if not page.is_overview and not page.is_mask]
    larger = [page for page in others if (page.width, page.height) > (first.width, first.height)]
    if is_image and not pages and not larger:
        return
    page = (pages or larger or others or [first])[0]
    cause = (
        f"the file must hold one image, got a first page of {first.width} × {first.height} px "
        f"and another of {page.width} × {page.height} px that is no overview or mask of it"
    )
    raise InputRejected("E_MULTIPAGE", name, cause, "write each page to a file of its own")


def _check_size(layout: Layout, name: str, limits: InputLimits) -> None:
    pixel_count = layout.width * layout.height
    if pixel_count > limits.max_raster_px:
        got = f"{layout.width} × {layout.height} = {pixel_count}"
        cause = f"a raster must have at most {limits.max_raster_px} px, got {got}"
        raise InputRejected("E_TOO_BIG", name, cause, "cut it into several rasters, or raise SPANSCAN_MAX_RASTER_PX")
    if layout.held_bytes > limits.max_block_bytes:
        cause = (
            f"a strip or tile must decode to at most {limits.max_block_bytes} bytes, got {layout.held_bytes} "
            f"({layout.block_width} × {layout.block_height} px)"
        )
        raise InputRejected(
            "E_BLOCK_TOO_BIG", name, cause, "write it with tiles of 512 px, or raise SPANSCAN_MAX_INPUT_BLOCK_BYTES"
        )


def _check_missing(layout: Layout, missing_count: int, name: str) -> None:
    # A block that was never written reads as the nodata value, or as 0: transparent where there is an alpha band.
    if missing_count == 0 or layout.has_nodata or (layout.has_alpha and not layout.is_planar):
        return
    raise _missing(f"{missing_count} of {layout.block_count} missing, which read as black", name)


def _check_missing_is_nodata(
    dataset: rasterio.DatasetReader,
    layout: Layout,
    table: BlockTable,
    written: npt.NDArray[np.bool_],
    name: str,
) -> None:
    """Raise InputRejected E_MISSING_TILES where what is missing would be taken for pixels.

    So it is where only some bands lack a tile, and where the nodata value is one that no pixel can have.
    """
    planes = layout.samples if layout.is_planar else 1
    lacking = planes * int(np.count_nonzero(~written))
    if lacking != table.missing_count:
        raise _missing(f"{table.missing_count - lacking} missing in some of its bands alone", name)
    if not missing_reads_as_nodata(dataset, written, layout):
        raise _missing(f"{table.missing_count} missing, which the declared nodata value does not cover", name)


def _missing(got: str, name: str) -> InputRejected:
    remedy = "write the raster again, or declare a nodata value that its pixels can have for a sparse one"
    return InputRejected("E_MISSING_TILES", name, f"every strip or tile must be written, got {got}", remedy)


def _is_masked_where_missing(header: TiffHeader, layouts: list[Layout]) -> bool:
    """Whether a mask of the same tiles lacks all that the image lacks: what was never masked in is nodata."""
    first = layouts[0]
    masks = [
        i for i, page in enumerate(layouts) if page.is_mask and (page.width, page.height) == (first.width, first.height)
    ]
    if not masks:
        return False
    image, mask = header.written(0), header.written(masks[0])
    return image.shape == mask.shape and not (mask & ~image).any()


def _check_ratio(layout: Layout, missing_count: int, size_bytes: int, name: str, limits: InputLimits) -> None:
    decoded_bytes = layout.decoded_bytes * (1 - missing_count / layout.block_count)
    ratio = decoded_bytes / size_bytes
    if decoded_bytes > _RATIO_FROM_BYTES and ratio > limits.max_ratio:
        got = f"{ratio:.0f} times {size_bytes} bytes"
        cause = f"a file must decode to at most {limits.max_ratio:g} times its size, got {got}"
        raise InputRejected("E_RATIO", name, cause, "check the file; raise SPANSCAN_MAX_INPUT_RATIO if it is right")
