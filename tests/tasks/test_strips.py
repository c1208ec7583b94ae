"""Strips: every block once, neighbours in a row, shared out to all."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.inference.geometry import blocks
from tasks.strips import MOST_BLOCKS, in_bands, strips


@given(rows=st.integers(1, 9), cols=st.integers(1, 9), consumers=st.integers(1, 5), data=st.data())
def test_every_block_that_is_left_is_in_one_strip_of_neighbours(
    rows: int, cols: int, consumers: int, data: st.DataObject
) -> None:
    everything = in_bands(blocks(rows, cols, block_px=1))
    finished = data.draw(st.sets(st.sampled_from(everything)))
    left = [b for b in everything if b not in finished]
    cut = strips(left, consumers=consumers)
    assert [b for strip in cut for b in strip] == left
    for strip in cut:
        assert 1 <= len(strip) <= MOST_BLOCKS
        assert all(abs(a.row - b.row) + abs(a.col - b.col) == 1 for a, b in pairwise(strip))


@pytest.mark.parametrize(
    ("rows", "cols", "lengths"),
    [
        pytest.param(2, 2, [2, 2], id="four blocks for two consumers: a pair each"),
        pytest.param(2, 3, [1] * 6, id="three blocks each: pairs would leave one consumer two of them behind"),
        pytest.param(1, 2, [1, 1], id="one block each"),
    ],
)
def test_few_blocks_go_in_pairs_where_pairs_share_out_evenly(rows: int, cols: int, lengths: list[int]) -> None:
    assert [len(strip) for strip in strips(in_bands(blocks(rows, cols, block_px=1)), consumers=2)] == lengths


def finish_of(lengths: list[int], *, consumers: int) -> int:
    """When the last consumer is done, in blocks, where each takes the next strip as it comes free."""
    free = [0] * consumers
    for length in lengths:
        free[free.index(min(free))] += length
    return max(free)


@given(rows=st.integers(1, 30), cols=st.integers(1, 30), consumers=st.integers(1, 8))
def test_no_consumer_waits_longer_than_a_block_for_the_last_strip(rows: int, cols: int, consumers: int) -> None:
    cut = strips(in_bands(blocks(rows, cols, block_px=1)), consumers=consumers)
    assert finish_of([len(strip) for strip in cut], consumers=consumers) <= -(-rows * cols // consumers) + 1


def test_work_is_not_cut_finer_than_its_end_needs() -> None:
    cut = strips(in_bands(blocks(20, 20, block_px=1)), consumers=2)
    assert [len(strip) for strip in cut].count(MOST_BLOCKS) >= 90
