"""The sheet of cases: the right order, nothing thin lost, nothing outside its panel."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.evaluate_sheet import case_score, fitted, fitted_mask, outlined
from segmentation.classes import PixelClass
from segmentation.training.metrics import Counts


@settings(max_examples=20)
@example(height=800, width=1, row=0.0, col=0.0)
@given(height=st.integers(1, 900), width=st.integers(1, 900), row=st.floats(0, 0.999), col=st.floats(0, 0.999))
def test_a_single_damaged_pixel_is_seen_at_any_size(height: int, width: int, row: float, col: float) -> None:
    mask = np.zeros((height, width), np.uint8)
    mask[int(row * height), int(col * width)] = PixelClass.RUST
    shown = fitted_mask(mask)
    assert (shown == PixelClass.RUST).any()
    assert shown.shape == fitted(np.zeros((height, width, 3), np.uint8)).shape[:2]
    assert max(shown.shape) == 400


def test_an_outline_leaves_the_damage_itself_to_be_seen() -> None:
    image, mask = np.full((40, 40, 3), 120, np.uint8), np.zeros((40, 40), np.uint8)
    mask[10:20, 10:20] = PixelClass.CRACK
    drawn = outlined(image, mask)
    assert (drawn[10:20, 10:20] == 120).all()
    assert (drawn[15, 8] != 120).any()
    assert (drawn[30:, 30:] == 120).all()


@pytest.mark.parametrize(
    ("counts", "score"),
    [
        (Counts(), 1.0),
        (Counts(false_positive=3), 0.0),
        (Counts(false_negative=3), 0.0),
        (Counts(true_positive=2, false_negative=2, predicted_near_truth=2, truth_near_predicted=2), 2 / 3),
    ],
    ids=["nothing there and nothing found", "a false alarm alone", "all missed", "half found"],
)
def test_cases_are_ordered_by_how_well_they_went(counts: Counts, score: float) -> None:
    assert case_score(counts, PixelClass.CRACK) == pytest.approx(score)
