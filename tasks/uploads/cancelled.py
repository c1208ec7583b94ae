"""Uploads whose run a person has cancelled: they stay so until their content changes or somebody asks for them.

``<results>/.cancelled/<folder>/<content>`` is an empty object for each such content. Whoever records runs leaves it
when Prefect says that the run was cancelled, and takes it away when the upload is asked for again. Other settings,
another model or a new version do not undo what a person decided, so the mark names none of them.
"""

import re

from segmentation.errors import InputRejected
from tasks.storage import Storage

_CANCELLED = ".cancelled"
_MARK = re.compile(rf"{re.escape(_CANCELLED)}/([^/]+)/([^/]+)")


def cancelled_contents(root: Storage) -> frozenset[tuple[str, str]]:
    """(folder, content) of all marks below the root of all results, by one listing; raises as `Storage.list` does."""
    return _marks(root, f"{_CANCELLED}/")


def is_cancelled(root: Storage, folder: str, content: str) -> bool:
    """Whether a person has cancelled the run of this content; asks for a listing, as the watcher may anyway."""
    try:
        return (folder, content) in _marks(root, f"{_CANCELLED}/{folder}/")
    except InputRejected as error:
        if error.code != "E_NO_BUCKET":
            raise
        return False


def mark_cancelled(root: Storage, folder: str, content: str) -> None:
    """Leave the mark."""
    root.write(_key(folder, content), b"", content_type="application/octet-stream")


def unmark_cancelled(root: Storage, folder: str, content: str) -> None:
    """Take the mark away; nothing happens where there is none."""
    root.delete(_key(folder, content))


def _marks(root: Storage, below: str) -> frozenset[tuple[str, str]]:
    marks = (_MARK.fullmatch(found.key) for found in root.list(below, recursive=True))
    return frozenset((m[1], m[2]) for m in marks if m is not None)


def _key(folder: str, content: str) -> str:
    return f"{_CANCELLED}/{folder}/{content}"
