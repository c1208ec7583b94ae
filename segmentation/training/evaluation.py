"""One image scored in every way, and the scores of many images as one: technical figures and what errors cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.measurement.grading import Standard
from segmentation.training.business import Findings, LineLengths, ReviewCosts, count_findings, crack_lengths
from segmentation.training.curves import PixelHistogram, pixel_histogram
from segmentation.training.grade_flips import grades
from segmentation.training.instances import (
    InstanceMatches,
    Labels,
    area_overlaps,
    instance_labels,
    line_overlaps,
    match_instances,
    mean_per_instance,
)
from segmentation.training.metrics import Counts, score_at_tolerances

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

USUAL_TOLERANCES_PX: Final = (2.0, 4.0)
"""Tolerances that figures of line labels are usually stated at."""


@dataclass(frozen=True, slots=True)
class EvaluationRules:
    """How images are scored."""

    pixel_class: PixelClass
    """The class that the masks label."""
    tolerance_px: float
    """Distance at which a line still counts as found."""
    width_limits_px: tuple[float, ...]
    """Limits between the classes of crack width, ascending."""
    gsd_m: float | None
    """Metres per pixel of the images; None: lengths stay in pixels, and widths are not graded."""
    min_crack_width_px: float
    """Least width that the product states."""
    min_crack_length_px: float
    """Shorter cracks are specks."""
    min_rust_area_px: int
    """Smaller patches are specks."""
    standards: tuple[Standard, ...]
    """Grading tables; those of the class are used."""
    review: ReviewCosts
    """What a reviewer is assumed to need."""

    @property
    def tolerances_px(self) -> tuple[float, ...]:
        """The chosen tolerance and the usual ones, ascending."""
        return tuple(sorted({self.tolerance_px, *USUAL_TOLERANCES_PX}))


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPrediction:
    """A prediction beside its truth."""

    image: Bytes
    """``(H, W, 3)``."""
    predicted: Bools
    """``(H, W)`` called the class by the engine's own rule."""
    probability: Bytes
    """``(2, H, W)`` of CRACK and RUST; 255 is 1."""
    truth: Bools
    """``(H, W)`` labelled as the class."""
    counted: Bools
    """``(H, W)`` labelled either way, and inspected."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageScore:
    """All that is counted of one image."""

    name: str
    """File name."""
    pixels: int
    """Pixels counted."""
    counts: Mapping[float, Counts]
    """By tolerance in pixels."""
    histogram: PixelHistogram
    """Of the class's probability."""
    instances: InstanceMatches
    """Findings against pieces of damage: rust by area, cracks along centre lines within the tolerance."""
    findings: Findings
    """The same, as a reviewer meets them."""
    lengths: LineLengths | None
    """Of true cracks by width; None for rust."""
    grade_pairs: Mapping[str, tuple[str, str]]
    """By standard, the state of the truth and that of the prediction; {} where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class PooledScore:
    """All images as one: counts are added before any ratio is taken."""

    images: int
    pixels: int
    counts: Mapping[float, Counts]
    """By tolerance in pixels."""
    histogram: PixelHistogram
    instances: InstanceMatches
    findings: Findings
    lengths: LineLengths | None
    """None for rust."""
    flips: Mapping[str, tuple[int, int]]
    """By standard, images whose state differs, and images graded."""


def score_image(name: str, shown: LabelledPrediction, *, rules: EvaluationRules) -> ImageScore:
    """Score one prediction; what is not counted is neither predicted nor true."""
    predicted, truth = shown.predicted & shown.counted, shown.truth & shown.counted
    chance = shown.probability[DEFECT_CLASSES.index(rules.pixel_class)]
    tolerances = rules.tolerances_px
    counts = score_at_tolerances(predicted, truth, counted=shown.counted, tolerances_px=tolerances)
    join_px = rules.tolerance_px if rules.pixel_class == PixelClass.CRACK else 0.0
    said, true = _instances(predicted, rules, join_px=join_px), _instances(truth, rules, join_px=join_px)
    # The product lists what is connected: a reviewer meets each part of a broken-up crack by itself.
    listed = _instances(predicted, rules, join_px=0.0) if join_px > 0 else said
    lengths = None
    if rules.pixel_class == PixelClass.CRACK:
        lengths = crack_lengths(
            truth, predicted, image=shown.image, limits_px=rules.width_limits_px, tolerance_px=rules.tolerance_px
        )
    return ImageScore(
        name=name,
        pixels=int(shown.counted.sum()),
        counts=dict(zip(tolerances, counts, strict=True)),
        histogram=pixel_histogram(chance, truth, counted=shown.counted),
        instances=_matches(said, true, chance=chance, rules=rules),
        findings=count_findings(listed, true, predicted=predicted, truth=truth, tolerance_px=rules.tolerance_px),
        lengths=lengths,
        grade_pairs=_grade_pairs(shown, rules),
    )


def pool(scores: Sequence[ImageScore]) -> PooledScore:
    """The scores of many images as one; raises ValueError where there is none."""
    if not scores:
        raise ValueError("there must be at least one image to pool, got none")
    standards = sorted({name for score in scores for name in score.grade_pairs})
    pairs = {name: [s.grade_pairs[name] for s in scores if name in s.grade_pairs] for name in standards}
    lengths = [score.lengths for score in scores if score.lengths is not None]
    return PooledScore(
        images=len(scores),
        pixels=sum(score.pixels for score in scores),
        counts={t: reduce(add, (score.counts[t] for score in scores)) for t in scores[0].counts},
        histogram=reduce(add, (score.histogram for score in scores)),
        instances=reduce(add, (score.instances for score in scores)),
        findings=reduce(add, (score.findings for score in scores)),
        lengths=reduce(add, lengths) if lengths else None,
        flips={name: (sum(a != b for a, b in found), len(found)) for name, found in pairs.items()},
    )


def _instances(mask: Bools, rules: EvaluationRules, *, join_px: float) -> Labels:
    return instance_labels(
        mask,
        pixel_class=rules.pixel_class,
        join_px=join_px,
        min_crack_length_px=rules.min_crack_length_px,
        min_rust_area_px=rules.min_rust_area_px,
    )


def _matches(said: Labels, true: Labels, *, chance: Bytes, rules: EvaluationRules) -> InstanceMatches:
    if rules.pixel_class == PixelClass.CRACK:
        overlaps = line_overlaps(said, true, tolerance_px=rules.tolerance_px)
    else:
        overlaps = area_overlaps(said, true)
    confidence = mean_per_instance(chance, said)
    return InstanceMatches(confidence, match_instances(overlaps, confidence), overlaps.shape[1])


def _grade_pairs(shown: LabelledPrediction, rules: EvaluationRules) -> Mapping[str, tuple[str, str]]:
    gsd_m = rules.gsd_m
    if gsd_m is None:
        if rules.pixel_class == PixelClass.CRACK:
            return {}
        gsd_m = 0.001  # a share of the area is the same at any GSD
    said, true = (
        grades(
            damage,
            counted=shown.counted,
            pixel_class=rules.pixel_class,
            probability=shown.probability,
            image=shown.image,
            gsd_m=gsd_m,
            standards=rules.standards,
            min_crack_width_px=rules.min_crack_width_px,
            min_crack_length_px=rules.min_crack_length_px,
            min_rust_area_px=rules.min_rust_area_px,
        )
        for damage in (shown.predicted, shown.truth)
    )
    return {name: (true[name], said[name]) for name in true}


def undamaged_findings(
    mask: Bools, *, pixel_class: PixelClass, min_crack_length_px: float, min_rust_area_px: int
) -> Findings:
    """Findings ``(H, W)`` in a picture without damage: each that the product would list is a false alarm."""
    labels = instance_labels(
        mask,
        pixel_class=pixel_class,
        join_px=0.0,
        min_crack_length_px=min_crack_length_px,
        min_rust_area_px=min_rust_area_px,
    )
    nothing = np.zeros_like(labels)
    return count_findings(labels, nothing, predicted=mask, truth=np.zeros_like(mask), tolerance_px=0.0)
