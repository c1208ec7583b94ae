"""What of the widths along a crack is noise, and what is the crack."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segmentation.measurement.cracks import measure_crack
from segmentation.measurement.width_noise import running_median, without_noise
from tests.segmentation.measurement.rendering import SQUARE_MM, centre_of, render, straight
from tests.segmentation.measurement.test_cracks import SHAPE, measured

NOISE = 0.2


@dataclass(frozen=True)
class Line:
    id: str
    width: np.ndarray
    """True widths at points a pixel apart."""
    most_error: float
    """Allowed error of the largest width, averaged over trials."""


AT = np.arange(140.0)
LINES = [
    Line("even-crack-keeps-its-mean", np.full(140, 3.0), 0.06),
    Line("crack-that-opens-steadily", 2 + AT / 70, 0.12),
    Line("bulge-of-ten-times-the-noise", 3 + 2 * np.exp(-(((AT - 60) / 10) ** 2) / 2), 0.15),
]


def noisy(width: np.ndarray, seed: int) -> np.ndarray:
    """Running widths with errors of σ = NOISE that are alike over some 7 px."""
    errors = np.random.default_rng(seed).normal(0, 1, width.size // 7 + 1).repeat(7)[: width.size]
    return width + NOISE * errors


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.id)
def test_the_largest_width_is_that_of_the_crack_and_not_of_its_errors(line: Line) -> None:
    raw = [noisy(line.width, seed) for seed in range(40)]
    found = [without_noise([width], noise=NOISE, steps=[1.0])[0] for width in raw]
    error = np.array([width.max() for width in found]) - line.width.max()
    before = np.array([width.max() for width in raw]) - line.width.max()
    assert abs(error.mean()) <= line.most_error
    assert np.abs(error).mean() <= np.abs(before).mean()


def test_branches_of_one_width_do_not_make_a_crack_wide_but_a_wide_branch_does() -> None:
    alike = [np.full(40, 3.0 + offset) for offset in (0.15, -0.1, -0.05, 0.0)]
    found = without_noise(alike, noise=NOISE, steps=[1.0] * 4)
    assert max(width.max() for width in found) == pytest.approx(3.0, abs=0.01)
    different = [np.full(40, 6.0), np.full(40, 2.0)]
    found = without_noise(different, noise=NOISE, steps=[1.0] * 2)
    assert found[0].max() == pytest.approx(6.0, abs=0.05)
    assert found[1].max() == pytest.approx(2.0, abs=0.05)


@given(
    widths=st.lists(st.lists(st.floats(0.5, 20) | st.just(float("nan")), min_size=1, max_size=30), max_size=4),
    noise=st.floats(0, 3),
)
@example(widths=[[1.0]], noise=2e-260)  # its square is no float
def test_no_width_leaves_the_range_of_the_widths_and_none_is_invented(widths: list[list[float]], noise: float) -> None:
    raw = [np.array(one) for one in widths]
    found = without_noise(raw, noise=noise, steps=[1.0] * len(raw))
    known = np.concatenate([one[np.isfinite(one)] for one in raw]) if raw else np.empty(0)
    for before, after in zip(raw, found, strict=True):
        assert np.array_equal(np.isfinite(before), np.isfinite(after))
        inside = after[np.isfinite(after)]
        if inside.size:
            span = known.max() - known.min()
            assert inside.min() >= known.min() - span - 1e-9
            assert inside.max() <= known.max() + span + 1e-9
    if noise == 0:
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(raw, found, strict=True))


def test_a_speck_shorter_than_seven_pixels_does_not_widen_a_line() -> None:
    width = np.full(60, 3.0)
    width[30:33] = 9.0
    assert running_median(width, 1.0).max() == 3.0
    width[30:38] = 9.0
    assert running_median(width, 1.0).max() == 9.0


def test_a_crack_that_swells_is_stated_with_its_largest_width() -> None:
    line = straight(centre_of(SQUARE_MM, SHAPE), length_m=0.110, angle_deg=34)
    share = np.linspace(0, 1, 221)
    line = line[0] + share[:, None] * (line[-1] - line[0])
    width_px = 3 + 3 * np.sin(np.pi * share) ** 2
    for seed in range(3):
        found = measured(render([line], width_m=[width_px * 1e-3], shape=SHAPE, seed=seed)).measure
        assert abs(found.max_width_mm - 6.0) <= 0.25
        assert found.max_width_mm > found.mean_width_mm + 1.0


def test_what_a_joint_beside_the_crack_adds_to_its_width_is_covered_by_the_uncertainty() -> None:
    """Symptom: 15.05 ± 0.66 mm was stated of a crack 6.4 mm wide. Cause: a dark joint of the brickwork beside it."""
    east, north = centre_of(SQUARE_MM, SHAPE)
    one = render([straight((east, north), length_m=0.110, angle_deg=0.0)], width_m=0.005, shape=SHAPE)
    image = one.image.copy()
    rows, cols = (np.flatnonzero(one.pixels.any(axis=axis)) for axis in (1, 0))
    beside = np.s_[rows[-1] + 1 : rows[-1] + 8, cols[30] : cols[60]]
    image[beside] = image[rows[len(rows) // 2], cols[30] : cols[60]]  # as dark as the crack
    told = measure_crack(
        one.pixels, image=image, probability=one.probability, scale=SQUARE_MM, origin=(0, 0), min_width_px=2.0
    ).measure
    assert told.max_width_mm > 7  # the image alone cannot tell them apart
    assert told.max_width_mm - told.width_uncertainty_mm <= 5.1
    assert told.mean_width_mm < 6.5
