"""Counts from tables are those of the pixels, wherever the crop lies; and no position is preferred."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from segmentation.inference.geometry import mirrored
from segmentation.training.content_tables import BlockTable, ContentTable
from segmentation.training.crop_positions import CountLimits, CropPositions

VALUES = (1, 2, 7)


def some_mask(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 7], np.uint8), (height, width))


def counted(mask: npt.NDArray[np.uint8], top: int, bottom: int, left: int, right: int) -> list[int]:
    """The slow way: cut the mirrored crop out and count."""
    crop = mask[np.ix_(mirrored(top, bottom, mask.shape[0]), mirrored(left, right, mask.shape[1]))]
    return [int((crop == value).sum()) for value in VALUES]


@given(
    seed=st.integers(0, 99),
    height=st.integers(1, 13),
    width=st.integers(1, 11),
    top=st.integers(-40, 40),
    left=st.integers(-40, 40),
    rows=st.integers(1, 37),
    cols=st.integers(1, 41),
)
def test_a_table_counts_any_crop_mirrored_at_the_edges(
    seed: int, height: int, width: int, top: int, left: int, rows: int, cols: int
) -> None:
    mask = some_mask(seed, height, width)
    table = ContentTable.of(mask, values=VALUES)
    window = (top, top + rows, left, left + cols)
    assert table.counts(np.array([window])).tolist() == [counted(mask, *window)]


@given(seed=st.integers(0, 99), block_px=st.integers(1, 7), data=st.data())
def test_a_block_table_counts_the_same_inside_the_mask(seed: int, block_px: int, data: st.DataObject) -> None:
    mask = some_mask(seed, 17, 23)
    top, left = data.draw(st.integers(0, 16)), data.draw(st.integers(0, 22))
    window = np.array([[top, data.draw(st.integers(top + 1, 17)), left, data.draw(st.integers(left + 1, 23))]])
    blocks = BlockTable.of(mask, values=VALUES, block_px=block_px)
    table = ContentTable.of(mask, values=VALUES)
    assert blocks.counts(window).tolist() == table.counts(window).tolist()
    assert blocks.totals.tolist() == table.totals.tolist() == [int((mask == value).sum()) for value in VALUES]


@given(above=st.integers(0, 2**32 - 1))
def test_counts_stay_exact_when_the_entries_have_run_over(above: int) -> None:
    """What a mask of more than 2^32 px holds above and to the left shifts every entry alike."""
    mask = some_mask(3, 13, 11)
    table = ContentTable.of(mask, values=VALUES)
    shifted = ContentTable(table.values, table.sums + np.uint32(above), table.totals)
    windows = np.array([[0, 13, 0, 11], [2, 7, 3, 5]])
    assert shifted.counts(windows).tolist() == table.counts(windows).tolist()


@pytest.mark.slow
def test_a_mask_of_more_than_2_to_the_31_pixels_is_counted_exactly() -> None:
    side_px = 46_500  # 2.16e9 px, a single row in memory
    mask = np.broadcast_to(np.ones(side_px, np.uint8), (side_px, side_px))
    table = BlockTable.of(mask, values=(1,), block_px=1000)
    assert table.totals.tolist() == [side_px**2]
    assert table.counts(np.array([[0, side_px, 0, side_px]])).tolist() == [[side_px**2]]


@dataclass(frozen=True)
class BadWindow:
    id: str
    window: tuple[int, int, int, int]
    said: str


BAD_WINDOWS = [
    BadWindow("a-window-without-rows", (3, 3, 0, 5), "at least one pixel"),
    BadWindow("a-window-that-ends-before-it-starts", (0, 2, 5, 1), "at least one pixel"),
    BadWindow("a-window-of-2-to-the-32-pixels", (0, 65536, 0, 65536), "fewer than 2\\^32"),
]


@pytest.mark.parametrize("case", BAD_WINDOWS, ids=lambda c: c.id)
def test_a_window_that_cannot_be_counted_is_refused(case: BadWindow) -> None:
    table = ContentTable.of(some_mask(0, 7, 7), values=(1,))
    with pytest.raises(ValueError, match=case.said):
        table.counts(np.array([case.window]))


def test_a_block_table_refuses_to_mirror() -> None:
    with pytest.raises(ValueError, match="use ContentTable"):
        BlockTable.of(some_mask(0, 7, 7), values=(1,), block_px=3).counts(np.array([[-1, 3, 0, 3]]))


@given(
    seed=st.integers(0, 99),
    rows=st.integers(1, 15),
    cols=st.integers(1, 15),
    least=st.integers(0, 30),
    border_px=st.integers(0, 4),
)
def test_exactly_the_positions_that_hold_enough_are_admissible(
    seed: int, rows: int, cols: int, least: int, border_px: int
) -> None:
    mask = some_mask(seed, 9, 12)
    limits = [CountLimits((1, 2), least, 60), CountLimits((7,), 0, 25)]
    places = CropPositions(ContentTable.of(mask, values=VALUES), shape=(rows, cols), limits=limits, border_px=border_px)
    expected = set()
    for top in starts(9, rows, border_px):
        for left in starts(12, cols, border_px):
            window = (top, top + rows, left, left + cols)
            one, two, seven = counted(mask, *window)
            if least <= one + two <= 60 and seven <= 25:
                expected.add(window)
    assert places.number == len(expected)
    if expected:
        drawn = {tuple(window) for window in places.draw(np.random.default_rng(seed), 50).tolist()}
        assert drawn <= expected


def starts(extent: int, side: int, border_px: int) -> range:
    if side > extent + 2 * border_px:
        return range((extent - side) // 2, (extent - side) // 2 + 1)
    return range(-border_px, extent - side + border_px + 1)


def test_every_admissible_position_is_equally_likely() -> None:
    mask = np.zeros((31, 37), np.uint8)
    mask[4, 5], mask[20:23, 30] = 1, 1
    table = ContentTable.of(mask, values=(1,))
    places = CropPositions(table, shape=(7, 9), limits=[CountLimits((1,), 1, 99)], border_px=2)
    drawn = places.draw(np.random.default_rng(11), 200 * places.number)
    positions, times = np.unique(drawn[:, [0, 2]], axis=0, return_counts=True)
    assert len(positions) == places.number
    assert stats.chisquare(times).pvalue > 0.001


def test_where_nothing_is_admissible_a_draw_is_refused() -> None:
    table = ContentTable.of(np.zeros((9, 9), np.uint8), values=(1,))
    places = CropPositions(table, shape=(3, 3), limits=[CountLimits((1,), 1, 9)], border_px=0)
    assert places.number == 0
    with pytest.raises(ValueError, match="at least one position"):
        places.draw(np.random.default_rng(0), 1)


def test_limits_of_a_value_that_is_not_counted_are_refused() -> None:
    table = ContentTable.of(np.zeros((9, 9), np.uint8), values=(1,))
    with pytest.raises(ValueError, match=r"got \[5\]"):
        CropPositions(table, shape=(3, 3), limits=[CountLimits((5,), 1, 9)], border_px=0)
