"""Cracks grown through what is perhaps crack: the same pixels for any blocks, and those a flood fill would reach."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_propagation

from segmentation.classes import NODATA, PixelClass
from segmentation.inference.geometry import blocks
from segmentation.measurement.hysteresis import grown_classes, grown_rows, growth_table
from segmentation.windows import Window

SHAPE = (23, 31)
CLASSES = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, NODATA]))
CHANCES = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 60, 77, 120]))


def windows_of(shape: tuple[int, int], block_px: int) -> Iterator[Window]:
    return (block.window for block in blocks(*shape, block_px=block_px))


def grown(classes: np.ndarray, probability: np.ndarray, *, least: int, block_px: int) -> np.ndarray:
    windows = list(windows_of(classes.shape, block_px))
    tables = [growth_table(classes[w.slices()], probability[w.slices()], window=w, least=least) for w in windows]
    result = np.empty_like(classes)
    for window, kept in zip(windows, grown_rows(tables), strict=True):
        inner = window.slices()
        result[inner] = grown_classes(classes[inner], probability[inner], least=least, kept=kept)
    return result


@given(CLASSES, CHANCES, st.sampled_from([3, 5, 11, 13]))
@settings(max_examples=80, deadline=None)
def test_blocks_of_any_size_grow_what_a_flood_fill_of_the_whole_reaches(
    classes: np.ndarray, probability: np.ndarray, block_px: int
) -> None:
    perhaps = (classes == PixelClass.CRACK) | ((classes == PixelClass.BACKGROUND) & (probability >= 77))
    reached = binary_propagation(classes == PixelClass.CRACK, np.ones((3, 3)), mask=perhaps)
    expected = np.where(reached, PixelClass.CRACK, classes)
    np.testing.assert_array_equal(grown(classes, probability, least=77, block_px=block_px), expected)


@given(CLASSES, CHANCES)
@settings(max_examples=30, deadline=None)
def test_a_second_growth_changes_nothing(classes: np.ndarray, probability: np.ndarray) -> None:
    once = grown(classes, probability, least=77, block_px=8)
    np.testing.assert_array_equal(grown(once, probability, least=77, block_px=8), once)


@pytest.mark.parametrize("block_px", [7, 64])
def test_a_thin_crack_is_whole_again_and_what_touches_no_crack_stays_out(block_px: int) -> None:
    classes, probability = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    probability[20, 5:55] = 100
    probability[30, 5:55] = 100
    classes[20, 25:28] = PixelClass.CRACK
    classes[20, 50] = PixelClass.RUST
    found = grown(classes, probability, least=90, block_px=block_px)
    assert np.flatnonzero(found[20] == PixelClass.CRACK).tolist() == list(range(5, 50))
    assert found[20, 50] == PixelClass.RUST
    assert not found[30].any()


def test_no_blocks_have_nothing_to_grow() -> None:
    assert grown_rows([]) == []
