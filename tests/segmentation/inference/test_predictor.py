"""Tiled equals untiled: the law of the engine, with the shipped weights and with random ones."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.classes import NODATA
from segmentation.errors import InputRejected
from segmentation.inference.geometry import TileGeometry, aligned_window, blocks, plan_read
from segmentation.inference.predictor import Predictor, SegmentedWindow, classes_and_probabilities, tile_geometry
from segmentation.models.geometry import net_geometry
from segmentation.models.registry import LoadedModel, load_model
from segmentation.models.unet import UNet
from segmentation.synthetic.crops import sample_crop
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def small_model(seed: int) -> LoadedModel:
    """A net of random weights whose classes are all common, under the shipped card."""
    torch.manual_seed(seed)
    module = UNet(base_channels=4, depth=2).eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(layer.running_var, 0.3, 1.3)
    with torch.inference_mode():
        module.head.weight *= 40
        logits = module(torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(seed)))
        module.head.bias -= logits.mean(dim=(0, 2, 3))
    return replace(load_model("spanscan-unet"), module=module)


def by_tiles(predictor: Predictor, image: Bytes, validity: Flags, *, block_px: int) -> SegmentedWindow:
    """What the segment stage does: block by block, each read with its halo, mirrored at the edges."""
    height, width = validity.shape
    mask = np.full((height, width), 77, np.uint8)
    probability = np.zeros((2, height, width), np.uint8)
    for block in blocks(height, width, block_px=block_px):
        read = aligned_window(block.window, predictor.geometry)
        plan = plan_read(read, height, width)
        source = plan.source.slices()
        found = predictor.segment(plan.fill(image[source]), plan.fill(validity[source]), read=read, owned=block.window)
        mask[block.window.slices()] = found.mask
        probability[(slice(None), *block.window.slices())] = found.probability
    return SegmentedWindow(mask, probability)


def predictor_of(loaded: LoadedModel, *, core_px: int, precision: str = "float32", batch: int = 1) -> Predictor:
    geometry = tile_geometry(net_geometry(loaded.module), core_px=core_px)
    return Predictor(loaded, geometry=geometry, device="cpu", precision=precision, batch=batch)


@settings(max_examples=15)
@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.sampled_from([16, 32, 48]),
    st.integers(1, 2),
    st.integers(0, 2**32 - 1),
)
def test_tiled_equals_one_forward_pass_for_any_size(
    height: int, width: int, core_px: int, cores: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    validity = rng.random((height, width)) > 0.1
    predictor = predictor_of(small_model(seed % 7), core_px=core_px)
    tiled = by_tiles(predictor, image, validity, block_px=core_px * cores)
    whole = predictor.segment_whole(image, validity)
    differing = tiled.mask != whole.mask
    # Rounding may move a probability by a step of 1/255, and a class only where two classes tie.
    assert np.abs(tiled.probability.astype(int) - whole.probability.astype(int)).max(initial=0) <= 1
    assert differing.mean() <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_shipped_weights_give_the_same_mask_by_tiles_as_in_one_piece(precision: str) -> None:
    rng = np.random.default_rng(5)
    crops = [[sample_crop(rng, size_px=250).image for _ in range(4)] for _ in range(3)]
    image = np.concatenate([np.concatenate(row, axis=1) for row in crops])
    validity = np.ones(image.shape[:2], np.bool_)
    predictor = predictor_of(load_model("spanscan-unet"), core_px=256, precision=precision)
    tiled = by_tiles(predictor, image, validity, block_px=512)
    whole = predictor.segment_whole(image, validity)
    assert set(np.unique(whole.mask)) == {0, 1, 2}, "a picture without damage proves nothing"
    assert (tiled.mask != whole.mask).mean() <= 1e-5


def test_a_batch_of_tiles_gives_the_same_mask_as_one_tile_after_the_other() -> None:
    rng = np.random.default_rng(3)
    image, validity = rng.integers(0, 256, (130, 170, 3), np.uint8), np.ones((130, 170), np.bool_)
    one = by_tiles(predictor_of(small_model(1), core_px=32), image, validity, block_px=96)
    many = by_tiles(predictor_of(small_model(1), core_px=32, batch=4), image, validity, block_px=96)
    assert (one.mask != many.mask).mean() <= 1e-4


def test_a_halo_below_the_receptive_field_would_leave_seams() -> None:
    """The control of the law: with too little context the masks differ, so the law can fail."""
    rng = np.random.default_rng(4)
    image, validity = rng.integers(0, 256, (96, 96, 3), np.uint8), np.ones((96, 96), np.bool_)
    loaded = small_model(2)
    starved = Predictor(
        loaded,
        geometry=TileGeometry(alignment_px=4, halo_px=0, core_px=32),
        device="cpu",
        precision="float32",
        batch=1,
    )
    tiled = by_tiles(starved, image, validity, block_px=32)
    whole = predictor_of(loaded, core_px=32).segment_whole(image, validity)
    assert (tiled.mask != whole.mask).mean() > 0.01


def test_nodata_is_nodata_and_its_colour_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    image = rng.integers(0, 256, (64, 80, 3), np.uint8)
    validity = np.ones((64, 80), np.bool_)
    validity[:, 50:] = False
    white = image.copy()
    white[~validity] = 255
    predictor = predictor_of(small_model(3), core_px=32)
    first = by_tiles(predictor, image, validity, block_px=64)
    second = by_tiles(predictor, white, validity, block_px=64)
    assert (first.mask[~validity] == NODATA).all()
    assert (first.mask[validity] != NODATA).all()
    assert (first.mask == second.mask).all()
    assert (first.probability == second.probability).all()


def test_black_pixels_that_are_valid_are_inspected() -> None:
    image, validity = np.zeros((40, 40, 3), np.uint8), np.ones((40, 40), np.bool_)
    assert (predictor_of(small_model(4), core_px=32).segment_whole(image, validity).mask != NODATA).all()


def test_logits_that_are_not_a_number_are_an_error_and_never_background() -> None:
    loaded = small_model(5)
    with torch.no_grad():
        loaded.module.head.bias[1] = float("nan")
    with pytest.raises(InputRejected, match="the logits must be finite") as refusal:
        predictor_of(loaded, core_px=16).segment(
            np.zeros((80, 80, 3), np.uint8),
            np.ones((80, 80), np.bool_),
            read=Window(-32, 48, -32, 48),
            owned=Window(0, 16, 0, 16),
        )
    assert refusal.value.code == "E_MODEL"


def test_the_largest_probability_wins_and_the_lower_id_on_a_tie() -> None:
    logits = torch.tensor([[[0.0, 2.0, 1.0]], [[1.0, 2.0, 1.0]], [[0.5, 0.0, 1.0]]])
    ids, probability = classes_and_probabilities(logits)
    assert ids.tolist() == [[1, 0, 0]]
    assert probability.shape == (2, 1, 3)
    assert probability[0, 0, 2] == round(255 / 3)
