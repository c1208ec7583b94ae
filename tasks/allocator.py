"""The memory of this process: its allocator told to keep what the network frees for the next tile, and its peak."""

import ctypes
import gc
import resource
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGE_BYTES = 1 << 30


@lru_cache(maxsize=1)
def share_one_arena() -> bool:
    """Let all threads that begin from here on take memory from one arena; whether that was possible (glibc only).

    To be called before a process starts threads: one that has an arena of its own lends it to later ones, and in such
    an arena large buffers come fresh from the kernel each time, whatever `keep_freed_memory` asks for. With one worker
    on 4 Mpx of the shipped network that was 165 thousand page faults, a tenth of the CPU time and 0.2 GB at the peak.
    """
    return _told({_M_ARENA_MAX: 1})


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Keep freed memory in this process; whether that was possible (glibc only).

    By default glibc takes each large buffer fresh from the kernel and gives it back: on the shipped network that was
    1.0 million page faults and a quarter of the CPU time for 8 Mpx, against 24 thousand and none (1024 px tiles, 2
    threads). The memory is the same that the next tile takes, so the peak is that of one tile per thread.
    """
    options = {_M_MMAP_THRESHOLD: _LARGE_BYTES, _M_TRIM_THRESHOLD: _LARGE_BYTES, _M_TOP_PAD: 64 << 20}
    return share_one_arena() and _told(options)


def give_back_memory() -> None:
    """Give memory that was kept back to the system (glibc only): the next stage takes other sizes."""
    gc.collect()
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _told(options: Mapping[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(option, value) == 1 for option, value in options.items())


def peak_rss_bytes() -> int:
    """Largest resident size this process had so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss begins at the parent's size there: a process inherits it when it is forked
        peak = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if peak is not None:
            return int(peak.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
