"""The gate of a compiled model: what it scores beside the plain one, both through the tile path of the product."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.errors import InputRejected
from segmentation.inference.geometry import aligned_window, plan_read
from segmentation.inference.predictor import Predictor
from segmentation.models.compiled import GateFigure
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """An image with the truth about some of the classes."""

    split: str
    """The evaluation set that it counts for."""
    image: Bytes
    """``(H, W, 3)``."""
    validity: Bools
    """``(H, W)``."""
    truths: dict[PixelClass, tuple[Bools, Bools]]
    """For each class labelled: its pixels, and the pixels labelled either way, both ``(H, W)``."""


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What a pair of predictors scored."""

    figures: tuple[GateFigure, ...]
    """F1 and IoU of each class of each set in which any of it was there or found."""
    differing_share: float
    """Share of the pixels whose class is not that of the plain model."""


@dataclass(slots=True)
class _Tally:
    """Pixels of one class in one set: [plain, compiled] × (true positive, false positive, false negative)."""

    counts: npt.NDArray[np.int64]
    images: int = 0


def run_gate(plain: Predictor, compiled: Predictor, scenes: Iterable[LabelledScene]) -> GateOutcome:
    """Score both on the scenes, counts added over a set before any ratio is taken.

    Raises InputRejected E_NO_IMAGES where no scene holds damage, since nothing could then be lost.
    """
    tallies: dict[tuple[str, PixelClass], _Tally] = {}
    differing = pixels = 0
    for scene in scenes:
        masks = [_segment(predictor, scene) for predictor in (plain, compiled)]
        differing += int((masks[0] != masks[1]).sum())
        pixels += masks[0].size
        for pixel_class, (truth, counted) in scene.truths.items():
            tally = tallies.setdefault((scene.split, pixel_class), _Tally(np.zeros((2, 3), np.int64)))
            tally.images += 1
            for counts, mask in zip(tally.counts, masks, strict=True):
                counts += _confusion(mask == pixel_class, truth, counted)
    figures = tuple(
        figure for (split, kind), tally in tallies.items() for figure in _figures(split, CLASS_NAMES[kind], tally)
    )
    if not figures:
        raise InputRejected(
            "E_NO_IMAGES", "gate", "some image must show damage, got none", "give images with masks of damage"
        )
    return GateOutcome(figures, differing / pixels)


def _segment(predictor: Predictor, scene: LabelledScene) -> Bytes:
    rows, cols = scene.validity.shape
    owned = Window(0, rows, 0, cols)
    read = aligned_window(owned, predictor.geometry)
    plan = plan_read(read, rows, cols)
    return predictor.segment(plan.fill(scene.image), plan.fill(scene.validity), read=read, owned=owned).mask


def _confusion(found: Bools, truth: Bools, counted: Bools) -> npt.NDArray[np.int64]:
    hits = found & truth & counted
    return np.array([hits.sum(), (found & ~truth & counted).sum(), (~found & truth & counted).sum()], np.int64)


def _figures(split: str, class_name: str, tally: _Tally) -> list[GateFigure]:
    hits, false_alarms, missed = tally.counts.T.astype(float)
    if not (hits + missed).all():
        return []  # none of it is there: a share of nothing is no figure
    wrong = false_alarms + missed
    scores = {"F1": 2 * hits / (2 * hits + wrong), "IoU": hits / (hits + wrong)}
    return [
        GateFigure(split, class_name, metric, round(float(plain), 6), round(float(compiled), 6), tally.images)
        for metric, (plain, compiled) in scores.items()
    ]
