"""Whole scores of painted damage: perfect, blind and half-blind answers, graded and pooled."""

import numpy as np
import pytest

from segmentation.classes import PixelClass
from segmentation.measurement.grading import load_standards
from segmentation.training.business import Findings, ReviewCosts
from segmentation.training.calibration import calibration_error
from segmentation.training.curves import average_precision
from segmentation.training.evaluation import (
    EvaluationRules,
    ImageScore,
    LabelledPrediction,
    pool,
    score_image,
    undamaged_findings,
)

AASHTO, D610, ISO = "aashto-mbei-concrete-cracking", "astm-d610", "iso-4628-3"


def _rules(pixel_class: PixelClass, *, gsd_m: float | None = 0.001) -> EvaluationRules:
    return EvaluationRules(
        pixel_class=pixel_class,
        tolerance_px=3.0,
        width_limits_px=(2.0, 4.0),
        gsd_m=gsd_m,
        min_crack_width_px=2.0,
        min_crack_length_px=24.0,
        min_rust_area_px=64,
        standards=load_standards((AASHTO, D610, ISO)),
        review=ReviewCosts(image_s=20, confirm_s=10, reject_s=5, draw_s=60),
    )


def _wall(pixel_class: PixelClass) -> tuple[np.ndarray, np.ndarray]:
    """A crack of 4 px, or a patch of 40 × 50 px, on a wall of 200 × 250 px."""
    image = np.clip(np.random.default_rng(2).normal(170, 3, (200, 250, 1)).repeat(3, axis=2), 0, 255)
    truth = np.zeros((200, 250), np.bool_)
    if pixel_class == PixelClass.CRACK:
        truth[100:104, 20:220] = True
    else:
        truth[60:100, 80:130] = True
    image[truth] = (110, 60, 40)
    return image.astype(np.uint8), truth


def _score(
    pixel_class: PixelClass, predicted: np.ndarray, *, counted: np.ndarray | None = None, gsd_m: float | None = 0.001
) -> ImageScore:
    image, truth = _wall(pixel_class)
    probability = np.stack([np.where(predicted, np.uint8(255), np.uint8(0))] * 2)
    everything = np.ones(truth.shape, np.bool_) if counted is None else counted
    shown = LabelledPrediction(image, predicted, probability, truth, everything)
    return score_image("wall.png", shown, rules=_rules(pixel_class, gsd_m=gsd_m))


@pytest.mark.parametrize("pixel_class", [PixelClass.CRACK, PixelClass.RUST])
def test_the_truth_as_an_answer_is_perfect_and_flips_no_grade(pixel_class: PixelClass) -> None:
    _, truth = _wall(pixel_class)
    score = _score(pixel_class, truth)
    assert sorted(score.counts) == [2.0, 3.0, 4.0]
    assert all(c.f1 == c.tolerant_f1 == c.cl_iou == c.boundary_f1 == 1.0 for c in score.counts.values())
    assert average_precision(score.histogram) == 1.0
    assert calibration_error(score.histogram) == 0.0
    assert score.instances.ap == 1.0
    assert score.findings == Findings(reported=1, false_alarms=0, false_alarm_px=0, pieces=1, missed=0)
    assert all(true == said for true, said in score.grade_pairs.values())


def test_an_answer_that_misses_a_crack_of_four_millimetres_flips_its_grade() -> None:
    score = _score(PixelClass.CRACK, np.zeros((200, 250), np.bool_))
    assert score.grade_pairs == {AASHTO: ("CS3", "CS1")}
    assert score.lengths is not None
    assert score.lengths.missed_px.sum() == score.lengths.total_px.sum() == pytest.approx(200, abs=6)
    assert score.findings.missed == 1
    assert score.counts[3.0].recall == 0.0


def test_a_patch_of_four_percent_found_by_half_flips_only_the_finer_scale() -> None:
    half = _wall(PixelClass.RUST)[1] & (np.arange(250) < 105)
    score = _score(PixelClass.RUST, half)
    # 4 % and 2 % of the area: D610 grades 4 and 5, and both Ri 4.
    assert score.grade_pairs == {D610: ("4", "5"), ISO: ("Ri 4", "Ri 4")}
    assert score.lengths is None


def test_rust_is_graded_without_a_gsd_and_a_crack_is_not() -> None:
    assert _score(PixelClass.RUST, _wall(PixelClass.RUST)[1], gsd_m=None).grade_pairs[D610] == ("4", "4")
    assert _score(PixelClass.CRACK, _wall(PixelClass.CRACK)[1], gsd_m=None).grade_pairs == {}


def test_what_is_not_counted_is_nowhere_in_the_score() -> None:
    _, truth = _wall(PixelClass.RUST)
    counted = np.ones(truth.shape, np.bool_)
    counted[:, :60] = False
    noisy = truth.copy()
    noisy[20:60, 5:50] = True
    score = _score(PixelClass.RUST, noisy, counted=counted)
    assert score.pixels == 200 * 190
    assert score.counts[3.0].f1 == 1.0
    assert score.findings.reported == 1
    assert score.histogram.positives.sum() + score.histogram.negatives.sum() == score.pixels
    assert all(true == said for true, said in score.grade_pairs.values())


def test_a_broken_up_crack_is_one_instance_and_as_many_findings_as_are_listed() -> None:
    _, truth = _wall(PixelClass.CRACK)
    broken = truth.copy()
    broken[:, 118:120] = False
    score = _score(PixelClass.CRACK, broken)
    assert score.instances.ap50 == 1.0
    assert (score.findings.reported, score.findings.false_alarms) == (2, 0)


def test_pooled_counts_are_sums_and_flips_are_counted_by_image() -> None:
    _, truth = _wall(PixelClass.RUST)
    right, blind = _score(PixelClass.RUST, truth), _score(PixelClass.RUST, np.zeros_like(truth))
    pooled = pool([right, blind, right])
    assert (pooled.images, pooled.pixels) == (3, 3 * 200 * 250)
    assert pooled.counts[3.0].recall == pytest.approx(2 / 3)
    assert pooled.counts[3.0].images == 3
    assert pooled.flips == {D610: (1, 3), ISO: (1, 3)}
    assert (pooled.instances.pieces, pooled.instances.ap50) == (3, pytest.approx(2 / 3))


def test_findings_where_there_is_no_damage_are_false_alarms_but_for_specks() -> None:
    mask = np.zeros((60, 60), np.bool_)
    mask[5:15, 5:15] = mask[40, 40:45] = True
    found = undamaged_findings(mask, pixel_class=PixelClass.RUST, min_crack_length_px=24.0, min_rust_area_px=64)
    assert found == Findings(reported=1, false_alarms=1, false_alarm_px=100)
