"""What a killed process leaves in a folder of results, and who may take it away. S3 shows no part of an object."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.file_lock import file_lock

_LOCK = ".spanscan-segment.lock"
_TEMPORARY = re.compile(r"\.spanscan-.*\.tmp|.*\.[0-9a-f]{32}\.partial")
"""Files half written by `tasks.storage_local`, and by Zarr, which writes the arrays' metadata."""


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
