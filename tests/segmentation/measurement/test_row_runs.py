"""Runs linked to one another and pixels linked to one another are the same components in the same order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segmentation.measurement.row_runs import components_of, linked_pixels, linked_runs, row_runs

masks = st.tuples(st.integers(1, 23), st.integers(1, 23)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from((0, 1, 2)), fill=st.sampled_from((0, 1)))
)


@given(masks)
def test_runs_make_up_the_mask(mask: np.ndarray) -> None:
    runs, drawn = row_runs(mask), np.zeros_like(mask)
    for pixel_class, row, start, stop in zip(runs.pixel_class, runs.row, runs.start, runs.stop, strict=True):
        drawn[row, start:stop] = pixel_class
    np.testing.assert_array_equal(drawn, mask)
    np.testing.assert_array_equal(runs.begin, runs.row * mask.shape[1] + runs.start)


@given(masks)
def test_linking_runs_numbers_components_as_linking_pixels_does(mask: np.ndarray) -> None:
    runs = row_runs(mask)
    np.testing.assert_array_equal(linked_runs(runs), linked_pixels(runs, mask))


def test_few_runs_and_many_runs_in_a_mask_are_numbered_alike() -> None:
    rng = np.random.default_rng(0)
    for share in (0.001, 0.4):
        mask = (rng.random((200, 300)) < share).astype(np.uint8)
        runs = row_runs(mask)
        np.testing.assert_array_equal(components_of(runs, mask), linked_pixels(runs, mask))
