"""Uploaded rasters are opened in a process of their own: what ends or hangs a decoder costs that process alone.

Before an inspection that process decodes every strip and tile that was written, with its mask, by the very functions
that read it later; so the stages after it read in their own process, at full speed, what was decoded whole once before.
That holds because the bytes are the same: a staged object is named by the SHA-256 it had when it was decoded and is
hashed again by each process that opens it, a local file must still have the size and time to the nanosecond of its pin
(RunFailed E_CHANGED). What remains is a decoder that fails on the same bytes at the second time, or a local file that
somebody rewrites with its time set back, who can then end the run's process; the run goes on from its finished blocks.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from segmentation.errors import InputRejected, RunFailed
from tasks.input_limits import InputLimits
from tasks.raster_checked import CheckedRaster, checked_from

_START_S: Final = 120.0
"""Longest start of the process: a busy machine needs some seconds to load GDAL."""
_LONGEST_ANSWER_BYTES: Final = 4 << 20
_KEPT: Final = frozenset(
    {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONUTF8", "TMPDIR"}
    | {"DYLD_LIBRARY_PATH", "GDAL_DATA", "PROJ_DATA", "PROJ_LIB", "VIRTUAL_ENV"}
)
"""Of the environment, what a reader of files needs; nothing that is a secret."""
_REMEDY: Final = "write the raster again from its source as a GeoTIFF, and leave it out if that does not help"


class _EndedError(Exception):
    """The process ended, hung or spoke nonsense; in words."""


class RasterChecker:
    """Checks rasters one after another in one process, which is started at the first and after each that ends it."""

    def __init__(self, limits: InputLimits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._asking = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(
        self,
        path: Path,
        *,
        name: str,
        gsd_range_m: tuple[float, float] | None,
        gsd_m_override: float | None,
        rgb_bands: tuple[int, int, int] | None,
        most_decoded_bytes: int | None,
    ) -> CheckedRaster:
        """What `tasks.raster_checks.check_raster` finds, or its InputRejected.

        Raises InputRejected E_DECODER for a raster whose reading ends the process, takes too long or too much memory.
        """
        request = {
            "path": str(path.absolute()),
            "name": name,
            "gsd_range_m": gsd_range_m,
            "gsd_m_override": gsd_m_override,
            "rgb_bands": rgb_bands,
            "most_decoded_bytes": most_decoded_bytes,
            "limits": asdict(self._limits),
        }
        with self._asking:
            self._start()
            try:
                answer, place = self._asked(request)
            except _EndedError as error:
                raise _refused(name, f"reading it must not fail, got {error}") from error
        if "refused" in answer:
            raise InputRejected(*(str(part) for part in answer["refused"]))
        if "failed" in answer:
            raise _refused(name, f"reading it must not fail, got {answer['failed']}{place}")
        return checked_from(answer["checked"])

    def close(self) -> None:
        """End the process."""
        process, self._process, self._unread = self._process, None, b""
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tasks.raster_child", str(self._limits.reader_bytes), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        try:
            self._answer(time.monotonic() + _START_S)
        except _EndedError as error:
            self.close()
            cause = f"the process that reads rasters must start, got: {error}"
            raise RunFailed("E_READER", "tasks.raster_child", cause, "mend the installation, or free memory") from error

    def _asked(self, request: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The answer to a request, and where the last window was."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        place = ""
        try:
            process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            process.stdin.flush()
            while True:
                answer = self._answer(time.monotonic() + self._limits.max_read_s)
                if "at" not in answer:
                    return answer, place
                row_start, row_stop, col_start, col_stop = answer["at"]
                place = f" in rows {row_start}–{row_stop}, columns {col_start}–{col_stop}"
        except (_EndedError, OSError) as error:
            self.close()
            raise _EndedError(f"{error}{place}") from error

    def _answer(self, deadline: float) -> dict[str, Any]:
        """The next line that the process says."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        while b"\n" not in self._unread:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
                raise _EndedError(f"no answer within {self._limits.max_read_s:g} s (SPANSCAN_MAX_INPUT_READ_S)")
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                raise _EndedError(_end_of(process))
            self._unread += data
            if len(self._unread) > _LONGEST_ANSWER_BYTES:
                raise _EndedError("an endless answer")
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            raise _EndedError("an answer that is no JSON") from None
        if not isinstance(answer, dict):
            raise _EndedError("an answer that is no record")
        return answer


@contextmanager
def raster_checker(limits: InputLimits) -> Iterator[RasterChecker]:
    """A `RasterChecker` whose process is gone at the end."""
    with RasterChecker(limits) as checker:
        yield checker


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    path = os.pathsep.join(place for place in sys.path if place)
    return {**kept, **threads, "PYTHONPATH": path, "PROJ_NETWORK": "OFF"}


def _end_of(process: subprocess.Popen[bytes]) -> str:
    """How a process that says no more has ended, in words."""
    try:
        code = process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        return "silence"
    if code == -signal.SIGXCPU:
        return "too many seconds of processor (SPANSCAN_MAX_INPUT_READ_S)"
    return f"the decoder's end by {signal.Signals(-code).name}" if code < 0 else f"the decoder's exit code {code}"


def _refused(name: str, cause: str) -> InputRejected:
    return InputRejected("E_DECODER", name, cause, _REMEDY)
