"""The same law on a CUDA device: run with ``pytest -m gpu`` where there is one."""

import numpy as np
import pytest
import torch

from segmentation.errors import InputRejected
from segmentation.inference.devices import free_device_bytes, pick_batch, pick_device, pick_precision
from segmentation.inference.memory import tile_bytes
from segmentation.inference.predictor import Predictor, tile_geometry
from segmentation.inference.runtime import TorchRuntime
from segmentation.models.registry import LoadedModel
from segmentation.synthetic.crops import sample_crop
from tests.segmentation.inference.nets import (
    FOLDED,
    PADDED,
    VALID,
    WHOLE_WINDOW,
    Bytes,
    all_valid,
    assert_same,
    by_tiles,
    geometry_of,
    noise,
    predictor_of,
    shipped,
    small_model,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def on_cuda(loaded: LoadedModel, *, core_px: int, precision: str = "float32", batch: int = 1) -> Predictor:
    runtime = TorchRuntime(loaded, device="cuda", precision=precision, compiled=False)
    return Predictor(runtime, geometry=tile_geometry(geometry_of(loaded.module), core_px=core_px), batch=batch)


def painted() -> Bytes:
    rng = np.random.default_rng(11)
    return np.concatenate([sample_crop(rng, size_px=320).image for _ in range(3)])


@pytest.mark.parametrize("net", [PADDED, VALID, FOLDED, WHOLE_WINDOW], ids=["padded", "valid", "folded", "blended"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_device_gives_the_mask_of_the_processor(net: dict[str, object], batch: int) -> None:
    """Stated: probabilities within 2/255, since a device may multiply float32 in TF32."""
    image, loaded = noise(3, 150, 170), small_model(1, **net)
    validity = np.random.default_rng(3).random((150, 170)) > 0.1
    here = by_tiles(predictor_of(loaded, core_px=32), image, validity, block_px=96)
    there = by_tiles(on_cuda(loaded, core_px=32, batch=batch), image, validity, block_px=96)
    assert_same(there, here, steps=2, share=5e-3)


def test_overlapping_copies_and_kernels_never_mix_up_batches() -> None:
    """Hundreds of batches in flight behind each other, ten times over: each time the same bytes."""
    image, loaded = noise(4, 640, 640), small_model(2)
    predictor = on_cuda(loaded, core_px=32, batch=2)
    first = by_tiles(predictor, image, all_valid(image), block_px=640)
    for _ in range(10):
        again = by_tiles(predictor, image, all_valid(image), block_px=640)
        assert (again.mask == first.mask).all()
        assert (again.probability == first.probability).all()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_moves_few_classes_of_the_shipped_weights(precision: str) -> None:
    image = painted()
    exact = by_tiles(on_cuda(shipped(), core_px=320), image, all_valid(image), block_px=320)
    half = by_tiles(on_cuda(shipped(), core_px=320, precision=precision), image, all_valid(image), block_px=320)
    assert set(np.unique(exact.mask)) == {0, 1, 2}, "a picture without damage proves nothing"
    assert (half.mask != exact.mask).mean() <= 1e-3


def test_tiles_equal_one_forward_pass_on_a_device() -> None:
    image = painted()
    predictor = on_cuda(shipped(), core_px=256, batch=2)
    assert_same(
        by_tiles(predictor, image, all_valid(image), block_px=512),
        predictor.segment_whole(image, all_valid(image)),
        steps=2,
        share=1e-4,
    )


def test_a_device_that_runs_out_of_memory_gets_less_at_a_time() -> None:
    image, loaded = noise(5, 1024, 1024), shipped()
    expected = by_tiles(on_cuda(loaded, core_px=512), image, all_valid(image), block_px=1024)
    _, total_bytes = torch.cuda.mem_get_info()
    one = tile_bytes(
        tile_geometry(geometry_of(loaded.module), core_px=512),
        activation_bytes_per_px=4 * geometry_of(loaded.module).peak_activation_values_per_px,
    )
    try:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1.5 * one / total_bytes)
        predictor = on_cuda(loaded, core_px=1024, batch=1)
        found = by_tiles(predictor, image, all_valid(image), block_px=1024)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert predictor.backed_off_to[1] < 1024
    assert_same(found, expected, steps=2, share=1e-3)


def test_logits_that_are_not_finite_are_an_error_on_a_device_too() -> None:
    image = noise(6, 40, 40)
    predictor = on_cuda(small_model(1), core_px=16, precision="float16")
    predictor._runtime._net.head.bias.data[0] = float("nan")  # type: ignore[attr-defined]
    with pytest.raises(InputRejected, match="the logits must be finite"):
        by_tiles(predictor, image, all_valid(image), block_px=64)


def test_the_batch_follows_from_the_free_memory() -> None:
    free = free_device_bytes("cuda")
    assert free is not None
    assert pick_batch(device="cuda", tile_bytes=free) == 1
    assert pick_batch(device="cuda", tile_bytes=max(1, free // 20)) in (13, 14)
    assert pick_device("auto") == "cuda"
    assert pick_precision("fp16", device="cuda") == "float16"
