"""The C library's allocator, told to keep what the network frees for the next tile."""

import ctypes
import gc
import sys
from functools import lru_cache

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGE_BYTES = 1 << 30


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Keep freed memory in this process, in one arena for all threads; whether that was possible (glibc only).

    By default glibc takes each large buffer fresh from the kernel and gives it back: on the shipped network that was
    1.0 million page faults and a quarter of the CPU time for 8 Mpx, against 24 thousand and none (1024 px tiles, 2
    threads). The memory is the same that the next tile takes, so the peak is that of one tile per thread.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = {
        _M_MMAP_THRESHOLD: _LARGE_BYTES,
        _M_TRIM_THRESHOLD: _LARGE_BYTES,
        _M_TOP_PAD: 64 << 20,
        _M_ARENA_MAX: 1,
    }
    return all(mallopt(option, value) == 1 for option, value in options.items())


def give_back_memory() -> None:
    """Give memory that was kept back to the system (glibc only): the next stage takes other sizes."""
    gc.collect()
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
