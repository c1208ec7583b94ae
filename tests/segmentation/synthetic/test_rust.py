"""What counts as rust: the patch and its solid runs, not the stain around."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.synthetic.rust import RustLook, RustPatch, paint_rust, rust_patch
from segmentation.windows import Window

LOOK = RustLook(brightness=0.5, contrast=0.8, opacity=1.0, soft_px=0.0, saturation=1.0)


def patch_of(seed: int, radius_px: float = 30.0, runs: int = 0, raggedness: float = 0.5) -> RustPatch:
    return rust_patch(
        np.random.default_rng(seed), centre=(100.0, 100.0), radius_px=radius_px, raggedness=raggedness, speckle=0.2,
        runs=runs, run_length_px=80.0, stain=1.0,
    )  # fmt: skip


@given(st.integers(0, 10_000), st.floats(2.0, 60.0), st.integers(0, 4))
@settings(max_examples=40)
def test_the_stain_stays_faint_and_does_not_count(seed: int, radius_px: float, runs: int) -> None:
    patch = patch_of(seed, radius_px, runs)
    assert float(patch.stain.max()) < 0.2
    np.testing.assert_array_equal(patch.mask, patch.solid >= 0.5)


def test_a_smooth_patch_has_about_the_size_asked_for() -> None:
    areas = [np.count_nonzero(patch_of(seed, 40.0, raggedness=0.0).mask) for seed in range(20)]
    # Ellipses of aspect 0.55 … 1: on average 0.78 of the circle.
    assert np.mean(areas) == pytest.approx(0.78 * np.pi * 40.0**2, rel=0.2)


def test_runs_reach_below_the_patch() -> None:
    mask, with_runs = patch_of(5).mask, patch_of(5, runs=3).mask
    assert np.flatnonzero(with_runs.any(axis=1)).max() > np.flatnonzero(mask.any(axis=1)).max() + 10


def test_painting_leaves_everything_outside_the_patch_as_it_was() -> None:
    image = np.full((300, 300, 3), 0.6, np.float32)
    patch = patch_of(1)
    seen = paint_rust(image, Window(0, 300, 0, 300), patch, LOOK, np.random.default_rng(0))
    outside = np.ones((300, 300), bool)
    outside[seen.slices()] = False
    assert (image[outside] == np.float32(0.6)).all()
    red_minus_blue = (image[..., 0] - image[..., 2])[seen.slices()][patch.mask[seen.within(patch.window)]]
    assert float(red_minus_blue.mean()) > 0.1


def test_a_patch_outside_the_picture_changes_nothing() -> None:
    image = np.full((50, 50, 3), 0.6, np.float32)
    seen = paint_rust(image, Window(1000, 1050, 0, 50), patch_of(1), LOOK, np.random.default_rng(0))
    assert seen.area_px == 0
    assert (image == np.float32(0.6)).all()
