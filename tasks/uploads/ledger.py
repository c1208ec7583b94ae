"""What became of each content of a survey: one small record beside its results, from which all states are told.

``<results>/<survey>/uploads/<content>.json`` is written when a run begins, again while it lives, and at its end; so its
date tells whether the run still lives. ``<results>/<survey>/rejected.json`` is for people: why the survey was refused.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from segmentation.errors import InputRejected, SpanscanError
from tasks.crash_points import reached
from tasks.leftovers import remove_abandoned
from tasks.output_files import dumped_json
from tasks.storage import Storage
from tasks.uploads.known_runs import KnownRuns, PublishedMark, mark_published, unmark_published
from tasks.uploads.listing import read_dated

REJECTED = "rejected.json"
INTERRUPTED = "E_INTERRUPTED"
"""Code of a run that somebody stopped."""
TIMED_OUT = "E_TIMEOUT"
"""Code of a run that did not end within its time limit; unlike one that somebody stopped it counts as a failure."""
RunState = Literal["running", "published", "rejected", "failed"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The last run of one content of one survey."""

    survey: str
    """Address of the survey."""
    content: str
    """Names the content, see `Upload.content`."""
    settings: str
    """Names the model and the settings that were asked for."""
    state: RunState
    attempt: int
    """1 for the first run of this content with these settings."""
    failures: int = 0
    """Earlier runs of them that failed or died; one that somebody interrupted counts as none."""
    run_key: str | None = None
    """Of what was published."""
    code: str | None = None
    """Why it was rejected or failed."""
    subject: str | None = None
    cause: str | None = None
    remedy: str | None = None

    @property
    def failures_so_far(self) -> int:
        """Runs that failed or died, this one included; one that still says "running" counts as dead."""
        has_failed = self.state == "running" or (self.state == "failed" and self.code != INTERRUPTED)
        return self.failures + has_failed


@dataclass(frozen=True, slots=True)
class DatedRecord:
    """A record with its date and the present, by the clock of the server that keeps it."""

    record: RunRecord
    written_at: datetime
    now: datetime


_RECORD = TypeAdapter(RunRecord)


def read_record(results: Storage, content: str) -> DatedRecord | None:
    """The record of a content of the survey with these `results`; None where no run began, or nobody can read it."""
    found = read_dated(results, _key(content))
    if found is None:
        return None
    try:
        return DatedRecord(_RECORD.validate_json(found.data), found.modified_at, found.now)
    except ValidationError:
        return None


def known_record(known: KnownRuns, root: Storage, folder: str, content: str) -> DatedRecord | None:
    """As `read_record`, but asking the storage only for what the listings of `known` leave open."""
    if folder not in known.folders:
        return None
    mark = known.published.get((folder, content))
    if mark is None:
        return read_record(root.child(folder), content)
    now = datetime.now(UTC)  # no date of what is published decides anything
    record = RunRecord("", content, mark.settings, "published", attempt=1, run_key=mark.run_key)
    return DatedRecord(record, now, now)


class RunLog:
    """The record of a run under way; what is published is told to it before it ends."""

    def __init__(self, root: Storage, folder: str, begun: RunRecord) -> None:
        self._root = root
        self._folder = folder
        self._results = root.child(folder)
        self._record = begun
        self._writing = threading.Lock()
        self._is_over = False

    def begin(self) -> None:
        """Write down that the run began or lives."""
        with self._writing:
            if not self._is_over:
                self._write()

    def published(self, run_key: str) -> None:
        """Write down what was published; an earlier rejection of the survey is taken away.

        The record, which ends all further runs, comes after what must not be left undone.
        """
        self._results.delete(REJECTED)
        reached("before_published_record")
        self._end(replace(self._record, state="published", run_key=run_key))
        reached("before_published_mark")
        mark_published(self._root, self._folder, self._record.content, PublishedMark(self._record.settings, run_key))
        reached("after_published_mark")

    def ended_by(self, error: BaseException) -> None:
        """Write down why it ended: rejected for good, or failed and to be tried again."""
        state: RunState = "rejected" if isinstance(error, InputRejected) else "failed"
        if isinstance(error, SpanscanError):
            told = replace(
                self._record, state=state, code=error.code, subject=error.subject, cause=error.cause,
                remedy=error.remedy,
            )  # fmt: skip
        else:
            told = replace(self._record, state=state, code=_code_of(error), cause=_cause_of(error))
        if state == "rejected":
            # The time is for people; what is decided is decided by the server's dates.
            at = datetime.now(UTC).isoformat(timespec="seconds")
            refusal = {"schema": "spanscan/rejected/1", **asdict(told), "message": str(error), "rejected_at": at}
            with suppress(SpanscanError):  # the record tells the same
                self._results.write(REJECTED, dumped_json(refusal), content_type="application/json")
            reached("after_rejected_file")
        self._end(told)  # last, since it ends all further runs
        reached("after_end_record")

    def _end(self, record: RunRecord) -> None:
        with self._writing:
            self._is_over = True
            self._record = record
            self._write()

    def _write(self) -> None:
        data = dumped_json({"schema": "spanscan/upload/1", **asdict(self._record)})
        self._results.write(_key(self._record.content), data, content_type="application/json")


def begun_log(root: Storage, folder: str, *, survey: str, content: str, settings: str) -> RunLog:
    """The record of a run that begins now, written down; `run_log` keeps it for as long as the run lasts."""
    remove_abandoned(root, folder)
    found = read_record(root.child(folder), content)
    begun = RunRecord(survey, content, settings, "running", attempt=1)
    if found is not None and found.record.settings == settings:
        begun = replace(begun, attempt=found.record.attempt + 1, failures=found.record.failures_so_far)
    if found is not None and found.record.run_key is not None:
        earlier = PublishedMark(found.record.settings, found.record.run_key)
        unmark_published(root, folder, content, earlier)
    log = RunLog(root, folder, begun)
    log.begin()
    reached("after_run_begun")
    return log


@contextmanager
def run_log(root: Storage, folder: str, *, survey: str, content: str, settings: str, beat_s: float) -> Iterator[RunLog]:
    """Keep the record of a run of a survey with results in `folder` below `root` while it lasts.

    It is written anew every `beat_s`. What ends the run early is written down and raised on. A run that is killed
    leaves a record that grows old.
    """
    log = begun_log(root, folder, survey=survey, content=content, settings=settings)
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(log, over, beat_s), name="spanscan-run-log", daemon=True)
    beating.start()
    try:
        yield log
    except BaseException as error:
        with suppress(SpanscanError):  # what ended the run is to be told, not that the storage is away as well
            log.ended_by(error)
        raise
    finally:
        over.set()


def _code_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):  # which is how Prefect ends a flow that is out of time
        return TIMED_OUT
    return "E_UNEXPECTED" if isinstance(error, Exception) else INTERRUPTED


def _cause_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "the run must end within its time limit, got no end"
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _beat(log: RunLog, over: threading.Event, beat_s: float) -> None:
    while not over.wait(beat_s):
        try:
            log.begin()
        except SpanscanError:
            continue  # the storage is away for a moment; the run itself tells when it is away for good


def _key(content: str) -> str:
    return f"uploads/{content}.json"
