"""Where the net runs, in which arithmetic, and how much of it at a time."""

from typing import Final

import torch

from segmentation.errors import UsageError

PRECISIONS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Arithmetic by its name in a plan."""

_SETTINGS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_MOST_TILES = 64
"""Beyond it a forward pass gains nothing by more tiles."""
_SHARE_OF_FREE_MEMORY = 0.7
"""The rest is for the workspace of convolution libraries and for other processes on the card."""


def pick_device(name: str) -> str:
    """The device that a setting names: ``auto`` takes CUDA where there is one.

    Raises UsageError E_DEVICE for CUDA where there is none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        raise UsageError("E_DEVICE", name, "the device must be present, got none", "set SPANSCAN_DEVICE=cpu or auto")
    return name


def gpu_count() -> int:
    """CUDA devices of this machine."""
    return torch.cuda.device_count()


def pick_precision(name: str, *, device: str) -> str:
    """``float32``, ``bfloat16`` or ``float16``: ``auto`` takes bfloat16 where the processor multiplies it in hardware.

    Raises UsageError E_DEVICE for float16 on a CPU, whose range of values no trained net was tried with there.
    """
    on_cuda = torch.device(device).type == "cuda"
    if name == "fp16" and not on_cuda:
        raise UsageError("E_DEVICE", "fp16", f"float16 must run on CUDA, got {device}", "set SPANSCAN_PRECISION=bf16")
    if name != "auto":
        return _SETTINGS[name]
    if on_cuda:
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16", False) else "float32"


def pick_batch(*, device: str, tile_bytes: int) -> int:
    """Tiles per forward pass: one on a CPU, whose caches more would overflow; on CUDA as many as its free memory holds.

    `tile_bytes` is what one tile holds on the device, see `memory.tile_bytes`.
    """
    if torch.device(device).type != "cuda":
        return 1
    return tiles_that_fit(free_device_bytes(device) or 0, tile_bytes=tile_bytes)


def free_device_bytes(device: str) -> int | None:
    """Memory of a CUDA device that this process could take, with what it keeps there unused; None for a CPU."""
    if torch.device(device).type != "cuda":
        return None
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return free_bytes + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def held_device_bytes() -> int | None:
    """What this process holds of all GPUs together; None where it has used none."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return sum(torch.cuda.memory_reserved(number) for number in range(torch.cuda.device_count()))


def tiles_that_fit(free_bytes: int, *, tile_bytes: int) -> int:
    """Tiles that a share of the free memory of a device holds, at least one.

    >>> tiles_that_fit(10_000, tile_bytes=1_000)
    7
    """
    return max(1, min(int(free_bytes * _SHARE_OF_FREE_MEMORY) // tile_bytes, _MOST_TILES))


def bytes_per_value(precision: str) -> int:
    """Bytes of one value of ``float32``, ``bfloat16`` or ``float16``."""
    return PRECISIONS[precision].itemsize


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a device or in this process: the rule of the back-off."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    told = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        phrase in told for phrase in ("out of memory", "not enough memory", "can't allocate memory", "bad_alloc")
    )
