"""Each fast path gives what the plain path gives: exactly, or within the tolerance that its test states."""

import shutil

import numpy as np
import pytest
import torch

from segmentation.inference.devices import free_device_bytes, is_out_of_memory, pick_batch, tiles_that_fit
from segmentation.inference.normalisation import Normalisation
from segmentation.models.unet import UNet
from segmentation.synthetic.crops import sample_crop
from tests.segmentation.inference.nets import (
    FOLDED,
    PADDED,
    VALID,
    Bytes,
    all_valid,
    assert_same,
    by_tiles,
    noise,
    predictor_of,
    shipped,
    small_model,
    torch_runtime,
)

KINDS = pytest.mark.parametrize("net", [PADDED, VALID, FOLDED], ids=["padded", "valid", "folded"])


def plain_logits(module: UNet, image: Bytes, *, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """The net as it was trained: batch-norm in place, float32, channels first, normalised as the card says."""
    batch = torch.from_numpy(image).permute(0, 3, 1, 2).float().contiguous()
    with torch.inference_mode():
        logits: torch.Tensor = module(
            (batch - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
        )
    return logits


@KINDS
def test_folded_batch_norm_and_channels_last_change_rounding_only(net: dict[str, object]) -> None:
    loaded = small_model(1, **net)
    image = noise(1, 60, 60)[None]
    plain = plain_logits(loaded.module, image, mean=loaded.card.mean, std=loaded.card.std)
    fast = torch_runtime(loaded).logits(image, np.ones(image.shape[:3], np.bool_))
    torch.testing.assert_close(fast, plain, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", ["whole", "view", "read-only"])
def test_normalising_in_strips_equals_the_formula(layout: str) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (2, 90, 700, 3), np.uint8)
    known = rng.random((2, 90, 700)) > 0.2
    if layout == "view":
        pixels, known = pixels[:, 3:80, 5:601], known[:, 3:80, 5:601]
    if layout == "read-only":
        pixels.flags.writeable = known.flags.writeable = False
    mean, std = (120.5, 99.25, 80.0), (50.0, 61.0, 47.5)
    rule = Normalisation(mean=mean, std=std, device=torch.device("cpu"), dtype=torch.float32)
    expected = np.where(known[..., None], (pixels - np.array(mean)) / np.array(std), 0.0).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(rule.on_cpu(pixels, known), expected, atol=1e-5)
    in_one_piece = rule.on_device(torch.from_numpy(pixels.copy()), torch.from_numpy(known.copy()))
    torch.testing.assert_close(in_one_piece, rule.on_cpu(pixels, known), atol=1e-6, rtol=1e-6)
    assert rule.on_cpu(pixels, known).is_contiguous(memory_format=torch.channels_last)


@KINDS
@pytest.mark.parametrize("batch", [2, 3, 16])
def test_a_batch_of_tiles_gives_the_same_mask_as_one_tile_after_the_other(net: dict[str, object], batch: int) -> None:
    image, loaded = noise(3, 130, 170), small_model(1, **net)
    one = by_tiles(predictor_of(loaded, core_px=32), image, all_valid(image), block_px=96)
    many = by_tiles(predictor_of(loaded, core_px=32, batch=batch), image, all_valid(image), block_px=96)
    assert_same(many, one, share=1e-4)


@pytest.mark.slow
def test_bfloat16_moves_few_probabilities_of_the_shipped_weights_and_few_classes() -> None:
    """Stated: probabilities within 0.02 on 99.9 % of the pixels, 0.0005 on average; one class in 1000 differs."""
    rng = np.random.default_rng(11)
    image = np.concatenate([sample_crop(rng, size_px=320).image for _ in range(3)])
    found = [
        by_tiles(predictor_of(shipped(), core_px=320, precision=p), image, all_valid(image), block_px=320)
        for p in ("float32", "bfloat16")
    ]
    assert set(np.unique(found[0].mask)) == {0, 1, 2}, "a picture without damage proves nothing"
    steps = np.abs(found[1].probability.astype(int) - found[0].probability.astype(int)) / 255
    assert np.quantile(steps, 0.999) <= 0.02
    assert steps.mean() <= 0.0005
    assert (found[1].mask != found[0].mask).mean() <= 1e-3


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_net_gives_the_same_mask() -> None:
    image, loaded = noise(5, 64, 96), small_model(4)
    plain = by_tiles(predictor_of(loaded, core_px=32), image, all_valid(image), block_px=96)
    runtime = torch_runtime(loaded, compiled=True)
    compiled = by_tiles(predictor_of(loaded, core_px=32, runtime=runtime), image, all_valid(image), block_px=96)
    assert_same(compiled, plain, share=1e-4)


def test_on_a_processor_one_tile_goes_through_at_a_time() -> None:
    assert pick_batch(device="cpu", tile_bytes=1) == 1
    assert free_device_bytes("cpu") is None


@pytest.mark.parametrize(
    ("free_bytes", "tile_bytes", "tiles"),
    [(0, 10, 1), (100, 200, 1), (1000, 100, 7), (10**12, 100, 64)],
    ids=["no-memory-still-tries-one", "too-little-tries-one", "a-share-is-left-free", "more-than-64-gain-nothing"],
)
def test_a_batch_is_what_the_free_memory_holds(free_bytes: int, tile_bytes: int, tiles: int) -> None:
    assert tiles_that_fit(free_bytes, tile_bytes=tile_bytes) == tiles


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:128] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("expected 3 channels, but got 4"), False),
        (ValueError("out of memory"), False),
    ],
    ids=["cuda", "python", "torch-on-a-processor", "torch-on-windows", "a-wrong-shape-is-not", "a-wrong-value-is-not"],
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
