"""Precision-recall curves against the definition, written out pixel by pixel."""

from dataclasses import dataclass
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.training.curves import (
    OperatingPoint,
    PixelHistogram,
    average_precision,
    best_point,
    operating_points,
    pixel_histogram,
)

EVERYTHING = np.ones((4, 25), np.bool_)


def _random(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know something of the truth, with many ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random((4, 25)) < 0.3
    levels = np.clip(rng.normal(90 + 70 * truth, 60), 0, 255) // rng.choice([1, 40]) * 1
    return levels.astype(np.uint8), truth


@dataclass(frozen=True)
class Ranking:
    name: str
    levels: list[int]
    truth: list[int]
    expected: float
    """Average precision worked out by hand."""


RANKINGS = [
    Ranking("all true pixels first", [255, 200, 10, 0], [1, 1, 0, 0], 1.0),
    Ranking("the true pixel last of four", [200, 100, 50, 0], [0, 0, 0, 1], 1 / 4),
    Ranking("one found at once, the other third", [200, 100, 50, 0], [1, 0, 1, 0], (1 + 2 / 3) / 2),
    Ranking("a tie of true and false comes as one", [100, 100, 0, 0], [1, 0, 0, 0], 1 / 2),
    Ranking("everything at probability 0", [0, 0, 0, 0], [1, 0, 0, 0], 1 / 4),
]


@pytest.mark.parametrize("case", RANKINGS, ids=lambda case: case.name)
def test_average_precision_is_that_worked_out_by_hand(case: Ranking) -> None:
    truth = np.array([case.truth], np.bool_)
    histogram = pixel_histogram(np.array([case.levels], np.uint8), truth, counted=np.ones_like(truth))
    assert average_precision(histogram) == pytest.approx(case.expected)


@given(seed=st.integers(0, 10_000))
def test_average_precision_is_the_sum_over_the_distinct_scores(seed: int) -> None:
    levels, truth = _random(seed)
    expected, recall_before = 0.0, 0.0
    for score in sorted(set(levels.ravel().tolist()), reverse=True):
        called = levels >= score
        recall = (called & truth).sum() / truth.sum()
        expected += (recall - recall_before) * (called & truth).sum() / called.sum()
        recall_before = recall
    assert average_precision(pixel_histogram(levels, truth, counted=EVERYTHING)) == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), level=st.integers(0, 255))
def test_each_point_is_what_its_threshold_gives(seed: int, level: int) -> None:
    levels, truth = _random(seed)
    point = operating_points(pixel_histogram(levels, truth, counted=EVERYTHING))[level]
    called = levels / 255 >= point.threshold - 1e-12
    assert point.recall == pytest.approx((called & truth).sum() / truth.sum())
    if called.any():
        assert point.precision == pytest.approx((called & truth).sum() / called.sum())
    else:
        assert isnan(point.precision)


@given(seed=st.integers(0, 10_000))
def test_no_threshold_has_a_better_f1_than_the_best(seed: int) -> None:
    levels, truth = _random(seed)
    best = best_point(pixel_histogram(levels, truth, counted=EVERYTHING))
    assert best is not None

    def f1(threshold: float) -> float:
        called = levels / 255 >= threshold - 1e-12
        return 2 * (called & truth).sum() / (called.sum() + truth.sum())

    assert best.f1 == pytest.approx(f1(best.threshold))
    assert best.f1 >= max(f1(threshold) for threshold in np.linspace(0, 1.01, 500)) - 1e-12


@given(seed=st.integers(0, 10_000))
def test_histograms_of_two_images_add_up_to_that_of_both(seed: int) -> None:
    levels, truth = _random(seed)
    halves = [pixel_histogram(levels[s], truth[s], counted=EVERYTHING[s]) for s in (slice(0, 1), slice(1, 4))]
    both, whole = halves[0] + halves[1], pixel_histogram(levels, truth, counted=EVERYTHING)
    assert (both.positives == whole.positives).all()
    assert (both.negatives == whole.negatives).all()


def test_what_is_not_counted_is_in_no_histogram() -> None:
    counted = np.zeros((1, 3), np.bool_)
    counted[0, 0] = True
    histogram = pixel_histogram(np.array([[9, 9, 9]], np.uint8), np.array([[True, True, False]]), counted=counted)
    assert (histogram.positives.sum(), histogram.negatives.sum()) == (1, 0)


def test_without_a_true_pixel_there_is_no_figure() -> None:
    nothing = PixelHistogram(np.zeros(256, np.int64), np.ones(256, np.int64))
    assert isnan(average_precision(nothing))
    assert best_point(nothing) is None


def test_among_equal_points_the_highest_threshold_is_the_best() -> None:
    positives, negatives = np.zeros((2, 256), np.int64)
    positives[200], negatives[10] = 3, 5
    best = best_point(PixelHistogram(positives, negatives))
    assert best == OperatingPoint(200 / 255, 1.0, 1.0, 1.0)
