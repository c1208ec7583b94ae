"""What is done already, told by listings of the results instead of one request per survey.

``<results>/.published/<folder>/<content>/<settings>-<run key>`` is an empty object for each published content. It
stands for nothing by itself: it is written after the record of the run that published, taken away before the record
changes, and counts only as long as the results of the survey are there. Without it the record itself is read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from segmentation.errors import InputRejected
from tasks.storage import Storage
from tasks.uploads.cancelled import cancelled_contents
from tasks.uploads.listing import folders

_PUBLISHED = ".published"
_MARK = re.compile(rf"{re.escape(_PUBLISHED)}/([^/]+)/([^/]+)/([^/-]*)-([^/]+)")


@dataclass(frozen=True, slots=True)
class PublishedMark:
    """By which settings a content was published, and as which run."""

    settings: str
    run_key: str


@dataclass(frozen=True, slots=True)
class KnownRuns:
    """What the listings told."""

    folders: frozenset[str]
    """Folders of surveys that have results; no run of the others ever began."""
    published: Mapping[tuple[str, str], PublishedMark]
    """By folder and content."""
    cancelled: frozenset[tuple[str, str]] = frozenset()
    """Folder and content of those whose run a person has cancelled."""


def known_runs(root: Storage) -> KnownRuns:
    """What lies below the root of all results; held are some hundred bytes per survey.

    Raises as `Storage.list` does, except that a bucket that is not there holds nothing.
    """
    try:
        marks = (_MARK.fullmatch(found.key) for found in root.list(f"{_PUBLISHED}/", recursive=True))
        published = {(m[1], m[2]): PublishedMark(m[3], m[4]) for m in marks if m is not None}
        return KnownRuns(frozenset(folders(root)), published, cancelled_contents(root))
    except InputRejected as error:
        if error.code != "E_NO_BUCKET":
            raise
        return KnownRuns(frozenset(), {})


def mark_published(root: Storage, folder: str, content: str, mark: PublishedMark) -> None:
    """Leave the mark of a content whose record says that it was published."""
    root.write(_key(folder, content, mark), b"", content_type="application/octet-stream")


def unmark_published(root: Storage, folder: str, content: str, mark: PublishedMark) -> None:
    """Take the mark away; nothing happens where there is none."""
    root.delete(_key(folder, content, mark))


def _key(folder: str, content: str, mark: PublishedMark) -> str:
    return f"{_PUBLISHED}/{folder}/{content}/{mark.settings}-{mark.run_key}"
