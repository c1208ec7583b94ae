"""Bootstrap intervals: reproducible, around the figure, as wide as theory says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.training.intervals import Interval, image_draws, interval_of_counts, interval_of_sums
from segmentation.training.metrics import Counts


def test_every_draw_has_as_many_images_and_equal_seeds_give_equal_draws() -> None:
    drawn = image_draws(7, draws=50, seed=3)
    assert (drawn.sum(axis=1) == 7).all()
    assert (drawn == image_draws(7, draws=50, seed=3)).all()
    assert (drawn != image_draws(7, draws=50, seed=4)).any()


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    rows = np.stack([values, np.ones(400)], axis=1)
    drawn = image_draws(400, draws=4000, seed=1)
    interval = interval_of_sums(rows, lambda total: float(total[0] / total[1]), drawn=drawn)
    error = values.std() / 20
    assert interval is not None
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_equal_images_leave_no_room_for_doubt() -> None:
    counts = [Counts(true_positive=3, false_positive=1, false_negative=1, images=1)] * 5
    interval = interval_of_counts(counts, lambda c: c.iou, drawn=image_draws(5, draws=100, seed=1))
    assert interval == Interval(0.6, 0.6)


def test_a_single_image_and_a_figure_that_is_mostly_undefined_have_no_interval() -> None:
    assert interval_of_counts([Counts(3, 1, 1)], lambda c: c.iou, drawn=image_draws(1, draws=100, seed=1)) is None
    nothing = [Counts()] * 4
    assert interval_of_counts(nothing, lambda c: c.iou, drawn=image_draws(4, draws=100, seed=1)) is None


@given(seed=st.integers(0, 1000), images=st.integers(2, 12))
def test_the_interval_lies_within_the_figures_of_single_images(seed: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    counts = [Counts(*(int(v) for v in rng.integers(1, 50, 3))) for _ in range(images)]
    interval = interval_of_counts(counts, lambda c: c.iou, drawn=image_draws(images, draws=200, seed=seed))
    assert interval is not None
    assert min(c.iou for c in counts) <= interval.low <= interval.high <= max(c.iou for c in counts)


def test_rows_and_draws_of_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match="one row"):
        interval_of_sums([[1.0]], float, drawn=image_draws(2, draws=10, seed=1))
