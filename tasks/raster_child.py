"""The process that reads uploaded rasters: ``python -m tasks.raster_child``, started by `tasks.raster_checker`.

Requests and answers are lines of JSON on stdin and stdout; nothing that comes out of this process is ever unpickled.
It has an address space, seconds of processor and files that are bounded, writes no file, and knows no credentials.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segmentation.errors import InputRejected
from segmentation.windows import Window
from tasks.child_process import die_with_parent
from tasks.input_limits import InputLimits
from tasks.raster_checks import check_raster

_MOST_FILES = 64


def answered(request: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """What `check_raster` finds, or why it refuses; windows are told before they are decoded."""

    def on_window(window: Window) -> None:
        _allow_seconds(request["limits"]["max_read_s"])
        tell({"at": [window.row_start, window.row_stop, window.col_start, window.col_stop]})

    gsd_range_m, rgb_bands = request["gsd_range_m"], request["rgb_bands"]
    try:
        checked = check_raster(
            Path(request["path"]),
            name=request["name"],
            gsd_range_m=None if gsd_range_m is None else tuple(gsd_range_m),
            gsd_m_override=request["gsd_m_override"],
            rgb_bands=None if rgb_bands is None else tuple(rgb_bands),
            limits=InputLimits(**request["limits"]),
            most_decoded_bytes=request["most_decoded_bytes"],
            on_window=on_window,
        )
    except InputRejected as error:
        return {"refused": [error.code, error.subject, error.cause, error.remedy]}
    except MemoryError:
        return {"failed": "more memory than its limits allow"}
    except Exception as error:  # whatever it was, it was this file's doing, and the next one gets its turn
        return {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    return {"checked": asdict(checked)}


def _bound(reader_bytes: int) -> None:
    """Bound what this process may take, on top of what it has with its libraries loaded."""
    own_bytes = 0
    with suppress(OSError):  # elsewhere than on Linux the limit is less exact
        own_bytes = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    for limit, most in (
        (resource.RLIMIT_AS, own_bytes + reader_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MOST_FILES),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


def _allow_seconds(seconds: float) -> None:
    """So many more seconds of processor, then the kernel ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        die_with_parent(int(sys.argv[2]))()
    _bound(int(sys.argv[1]))

    def tell(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    tell({"ready": os.getpid()})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _allow_seconds(request["limits"]["max_read_s"])
        tell(answered(request, tell))


if __name__ == "__main__":
    main()
