"""Fault 12 of the scorecard: the memory that inference runs in is really less than a batch needs.

On a processor the address space of a process of its own is bounded, on a GPU what the process may take of it.
"""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from segmentation.errors import RunFailed
from segmentation.inference.predictor import Predictor
from segmentation.inference.runtime import TorchRuntime
from tests.scorecard.forked_runs import ended, forked
from tests.segmentation.inference.nets import (
    WHOLE_WINDOW,
    Bytes,
    all_valid,
    assert_same,
    by_tiles,
    noise,
    predictor_of,
    small_model,
)

SIDE_PX, CORE_PX, BATCH = 1024, 256, 16
MEBIBYTE = 1 << 20


@contextmanager
def address_space(spare_bytes: int) -> Iterator[None]:
    """So much more than this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + spare_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def picture() -> Bytes:
    return noise(4, SIDE_PX, SIDE_PX)


def halves_until_it_fits() -> None:
    image, loaded = picture(), small_model(1)
    expected = by_tiles(predictor_of(loaded, core_px=CORE_PX), image, all_valid(image), block_px=SIDE_PX)
    predictor = predictor_of(loaded, core_px=CORE_PX, batch=BATCH)
    with address_space(40 * MEBIBYTE):
        found = by_tiles(predictor, image, all_valid(image), block_px=SIDE_PX)
    batch, core_px = predictor.backed_off_to
    assert (batch < BATCH, core_px) == (True, CORE_PX), "memory must have been short, but not for one tile"
    assert_same(found, expected)


def names_what_to_turn() -> None:
    """A net that looks at its whole window cannot be given smaller ones."""
    image, loaded = picture(), small_model(1, **WHOLE_WINDOW)
    predictor = predictor_of(loaded, core_px=SIDE_PX)
    predictor_of(loaded, core_px=32).segment_whole(image[:64, :64], all_valid(image[:64, :64]))  # what is taken once
    with address_space(40 * MEBIBYTE), pytest.raises(RunFailed) as failed:
        by_tiles(predictor, image, all_valid(image), block_px=SIDE_PX)
    assert failed.value.code == "E_OUT_OF_MEMORY"
    assert "SPANSCAN_TILE_CORE_PX" in str(failed.value)


@pytest.mark.slow
@pytest.mark.parametrize("law", [halves_until_it_fits, names_what_to_turn], ids=lambda law: law.__name__)
def test_a_process_with_little_address_space(law: Callable[[], None]) -> None:
    assert ended(forked(law)) == 0


@pytest.mark.gpu
def test_a_gpu_of_which_little_may_be_taken_gets_smaller_batches_with_equal_output() -> None:
    image, loaded = picture(), small_model(1)

    def on_gpu(batch: int) -> Predictor:
        runtime = TorchRuntime(loaded, device="cuda", precision="float32", compiled=False)
        return predictor_of(loaded, core_px=CORE_PX, batch=batch, runtime=runtime)

    expected = by_tiles(on_gpu(1), image, all_valid(image), block_px=SIDE_PX)
    used_bytes = torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    predictor = on_gpu(BATCH)
    try:
        torch.cuda.set_per_process_memory_fraction(3 * used_bytes / torch.cuda.mem_get_info()[1])
        found = by_tiles(predictor, image, all_valid(image), block_px=SIDE_PX)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert predictor.backed_off_to[0] < BATCH
    assert_same(found, expected, steps=2)
