"""Area and outline of rust patches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from segmentation.georeference import PixelScale
from segmentation.measurement.rust import measure_rust

SCALE = PixelScale(0.002, 0.0, 0.0, -0.003)


def patch(shape: tuple[int, int], seed: int, cut: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return gaussian_filter(rng.normal(size=shape), 1.5) > cut


@settings(max_examples=100, deadline=None)
@given(pixels=arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(np.any))
def test_the_outline_is_valid_and_holds_exactly_the_pixels(pixels: np.ndarray) -> None:
    result = measure_rust(pixels, scale=SCALE, origin=(30, 50))
    assert result.outline.is_valid
    assert result.outline.area == pytest.approx(pixels.sum())
    assert result.area_m2 == pytest.approx(pixels.sum() * 6e-6)
    col_start, row_start, col_stop, row_stop = result.outline.bounds
    rows, cols = np.nonzero(pixels)
    assert (row_start, row_stop) == (rows.min() + 30, rows.max() + 31)
    assert (col_start, col_stop) == (cols.min() + 50, cols.max() + 51)


def test_holes_are_kept() -> None:
    pixels = np.ones((10, 10), bool)
    pixels[3:6, 3:6] = False
    result = measure_rust(pixels, scale=SCALE, origin=(0, 0))
    assert len(result.outline.geoms[0].interiors) == 1
    assert result.outline.area == 91


def test_a_ragged_outline_is_simplified_within_one_percent_of_its_area() -> None:
    pixels = patch((600, 600), 1, -0.02)
    result = measure_rust(pixels, scale=SCALE, origin=(0, 0))
    assert result.outline.is_valid
    assert result.outline.area == pytest.approx(pixels.sum(), rel=0.01)
    assert result.area_m2 == pytest.approx(pixels.sum() * 6e-6)


def test_a_patch_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        measure_rust(np.zeros((3, 3), bool), scale=SCALE, origin=(0, 0))
