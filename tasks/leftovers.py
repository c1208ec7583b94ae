"""What a killed process leaves in a folder of results, and who may take it away. S3 shows no part of an object."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.file_lock import file_lock
from tasks.storage import Storage
from tasks.storage_local import LocalStorage

_LOCK = ".spanscan-segment.lock"
_TEMPORARY = re.compile(r"\.spanscan-.*\.tmp|.*\.[0-9a-f]{32}\.partial")
"""Files half written by `tasks.storage_local`, and by Zarr, which writes the arrays' metadata."""
_RUNS = "runs"
_ABANDONED_S = 86_400
"""So long nobody writes at one file without changing its date."""


@contextmanager
def sole_writer(run_uri: str) -> Iterator[None]:
    """Be the only process of those that see the folder of a run to write blocks into it; waits for another one.

    Nothing is done for a run in S3.
    """
    if run_uri.startswith("s3://"):
        yield
        return
    with file_lock(Path(run_uri) / _LOCK):
        yield


def remove_leftovers(run_uri: str) -> int:
    """Delete files that were half written when a process was killed; how many. Only for the sole writer of a run."""
    if run_uri.startswith("s3://"):
        return 0
    found = [path for path in Path(run_uri).rglob("*") if _TEMPORARY.fullmatch(path.name) and path.is_file()]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def remove_abandoned(root: Storage, folder: str) -> int:
    """Delete what was left half written a day ago or longer among the results of a survey; how many.

    `root` is that of all results; runs are left to `remove_leftovers`, whose callers know that nobody writes there.
    """
    if not isinstance(root, LocalStorage):
        return 0
    count = 0
    with suppress(OSError):  # whoever may not do it leaves it
        for path in _beside_runs(Path(root.uri("")), folder):
            if _TEMPORARY.fullmatch(path.name) and _is_older(path, time.time() - _ABANDONED_S):
                path.unlink(missing_ok=True)
                count += 1
    return count


def _beside_runs(base: Path, folder: str) -> Iterator[Path]:
    """What lies at the root of all results, in the folder of a survey but for its runs, and among its marks."""
    top = _entries(base)
    yield from top
    own = [path for path in _entries(base / folder) if path.name != _RUNS]
    yield from own
    for place in (*own, *(path / folder for path in top if path.name.startswith("."))):
        yield from place.rglob("*")


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_older(path: Path, time_s: float) -> bool:
    try:
        return path.is_file() and path.stat().st_mtime < time_s
    except FileNotFoundError:  # whoever wrote it has put it in place
        return False
