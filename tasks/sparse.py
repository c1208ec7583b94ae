"""Blocks of a sparse raster without data, known from the file's own table of strips and tiles: no pixel is read.

What was never written reads as nodata in a raster that may be inspected (`tasks.raster_checks` refuses others).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

from segmentation.inference.geometry import Block
from segmentation.windows import Window
from tasks.raster_file import open_raster, read_validity
from tasks.tiff_header import Layout, TiffHeader


def blocks_without_data(path: Path, blocks: Sequence[Block]) -> frozenset[Block]:
    """Those of `blocks` in which no strip or tile was written of what decides the validity of a staged raster."""
    with path.open("rb") as handle:
        header = TiffHeader(handle)
        layouts = [header.layout(index) for index in range(header.count)]
        index = _validity_directory(layouts)
        if index is None:
            return frozenset()
        written, layout = header.written(index), layouts[index]
    if written.all():
        return frozenset()
    with open_raster(path) as dataset:
        if not missing_reads_as_nodata(dataset, written, layout):
            return frozenset()
    return frozenset(block for block in blocks if not _reaches_written(block, written, layout))


def _validity_directory(layouts: Sequence[Layout]) -> int | None:
    """The directory whose missing strips or tiles mean nodata, by the rule of `read_validity`; None where none do."""
    full = layouts[0].width, layouts[0].height
    masks = [i for i, page in enumerate(layouts) if page.is_mask and (page.width, page.height) == full]
    if masks:
        return masks[0]
    image = layouts[0]
    # Bands apart may lack different tiles: what that means is left to GDAL.
    is_sparse = (image.has_alpha or image.has_nodata) and not image.is_planar
    return 0 if is_sparse else None


def missing_reads_as_nodata(dataset: rasterio.DatasetReader, written: npt.NDArray[np.bool_], layout: Layout) -> bool:
    """Whether GDAL says so of one missing strip or tile: a nodata value may be one that no pixel can have."""
    row, col = (int(at[0]) for at in np.nonzero(~written))
    top, left = row * layout.block_height, col * layout.block_width
    return not read_validity(dataset, Window(top, top + 1, left, left + 1)).any()


def _reaches_written(block: Block, written: npt.NDArray[np.bool_], layout: Layout) -> bool:
    window = block.window
    rows = slice(window.row_start // layout.block_height, -(-window.row_stop // layout.block_height))
    cols = slice(window.col_start // layout.block_width, -(-window.col_stop // layout.block_width))
    return bool(written[rows, cols].any())
