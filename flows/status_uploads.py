"""`spanscan status`: every survey of the inbox and where it stands, from the storage alone. Imports no Prefect."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any

from flows.settings import Settings
from flows.uploads import Inbox, inbox_of
from tasks.uploads.completeness import Upload
from tasks.uploads.known_runs import known_runs
from tasks.uploads.listing import uploads
from tasks.uploads.standing import Standing

_AT_ONCE = 16
_WAVE = 256


@dataclass(frozen=True, slots=True)
class SurveyStatus:
    """One survey as `spanscan status` tells it."""

    survey: str
    """Its name in the inbox."""
    state: str
    """waiting, complete, running, published, rejected, failed or cancelled (by a person, in Prefect)."""
    code: str | None
    """Why it was rejected or failed."""
    why: str
    """What it waits for, which run it became, or the cause."""
    files: int
    size_bytes: int
    changed_at: str
    """When its last file was written, ISO 8601, by the server's clock."""
    attempts: int
    """Runs of its present content that failed or are under way."""
    resumable: bool
    """Whether it failed and the next run goes on from its finished blocks."""
    results: str
    """Where its results are or will be."""


def status_of(chosen: Settings) -> Iterator[SurveyStatus]:
    """Every survey in the order of their names; raises UsageError E_INBOX."""
    inbox = inbox_of(chosen)
    for upload, where in standings(inbox):
        yield SurveyStatus(
            survey=upload.name,
            state=where.state,
            code=where.code,
            why=where.why,
            files=len(upload.files),
            size_bytes=sum(file.size_bytes for file in upload.files),
            changed_at=upload.changed_at.isoformat(timespec="seconds"),
            attempts=where.attempts_done,
            resumable=where.state == "failed",
            results=inbox.results_of(upload.name).uri(""),
        )


def standings(inbox: Inbox) -> Iterator[tuple[Upload, Standing]]:
    """Where each upload of an inbox stands; what a listing of the results tells is asked for no more.

    Else records are read some at once, and a bounded number of uploads is held.
    """
    known = known_runs(inbox.results)
    found = uploads(inbox.storage)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="spanscan-uploads") as pool:
        while wave := list(islice(found, _WAVE)):
            yield from zip(wave, pool.map(partial(inbox.standing, known=known), wave), strict=True)


def status_record(status: SurveyStatus) -> dict[str, Any]:
    """One survey as plain data."""
    return asdict(status)
