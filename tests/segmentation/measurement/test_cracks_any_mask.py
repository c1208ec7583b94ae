"""Whatever a mask looks like, its cracks are measured: finite figures, no exception."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from segmentation.measurement.cracks import crack_result, measure_crack, trace_crack
from tests.segmentation.measurement.rendering import SQUARE_MM


def shown(pixels: np.ndarray) -> dict[str, Any]:
    grey = np.where(pixels, 60, 160).astype(np.uint8)
    image, probability = np.repeat(grey[..., None], 3, axis=2), pixels.astype(np.float32)
    return {"image": image, "probability": probability, "scale": SQUARE_MM, "origin": (0, 0)}


def measured_alone(pixels: np.ndarray) -> None:
    result = measure_crack(pixels, **shown(pixels), min_width_px=2.0)
    assert np.isfinite(result.measure.length_m)
    assert result.measure.length_m > 0
    assert np.isfinite(result.measure.max_width_mm)
    assert result.measure.width_uncertainty_mm > 0


def largest_part(pixels: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(pixels, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    return labels == 1 + int(sizes.argmax()) if count else pixels


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.9), grown=st.integers(0, 2))
def test_any_blob_has_a_finite_length_and_width(seed: int, share: float, grown: int) -> None:
    pixels = np.random.default_rng(seed).random((24, 24)) < share
    if grown:
        pixels = ndimage.binary_dilation(
            pixels & (np.random.default_rng(seed + 1).random((24, 24)) < 0.1), iterations=grown
        )
    if pixels.any():
        measured_alone(largest_part(pixels))


@pytest.mark.parametrize("side_px", [2, 3, 4, 5])
@pytest.mark.parametrize("hole_px", [0, 1, 2])
def test_a_small_ring_is_measured(side_px: int, hole_px: int) -> None:
    """The skeleton of a ring of some pixels begins where it ends: in one piece it had no step (division by zero)."""
    pixels = np.zeros((24, 24), np.bool_)
    pixels[8 : 8 + side_px + hole_px, 8 : 8 + side_px + hole_px] = True
    middle = 8 + side_px // 2
    pixels[middle : middle + hole_px, middle : middle + hole_px] = False
    measured_alone(pixels)


@given(seed=st.integers(0, 2**32 - 1), length_px=st.integers(2, 60), changes=st.integers(0, 12))
def test_a_crack_cut_into_any_parts_keeps_its_length(seed: int, length_px: int, changes: int) -> None:
    """A part of two points, both told by the image, once had no width by the mask either: an empty maximum."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((40, 80), np.bool_)
    pixels[18:22, 8 : 8 + length_px] = True
    trace = trace_crack(pixels, **shown(pixels))
    labels = []
    for path in trace.paths:
        cuts = np.sort(rng.integers(0, len(path.piece_m) + 1, changes))
        labels.append((np.searchsorted(cuts, np.arange(len(path.piece_m)), side="right")).astype(np.int32))
    parts = [crack_result(trace, labels=labels, label=label, min_width_px=2.0) for label in range(changes + 1)]
    whole = sum(float(path.piece_m.sum()) for path in trace.paths)
    assert sum(part.measure.length_m for part in parts if part) == pytest.approx(whole)
    assert all(np.isfinite(part.measure.max_width_mm) for part in parts if part)
