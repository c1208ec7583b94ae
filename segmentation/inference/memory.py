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
_LOGIT_BYTES_PER_PX = 3 * 4
"""Scores of the classes in float32."""
_CLASSIFYING_BYTES_PER_PX = 3 * 4 + 3 * 4 + _RESULT_BYTES_PER_PX
"""Scores, what is computed from them, and the result, where a device does it in one piece."""
_NORMALISING_BYTES_PER_PX = 3 * (4 + 4 + 4)
"""Pixels in float32, their normalised values and a copy in the net's precision, where a device does it in one piece."""
_DEVICE_CONTEXT_BYTES = 10**9
"""CUDA context, kernels and the convolution library's workspace: an allowance, not measured."""

_KNOBS = {
    "activations": "set a smaller SPANSCAN_TILE_CORE_PX or SPANSCAN_BATCH, or fewer SPANSCAN_WORKERS",
    "tiles": "set a smaller SPANSCAN_TILE_CORE_PX or SPANSCAN_BATCH, or fewer SPANSCAN_WORKERS",
    "reader queue": "set a smaller SPANSCAN_BLOCK_PX or fewer SPANSCAN_WORKERS",
    "shard buffers": "set a smaller SPANSCAN_BLOCK_PX or fewer SPANSCAN_WORKERS",
    "blended logits": "set a smaller SPANSCAN_BLOCK_PX or fewer SPANSCAN_WORKERS",
}


@dataclass(frozen=True, slots=True)
class MemoryProjection:
    """Peak bytes of a worker process, term by term."""

    terms: Mapping[str, int]
    """Bytes in the machine's memory by what holds them."""
    device_terms: Mapping[str, int]
    """Bytes in the memory of a device of its own; empty where the net runs on the processor."""

    @property
    def total_bytes(self) -> int:
        """Sum of the terms in the machine's memory."""
        return sum(self.terms.values())

    @property
    def device_total_bytes(self) -> int:
        """Sum of the terms in the device's memory."""
        return sum(self.device_terms.values())

    @property
    def largest(self) -> str:
        """The term that holds most of the machine's memory."""
        return _largest(self.terms)


def project_memory(
    *,
    geometry: TileGeometry,
    block_px: int,
    workers: int,
    read_ahead: int,
    write_behind: int,
    batch: int,
    weight_bytes: int,
    activation_bytes_per_px: float,
    gdal_cache_bytes: int,
    process_bytes: int,
    on_device: bool,
) -> MemoryProjection:
    """Project the peak bytes of one process whose `workers` threads infer at a time; the raster's size does not enter.

    Beside the block that it infers, each worker reads `read_ahead` others, or lets them wait, and writes
    `write_behind`. `process_bytes` is what the interpreter and its libraries hold before the first block.
    `on_device`: weights, activations and tiles lie in the memory of a device. The model is shared by the workers.
    """
    read_px = geometry.most_read_px(block_px) ** 2
    images = max(_READ_COPIES, 1 + _READ_COPIES * read_ahead)
    shards = max(1 + _SHARD_COPIES, 1 + (1 + _SHARD_COPIES) * write_behind)
    host = {
        "process": process_bytes,
        "gdal cache": gdal_cache_bytes,
        "reader queue": workers * images * _IMAGE_BYTES_PER_PX * read_px,
        "shard buffers": workers * shards * _RESULT_BYTES_PER_PX * block_px**2,
    }
    if geometry.method == "blended":
        # The sum, and the weighted logits of one tile that is added to it.
        host["blended logits"] = workers * _LOGIT_BYTES_PER_PX * (block_px**2 + geometry.window_px**2)
    activations = int(workers * batch * activation_bytes_per_px * geometry.window_px**2)
    staged = workers * 2 * batch * (_IMAGE_BYTES_PER_PX + _RESULT_BYTES_PER_PX) * geometry.window_px**2
    if not on_device:
        return MemoryProjection({**host, "weights": weight_bytes, "activations": activations, "tiles": staged}, {})
    in_one_piece = max(_CLASSIFYING_BYTES_PER_PX, _NORMALISING_BYTES_PER_PX) * workers * batch * geometry.window_px**2
    device = {
        "context": _DEVICE_CONTEXT_BYTES,
        "weights": weight_bytes,
        "activations": activations,
        "tiles": staged + in_one_piece,
    }
    return MemoryProjection({**host, "weights": weight_bytes, "tiles": staged}, device)


def tile_bytes(geometry: TileGeometry, *, activation_bytes_per_px: float) -> int:
    """What one more tile in a batch holds on a device."""
    staged = 2 * (_IMAGE_BYTES_PER_PX + _RESULT_BYTES_PER_PX)
    in_one_piece = max(_CLASSIFYING_BYTES_PER_PX, _NORMALISING_BYTES_PER_PX)
    return int((activation_bytes_per_px + staged + in_one_piece) * geometry.window_px**2)


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
    cores_px: Sequence[int],
    projected: Callable[[int], MemoryProjection],
    *,
    limit_bytes: int,
    device_limit_bytes: int | None,
) -> int:
    """The first core whose projection stays within the limits, else the last: `refuse_above` then says why."""
    fitting = (c for c in cores_px if not _exceeded(projected(c), limit_bytes, device_limit_bytes))
    return next(fitting, cores_px[-1])


def refuse_above(
    projection: MemoryProjection, limit_bytes: int, *, device_limit_bytes: int | None, subject: str
) -> None:
    """Raise `InputRejected` E_MEMORY where the projection exceeds a limit, naming the term to turn down.

    `device_limit_bytes` None: no device, or one without a limit.
    """
    exceeded = _exceeded(projection, limit_bytes, device_limit_bytes)
    if exceeded is None:
        return
    where, terms, limit = exceeded
    largest = _largest(terms)
    raise InputRejected(
        "E_MEMORY",
        subject,
        f"the projected peak{where} must stay within {_megabytes(limit)}, got {_megabytes(sum(terms.values()))}, "
        f"most of it {largest} ({_megabytes(terms[largest])})",
        _KNOBS.get(largest, f"give the run {'a larger device' if where else _MORE_MEMORY}"),
    )


_MORE_MEMORY = "a machine with more memory, or raise SPANSCAN_MEMORY_LIMIT_BYTES"


def _exceeded(
    projection: MemoryProjection, limit_bytes: int, device_limit_bytes: int | None
) -> tuple[str, Mapping[str, int], int] | None:
    """Where memory is short (as words for a message), what is wanted there, and the limit."""
    if projection.total_bytes > limit_bytes:
        return "", projection.terms, limit_bytes
    if device_limit_bytes is not None and projection.device_total_bytes > device_limit_bytes:
        return " on the device", projection.device_terms, device_limit_bytes
    return None


def _largest(terms: Mapping[str, int]) -> str:
    return max(terms, key=lambda name: terms[name])


def _megabytes(count_bytes: int) -> str:
    return f"{count_bytes / 1e6:,.0f} MB"
