"""Decisions as training data: pictures with masks, a folder per class, as `spanscan train` takes them.

What a reviewer decided on is labelled: accepted pixels as their class, rejected ones as background, re-classed ones as
the other class. Round it, as far as the reviewer's picture showed it, what the machine calls background is background;
everything else (defects nobody decided on, specks, what lies farther away, no data) is to be ignored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from segmentation.classes import CLASS_NAMES, DEFECT_CLASSES, PixelClass
from segmentation.errors import InputRejected
from segmentation.records import Defect, RasterInput
from segmentation.training.datasets import DAMAGE_VALUE, IGNORE_VALUE
from segmentation.windows import Window
from tasks.raster_reader import raster_reader
from tasks.report.places import native_window
from tasks.review.decisions import Decision
from tasks.review.defect_pixels import NOBODY, DefectIndex, owners
from tasks.review.pictures import SIDE_PX
from tasks.run_place import RunPlace

CELL_PX: Final = 640
"""Side of a picture; the cells lie on a grid of the raster, so that no pixel is taught twice."""
_MARGIN: Final = 0.3
"""Of a defect's size on each side: what the reviewer's picture shows round it."""

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    pictures: int
    damage_px: Mapping[str, int]
    """Pixels labelled as damage, by class."""
    folders: Mapping[str, Path]
    """The folder with ``images`` and ``masks`` of each class."""


@dataclass(frozen=True, slots=True)
class _Cell:
    raster: RasterInput
    window: Window

    @property
    def name(self) -> str:
        return f"{self.raster.slug}-r{self.window.row_start:06d}-c{self.window.col_start:06d}.png"


def export_masks(
    out: Path,
    *,
    rasters: Sequence[RasterInput],
    place: RunPlace,
    defects: Sequence[Defect],
    latest: Mapping[str, Decision],
) -> Exported:
    """Write ``<out>/crack`` and ``<out>/rust``, each with ``images`` and ``masks`` (0, 128 ignore, 255 damage).

    Raises InputRejected E_NO_DECISIONS where nobody decided on anything, E_NOT_EMPTY where `out` holds something,
    SpanscanError where a raster is no longer there.
    """
    decided = [d for d in defects if d.id in latest and latest[d.id].stands]
    if not decided:
        cause = "somebody must have decided on a defect, got no decision"
        raise InputRejected("E_NO_DECISIONS", place.run_uri, cause, "decide on some in `spanscan review` first")
    if out.is_dir() and any(out.iterdir()):
        raise InputRejected("E_NOT_EMPTY", str(out), "the folder must be empty or new", "name another one")
    folders = {CLASS_NAMES[one]: out / CLASS_NAMES[one] for one in DEFECT_CLASSES}
    for folder in folders.values():
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
    index, damage_px, pictures = DefectIndex(defects), dict.fromkeys(folders, 0), 0
    for cell in _cells(rasters, decided):
        near = index.within(cell.raster.name, cell.window)
        mask = place.masks.read_mask(cell.raster.slug, cell.window)
        labels = {name: _labels(mask, cell, near, latest, PixelClass[name.upper()]) for name in folders}
        if all((one == IGNORE_VALUE).all() for one in labels.values()):
            continue
        image = _image(cell, place)
        pictures += 1
        for name, folder in folders.items():
            Image.fromarray(image).save(folder / "images" / cell.name)
            Image.fromarray(labels[name]).save(folder / "masks" / cell.name)
            damage_px[name] += int((labels[name] == DAMAGE_VALUE).sum())
    return Exported(pictures, damage_px, folders)


def _labels(
    mask: Mask, cell: _Cell, near: Sequence[Defect], latest: Mapping[str, Decision], pixel_class: PixelClass
) -> Mask:
    """The mask of one class in a cell ``(H, W)``: 255 damage, 0 the rest, 128 what nobody knows."""
    owner = owners(mask, cell.window, near)
    labels = np.full(mask.shape, IGNORE_VALUE, np.uint8)
    for defect in near:
        if _stands(latest.get(defect.id)):
            seen = _shown(defect, cell.raster).intersect(cell.window)
            if seen is not None:
                part = seen.within(cell.window)
                labels[part][mask[part] == PixelClass.BACKGROUND] = 0
    for number, defect in enumerate(near):
        decision = latest.get(defect.id)
        if decision is not None and decision.stands:
            is_damage = decision.final_class == CLASS_NAMES[pixel_class]
            labels[owner == number] = DAMAGE_VALUE if is_damage else 0
    labels[(owner == NOBODY) & (mask != PixelClass.BACKGROUND)] = IGNORE_VALUE
    return labels


def _stands(decision: Decision | None) -> bool:
    return decision is not None and decision.stands


def _shown(defect: Defect, raster: RasterInput) -> Window:
    """What the reviewer saw of a defect and its surroundings."""
    georeference = raster.georeference
    window, whole = native_window(defect, georeference, max_side_px=SIDE_PX)
    if whole:
        return window
    margin_px = round(_MARGIN * SIDE_PX)
    return defect.window.grow(margin_px).clip(georeference.height, georeference.width)


def _cells(rasters: Sequence[RasterInput], decided: Iterable[Defect]) -> Iterator[_Cell]:
    """The cells that hold a decided defect's window, each once, raster by raster."""
    by_name: dict[str, set[tuple[int, int]]] = {}
    for defect in decided:
        rows = range(defect.window.row_start // CELL_PX, -(-defect.window.row_stop // CELL_PX))
        cols = range(defect.window.col_start // CELL_PX, -(-defect.window.col_stop // CELL_PX))
        by_name.setdefault(defect.raster_name, set()).update((row, col) for row in rows for col in cols)
    for raster in rasters:
        for row, col in sorted(by_name.get(raster.name, ())):
            window = Window(row * CELL_PX, (row + 1) * CELL_PX, col * CELL_PX, (col + 1) * CELL_PX)
            yield _Cell(raster, window.clip(raster.georeference.height, raster.georeference.width))


def _image(cell: _Cell, place: RunPlace) -> npt.NDArray[np.uint8]:
    """Colours ``(H, W, 3)``; raises InputRejected E_NO_PICTURE where a mask alone was measured."""
    if cell.raster.is_mask:
        cause = "training pictures must come from a raster, got a run on a mask alone"
        raise InputRejected("E_NO_PICTURE", cell.raster.name, cause, "measure the mask again with --image")
    with raster_reader(place.local_path(cell.raster), cell.raster) as reader:
        return reader.read(cell.window)[0]
