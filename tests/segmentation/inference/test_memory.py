"""The memory projection, with primes so that no two of its terms can be confused."""

import pytest

from segmentation.errors import InputRejected
from segmentation.inference.geometry import TileGeometry
from segmentation.inference.memory import MemoryProjection, project_memory, refuse_above


def projection(**changes: float) -> MemoryProjection:
    known: dict[str, float] = {
        "block_px": 13,
        "workers": 3,
        "batch": 5,
        "weight_bytes": 7,
        "activation_bytes_per_px": 11,
        "gdal_cache_bytes": 17,
        "process_bytes": 19,
    }
    geometry = TileGeometry(alignment_px=2, halo_px=2, core_px=10)
    return project_memory(geometry=geometry, **{**known, **changes})  # type: ignore[arg-type]


def test_each_term_is_what_its_buffers_hold() -> None:
    assert dict(projection().terms) == {
        "process": 19,
        "weights": 7,
        "gdal cache": 17,
        "block pixels": 3 * 2 * 4 * (13 + 2 * 2) ** 2,  # workers × copies × (RGB + validity) × padded block
        "activations": 3 * 5 * 11 * (10 + 2 * 2) ** 2,  # workers × batch × bytes × window
        "shard buffers": 3 * 3 * 3 * 13**2,  # workers × (array + two encoded) × (mask + two channels) × block
    }


def test_the_total_is_the_sum_of_its_terms() -> None:
    assert projection().total_bytes == sum(projection().terms.values())


@pytest.mark.parametrize(
    ("changes", "knob"),
    [
        ({"activation_bytes_per_px": 10_007}, "SPANSCAN_TILE_CORE_PX"),
        ({"block_px": 1009}, "SPANSCAN_BLOCK_PX"),
        ({"process_bytes": 10**9}, "SPANSCAN_MEMORY_LIMIT_BYTES"),
    ],
    ids=["large-tiles-name-the-tile", "large-blocks-name-the-block", "a-large-process-names-the-limit"],
)
def test_a_run_above_the_limit_is_refused_with_the_knob_to_turn(changes: dict[str, float], knob: str) -> None:
    over = projection(**changes)
    with pytest.raises(InputRejected, match=knob) as refusal:
        refuse_above(over, over.total_bytes - 1, subject="bridge-7")
    assert refusal.value.code == "E_MEMORY"
    assert over.largest in str(refusal.value)


def test_a_run_at_the_limit_is_accepted() -> None:
    refuse_above(projection(), projection().total_bytes, subject="bridge-7")
