"""What a coarse pixel says, against the rule spelled out pixel by pixel."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segmentation.mask_pooling import level_factors, level_shape, pool_mask, pool_spans

Mask = npt.NDArray[np.uint8]

VALUES = [0, 1, 2, 254, 255]
masks = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=23), elements=st.sampled_from(VALUES))


def said_of(pixels: set[int]) -> int:
    """The rule in words: damage first, then what was not seen, and background only where there is nothing else."""
    for value in (1, 2, 255, 254):
        if value in pixels:
            return value
    return 0


def boxes(mask: Mask, factor: int) -> list[list[set[int]]]:
    height, width = mask.shape
    return [
        [set(mask[r : r + factor, c : c + factor].ravel().tolist()) for c in range(0, width, factor)]
        for r in range(0, height, factor)
    ]


@given(masks, st.integers(1, 30))
def test_a_coarse_pixel_says_what_the_rule_says_of_its_box(mask: Mask, factor: int) -> None:
    assert pool_mask(mask, factor=factor).tolist() == [[said_of(box) for box in row] for row in boxes(mask, factor)]


@given(masks, st.integers(1, 8))
def test_damage_never_vanishes_nor_appears_and_clean_means_all_clean(mask: Mask, factor: int) -> None:
    pooled = pool_mask(mask, factor=factor)
    for row, of_row in enumerate(boxes(mask, factor)):
        for col, box in enumerate(of_row):
            assert (pooled[row, col] in (1, 2)) == bool(box & {1, 2})
            assert (pooled[row, col] == 0) == (box == {0})


@given(masks, st.integers(1, 5), st.integers(1, 5))
def test_pooling_twice_is_pooling_at_once(mask: Mask, first: int, second: int) -> None:
    twice = pool_mask(pool_mask(mask, factor=first), factor=second)
    assert (twice == pool_mask(mask, factor=first * second)).all()


@given(masks, st.data())
def test_spans_of_any_place_say_what_the_rule_says_of_them(mask: Mask, data: st.DataObject) -> None:
    spans = []
    for side in mask.shape:
        starts = data.draw(st.lists(st.integers(0, side - 1), min_size=1, max_size=5))
        stops = [data.draw(st.integers(start + 1, side)) for start in starts]
        spans.append((np.array(starts), np.array(stops)))
    pooled = pool_spans(mask, *spans)
    for (i, j), value in np.ndenumerate(pooled):
        part = mask[spans[0][0][i] : spans[0][1][i], spans[1][0][j] : spans[1][1][j]]
        assert value == said_of(set(part.ravel().tolist()))


def test_what_is_no_mask_value_was_seen_by_nobody() -> None:
    assert pool_mask(np.array([[0, 7], [0, 254]], np.uint8), factor=2).tolist() == [[255]]


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_levels_halve_until_the_longer_side_is_at_most_512_px(height: int, width: int) -> None:
    factors = level_factors(height, width)
    assert list(factors) == [2 ** (i + 1) for i in range(len(factors))]
    sides = [max(level_shape(height, width, factor)) for factor in (1, *factors)]
    assert sides[-1] <= 512
    assert all(side > 512 for side in sides[:-1])


@pytest.mark.parametrize(("side_px", "levels"), [(512, 0), (513, 1), (1024, 1), (1025, 2), (100_000, 8)])
def test_the_number_of_levels_at_the_limits(side_px: int, levels: int) -> None:
    assert len(level_factors(side_px, 1)) == levels
