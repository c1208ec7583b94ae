"""Border targets: where instances touch, what those pixels weigh, and what stays open where nobody told."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segmentation.classes import PixelClass
from segmentation.training.borders import (
    BORDER_BIT,
    KNOWN_BIT,
    PEAK_WEIGHT,
    SIGMA_PX,
    border_weights,
    components,
    separation_weights,
    touching_borders,
    with_borders,
)
from segmentation.training.labels import UNKNOWN, labels_from_mask, only

RUST = only(PixelClass.RUST)


@dataclass(frozen=True)
class Row:
    name: str
    instances: list[int]
    border: list[int]
    reach_px: int = 1


_ROWS = [
    Row("two-that-share-an-edge-have-one-pixel-of-border-each", [1, 1, 1, 2, 2, 2], [0, 0, 1, 1, 0, 0]),
    Row("a-reach-of-two-makes-the-ribbon-four-wide", [1, 1, 1, 2, 2, 2], [0, 1, 1, 1, 1, 0], reach_px=2),
    Row("a-gap-of-one-pixel-belongs-to-the-border", [1, 1, 0, 2, 2], [0, 0, 1, 0, 0]),
    Row("a-gap-of-two-pixels-parts-them", [1, 1, 0, 0, 2, 2], [0, 0, 0, 0, 0, 0]),
    Row("the-edge-to-the-background-is-no-border", [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]),
    Row("ids-need-not-be-consecutive", [900, 900, 7, 7], [0, 1, 1, 0]),
    Row("a-third-one-borders-on-both-sides", [1, 1, 2, 3, 3], [0, 1, 1, 1, 0]),
]


@pytest.mark.parametrize("case", _ROWS, ids=lambda c: c.name)
def test_a_border_lies_where_the_neighbourhood_meets_two_instances(case: Row) -> None:
    row = np.array([case.instances])
    assert touching_borders(row, reach_px=case.reach_px).astype(int).tolist() == [case.border]
    assert touching_borders(row.T, reach_px=case.reach_px).astype(int).T.tolist() == [case.border]


_SMALL = arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4))


@given(_SMALL, st.integers(1, 3))
def test_a_border_is_what_looking_at_every_neighbourhood_finds(instances: np.ndarray, reach_px: int) -> None:
    found = touching_borders(instances, reach_px=reach_px)
    for row, col in np.ndindex(instances.shape):
        near = instances[max(0, row - reach_px) : row + reach_px + 1, max(0, col - reach_px) : col + reach_px + 1]
        assert found[row, col] == (len(set(near[near > 0].tolist())) > 1)


@given(_SMALL)
def test_instances_from_a_plain_mask_never_touch(instances: np.ndarray) -> None:
    parts = components(instances > 0)
    assert ((parts > 0) == (instances > 0)).all()
    assert not (touching_borders(parts, reach_px=1) & (parts > 0)).any()


def test_a_reach_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="reach_px must be >= 1, got 0"):
        touching_borders(np.zeros((2, 2), int), reach_px=0)


@pytest.mark.parametrize("gap_px", [1, 3, 6])
def test_the_weight_in_a_gap_is_that_of_the_published_equation(gap_px: int) -> None:
    instances = np.zeros((5, 20 + gap_px), np.int32)
    instances[:, :10], instances[:, 10 + gap_px :] = 1, 2
    weights = separation_weights(instances, peak=10.0, sigma_px=5.0)
    # k pixels from one side, gap + 1 - k from the other: the sum is the same everywhere in the gap
    expected = 10.0 * np.exp(-((gap_px + 1) ** 2) / (2 * 5.0**2))
    assert np.allclose(weights[:, 10 : 10 + gap_px], expected)
    assert np.allclose(weights[:, 9], expected)  # inside: nearest 0, the other gap + 1 away
    assert np.allclose(weights[2, 4], 10.0 * np.exp(-((gap_px + 6) ** 2) / 50.0))


def test_an_instance_alone_and_none_at_all_weigh_nothing() -> None:
    alone = np.zeros((40, 40), np.int32)
    assert not separation_weights(alone, peak=10.0, sigma_px=5.0).any()
    alone[10:20, 10:20] = 3
    assert not separation_weights(alone, peak=10.0, sigma_px=5.0).any()


def test_the_windowed_distances_give_the_weights_of_distances_over_the_whole_image() -> None:
    rng = np.random.default_rng(3)
    instances = np.zeros((90, 110), np.int32)
    for i in range(1, 8):
        row, col = rng.integers(0, 80), rng.integers(0, 100)
        instances[row : row + 9, col : col + 7] = i
    ids = np.unique(instances)[1:]
    from scipy import ndimage

    distances = np.sort([ndimage.distance_transform_edt(instances != i) for i in ids], axis=0)
    whole = 10.0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * 4.0**2))
    assert np.abs(separation_weights(instances, peak=10.0, sigma_px=4.0) - whole).max() < 0.003 * 10.0


def _two_patches() -> tuple[np.ndarray, np.ndarray]:
    instances = np.zeros((24, 40), np.int32)
    instances[4:20, 4:20], instances[4:20, 20:36] = 1, 2
    mask = np.where(instances > 0, PixelClass.RUST, PixelClass.BACKGROUND).astype(np.uint8)
    return labels_from_mask(mask), instances


def test_labels_keep_their_classes_and_say_where_the_border_is() -> None:
    labels, instances = _two_patches()
    told = with_borders(labels, instances, reach_px=1)
    assert told.dtype == np.uint8
    assert ((told & UNKNOWN) == labels).all()
    assert (told & KNOWN_BIT).all()
    assert np.argwhere(told & BORDER_BIT).tolist() == [[r, c] for r in range(4, 20) for c in (19, 20)]


def test_only_rust_whose_instances_are_known_weighs_and_most_at_the_border() -> None:
    labels, instances = _two_patches()
    how = {"damage_label": RUST, "peak": PEAK_WEIGHT, "sigma_px": SIGMA_PX}
    assert not border_weights(labels, **how).any()
    weights = border_weights(with_borders(labels, instances, reach_px=1), **how)
    assert ((weights > 0) == (instances > 0)).all()
    assert weights[12, 19] == pytest.approx(weights[12, 20]) == pytest.approx(1 + 10 * np.exp(-9 / 50), rel=1e-4)
    assert weights[12, 4] < 1.05
