"""Tiled equals untiled: the law of the engine, for every kind of net, raster, block and tile."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.inference.classification import classes_and_probabilities
from segmentation.inference.geometry import Method, TileGeometry, tiles
from segmentation.inference.predictor import Predictor, SegmentedWindow, tile_geometry
from segmentation.models.geometry import net_geometry
from segmentation.models.unet_2015 import UNet2015
from segmentation.synthetic.crops import sample_crop
from segmentation.windows import Window
from tests.segmentation.inference.nets import (
    FOLDED,
    PADDED,
    VALID,
    VALID_BILINEAR,
    all_valid,
    assert_same,
    by_tiles,
    geometry_of,
    noise,
    of_window,
    predictor_of,
    shipped,
    small_model,
    torch_runtime,
)


@settings(max_examples=30)
@given(
    st.sampled_from([PADDED, VALID, FOLDED, VALID_BILINEAR]),
    st.integers(1, 130),
    st.integers(1, 130),
    st.sampled_from([12, 16, 32, 48]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_tiled_equals_one_forward_pass_for_any_net_and_size(
    net: dict[str, Any], height: int, width: int, core_px: int, cores: int, batch: int, seed: int
) -> None:
    image = noise(seed, height, width)
    validity = np.random.default_rng(seed).random((height, width)) > 0.1
    predictor = predictor_of(small_model(seed % 7, **net), core_px=core_px, batch=batch)
    tiled = by_tiles(predictor, image, validity, block_px=predictor.geometry.core_px * cores)
    assert_same(tiled, predictor.segment_whole(image, validity))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_shipped_weights_give_the_same_mask_by_tiles_as_in_one_piece(precision: str) -> None:
    rng = np.random.default_rng(5)
    crops = [[sample_crop(rng, size_px=250).image for _ in range(4)] for _ in range(3)]
    image = np.concatenate([np.concatenate(row, axis=1) for row in crops])
    predictor = predictor_of(shipped(), core_px=256, precision=precision)
    tiled = by_tiles(predictor, image, all_valid(image), block_px=512)
    whole = predictor.segment_whole(image, all_valid(image))
    assert set(np.unique(whole.mask)) == {0, 1, 2}, "a picture without damage proves nothing"
    assert (tiled.mask != whole.mask).mean() <= 1e-5


@pytest.mark.parametrize("net", [PADDED, FOLDED, VALID], ids=["padded", "folded", "valid"])
def test_a_halo_below_the_receptive_field_would_leave_seams(net: dict[str, Any]) -> None:
    """The control of the law: with too little context the masks differ, so the law can fail."""
    image, loaded = noise(4, 96, 96), small_model(2, **net)
    enough = tile_geometry(geometry_of(loaded.module), core_px=32)
    # A valid net has no context to lose; its seams come from pooling in another phase.
    starved = (
        tile_geometry(geometry_of(loaded.module), core_px=30, method="overlap-tile")
        if enough.margin_px
        else TileGeometry(alignment_px=enough.alignment_px, halo_px=0, core_px=32)
    )
    tiled = by_tiles(Predictor(torch_runtime(loaded), geometry=starved, batch=1), image, all_valid(image), block_px=96)
    whole = predictor_of(loaded, core_px=32).segment_whole(image, all_valid(image))
    assert np.abs(tiled.probability.astype(int) - whole.probability.astype(int)).max() > 2


@dataclass(frozen=True)
class WindowCase:
    id: str
    core_px: int
    method: Method
    expected_windows: list[tuple[int, int]]


PAPER_CASES = [
    WindowCase(
        "aligned-cores-of-384-read-windows-of-572-and-step-by-384",
        384,
        "exact",
        [(-92, 480), (292, 864), (676, 1104)],
    ),
    WindowCase(
        "the-papers-cores-of-388-read-windows-of-572-and-step-by-388",
        388,
        "overlap-tile",
        [(-92, 480), (296, 868), (684, 1096)],
    ),
]


@pytest.mark.parametrize("case", PAPER_CASES, ids=lambda c: c.id)
def test_the_net_of_2015_is_stepped_as_published(case: WindowCase) -> None:
    net = net_geometry(UNet2015(in_channels=3, classes=3))
    geometry = tile_geometry(net, core_px=case.core_px, method=case.method)
    assert (geometry.window_px, geometry.method) == (572, case.method)
    found = [(t.window.row_start, t.window.row_stop) for t in tiles(Window(0, 1000, 0, 8), geometry=geometry)]
    assert found == case.expected_windows


@settings(max_examples=10)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([10, 22, 37]), st.integers(8, 60), st.integers(0, 99))
def test_overlap_tiles_give_the_same_mask_for_any_block(
    height: int, width: int, core_px: int, block_px: int, seed: int
) -> None:
    image = noise(seed, height, width)
    predictor = predictor_of(small_model(seed % 5, **VALID), core_px=core_px, method="overlap-tile")
    in_one_block = of_window(predictor, image, all_valid(image), Window(0, height, 0, width))
    assert_same(by_tiles(predictor, image, all_valid(image), block_px=block_px), in_one_block)


def test_an_overlap_tile_equals_the_forward_pass_of_its_own_window() -> None:
    image, loaded = noise(8, 100, 100), small_model(3, **VALID)
    predictor = predictor_of(loaded, core_px=22, method="overlap-tile")
    (tile,) = tiles(Window(22, 44, 22, 44), geometry=predictor.geometry)
    rows, cols = tile.window.slices()
    logits = torch_runtime(loaded).logits(image[None, rows, cols], all_valid(image)[None, rows, cols])
    ids, probability = classes_and_probabilities(logits[0, :, :22, :22])
    assert_same(of_window(predictor, image, all_valid(image), tile.core), SegmentedWindow(ids, probability))
