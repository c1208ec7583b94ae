"""Patches that touch get ids of their own, and no pixel of damage is lost or won by it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from segmentation.measurement.instances import separate_instances
from segmentation.training.borders import touching_borders


def _discs(centres: list[tuple[int, int]], radius_px: int, shape: tuple[int, int]) -> np.ndarray:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    distances = np.array([np.hypot(rows - r, cols - c) for r, c in centres])
    return np.where(distances.min(0) <= radius_px, distances.argmin(0) + 1, 0).astype(np.int32)


def _agree(a: np.ndarray, b: np.ndarray) -> float:
    """Share of pixels whose instance is the one that overlaps it most."""
    pairs = np.stack([a[b > 0], b[b > 0]])
    table = np.zeros((a.max() + 1, b.max() + 1), int)
    np.add.at(table, (pairs[0], pairs[1]), 1)
    return float(table.max(1).sum() / table.sum())


def test_three_touching_discs_are_three_where_components_see_one() -> None:
    truth = _discs([(20, 20), (20, 43), (42, 31)], 13, (64, 64))
    border = touching_borders(truth, reach_px=1).astype(np.float32)
    found = separate_instances(truth > 0, border, border_threshold=0.5, least_seed_px=10)
    assert ndimage.label(truth > 0, np.ones((3, 3)))[1] == 1
    assert found.max() == 3
    assert ((found > 0) == (truth > 0)).all()
    assert _agree(found, truth) > 0.98


def test_crumbs_of_a_ragged_border_become_no_instances() -> None:
    truth = _discs([(20, 20), (20, 43)], 13, (40, 64))
    border = touching_borders(truth, reach_px=2).astype(np.float32)
    border[20, 31] = 0.0  # a hole in the ribbon, four pixels wide
    assert separate_instances(truth > 0, border, border_threshold=0.5, least_seed_px=1).max() == 3
    assert separate_instances(truth > 0, border, border_threshold=0.5, least_seed_px=5).max() == 2


def test_a_patch_smaller_than_a_seed_is_kept() -> None:
    damage = np.zeros((9, 9), bool)
    damage[4, 4:6] = True
    found = separate_instances(damage, np.zeros((9, 9), np.float32), border_threshold=0.5, least_seed_px=10)
    assert found[4, 4] == found[4, 5] == 1
    assert (found > 0).sum() == 2


_MAPS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(
        arrays(np.bool_, shape), arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.75, 1.0]))
    )
)


@given(_MAPS, st.integers(1, 6))
def test_every_pixel_of_damage_gets_an_id_and_no_other(maps: tuple[np.ndarray, np.ndarray], least_px: int) -> None:
    damage, border = maps
    found = separate_instances(damage, border, border_threshold=0.5, least_seed_px=least_px)
    assert ((found > 0) == damage).all()
    assert np.unique(found[found > 0]).tolist() == list(range(1, found.max() + 1))
    whole, patches = ndimage.label(damage, np.ones((3, 3)))
    assert found.max() >= patches
    for i in range(1, found.max() + 1):
        assert len(np.unique(whole[found == i])) == 1


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_without_borders_the_ids_are_those_of_components(damage: np.ndarray) -> None:
    found = separate_instances(damage, np.zeros(damage.shape, np.float32), border_threshold=0.5, least_seed_px=3)
    assert found.max() == ndimage.label(damage, np.ones((3, 3)))[1]


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        separate_instances(np.ones((2, 2), bool), np.zeros((2, 3), np.float32), border_threshold=0.5, least_seed_px=1)
