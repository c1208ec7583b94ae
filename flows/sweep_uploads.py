"""The flow `sweep-uploads`: by listing the inbox, whatever is whole and has no run gets one. Events may all be lost."""

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from prefect import flow

from flows.record_run import DEPLOYMENT, RunRecorder, prefect_client
from flows.settings import Settings
from flows.status_uploads import standings
from flows.time_limits import spread_s
from flows.uploads import Inbox, inbox_of
from segmentation.errors import UsageError
from tasks.uploads.completeness import Upload
from tasks.uploads.standing import Standing

log = logging.getLogger("spanscan.uploads")


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found and did."""

    surveys: int
    """Uploads in the inbox."""
    states: dict[str, int]
    """How many stand in which state, before this sweep recorded anything."""
    recorded: int
    """Runs that were recorded now."""


@flow(
    name="sweep-uploads", validate_parameters=True, persist_result=False,
    retries=2, retry_delay_seconds=spread_s(30), timeout_seconds=Settings().sweep_timeout_s,
)  # fmt: skip
def sweep_uploads(settings: dict[str, Any] | None = None, again: bool = False, deployment: str = DEPLOYMENT) -> Swept:
    """Record a run for each upload that is whole and is neither published, rejected nor under way.

    `settings` overrides settings of the environment by their names in lower case; with `again`, what was published
    with another model or other settings is inspected again. Raises UsageError E_INBOX, RunFailed E_DEPLOYMENT.
    """
    return sweep(Settings(**(settings or {})), again=again, deployment=deployment)


def sweep(
    chosen: Settings, *, again: bool = False, resume: Collection[str] = (), deployment: str = DEPLOYMENT
) -> Swept:
    """The sweep itself, as the flow runs it and as a watcher begins.

    Uploads that `resume` names are run though a person has cancelled their run: UsageError E_NOT_CANCELLED for others.
    """
    inbox = inbox_of(chosen, again=again)
    with prefect_client() as client:
        recorder = RunRecorder(inbox, chosen, client, deployment)
        states: Counter[str] = Counter()
        recorded = 0
        for upload, where in _resumed(inbox, resume):
            recorded += recorder.record(upload, where, resume=True) == "recorded"
        for upload, where in standings(inbox):
            states[where.state] += 1
            if where.attempt is not None and recorder.record(upload, where) == "recorded":
                recorded += 1
    swept = Swept(states.total(), dict(sorted(states.items())), recorded)
    log.info("swept %d surveys: %s; %d runs recorded", swept.surveys, swept.states, swept.recorded)
    return swept


def _resumed(inbox: Inbox, names: Collection[str]) -> list[tuple[Upload, Standing]]:
    """The uploads of these names, each with the run that it would have had; nothing is recorded where one has none."""
    found = []
    for name in names:
        upload = inbox.upload(name)
        where = inbox.standing(upload) if upload is not None else None
        if upload is None or where is None or where.state != "cancelled":
            cause = f"an upload whose run was cancelled must be named, got one that {_told(where)}"
            raise UsageError("E_NOT_CANCELLED", name, cause, "see `spanscan status` for those that are cancelled")
        found.append((upload, inbox.standing_uncancelled(upload)))
    return found


def _told(where: Standing | None) -> str:
    return "is not in the inbox" if where is None else f"is {where.state}"
