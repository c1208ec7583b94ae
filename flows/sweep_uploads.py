"""The flow `sweep-uploads`: by listing the inbox, whatever is whole and has no run gets one. Events may all be lost."""

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Any

from prefect import flow

from flows.record_run import DEPLOYMENT, RunRecorder, prefect_client
from flows.settings import Settings
from flows.status_uploads import standings
from flows.uploads import inbox_of

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


@flow(name="sweep-uploads", validate_parameters=True, persist_result=False, retries=2, retry_delay_seconds=30)
def sweep_uploads(settings: dict[str, Any] | None = None, again: bool = False, deployment: str = DEPLOYMENT) -> Swept:
    """Record a run for each upload that is whole and is neither published, rejected nor under way.

    `settings` overrides settings of the environment by their names in lower case; with `again`, what was published
    with another model or other settings is inspected again. Raises UsageError E_INBOX, RunFailed E_DEPLOYMENT.
    """
    return sweep(Settings(**(settings or {})), again=again, deployment=deployment)


def sweep(chosen: Settings, *, again: bool = False, deployment: str = DEPLOYMENT) -> Swept:
    """The sweep itself, as the flow runs it and as a watcher begins."""
    inbox = inbox_of(chosen, again=again)
    with prefect_client() as client:
        recorder = RunRecorder(inbox, chosen, client, deployment)
        states: Counter[str] = Counter()
        recorded = 0
        for upload, where in standings(inbox):
            states[where.state] += 1
            if where.attempt is not None and recorder.record(upload, where) == "recorded":
                recorded += 1
    swept = Swept(states.total(), dict(sorted(states.items())), recorded)
    log.info("swept %d surveys: %s; %d runs recorded", swept.surveys, swept.states, swept.recorded)
    return swept
