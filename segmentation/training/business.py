"""What errors of a mask cost its user: missed length, false alarms, wrong area, minutes of review."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmentation.classes import PixelClass
from segmentation.georeference import PixelScale
from segmentation.inference.geometry import Block
from segmentation.measurement.components import Component, component_pixels, join_blocks, label_block
from segmentation.measurement.cracks import trace_crack
from segmentation.measurement.defects import measuring_window
from segmentation.training.instances import Labels
from segmentation.training.metrics import Bools, distance_px
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

PIXEL_UNITS = PixelScale(1.0, 0.0, 0.0, -1.0)
"""A scale in which a metre is a pixel: lengths come out in pixels."""
_ON_DAMAGE = 0.5
"""A finding is a false alarm where less than this share of it lies on damage."""


@dataclass(frozen=True, slots=True, eq=False)
class LineLengths:
    """Length of true cracks by their width; adds up over images."""

    total_px: Floats
    """``(K,)`` length in pixels, by class of width."""
    missed_px: Floats
    """``(K,)`` of it without a prediction within the tolerance."""

    def __add__(self, other: "LineLengths") -> "LineLengths":
        return LineLengths(self.total_px + other.total_px, self.missed_px + other.missed_px)


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings of some images as a reviewer meets them; adds up over images."""

    reported: int = 0
    """Findings that the product would list."""
    false_alarms: int = 0
    """Those of which less than half lies within the tolerance of damage."""
    false_alarm_px: int = 0
    """Their pixels."""
    pieces: int = 0
    """Pieces of damage there are."""
    missed: int = 0
    """Those of which less than half lies within the tolerance of a prediction."""

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(
            self.reported + other.reported,
            self.false_alarms + other.false_alarms,
            self.false_alarm_px + other.false_alarm_px,
            self.pieces + other.pieces,
            self.missed + other.missed,
        )


@dataclass(frozen=True, slots=True)
class ReviewCosts:
    """What a reviewer is assumed to need, in seconds: assumptions, not measurements."""

    image_s: float
    """To open an image and look it over."""
    confirm_s: float
    """To look at one finding and confirm it."""
    reject_s: float
    """More than that for a false alarm, to be sure and to delete it."""
    draw_s: float
    """To draw one piece of damage that was missed."""


def review_minutes(findings: Findings, *, images: int, costs: ReviewCosts) -> float:
    """Minutes to check and mend the findings of some images: each looked at, false ones deleted, missed ones drawn.

    >>> costs = ReviewCosts(image_s=40, confirm_s=10, reject_s=5, draw_s=60)
    >>> review_minutes(Findings(reported=4, false_alarms=2, pieces=3, missed=1), images=1, costs=costs)
    2.5
    """
    seconds = images * costs.image_s + findings.reported * costs.confirm_s
    seconds += findings.false_alarms * costs.reject_s + findings.missed * costs.draw_s
    return seconds / 60


def width_class(width_px: Floats, limits_px: Sequence[float]) -> npt.NDArray[np.int64]:
    """Class of each width: 0 below the first limit, then one more at each limit reached.

    >>> width_class(np.array([1.9, 2.0, 9.0]), (2.0, 4.0)).tolist()
    [0, 1, 2]
    """
    return np.searchsorted(np.asarray(limits_px, np.float64), width_px, side="right").astype(np.int64)


def crack_lengths(
    truth: Bools, predicted: Bools, *, image: Bytes, limits_px: Sequence[float], tolerance_px: float
) -> LineLengths:
    """Length of the true cracks by width, and how much of it has no predicted pixel within the tolerance.

    `truth` and `predicted` bool ``(H, W)``, `image` uint8 ``(H, W, 3)``. Centre lines and widths are those that the
    product measures on the true mask (`segmentation.measurement.cracks`): by the image across the line, or by the mask
    where the image does not tell; so cracks drawn as thin lines have their visible width.
    """
    total, missed = np.zeros((2, len(limits_px) + 1))
    away_px = distance_px(predicted)
    mask = truth.astype(np.uint8)
    for component in crack_components(mask):
        window = measuring_window(component, height=truth.shape[0], width=truth.shape[1])
        inner = window.slices()
        trace = trace_crack(
            component_pixels(mask[inner], window=window, component=component),
            image=image[inner],
            probability=truth[inner].astype(np.float32),
            scale=PIXEL_UNITS,
            origin=(window.row_start, window.col_start),
        )
        for path in trace.paths:
            width = np.where(np.isfinite(path.width_m), path.width_m, path.distance_width_m)
            kind = width_class((width[1:] + width[:-1]) / 2, limits_px)
            middle = np.floor((path.points[1:] + path.points[:-1]) / 2).astype(int)
            rows, cols = np.clip(middle, 0, np.array(truth.shape) - 1).T
            lost = away_px[rows, cols] > tolerance_px
            np.add.at(total, kind, path.piece_m)
            np.add.at(missed, kind[lost], path.piece_m[lost])
    return LineLengths(total, missed)


def crack_components(mask: Bytes) -> tuple[Component, ...]:
    """Cracks of a mask of class ids ``(H, W)``."""
    block = Block(0, 0, Window(0, mask.shape[0], 0, mask.shape[1]))
    found = join_blocks([label_block(mask, window=block.window)])
    return tuple(component for component in found if component.pixel_class == PixelClass.CRACK)


def count_findings(said: Labels, true: Labels, *, predicted: Bools, truth: Bools, tolerance_px: float) -> Findings:
    """Findings and pieces of damage by whether half of them lies within the tolerance of the other.

    `said` and `true` ``(H, W)`` number the findings and the pieces of damage that are counted; `predicted` and
    `truth` are all pixels of either, so that a finding on a speck of damage is no false alarm.
    """
    on_damage = _share_near(said, truth, tolerance_px)
    found = _share_near(true, predicted, tolerance_px)
    false = on_damage < _ON_DAMAGE
    areas = np.bincount(said.ravel(), minlength=len(on_damage) + 1)[1:]
    return Findings(
        reported=len(on_damage),
        false_alarms=int(false.sum()),
        false_alarm_px=int(areas[false].sum()),
        pieces=len(found),
        missed=int((found < _ON_DAMAGE).sum()),
    )


def _share_near(labels: Labels, mask: Bools, tolerance_px: float) -> Floats:
    count = int(labels.max()) if labels.size else 0
    if count == 0:
        return np.empty(0)
    near = distance_px(mask) <= tolerance_px
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return np.asarray(np.bincount(labels[near], minlength=count + 1)[1:] / sizes, np.float64)
