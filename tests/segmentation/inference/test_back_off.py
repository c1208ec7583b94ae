"""When memory runs out, the batch is halved, then the tile; the mask stays the same."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.errors import RunFailed
from segmentation.inference.geometry import TileGeometry, halves, tiles
from segmentation.models.registry import LoadedModel
from segmentation.windows import Window
from tests.segmentation.inference.nets import (
    FOLDED,
    PADDED,
    VALID,
    WHOLE_WINDOW,
    Bytes,
    Flags,
    all_valid,
    assert_same,
    by_tiles,
    noise,
    predictor_of,
    small_model,
    torch_runtime,
)


class TightRuntime:
    """The real runtime on a machine with memory for so many pixels at once."""

    def __init__(self, loaded: LoadedModel, *, most_px: int, error: Exception) -> None:
        self._real, self._most_px, self._error = torch_runtime(loaded), most_px, error
        self.sha256 = loaded.sha256
        self.refusals = 0
        self.passes: list[tuple[int, ...]] = []

    def logits(self, pixels: Bytes, known: Flags) -> torch.Tensor:
        if known.size > self._most_px:
            self.refusals += 1
            raise self._error
        self.passes.append(known.shape)
        return self._real.logits(pixels, known)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
]


@pytest.mark.parametrize("error", ERRORS, ids=["device", "process", "allocator"])
@pytest.mark.parametrize("net", [PADDED, VALID, FOLDED], ids=["padded", "valid", "folded"])
def test_with_less_memory_the_mask_is_the_same(net: dict[str, Any], error: Exception) -> None:
    image, loaded = noise(1, 128, 150), small_model(1, **net)
    plain = by_tiles(predictor_of(loaded, core_px=64, batch=4), image, all_valid(image), block_px=128)
    runtime = TightRuntime(loaded, most_px=80 * 80, error=error)
    predictor = predictor_of(loaded, core_px=64, batch=4, runtime=runtime)
    found = by_tiles(predictor, image, all_valid(image), block_px=128)
    assert_same(found, plain)
    batch, core_px = predictor.backed_off_to
    assert (batch, core_px) == (1, 32)
    assert runtime.refusals <= 6, "what memory was found for is remembered"


def test_the_batch_is_halved_before_a_tile_is() -> None:
    image, loaded = noise(2, 128, 128), small_model(1)
    window_px = predictor_of(loaded, core_px=32).geometry.window_px
    runtime = TightRuntime(loaded, most_px=2 * window_px**2, error=ERRORS[0])
    predictor = predictor_of(loaded, core_px=32, batch=8, runtime=runtime)
    by_tiles(predictor, image, all_valid(image), block_px=128)
    assert predictor.backed_off_to == (2, 32)
    assert set(runtime.passes) == {(2, window_px, window_px)}


@pytest.mark.parametrize("net", [PADDED, WHOLE_WINDOW], ids=["smallest-tile", "blended-tile"])
def test_no_room_for_the_least_tile_is_an_error_that_can_be_mended(net: dict[str, Any]) -> None:
    image, loaded = noise(2, 64, 64), small_model(1, **net)
    predictor = predictor_of(loaded, core_px=32, runtime=TightRuntime(loaded, most_px=10, error=ERRORS[1]))
    with pytest.raises(RunFailed, match="SPANSCAN_DEVICE=cpu") as failure:
        by_tiles(predictor, image, all_valid(image), block_px=64)
    assert failure.value.code == "E_OUT_OF_MEMORY"


def test_any_other_error_is_not_taken_for_a_lack_of_memory() -> None:
    image, loaded = noise(2, 64, 64), small_model(1)
    runtime = TightRuntime(loaded, most_px=10, error=RuntimeError("expected 3 channels, got 4"))
    with pytest.raises(RuntimeError, match="expected 3 channels"):
        by_tiles(predictor_of(loaded, core_px=32, runtime=runtime), image, all_valid(image), block_px=64)
    assert runtime.refusals == 1


@settings(max_examples=60)
@given(st.sampled_from(["exact", "overlap-tile"]), st.integers(0, 40), st.integers(1, 70), st.integers(1, 70))
def test_the_halves_of_a_tile_own_its_pixels_once_and_pool_in_its_phase(
    method: Any, start: int, rows: int, cols: int
) -> None:
    geometry = TileGeometry(alignment_px=4, halo_px=11, core_px=32, margin_px=7, residue_px=2, method=method)
    start -= start % 4 if method == "exact" else 0
    for tile in tiles(Window(start, start + rows, start, start + cols), geometry=geometry):
        owners = np.zeros(tile.core.shape, np.int32)
        for part in halves(tile, geometry=geometry):
            owners[part.core.within(tile.core)] += 1
            assert (part.window.row_start - tile.window.row_start) % 4 == 0
            assert (part.window.col_start - tile.window.col_start) % 4 == 0
            assert all(side % 4 == 2 for side in part.window.shape)
            assert part.window.intersect(part.core.grow(11)) == part.core.grow(11)
            assert tile.window.intersect(part.window) == part.window
            assert part.window.area_px < tile.window.area_px
        assert (owners == 1).all() or max(tile.core.shape) <= 4
