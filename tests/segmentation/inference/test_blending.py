"""Blended tiles: for nets that look at their whole window; blocks agree without talking to each other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.inference.blending import Blend, tile_weights
from segmentation.inference.geometry import TileGeometry, tiles
from segmentation.inference.predictor import tile_geometry
from segmentation.windows import Window
from tests.segmentation.inference.nets import (
    WHOLE_WINDOW,
    all_valid,
    by_tiles,
    geometry_of,
    noise,
    of_window,
    predictor_of,
    small_model,
)

GEOMETRIES = st.builds(
    lambda align, cores, overlap, margin: TileGeometry(
        alignment_px=align,
        halo_px=margin + overlap * align,
        core_px=(2 * overlap + cores) * align,
        margin_px=margin,
        residue_px=2 * margin % align,
        method="blended",
    ),
    st.sampled_from([1, 2, 7]),
    st.integers(1, 4),
    st.integers(0, 3),
    st.sampled_from([0, 3]),
)
WINDOWS = st.builds(
    lambda row, rows, col, cols: Window(row, row + rows, col, col + cols),
    *(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60)),
)


@given(WINDOWS, GEOMETRIES)
def test_the_weights_of_all_tiles_that_touch_a_pixel_are_one(owned: Window, geometry: TileGeometry) -> None:
    total = np.zeros(owned.shape)
    for tile in tiles(owned, geometry=geometry):
        rows, cols = tile_weights(tile, geometry=geometry)
        total[tile.core.within(owned)] += np.outer(rows, cols)
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(WINDOWS, GEOMETRIES, st.lists(st.floats(-30, 30), min_size=3, max_size=3))
def test_a_blend_of_constant_logits_is_constant(owned: Window, geometry: TileGeometry, scores: list[float]) -> None:
    blend = Blend(owned, geometry=geometry)
    for tile in tiles(owned, geometry=geometry):
        blend.add(tile, blend.weighted(tile, torch.tensor(scores).view(3, 1, 1).expand(3, *tile.core.shape)))
    assert blend.logits is not None
    np.testing.assert_allclose(
        blend.logits, np.broadcast_to(np.reshape(scores, (3, 1, 1)), (3, *owned.shape)), atol=1e-5
    )


@given(GEOMETRIES)
def test_weights_fall_smoothly_and_keep_one_at_the_rasters_origin(geometry: TileGeometry) -> None:
    first, second = tiles(Window(0, 2 * geometry.core_px, 0, 1), geometry=geometry)[:2]
    at_origin, inside = (tile_weights(tile, geometry=geometry)[0] for tile in (first, second))
    assert at_origin[0] == 1
    ramp = 2 * geometry.overlap_px
    assert (np.diff(inside[:ramp]) > 0).all()
    assert ((inside > 0) & (inside <= 1)).all()


@settings(max_examples=12)
@given(st.integers(1, 100), st.integers(1, 100), st.sampled_from([16, 24, 40]), st.integers(9, 110), st.integers(0, 99))
def test_any_block_size_gives_the_same_mask(height: int, width: int, core_px: int, block_px: int, seed: int) -> None:
    image = noise(seed, height, width)
    validity = np.random.default_rng(seed).random((height, width)) > 0.3
    predictor = predictor_of(small_model(seed % 5, **WHOLE_WINDOW), core_px=core_px)
    assert predictor.geometry.method == "blended"
    in_one_block = predictor.segment_whole(image, validity)
    by_blocks = by_tiles(predictor, image, validity, block_px=block_px)
    assert (by_blocks.mask == in_one_block.mask).all()
    assert (by_blocks.probability == in_one_block.probability).all()


def test_a_net_without_a_bound_is_never_tiled_as_if_it_had_one() -> None:
    net = geometry_of(small_model(1, **WHOLE_WINDOW).module)
    assert not net.bounded_field
    with pytest.raises(ValueError, match="blend its tiles"):
        tile_geometry(net, core_px=32, method="exact")


@given(st.integers(2, 3000))
def test_a_blended_tile_shares_about_an_eighth_and_its_window_suits_the_net(core_px: int) -> None:
    net = geometry_of(small_model(1, **WHOLE_WINDOW).module)
    geometry = tile_geometry(net, core_px=core_px)
    assert geometry.window_px == geometry.core_px + 2 * geometry.halo_px
    assert geometry.core_px <= max(core_px, 2 * geometry.overlap_px)
    assert core_px / 8 <= geometry.overlap_px < core_px / 8 + net.alignment_px


def test_a_pixel_far_from_every_other_tile_has_the_logits_of_its_own() -> None:
    loaded, image = small_model(2, **WHOLE_WINDOW), noise(2, 80, 80)
    predictor = predictor_of(loaded, core_px=40)
    overlap = predictor.geometry.overlap_px
    middle = Window(overlap, 40 - overlap, overlap, 40 - overlap)
    assert len(tiles(middle, geometry=predictor.geometry)) == 1
    alone = of_window(predictor, image, all_valid(image), middle)
    whole = predictor.segment_whole(image, all_valid(image))
    assert (alone.mask == whole.mask[middle.slices()]).all()
