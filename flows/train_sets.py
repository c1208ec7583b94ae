"""Which labelled sets a training draws from, and in which shares."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from segmentation.training.datasets import DataSetSpec, known_sets

SHARES: Final = {"cracks_uav75": 0.14, "cracks_masonry": 0.28, "rust_photos": 0.22}
"""Shares of the crops by set in the recipe of the shipped weights; the rest is synthetic."""
_VALIDATION_SHARE = 0.15
_SCALE_RANGE = (0.6, 1.6)


def training_sets(
    data: Path | None,
    folders: Sequence[tuple[Path, Path, str]],
    *,
    others_absent: bool,
    synthetic_share: float,
) -> tuple[tuple[DataSetSpec, ...], float]:
    """The sets with shares that add up to 1 with the synthetic share, and that share: 1 where there are no sets.

    The known sets keep their shares among each other; each folder counts as much as all known sets together.
    Raises InputRejected ``E_NOT_FOUND`` where a known set is missing below `data`.
    """
    sets = [*_known(data), *(_own(*folder, others_absent=others_absent) for folder in folders)]
    if not sets:
        return (), 1.0
    total = sum(spec.share for spec in sets)
    shared = [replace(spec, share=(1 - synthetic_share) * spec.share / total) for spec in sets]
    return tuple(_told_apart(shared)), synthetic_share


def _told_apart(sets: Sequence[DataSetSpec]) -> list[DataSetSpec]:
    """The sets with a number behind names that are taken: scores are kept by name."""
    named: list[DataSetSpec] = []
    for spec in sets:
        taken = sum(other.name.split("#")[0] == spec.name for other in named)
        named.append(replace(spec, name=f"{spec.name}#{taken + 1}") if taken else spec)
    return named


def _known(data: Path | None) -> tuple[DataSetSpec, ...]:
    if data is None:
        return ()
    for name in SHARES:
        if not (data / name / "images").is_dir():
            cause = f"the folder must hold the set {name}, got none"
            raise InputRejected("E_NOT_FOUND", str(data), cause, "name the folder of the sets")
    return known_sets(data, shares=SHARES)


def _own(images: Path, masks: Path, class_name: str, *, others_absent: bool) -> DataSetSpec:
    for folder in (images, masks):
        if not folder.is_dir():
            raise InputRejected("E_NOT_FOUND", str(folder), "it must be a folder, got none", "mend the path")
    return DataSetSpec(
        name=images.name if images.name != "images" else images.parent.name,
        folder=images.parent,
        pixel_class=PixelClass[class_name.upper()],
        share=sum(SHARES.values()),
        line_labels=False,
        uncertain_px=0,
        scale_range=_SCALE_RANGE,
        others_absent=("*",) if others_absent else (),
        images=images,
        masks=masks,
        validation_share=_VALIDATION_SHARE,
    )
