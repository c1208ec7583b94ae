"""Scores worked out by hand, and the laws that hold for any mask."""

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.training.metrics import Counts, score_at_tolerances, score_masks


def _score(predicted: np.ndarray, truth: np.ndarray, tolerance_px: float = 2.0) -> Counts:
    return score_masks(
        predicted.astype(np.uint8), truth.astype(np.uint8), pixel_class=1, truth_value=255, ignore_value=128,
        tolerance_px=tolerance_px,
    )  # fmt: skip


def _line(row: int, stop: int = 50) -> np.ndarray:
    mask = np.zeros((30, 50), np.uint8)
    mask[row, :stop] = 1
    return mask


def test_figures_of_a_small_mask_are_those_counted_by_hand() -> None:
    predicted = np.array([[1, 1, 1, 0, 2]])
    truth = np.array([[255, 255, 0, 255, 0]])
    score = _score(predicted, truth, 0.0)
    assert (score.true_positive, score.false_positive, score.false_negative, score.true_negative) == (2, 1, 1, 1)
    assert (score.iou, score.f1) == (2 / 4, 4 / 6)
    assert (score.precision, score.recall) == (2 / 3, 2 / 3)
    assert score.truth_share == 3 / 5
    assert score.predicted_share == 3 / 5


@pytest.mark.parametrize(("shift_px", "found"), [(0, 1.0), (2, 1.0), (3, 0.0)])
def test_a_line_beside_the_truth_counts_up_to_the_tolerance(shift_px: int, found: float) -> None:
    score = _score(_line(10 + shift_px), _line(10) * 255)
    assert score.tolerant_f1 == found
    assert score.cl_iou == found


def test_half_a_line_has_full_precision_and_about_half_the_recall() -> None:
    score = _score(_line(10, stop=25), _line(10) * 255)
    assert score.tolerant_precision == 1.0
    assert score.tolerant_recall == (25 + 2) / 50
    assert score.cl_iou == pytest.approx(25 / (25 + 23), abs=0.03)


def test_a_wide_answer_to_a_centre_line_keeps_its_centre_line() -> None:
    wide = np.zeros((30, 50), np.uint8)
    wide[8:13] = 1
    score = _score(wide, _line(10) * 255)
    assert score.cl_iou > 0.9
    assert score.iou == pytest.approx(1 / 5)


def test_ignored_pixels_count_nowhere() -> None:
    truth = _line(10) * 255
    truth[20:] = 128
    predicted = _line(10)
    predicted[25] = 1
    score = _score(predicted, truth)
    assert score.f1 == score.tolerant_f1 == score.cl_iou == 1.0
    assert score.true_negative == 20 * 50 - 50


def test_missing_all_damage_scores_nothing_and_no_damage_at_all_has_no_score() -> None:
    nothing = np.zeros((30, 50), np.uint8)
    assert _score(nothing, _line(10) * 255).tolerant_f1 == 0.0
    assert isnan(_score(nothing, nothing).iou)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        _score(np.zeros((3, 4)), np.zeros((4, 3)))


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 28))
def test_counts_of_two_halves_add_up_to_those_of_the_whole(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = rng.integers(0, 3, (29, 13)), rng.choice([0, 128, 255], (29, 13))
    parts = _score(predicted[:rows], truth[:rows]) + _score(predicted[rows:], truth[rows:])
    whole = _score(predicted, truth)
    assert (parts.iou, parts.precision, parts.images) == pytest.approx((whole.iou, whole.precision, 2), nan_ok=True)


@given(seed=st.integers(0, 10_000))
def test_a_wider_tolerance_never_lowers_a_score(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((29, 13)) < 0.1, np.where(rng.random((29, 13)) < 0.1, 255, 0)
    scores = [_score(predicted, truth, t).tolerant_f1 for t in (0.0, 1.0, 2.0, 4.0)]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(_score(predicted, truth).f1, nan_ok=True)


def _disc(radius_px: float, *, size: int = 60, middle: float = 30.0) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size]
    return np.hypot(rows - middle, cols - middle) <= radius_px


def test_a_disc_drawn_three_pixels_too_large_has_its_boundary_some_three_pixels_away() -> None:
    counts = score_at_tolerances(_disc(15), _disc(12), counted=np.ones((60, 60), np.bool_), tolerances_px=(2.0, 4.5))
    assert counts[0].boundary_f1 == 0.0
    assert counts[1].boundary_f1 == 1.0


def test_the_edge_of_the_image_and_of_what_is_left_out_is_no_boundary() -> None:
    truth, predicted, counted = np.ones((3, 20, 20), np.bool_)
    counted[:, 15:] = False
    predicted = predicted & (np.arange(20) < 17)
    (counts,) = score_at_tolerances(predicted, truth, counted=counted, tolerances_px=(1.0,))
    assert isnan(counts.boundary_f1)
    predicted[:5] = False
    (counts,) = score_at_tolerances(predicted, truth, counted=counted, tolerances_px=(1.0,))
    assert (counts.predicted_boundary_far, counts.truth_boundary_far, counts.boundary_f1) == (15, 0, 0.0)


def _near_by_brute_force(mask: np.ndarray, other: np.ndarray, distance_px: float) -> int:
    away = np.argwhere(mask)[:, None] - np.argwhere(other)[None]
    return int((np.hypot(*np.moveaxis(away, -1, 0)).min(axis=1, initial=np.inf) <= distance_px).sum())


@given(seed=st.integers(0, 10_000), tolerance=st.sampled_from([0.0, 1.0, 1.5, 3.0]))
def test_near_means_that_some_pixel_of_the_other_is_within_the_distance(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    said, true = rng.random((2, 17, 13)) < rng.choice([0.02, 0.2])
    (counts,) = score_at_tolerances(said, true, counted=np.ones((17, 13), np.bool_), tolerances_px=(tolerance,))
    assert counts.predicted_near_truth == _near_by_brute_force(said, true, tolerance)
    assert counts.truth_near_predicted == _near_by_brute_force(true, said, tolerance)


@given(seed=st.integers(0, 10_000))
def test_a_mask_scored_against_itself_is_perfect_in_every_way(seed: int) -> None:
    mask = np.random.default_rng(seed).random((19, 23)) < 0.2
    mask[0, 0], mask[1, 0] = True, False
    (counts,) = score_at_tolerances(mask, mask, counted=np.ones((19, 23), np.bool_), tolerances_px=(0.0,))
    figures = (counts.iou, counts.f1, counts.precision, counts.recall, counts.tolerant_f1, counts.boundary_f1)
    assert figures == (1.0,) * 6
    assert counts.cl_iou == 1.0


@given(seed=st.integers(0, 10_000))
def test_all_tolerances_at_once_are_those_taken_one_by_one(seed: int) -> None:
    said, true, counted = np.random.default_rng(seed).random((3, 19, 23)) < 0.4
    together = score_at_tolerances(said, true, counted=counted, tolerances_px=(0.0, 2.0, 4.0))
    alone = [score_at_tolerances(said, true, counted=counted, tolerances_px=(t,))[0] for t in (0.0, 2.0, 4.0)]
    assert list(together) == alone
