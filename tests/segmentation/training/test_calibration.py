"""Reliability tables of known probabilities."""

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.training.calibration import calibration_error, reliability
from segmentation.training.curves import PixelHistogram


def _histogram(counts: dict[int, tuple[int, int]]) -> PixelHistogram:
    """From (true, other) pixels by level."""
    positives, negatives = np.zeros((2, 256), np.int64)
    for level, (true, other) in counts.items():
        positives[level], negatives[level] = true, other
    return PixelHistogram(positives, negatives)


def test_a_probability_that_holds_has_no_error() -> None:
    histogram = _histogram({0: (0, 100), 51: (20, 80), 204: (80, 20), 255: (50, 0)})
    assert calibration_error(histogram) == pytest.approx(0.0, abs=1e-12)


def test_an_overconfident_probability_errs_by_its_excess_weighted_by_its_pixels() -> None:
    # 0.8 stated, 0.5 observed on 100 of 400 pixels; the other 300 are right.
    histogram = _histogram({204: (50, 50), 0: (0, 300)})
    assert calibration_error(histogram) == pytest.approx(0.3 * 100 / 400)


def test_the_table_states_pixels_mean_and_share_of_each_bin() -> None:
    table = reliability(_histogram({25: (1, 3), 26: (0, 4), 255: (2, 0)}))
    assert [row.pixels for row in table] == [4, 4, 0, 0, 0, 0, 0, 0, 0, 2]
    assert table[0].stated == pytest.approx(25 / 255)
    assert table[0].observed == 1 / 4
    assert (table[9].low, table[9].high, table[9].observed) == (0.9, 1.0, 1.0)
    assert isnan(table[5].stated)


def test_without_a_pixel_there_is_no_error_to_state() -> None:
    assert isnan(calibration_error(_histogram({})))


@given(seed=st.integers(0, 10_000), bins=st.sampled_from([1, 7, 10, 15, 256]))
def test_the_error_is_that_of_numpy_digitize_on_every_pixel(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    levels, truth = rng.integers(0, 256, 400), rng.random(400) < 0.4
    histogram = PixelHistogram(np.bincount(levels[truth], minlength=256), np.bincount(levels[~truth], minlength=256))
    stated = levels / 255
    # Thousandths are added so that a level on a limit is put above it on either way.
    number = np.clip(np.digitize(stated + 1e-9, np.linspace(0, 1, bins + 1)) - 1, 0, bins - 1)
    expected = sum(
        (number == k).mean() * abs(stated[number == k].mean() - truth[number == k].mean()) for k in set(number)
    )
    assert calibration_error(histogram, bins=bins) == pytest.approx(expected)


def test_more_bins_than_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="bins must be"):
        reliability(_histogram({}), bins=300)
