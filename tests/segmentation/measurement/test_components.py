"""The components of a raster do not depend on how it is cut into blocks."""

import pickle
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass
from segmentation.measurement.components import (
    Component,
    Components,
    component_pixels,
    join_blocks,
    label_block,
    part_pixels,
)
from segmentation.windows import Window

VALUES = (0, 1, 2, NODATA, NOT_INSPECTED)


def by_blocks(mask: np.ndarray, rows: int, cols: int) -> Components:
    height, width = mask.shape
    windows = [
        Window(r, r + rows, c, c + cols).clip(height, width)
        for r in range(0, height, rows)
        for c in range(0, width, cols)
    ]
    return join_blocks([label_block(mask[window.slices()], window=window) for window in windows])


def whole(mask: np.ndarray) -> set[tuple[int, int, Window, tuple[int, int]]]:
    """The truth, from another library and class by class."""
    found = set()
    for pixel_class in (1, 2):
        labels, count = label(mask == pixel_class, structure=np.ones((3, 3)))
        for number in range(1, count + 1):
            rows, cols = np.nonzero(labels == number)
            window = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
            found.add((pixel_class, rows.size, window, (int(rows[0]), int(cols[0]))))
    return found


masks = st.tuples(st.integers(1, 23), st.integers(1, 23)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from(VALUES), fill=st.sampled_from((0, 1)))
)


@given(mask=masks, rows=st.integers(1, 11), cols=st.integers(1, 11))
def test_any_cut_into_blocks_gives_the_components_of_the_whole_raster(mask: np.ndarray, rows: int, cols: int) -> None:
    joined = by_blocks(mask, rows, cols)
    assert {(c.pixel_class, c.area_px, c.window, c.anchor) for c in joined} == whole(mask)
    assert [c.anchor for c in joined] == sorted(c.anchor for c in joined)


@given(mask=masks, rows=st.integers(1, 11), cols=st.integers(1, 11))
def test_the_parts_of_a_component_lie_in_its_blocks_and_make_up_its_window(
    mask: np.ndarray, rows: int, cols: int
) -> None:
    window = Window(0, mask.shape[0], 0, mask.shape[1])
    for component in by_blocks(mask, rows, cols):
        pixels = component_pixels(mask, window=window, component=component)
        if component.parts:
            assert reduce(Window.union, (part.window for part in component.parts)) == component.window
        together = np.zeros_like(pixels)
        for part in component.parts:
            own = part.window
            assert own.row_start // rows == (own.row_stop - 1) // rows
            assert own.col_start // cols == (own.col_stop - 1) // cols
            together[own.slices()] |= part_pixels(mask[own.slices()], window=own, component=component, part=part)
        assert not component.parts or (together == pixels).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.6), st.integers(1, 4), st.integers(5, 90), st.integers(5, 90))
def test_specks_of_any_density_and_size_join_as_in_the_whole(
    seed: int, share: float, speck_px: int, rows: int, cols: int
) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.choice(np.array([0, 1, 2], np.uint8), (40, 50), p=[1 - share, share / 2, share / 2])
    mask = np.kron(cells, np.ones((speck_px, speck_px), np.uint8))
    assert by_blocks(mask, rows, cols) == join_blocks(
        [label_block(mask, window=Window(0, mask.shape[0], 0, mask.shape[1]))]
    )


def test_places_far_from_the_origin_are_kept_exactly() -> None:
    """Symptom to guard against: 32 bits that overflow in a raster of 100,000 px a side."""
    at = 99_000
    mask = np.zeros((64, 64), np.uint8)
    mask[30:34, 10:60] = PixelClass.RUST
    windows = [Window(r, r + 16, c, c + 16) for r in range(0, 64, 16) for c in range(0, 64, 16)]
    tables = [
        label_block(
            mask[w.slices()], window=Window(w.row_start + at, w.row_stop + at, w.col_start + at, w.col_stop + at)
        )
        for w in windows
    ]
    (component,) = join_blocks(tables)
    assert component == Component(PixelClass.RUST, 200, Window(at + 30, at + 34, at + 10, at + 60), (at + 30, at + 10))


def test_the_table_reads_as_a_sequence() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[0, 0], mask[2, 5], mask[7, 7] = PixelClass.CRACK, PixelClass.RUST, PixelClass.CRACK
    table = by_blocks(mask, 4, 4)
    assert len(table) == 3
    assert table[-1].anchor == (7, 7)
    assert table[:2] == (table[0], table[1])
    with pytest.raises(IndexError):
        table[3]


@given(mask=masks)
def test_each_component_is_found_again_by_its_anchor(mask: np.ndarray) -> None:
    window = Window(7, 7 + mask.shape[0], 5, 5 + mask.shape[1])
    seen = np.zeros(mask.shape, int)
    for component in join_blocks([label_block(mask, window=window)]):
        pixels = component_pixels(mask, window=window, component=component)
        assert pixels.sum() == component.area_px
        assert (mask[pixels] == component.pixel_class).all()
        seen += pixels
    assert ((seen == 1) == np.isin(mask, (1, 2))).all()


@dataclass(frozen=True)
class Crossing:
    id: str
    rows: tuple[str, ...]
    components: int


CROSSINGS = [
    Crossing("a-line-along-a-border-stays-one", ("....", "1111", "....", "...."), 1),
    Crossing("a-corner-touch-across-four-blocks-joins", ("....", ".1..", "..1.", "...."), 1),
    Crossing("the-other-corner-touch-joins-too", ("....", "..1.", ".1..", "...."), 1),
    Crossing("crack-and-rust-side-by-side-stay-two", ("....", ".12.", ".12.", "...."), 2),
    Crossing("crack-and-rust-cross-at-a-corner-without-mixing", ("....", ".12.", ".21.", "...."), 2),
    Crossing("one-background-pixel-between-parts", ("....", ".1.1", "....", "...."), 2),
]


@pytest.mark.parametrize("case", CROSSINGS, ids=lambda case: case.id)
def test_block_borders(case: Crossing) -> None:
    mask = np.array([[int(c) if c != "." else 0 for c in row] for row in case.rows], np.uint8)
    assert len(by_blocks(mask, 2, 2)) == case.components


def test_a_line_over_forty_blocks_is_one_component() -> None:
    mask = np.zeros((64, 640), np.uint8)
    for col in range(640):
        mask[col // 10, col] = PixelClass.CRACK
    (component,) = by_blocks(mask, 16, 16)
    assert component == Component(PixelClass.CRACK, 640, Window(0, 64, 0, 640), (0, 0))


def test_a_blocks_table_is_small_and_travels() -> None:
    mask = np.zeros((2048, 2048), np.uint8)
    mask[::64, :] = PixelClass.RUST
    table = pickle.dumps(label_block(mask, window=Window(0, 2048, 0, 2048)))
    assert len(table) < 20_000
    assert pickle.loads(table).area_px.tolist() == [2048] * 32


def test_the_order_of_the_blocks_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    mask = rng.choice(np.array([0, 1, 2], np.uint8), (40, 40), p=[0.5, 0.3, 0.2])
    windows = [Window(r, r + 10, c, c + 10) for r in range(0, 40, 10) for c in range(0, 40, 10)]
    blocks = [label_block(mask[w.slices()], window=w) for w in windows]
    assert join_blocks(blocks) == join_blocks(blocks[::-1])


def test_a_mask_that_is_not_the_components_own_is_refused() -> None:
    component = Component(PixelClass.CRACK, 1, Window(0, 1, 0, 1), (0, 0))
    with pytest.raises(ValueError, match="anchor"):
        component_pixels(np.zeros((2, 2), np.uint8), window=Window(0, 2, 0, 2), component=component)
    with pytest.raises(ValueError, match="hold the whole component"):
        component_pixels(np.ones((2, 2), np.uint8), window=Window(4, 6, 4, 6), component=component)
