"""What a predictor says of a pixel: a class, nodata, or that nobody looked."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.errors import InputRejected
from segmentation.inference.devices import pick_precision
from segmentation.windows import Window
from tests.segmentation.inference.nets import (
    Bytes,
    Flags,
    all_valid,
    by_tiles,
    noise,
    predictor_of,
    small_model,
    torch_runtime,
)


class CountingRuntime:
    """The real runtime, with a count of the windows it was given."""

    def __init__(self, seed: int) -> None:
        self.real = torch_runtime(small_model(seed))
        self.sha256 = self.real.sha256
        self.windows = 0

    def logits(self, pixels: Bytes, known: Flags) -> torch.Tensor:
        self.windows += len(pixels)
        return self.real.logits(pixels, known)


def test_nodata_is_nodata_and_its_colour_changes_nothing() -> None:
    image = noise(6, 64, 80)
    validity = np.ones((64, 80), np.bool_)
    validity[:, 50:] = False
    white = image.copy()
    white[~validity] = 255
    predictor = predictor_of(small_model(3), core_px=32)
    first = by_tiles(predictor, image, validity, block_px=64)
    second = by_tiles(predictor, white, validity, block_px=64)
    assert (first.mask[~validity] == NODATA).all()
    assert (first.probability[:, ~validity] == 0).all()
    assert (first.mask[validity] < 3).all()
    assert (first.mask == second.mask).all()
    assert (first.probability == second.probability).all()


def test_black_pixels_that_are_valid_are_inspected() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    assert (predictor_of(small_model(4), core_px=32).segment_whole(image, all_valid(image)).mask < 3).all()


def test_tiles_without_a_valid_pixel_are_not_inferred_and_the_others_give_the_same_mask() -> None:
    image, validity = noise(7, 96, 96), np.zeros((96, 96), np.bool_)
    validity[40:60, 5:20] = True  # within the second row of tiles, first column
    runtime = CountingRuntime(3)
    found = by_tiles(predictor_of(small_model(3), core_px=32, runtime=runtime), image, validity, block_px=96)
    assert runtime.windows == 1
    whole = predictor_of(small_model(3), core_px=32).segment_whole(image, validity)
    assert (found.mask == whole.mask).all()
    assert (found.probability == whole.probability).all()


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.sampled_from([24, 32]), st.sampled_from([64, 96]))
def test_what_nobody_wants_is_not_inspected_and_the_rest_is_as_without(seed: int, core_px: int, block_px: int) -> None:
    rng = np.random.default_rng(seed)
    image = noise(seed, 70, 90)
    validity = rng.random((70, 90)) > 0.2
    wanted = np.zeros((70, 90), np.bool_)
    row, col = rng.integers(0, 70), rng.integers(0, 90)
    wanted[row : row + 30, col : col + 30] = True
    predictor = predictor_of(small_model(1), core_px=core_px)
    everything = by_tiles(predictor, image, validity, block_px=block_px)
    found = by_tiles(predictor, image, validity, block_px=block_px, wanted=wanted)
    assert (found.mask[~validity] == NODATA).all()
    assert (found.mask[validity & ~wanted] == NOT_INSPECTED).all()
    assert (found.probability[:, ~wanted] == 0).all()
    assert (found.mask[wanted] == everything.mask[wanted]).all()
    assert (found.probability[:, wanted] == everything.probability[:, wanted]).all()


def test_tiles_without_a_wanted_pixel_are_not_inferred() -> None:
    image, wanted = noise(7, 96, 96), np.zeros((96, 96), np.bool_)
    wanted[:32, 32:65] = True  # the second tile of the first row, and one pixel of the third
    runtime = CountingRuntime(3)
    predictor = predictor_of(small_model(3), core_px=32, runtime=runtime)
    by_tiles(predictor, image, all_valid(image), block_px=96, wanted=wanted)
    assert runtime.windows == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_logits_that_are_not_finite_are_an_error_and_never_background(value: float, precision: str) -> None:
    loaded = replace(small_model(5), module=deepcopy(small_model(5).module))
    with torch.no_grad():
        loaded.module.head.bias[1] = value
    with pytest.raises(InputRejected, match="the logits must be finite") as refusal:
        predictor_of(loaded, core_px=16, precision=precision).segment(
            np.zeros((80, 80, 3), np.uint8),
            np.ones((80, 80), np.bool_),
            read=Window(-32, 48, -32, 48),
            owned=Window(0, 16, 0, 16),
        )
    assert refusal.value.code == "E_MODEL"


@pytest.mark.parametrize("normalisation", ["batch", "none"])
def test_the_weights_that_were_handed_over_stay_as_they_were(normalisation: str) -> None:
    loaded = small_model(2, normalisation=normalisation)  # without batch-norm there is nothing to fold, and no copy
    before = {name: tensor.clone() for name, tensor in loaded.module.state_dict().items()}
    torch_runtime(loaded, precision="bfloat16")
    after = loaded.module.state_dict()
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == before[name].dtype for name in before)


def test_auto_takes_bfloat16_only_where_the_processor_multiplies_it() -> None:
    expected = "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16", False) else "float32"
    assert pick_precision("auto", device="cpu") == expected
