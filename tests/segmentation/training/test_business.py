"""What errors cost: lengths, alarms and minutes of damage of known size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.training.business import (
    Findings,
    ReviewCosts,
    count_findings,
    crack_lengths,
    review_minutes,
    width_class,
)

LIMITS_PX = (2.5, 6.0)


def _wall(width_px: int, *, length_px: int = 160, label_px: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A dark horizontal crack on a bright wall, and its mask, drawn `label_px` wide where that is another width."""
    rng = np.random.default_rng(5)
    image = np.clip(rng.normal(180, 3, (80, 220, 1)).repeat(3, axis=2), 0, 255)
    image[40 : 40 + width_px, 30 : 30 + length_px] = 60
    mask = np.zeros((80, 220), np.bool_)
    drawn = label_px or width_px
    first = 40 + (width_px - drawn) // 2
    mask[first : first + drawn, 30 : 30 + length_px] = True
    return image.astype(np.uint8), mask


@pytest.mark.parametrize(("width_px", "kind"), [(4, 1), (9, 2)])
def test_a_crack_counts_in_the_class_of_its_width_with_its_length(width_px: int, kind: int) -> None:
    image, truth = _wall(width_px)
    lengths = crack_lengths(truth, truth, image=image, limits_px=LIMITS_PX, tolerance_px=2.0)
    assert lengths.total_px.argmax() == kind
    assert lengths.total_px.sum() == pytest.approx(160, abs=5)
    assert lengths.missed_px.sum() == 0


def test_a_crack_drawn_as_a_thin_line_counts_with_the_width_that_the_image_shows() -> None:
    image, truth = _wall(5, label_px=3)
    lengths = crack_lengths(truth, truth, image=image, limits_px=(4.0, 6.0), tolerance_px=2.0)
    assert lengths.total_px[1] > 0.8 * lengths.total_px.sum()


def test_what_no_prediction_comes_near_is_missed() -> None:
    image, truth = _wall(4)
    half = truth & (np.arange(220) < 110)
    found = crack_lengths(truth, half, image=image, limits_px=LIMITS_PX, tolerance_px=3.0)
    assert found.missed_px.sum() == pytest.approx(80 - 3, abs=4)
    nothing = crack_lengths(truth, np.zeros_like(truth), image=image, limits_px=LIMITS_PX, tolerance_px=3.0)
    assert nothing.missed_px.tolist() == nothing.total_px.tolist()


@settings(max_examples=6)
@given(seed=st.integers(0, 1000))
def test_a_wider_tolerance_never_misses_more(seed: int) -> None:
    image, truth = _wall(3)
    predicted = np.random.default_rng(seed).random(truth.shape) < 0.01
    missed = [
        crack_lengths(truth, predicted, image=image, limits_px=LIMITS_PX, tolerance_px=t).missed_px.sum()
        for t in (0.0, 2.0, 4.0, 8.0)
    ]
    assert missed == sorted(missed, reverse=True)


def test_widths_at_a_limit_belong_to_the_wider_class() -> None:
    assert width_class(np.array([0.0, 2.5, 5.9, 6.0]), LIMITS_PX).tolist() == [0, 1, 1, 2]


def _count(said: np.ndarray, true: np.ndarray, tolerance_px: float = 1.0) -> Findings:
    return count_findings(
        said.astype(np.int64), true.astype(np.int64), predicted=said > 0, truth=true > 0, tolerance_px=tolerance_px
    )


def test_a_finding_is_a_false_alarm_where_less_than_half_of_it_is_on_damage() -> None:
    said, true = np.zeros((2, 10, 40))
    said[0, 0:10], said[4, 0:10], said[8, 0:10] = 1, 2, 3
    true[0, 6:30] = 1  # 6 … 9 and, within 1 px, 5: five of ten pixels of the first finding
    true[4, 7:10] = 2  # four of ten of the second
    assert _count(said, true) == Findings(reported=3, false_alarms=2, false_alarm_px=20, pieces=2, missed=1)


def test_a_finding_on_a_speck_of_damage_is_no_false_alarm() -> None:
    said = np.zeros((5, 9), np.int64)
    said[2, 2:5] = 1
    found = count_findings(said, said * 0, predicted=said > 0, truth=said > 0, tolerance_px=0.0)
    assert (found.reported, found.false_alarms, found.pieces) == (1, 0, 0)


def test_without_damage_every_finding_is_a_false_alarm() -> None:
    said = np.zeros((5, 9))
    said[2, 2:5] = 1
    assert _count(said, said * 0) == Findings(reported=1, false_alarms=1, false_alarm_px=3)


@given(numbers=st.lists(st.integers(0, 20), min_size=10, max_size=10))
def test_findings_add_up_and_so_do_their_minutes(numbers: list[int]) -> None:
    one, other = Findings(*numbers[:5]), Findings(*numbers[5:])
    costs = ReviewCosts(image_s=0.0, confirm_s=7.0, reject_s=3.0, draw_s=50.0)

    def minutes(findings: Findings) -> float:
        return review_minutes(findings, images=3, costs=costs)

    assert minutes(one + other) == pytest.approx(minutes(one) + minutes(other))
