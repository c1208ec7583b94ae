"""The components of a raster do not depend on how it is cut into blocks."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass
from segmentation.measurement.components import Component, component_pixels, join_blocks, label_block
from segmentation.windows import Window

VALUES = (0, 1, 2, NODATA, NOT_INSPECTED)


def by_blocks(mask: np.ndarray, rows: int, cols: int) -> tuple[Component, ...]:
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


@settings(max_examples=300, deadline=None)
@given(mask=masks, rows=st.integers(1, 11), cols=st.integers(1, 11))
def test_any_cut_into_blocks_gives_the_components_of_the_whole_raster(mask: np.ndarray, rows: int, cols: int) -> None:
    joined = by_blocks(mask, rows, cols)
    assert {(c.pixel_class, c.area_px, c.window, c.anchor) for c in joined} == whole(mask)
    assert [c.anchor for c in joined] == sorted(c.anchor for c in joined)


@settings(max_examples=50, deadline=None)
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
