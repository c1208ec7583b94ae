"""Rough ground: looks like many cracks, holds none, and is the same for the same seed."""

import numpy as np
import pytest

from segmentation.synthetic.crops import sample_crop
from segmentation.synthetic.textures import PAINTERS, rough_ground

SHAPE = (96, 131)


@pytest.mark.parametrize("kind", PAINTERS)
def test_a_texture_fills_its_shape_with_colours_and_repeats_for_its_seed(kind: str) -> None:
    one, again, other = (PAINTERS[kind](np.random.default_rng(seed), SHAPE) for seed in (3, 3, 4))
    assert one.shape == (*SHAPE, 3)
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert one.min() >= -0.2
    assert one.max() <= 2.0
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("kind", PAINTERS)
def test_a_texture_has_the_dark_narrow_gaps_that_a_net_may_take_for_cracks(kind: str) -> None:
    """Else it would teach nothing: a share of its pixels is much darker than what lies around."""
    grounds = [PAINTERS[kind](np.random.default_rng(seed), (128, 128)).mean(axis=2) for seed in range(12)]
    dark = [np.mean(grey < 0.6 * np.median(grey)) for grey in grounds]
    assert np.mean([0.003 < share < 0.5 for share in dark]) >= 0.5


def test_every_kind_is_drawn() -> None:
    rng = np.random.default_rng(0)
    assert len({rough_ground(rng, (8, 8)).mean().round(6) for _ in range(30)}) == 30


def test_crops_of_rough_ground_hold_no_damage() -> None:
    empty = sum(not sample_crop(np.random.default_rng([5, seed]), size_px=64).mask.any() for seed in range(80))
    assert 20 <= empty <= 60
