"""A run in Prefect for an upload that is whole: once per content, settings and attempt, whoever asks and how often.

The run is recorded by its idempotency key, which Prefect's database holds unique per flow. An automation that runs
the deployment upon the event ``spanscan.survey.uploaded`` could not do that: it takes a key of its own for each firing
(Prefect 3.8: automation, action, invocation), so that an event told twice would be two runs. So the event is for
those who want to know of uploads, and must not start runs.
"""

import logging
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import StateType
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, Scheduled

from flows.settings import Settings
from flows.uploads import Inbox, asked_settings, results_folder
from segmentation.errors import RunFailed, SpanscanError
from tasks.uploads.cancelled import mark_cancelled, unmark_cancelled
from tasks.uploads.completeness import Upload
from tasks.uploads.ledger import INTERRUPTED
from tasks.uploads.standing import RUN_DIED, Standing

log = logging.getLogger("spanscan.uploads")

EVENT = "spanscan.survey.uploaded"
DEPLOYMENT = "inspect-survey/inspect-survey"
_REMEMBERED_RUNS = 10_000
_ENDED_BADLY = frozenset({StateType.FAILED, StateType.CRASHED})
_UNDER_WAY = frozenset({StateType.RUNNING, StateType.PENDING, StateType.CANCELLING})
_CANCELLED = frozenset({StateType.CANCELLED, StateType.CANCELLING})
_MOST_ATTEMPTS = 50
"""Attempts beyond the one that is due that are looked for: each ended, or was cancelled, without a record."""

Recorded = Literal["recorded", "known", "exhausted", "cancelled"]
"""A new run; a run that Prefect knew of; nothing, since each attempt has ended badly before it could tell why, or since
a person has cancelled the last one."""


@dataclass
class RunRecorder:
    """Records runs with one Prefect API; not for several threads at once."""

    inbox: Inbox
    chosen: Settings
    client: SyncPrefectClient
    deployment: str = DEPLOYMENT

    def __post_init__(self) -> None:
        self._settings = asked_settings(self.chosen)
        self._deployment_id: uuid.UUID | None = None
        self._known: OrderedDict[str, float] = OrderedDict()

    def record(self, upload: Upload, due: Standing, *, resume: bool = False) -> Recorded:
        """Record the run that is due; with `resume` also where a person has cancelled the last one.

        Raises httpx.HTTPError where Prefect does not answer, RunFailed E_DEPLOYMENT.
        """
        if due.attempt is None:
            raise ValueError(f"a run must be due to be recorded, got state {due.state!r}")
        key = self._key(upload, due.attempt)
        # A run that was cut short may have been cancelled: only Prefect knows by whom.
        is_plain = not resume and due.code not in (RUN_DIED, INTERRUPTED)
        if is_plain and time.monotonic() < self._known.get(key, 0.0):
            return "known"
        if is_plain:
            run, is_new = self._created(upload, due, due.attempt)
            if is_new or run.state is None or not (run.state.type in _ENDED_BADLY | _CANCELLED or self._is_silent(run)):
                self._remember(key)
                return "recorded" if is_new else "known"
        runs = self._runs(upload, due.attempt)
        if due.code == RUN_DIED:
            self._let_go(upload, [run for attempt, run in runs.items() if attempt < due.attempt])
        self._let_go(upload, [run for attempt, run in runs.items() if attempt >= due.attempt and self._is_silent(run)])
        return self._record_after(runs, upload, due, resume=resume)

    def remembered_until(self, upload: Upload) -> float | None:
        """Until when, by the monotonic clock, nothing is to be done for this content: its run was recorded lately."""
        until = self._known.get(self._key(upload, 1), 0.0)
        return until if time.monotonic() < until else None

    def _record_after(self, runs: Mapping[int, Any], upload: Upload, due: Standing, *, resume: bool) -> Recorded:
        """Record the run that follows upon those that Prefect knows, by attempt."""
        attempt = first = due.attempt or 1
        newest = max(runs, default=0)
        last = runs[newest].state.type if newest and runs[newest].state is not None else None
        if last in _CANCELLED and not resume:
            self._leave_cancelled(upload)
            return "cancelled"
        if newest >= first:
            ended = [run for tried, run in runs.items() if tried >= first and run.state.type in _ENDED_BADLY]
            if len(ended) >= self.inbox.rules.failures and not resume:
                log.error("%s: %d runs ended before they began; see them in Prefect", upload.name, len(ended))
                return "exhausted"
            if last not in _ENDED_BADLY | _CANCELLED:
                self._remember(self._key(upload, first))
                return "known"
            attempt = newest + 1
        if resume:
            unmark_cancelled(self.inbox.results, results_folder(upload.name), upload.content)
        _, is_new = self._created(upload, due, attempt)
        self._remember(self._key(upload, first))
        return "recorded" if is_new else "known"

    def _created(self, upload: Upload, due: Standing, attempt: int) -> tuple[Any, bool]:
        """The run of an attempt, and whether it is new: Prefect has one for each key."""
        name = f"{upload.name}-{uuid.uuid4().hex[:8]}"
        run = self.client.create_flow_run_from_deployment(
            self._resolved(),
            parameters=self._parameters(upload),
            state=Scheduled(),
            name=name,
            tags=["spanscan", "upload"],
            idempotency_key=self._key(upload, attempt),
        )
        is_new = run.name == name
        if is_new:
            log.info("%s: run recorded (%s, attempt %d)", upload.name, due.why, attempt)
            self._tell(upload, run.id, attempt)
        return run, is_new

    def _runs(self, upload: Upload, due: int) -> dict[int, Any]:
        """The runs of this content with these settings that Prefect knows, by attempt."""
        attempts = {self._key(upload, attempt): attempt for attempt in range(1, due + _MOST_ATTEMPTS)}
        chosen = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=list(attempts)))
        found = self.client.read_flow_runs(flow_run_filter=chosen, limit=len(attempts))
        return {attempts[run.idempotency_key]: run for run in found if run.idempotency_key in attempts}

    def _leave_cancelled(self, upload: Upload) -> None:
        log.info("%s: a person cancelled its run, so it has none until its content changes", upload.name)
        try:
            mark_cancelled(self.inbox.results, results_folder(upload.name), upload.content)
        except SpanscanError as error:  # Prefect still knows; only `spanscan status` cannot tell
            log.warning("%s: that it was cancelled could not be written down: %s", upload.name, error)

    def _key(self, upload: Upload, attempt: int) -> str:
        return f"{self.inbox.survey_uri(upload.name)}#{upload.content}-{self.inbox.rules.settings}-{attempt}"

    def _let_go(self, upload: Upload, runs: list[Any]) -> None:
        """Tell Prefect that earlier runs are dead, whose machines could not: they would hold its limits for ever."""
        for run in runs:
            if run.state is not None and run.state.type in _UNDER_WAY:
                log.warning("%s: its run %s shows no sign of life and counts as ended", upload.name, run.name)
                ended = Cancelled if run.state.type in _CANCELLED else Crashed
                run.state = ended(message="no sign of life")
                self.client.set_flow_run_state(run.id, run.state, force=True)

    def _is_silent(self, run: Any) -> bool:
        """Whether a run for which a run is due has begun long ago: its machine died before it kept a record."""
        if run.state is None or run.state.type != StateType.RUNNING:
            return False
        return bool(datetime.now(UTC) - run.state.timestamp > timedelta(seconds=2 * self.inbox.rules.lease_s))

    def _parameters(self, upload: Upload) -> dict[str, Any]:
        # What is asked for is decided where the upload is seen, so that the key and the run agree.
        settings = {**self._settings, "results": self.chosen.results}
        return {"survey": self.inbox.survey_uri(upload.name), "settings": settings}

    def _resolved(self) -> uuid.UUID:
        if self._deployment_id is None:
            try:
                self._deployment_id = self.client.read_deployment_by_name(self.deployment).id
            except ObjectNotFound as error:
                raise RunFailed(
                    "E_DEPLOYMENT",
                    self.deployment,
                    "the deployment must be known to Prefect, got none of that name",
                    "run `spanscan serve`, or `prefect deploy --all --prefect-file deployments/prefect.yaml`",
                ) from error
        return self._deployment_id

    def _remember(self, key: str) -> None:
        # Asked again later: a run may die before it keeps a record of its own.
        self._known[key] = time.monotonic() + self.inbox.rules.lease_s
        if len(self._known) > _REMEMBERED_RUNS:
            self._known.popitem(last=False)

    def _tell(self, upload: Upload, flow_run_id: uuid.UUID, attempt: int) -> None:
        """Tell observers; a lost event costs nothing but their knowing."""
        emit_event(
            EVENT,
            resource={"prefect.resource.id": f"spanscan.survey.{upload.name}", "prefect.resource.name": upload.name},
            related=[{"prefect.resource.id": f"prefect.flow-run.{flow_run_id}", "prefect.resource.role": "flow-run"}],
            payload={
                "survey": self.inbox.survey_uri(upload.name),
                "content": upload.content,
                "files": len(upload.files),
                "bytes": sum(file.size_bytes for file in upload.files),
                "attempt": attempt,
            },
        )


def prefect_client() -> SyncPrefectClient:
    """A client of the Prefect API in use, to be closed by `with`."""
    return get_client(sync_client=True)


def is_away(error: Exception) -> bool:
    """Whether Prefect does not answer now, but may later."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx.TransportError)


def pause_until_back(failures: int) -> None:
    """Wait before a server is asked again: doubling, half a minute at most, spread so that not all come at once."""
    time.sleep(min(30.0, 2.0 ** min(failures, 5)) * random.uniform(0.5, 1.0))
