"""Grey values between pixels, and widths told at fewer places: the fast ways against the general ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from segmentation.measurement import cracks
from segmentation.measurement.cracks import CrackResult, appearance_of, measure_crack
from segmentation.measurement.profiles import linear_between, sharpened
from tests.segmentation.measurement.rendering import SQUARE_MM, Rendered, centre_of, render, straight
from tests.segmentation.measurement.test_cracks import SHAPE, largest


@given(st.integers(1, 13), st.integers(1, 11), st.integers(0, 2**32 - 1))
def test_values_between_pixels_are_those_of_the_general_interpolation_beyond_the_rim_too(
    height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    grey = rng.uniform(0, 255, (height, width)).astype(np.float32)
    places = rng.uniform(-3, 16, (2, 5, 7)).astype(np.float32)
    expected = map_coordinates(grey, places, order=1, mode="nearest")
    np.testing.assert_allclose(linear_between(grey, places), expected, atol=1e-2)


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5])
def test_a_line_between_pixels_is_as_wide_as_it_was(phase: float) -> None:
    """A Gaussian line of σ = 0.9 px: linear interpolation alone has a variance of 0.81 + 1/6 px², sharpened 0.81."""
    cols = np.arange(41.0)
    grey = np.tile(np.exp(-((cols - 20 - phase) ** 2) / (2 * 0.9**2)), (5, 1)).astype(np.float32)
    at = np.arange(8.0, 32.0, 0.05, np.float32)
    places = np.stack([np.full((1, at.size), 2.0, np.float32), at[None]])

    def variance(values: np.ndarray) -> float:
        mean = float((values * at).sum() / values.sum())
        return float((values * (at - mean) ** 2).sum() / values.sum())

    assert variance(linear_between(grey, places)[0]) == pytest.approx(0.81 + 1 / 6, abs=0.01)
    assert variance(linear_between(sharpened(grey), places)[0]) == pytest.approx(0.81, abs=0.01)


def test_sharpening_leaves_even_and_sloping_ground_as_it_is() -> None:
    rows, cols = np.mgrid[:6, :9].astype(np.float32)
    slope = 100 + 3 * rows - 2 * cols
    np.testing.assert_allclose(sharpened(slope)[1:-1, 1:-1], slope[1:-1, 1:-1], atol=1e-3)
    np.testing.assert_allclose(sharpened(np.full((4, 5), 7.0, np.float32)), 7.0, atol=1e-4)


def measured(one: Rendered) -> CrackResult:
    return measure_crack(
        largest(one.pixels),
        image=one.image,
        probability=one.probability,
        scale=SQUARE_MM,
        origin=(0, 0),
        min_width_px=2.0,
    )


@pytest.mark.parametrize("width_px", [3.0, 6.0])
def test_widths_every_second_pixel_are_those_of_every_pixel(width_px: float, monkeypatch: pytest.MonkeyPatch) -> None:
    east, north = centre_of(SQUARE_MM, SHAPE)
    one = render(
        [straight((east, north), length_m=0.110, angle_deg=37.0)], width_m=width_px * 1e-3, shape=SHAPE, seed=3
    )
    every_second = measured(one).measure
    monkeypatch.setattr(cracks, "_STEP_PX", 1.0)
    every = measured(one).measure
    assert every_second.profile != every.profile
    assert every_second.length_m == pytest.approx(every.length_m, rel=0.003)
    assert every_second.mean_width_mm == pytest.approx(every.mean_width_mm, abs=0.03)
    assert every_second.max_width_mm == pytest.approx(every.max_width_mm, abs=0.08)


def test_the_middle_of_a_long_crack_tells_what_all_of_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    east, north = centre_of(SQUARE_MM, SHAPE)
    one = render([straight((east, north), length_m=0.130, angle_deg=20.0)], width_m=0.006, shape=SHAPE)
    how = {"image": one.image, "probability": one.probability, "scale": SQUARE_MM}
    monkeypatch.setattr(cracks, "_LOOK_PX", 80)
    part = appearance_of(largest(one.pixels), **how)  # type: ignore[arg-type]
    monkeypatch.setattr(cracks, "_LOOK_PX", 10_000)
    whole = appearance_of(largest(one.pixels), **how)  # type: ignore[arg-type]
    assert part != whole
    assert part.blur_px.value == pytest.approx(whole.blur_px.value, rel=0.06)
    assert part.darkness.value == pytest.approx(whole.darkness.value, rel=0.03)
