"""The memory projection, with primes so that no two of its terms can be confused."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.errors import InputRejected
from segmentation.inference.geometry import Method, TileGeometry, aligned_window
from segmentation.inference.memory import (
    MemoryProjection,
    even_cores,
    largest_that_fits,
    project_memory,
    refuse_above,
    tile_bytes,
)
from segmentation.windows import Window

GEOMETRY = TileGeometry(alignment_px=2, halo_px=2, core_px=10)
WINDOW_PX = 10 + 2 * 2
GIB = 2**30


def projection(**changes: Any) -> MemoryProjection:
    known: dict[str, Any] = {
        "geometry": GEOMETRY,
        "block_px": 13,
        "workers": 3,
        "read_ahead": 2,
        "write_behind": 1,
        "batch": 5,
        "weight_bytes": 7,
        "activation_bytes_per_px": 11,
        "gdal_cache_bytes": 17,
        "process_bytes": 19,
        "on_device": False,
    }
    return project_memory(**{**known, **changes})


READER_QUEUE = 3 * (1 + 2 * 2) * 4 * (13 + 2 * 2 + 1) ** 2
"""Workers × (the block inferred + two read ahead, twice each) × (RGB + validity) × block read, aligned."""
SHARDS = 3 * (1 + 1 * 3) * 3 * 13**2
"""Workers × (the block inferred + one written, as array and twice encoded) × (mask + two channels) × block."""
STAGED = 3 * 2 * 5 * (4 + 3) * WINDOW_PX**2
"""Workers × (this batch + the next) × batch × (what goes in + what comes out) × window."""


def test_on_a_processor_each_term_is_what_its_buffers_hold() -> None:
    assert dict(projection().terms) == {
        "process": 19,
        "weights": 7,
        "gdal cache": 17,
        "reader queue": READER_QUEUE,
        "activations": 3 * 5 * 11 * WINDOW_PX**2,
        "tiles": STAGED,
        "shard buffers": SHARDS,
    }
    assert projection().device_total_bytes == 0


def test_with_a_device_the_activations_are_there_and_the_queues_here() -> None:
    found = projection(on_device=True)
    assert dict(found.terms) == {
        "process": 19,
        "weights": 7,
        "gdal cache": 17,
        "reader queue": READER_QUEUE,
        "tiles": STAGED,
        "shard buffers": SHARDS,
    }
    assert found.device_terms["weights"] == 7
    assert found.device_terms["activations"] == 3 * 5 * 11 * WINDOW_PX**2
    assert found.device_terms["tiles"] == STAGED + 3 * 5 * 36 * WINDOW_PX**2


def test_without_reading_ahead_a_block_is_held_as_read_and_as_filled() -> None:
    found = projection(read_ahead=0, write_behind=0)
    assert found.terms["reader queue"] == 3 * 2 * 4 * (13 + 2 * 2 + 1) ** 2
    assert found.terms["shard buffers"] == 3 * 3 * 3 * 13**2


def test_blended_tiles_need_the_logits_of_the_whole_block() -> None:
    blended = replace(GEOMETRY, method="blended")
    assert projection(geometry=blended).terms["blended logits"] == 3 * 12 * (13**2 + WINDOW_PX**2)


def test_one_more_tile_holds_what_the_projection_counts_for_it() -> None:
    one, two = (projection(on_device=True, workers=1, batch=n) for n in (1, 2))
    assert two.device_total_bytes - one.device_total_bytes == tile_bytes(GEOMETRY, activation_bytes_per_px=11)


@given(st.sampled_from(["exact", "overlap-tile", "blended"]), st.integers(0, 300), st.integers(1, 90))
def test_no_block_reads_more_than_the_projection_counts(method: Method, start: int, block_px: int) -> None:
    valid = TileGeometry(alignment_px=4, halo_px=11, core_px=24, margin_px=7, residue_px=2)
    geometry = replace(valid, method=method)
    start -= start % 4 if method == "exact" else 0
    read = aligned_window(Window(start, start + block_px, 0, 5), geometry)
    assert read.shape[0] <= geometry.most_read_px(block_px)


@dataclass(frozen=True)
class RefusalCase:
    id: str
    changes: dict[str, Any]
    knob: str
    device: bool = False
    said: str = field(default="the projected peak must stay within")


REFUSALS = [
    RefusalCase("large-tiles-name-the-tile", {"activation_bytes_per_px": 10_007}, "SPANSCAN_TILE_CORE_PX"),
    RefusalCase("large-blocks-name-the-block", {"block_px": 1009}, "SPANSCAN_BLOCK_PX"),
    RefusalCase("a-large-process-names-the-limit", {"process_bytes": 10**9}, "SPANSCAN_MEMORY_LIMIT_BYTES"),
    RefusalCase(
        "a-full-device-names-the-tile-and-the-device",
        {"activation_bytes_per_px": 10_000_019, "on_device": True},
        "SPANSCAN_BATCH",
        device=True,
        said="the projected peak on the device must stay within",
    ),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda c: c.id)
def test_a_run_above_a_limit_is_refused_with_the_figures_and_the_knob_to_turn(case: RefusalCase) -> None:
    over = projection(**case.changes)
    host_limit = over.total_bytes - (0 if case.device else 1)
    device_limit = over.device_total_bytes - 1 if case.device else None
    with pytest.raises(InputRejected, match=case.knob) as refusal:
        refuse_above(over, host_limit, device_limit_bytes=device_limit, subject="bridge-7")
    total = over.device_total_bytes if case.device else over.total_bytes
    assert refusal.value.code == "E_MEMORY"
    assert case.said in refusal.value.cause
    assert f"got {total / 1e6:,.0f} MB" in refusal.value.cause
    refuse_above(over, over.total_bytes, device_limit_bytes=over.device_total_bytes, subject="bridge-7")


def test_the_core_is_the_largest_that_fits_host_and_device() -> None:
    def projected(core_px: int) -> MemoryProjection:
        return MemoryProjection({"tiles": 10 * core_px}, {"activations": core_px})

    cores = even_cores(block_px=2048, alignment_px=16, least_px=256, most_px=1024)
    assert cores[:3] == (1024, 688, 512)
    assert largest_that_fits(cores, projected, limit_bytes=GIB, device_limit_bytes=None) == 1024
    assert largest_that_fits(cores, projected, limit_bytes=7000, device_limit_bytes=None) == 688
    assert largest_that_fits(cores, projected, limit_bytes=7000, device_limit_bytes=600) == 512
    assert largest_that_fits(cores, projected, limit_bytes=1, device_limit_bytes=None) == cores[-1]
