"""How many bytes a run will hold at its peak, known before it starts and the same for any raster size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from segmentation.errors import InputRejected
from segmentation.inference.geometry import TileGeometry

_IMAGE_BYTES_PER_PX = 3 + 1
"""RGB uint8 and the validity flag."""
_RESULT_BYTES_PER_PX = 1 + 2
"""Mask and the two quantised probability channels."""
_READ_COPIES = 2
"""What rasterio returns is bands first; the engine holds it a second time, pixels first and mirrored."""
_SHARD_COPIES = 2
"""A shard is held once as an array and once encoded, at worst incompressible."""


@dataclass(frozen=True, slots=True)
class MemoryProjection:
    """Peak bytes of a worker process, term by term."""

    terms: Mapping[str, int]
    """Bytes by what holds them."""

    @property
    def total_bytes(self) -> int:
        """Sum of the terms."""
        return sum(self.terms.values())

    @property
    def largest(self) -> str:
        """The term that holds most."""
        return max(self.terms, key=lambda name: self.terms[name])


def project_memory(
    *,
    geometry: TileGeometry,
    block_px: int,
    workers: int,
    batch: int,
    weight_bytes: int,
    activation_bytes_per_px: float,
    gdal_cache_bytes: int,
    process_bytes: int,
) -> MemoryProjection:
    """Project the peak bytes of one process that works `workers` blocks at a time; the raster's size does not enter.

    `process_bytes` is what the interpreter and its libraries hold before the first block. The model is shared by
    the workers; everything of a block is held once by each.
    """
    read_px = (block_px + 2 * geometry.halo_px) ** 2
    tile_px = geometry.window_px**2
    return MemoryProjection(
        {
            "process": process_bytes,
            "weights": weight_bytes,
            "gdal cache": gdal_cache_bytes,
            "block pixels": workers * _READ_COPIES * _IMAGE_BYTES_PER_PX * read_px,
            "activations": int(workers * batch * activation_bytes_per_px * tile_px),
            "shard buffers": workers * (1 + _SHARD_COPIES) * _RESULT_BYTES_PER_PX * block_px**2,
        }
    )


def even_cores(*, block_px: int, alignment_px: int, least_px: int, most_px: int) -> tuple[int, ...]:
    """Aligned core sides that cut a block into equal tiles, largest first: no sliver of a tile pays a whole halo.

    >>> even_cores(block_px=2048, alignment_px=16, least_px=400, most_px=1024)
    (1024, 688, 512, 416)
    """
    sides: list[int] = []
    for count in range(1, block_px // alignment_px + 1):
        side = -(-block_px // (count * alignment_px)) * alignment_px
        if side < least_px:
            break
        if side <= most_px and side not in sides:
            sides.append(side)
    return tuple(sides) or (least_px,)


def largest_that_fits(
    cores_px: Sequence[int], projected: Callable[[int], MemoryProjection], *, limit_bytes: int
) -> int:
    """The first core whose projection stays within the limit, else the last: `refuse_above` then says why."""
    return next((core for core in cores_px if projected(core).total_bytes <= limit_bytes), cores_px[-1])


def refuse_above(projection: MemoryProjection, limit_bytes: int, *, subject: str) -> None:
    """Raise `InputRejected` E_MEMORY where the projection exceeds the limit, naming the term to turn down."""
    if projection.total_bytes <= limit_bytes:
        return
    knob = {
        "activations": "set a smaller SPANSCAN_TILE_CORE_PX or SPANSCAN_BATCH, or fewer SPANSCAN_WORKERS",
        "block pixels": "set a smaller SPANSCAN_BLOCK_PX or fewer SPANSCAN_WORKERS",
        "shard buffers": "set a smaller SPANSCAN_BLOCK_PX or fewer SPANSCAN_WORKERS",
    }.get(projection.largest, "give the run a machine with more memory, or raise SPANSCAN_MEMORY_LIMIT_BYTES")
    raise InputRejected(
        "E_MEMORY",
        subject,
        f"the projected peak must stay below {_megabytes(limit_bytes)}, got {_megabytes(projection.total_bytes)}, "
        f"most of it {projection.largest} ({_megabytes(projection.terms[projection.largest])})",
        knob,
    )


def _megabytes(count_bytes: int) -> str:
    return f"{count_bytes / 1e6:,.0f} MB"
