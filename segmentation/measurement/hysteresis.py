"""Cracks grown from what is surely crack through what is perhaps crack: a threshold with hysteresis (Canny, 1986).

A pixel of the background whose probability of being crack is at least a lower threshold becomes crack where it is
connected, by sides or corners and through pixels of the same kind, with a pixel that is crack already. Which pixels
are, is decided in two passes over blocks of any size: each block labels its candidates (`growth_table`), the tables are
joined over the blocks' borders (`grown_rows`), and each block then takes what was kept of its own (`grown_classes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt

from segmentation.classes import PixelClass
from segmentation.measurement.components import BlockComponents, label_block, linked_groups
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GrowthTable:
    """What one block knows of its cracks and of what they may grow into."""

    components: BlockComponents
    """Connected pixels that are crack or perhaps crack."""
    is_seeded: Bools
    """``(N,)`` whether one of a component's pixels inside the block is crack."""


def growth_table(classes: Bytes, probability: Bytes, *, window: Window, least: int) -> GrowthTable:
    """The table of one block.

    `classes` uint8 ``(H, W)`` class ids of `window`, `probability` uint8 ``(H, W)`` of the class crack (255 is 1.0),
    `least` the lower threshold in the same unit.
    """
    candidates = _candidates(classes, probability, least)
    components = label_block(candidates, window=window)
    is_seeded = np.zeros(components.area_px.size, np.bool_)
    if is_seeded.size:
        labels = cc3d.connected_components(candidates, connectivity=8)
        is_seeded[labels[classes == PixelClass.CRACK] - 1] = True
    return GrowthTable(components, is_seeded)


def grown_rows(tables: Sequence[GrowthTable]) -> list[Bools]:
    """For each block's table, which of its components ``(N,)`` hold a crack in any block, whatever their order."""
    groups = linked_groups([table.components for table in tables])
    is_seeded = np.concatenate([table.is_seeded for table in tables]) if tables else np.zeros(0, np.bool_)
    kept = np.zeros(int(groups.max(initial=-1)) + 1, np.bool_)
    kept[groups[is_seeded]] = True
    cuts = np.cumsum([table.is_seeded.size for table in tables])[:-1]
    return np.split(kept[groups], cuts) if tables else []


def grown_classes(classes: Bytes, probability: Bytes, *, least: int, kept: Bools) -> Bytes:
    """Class ids ``(H, W)`` of one block with its cracks grown; arguments as in `growth_table`, `grown_rows`."""
    if not kept.any():
        return classes
    labels = cc3d.connected_components(_candidates(classes, probability, least), connectivity=8)
    grown = np.concatenate([[False], kept])[labels]
    result: Bytes = np.where(grown, np.uint8(PixelClass.CRACK), classes)
    return result


def _candidates(classes: Bytes, probability: Bytes, least: int) -> Bytes:
    perhaps = (classes == PixelClass.BACKGROUND) & (probability >= least)
    candidates: Bytes = (perhaps | (classes == PixelClass.CRACK)).astype(np.uint8)
    return candidates
