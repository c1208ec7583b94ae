"""What lies outside every structure, for runs that are told not to inspect it."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from segmentation.measurement.structures import StructureIndex
from segmentation.records import RasterInput, Structure
from segmentation.windows import Window

CELL_PX = 512
"""Side of the cells that are inspected whole or not at all: chunks of the mask, whatever the size of a tile."""
MARGIN_PX = 64
"""Cells that end within this distance of a structure are inspected: a defect at its edge is then seen whole."""


def structures_in(structures: Sequence[Structure], raster: RasterInput) -> StructureIndex:
    """The structures as they lie in a raster, placed once."""
    return _placed(tuple(structures), raster)


def parts_on_structures(owned: Window, *, structures: StructureIndex, height: int, width: int) -> tuple[Window, ...]:
    """The cells of a block that come within `MARGIN_PX` of a structure, neighbours in a row joined; () for none.

    A block with all of them is one part.
    """
    parts: list[Window] = []
    is_whole = True
    for row in range(owned.row_start, owned.row_stop, CELL_PX):
        for col in range(owned.col_start, owned.col_stop, CELL_PX):
            cell = Window(row, min(row + CELL_PX, owned.row_stop), col, min(col + CELL_PX, owned.col_stop))
            if not (structures.indices(cell.grow(MARGIN_PX).clip(height, width)) >= 0).any():
                is_whole = False
            elif parts and parts[-1].row_start == row and parts[-1].col_stop == col:
                parts[-1] = parts[-1].union(cell)
            else:
                parts.append(cell)
    return (owned,) if is_whole else tuple(parts)


def wanted_of(owned: Window, parts: Sequence[Window]) -> npt.NDArray[np.bool_] | None:
    """Which pixels of a block lie in one of its parts, bool ``(H, W)``; None where all do."""
    if tuple(parts) == (owned,):
        return None
    wanted = np.zeros(owned.shape, np.bool_)
    for part in parts:
        wanted[part.within(owned)] = True
    return wanted


@lru_cache(maxsize=16)
def _placed(structures: tuple[Structure, ...], raster: RasterInput) -> StructureIndex:
    return StructureIndex(structures, raster.georeference, raster_name=raster.name)
