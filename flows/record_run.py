"""A run in Prefect for an upload that is whole: once per content, settings and attempt, whoever asks and how often.

The run is recorded by its idempotency key, which Prefect's database holds unique per flow. An automation that runs
the deployment upon the event ``spanscan.survey.uploaded`` could not do that: it takes a key of its own for each firing
(Prefect 3.8: automation, action, invocation), so that an event told twice would be two runs. So the event is for
those who want to know of uploads, and must not start runs.
"""

import logging
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import StateType
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, Scheduled

from flows.settings import Settings
from flows.uploads import Inbox, asked_settings
from segmentation.errors import RunFailed
from tasks.uploads.completeness import Upload
from tasks.uploads.standing import RUN_DIED, Standing

log = logging.getLogger("spanscan.uploads")

EVENT = "spanscan.survey.uploaded"
DEPLOYMENT = "inspect-survey/inspect-survey"
_REMEMBERED_RUNS = 10_000
_ENDED_BADLY = frozenset({StateType.FAILED, StateType.CRASHED})
_UNDER_WAY = frozenset({StateType.RUNNING, StateType.PENDING, StateType.CANCELLING})

Recorded = Literal["recorded", "known", "exhausted"]
"""A new run; a run that Prefect knew of; nothing, since each attempt has ended badly before it could tell why."""


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

    def record(self, upload: Upload, due: Standing) -> Recorded:
        """Record the run that is due; raises httpx.HTTPError where Prefect does not answer, RunFailed E_DEPLOYMENT."""
        if due.attempt is None:
            raise ValueError(f"a run must be due to be recorded, got state {due.state!r}")
        if due.code == RUN_DIED:
            self._let_go(upload, due.attempt)
        for attempt in range(due.attempt, due.attempt + self.inbox.rules.failures):
            key = self._key(upload, attempt)
            if time.monotonic() < self._known.get(key, 0.0):
                return "known"
            name = f"{upload.name}-{uuid.uuid4().hex[:8]}"
            run = self.client.create_flow_run_from_deployment(
                self._resolved(),
                parameters=self._parameters(upload),
                state=Scheduled(),
                name=name,
                tags=["spanscan", "upload"],
                idempotency_key=key,
            )
            is_new = run.name == name
            if not is_new and run.state is not None and run.state.type in _ENDED_BADLY:
                continue  # it died before it could keep a record of its own
            self._remember(key)
            if is_new:
                log.info("%s: run recorded (%s, attempt %d)", upload.name, due.why, attempt)
                self._tell(upload, run.id, attempt)
            return "recorded" if is_new else "known"
        log.error("%s: %d runs ended before they began; see them in Prefect", upload.name, self.inbox.rules.failures)
        return "exhausted"

    def _key(self, upload: Upload, attempt: int) -> str:
        return f"{self.inbox.survey_uri(upload.name)}#{upload.content}-{self.inbox.rules.settings}-{attempt}"

    def _let_go(self, upload: Upload, due: int) -> None:
        """Tell Prefect that earlier runs are dead, whose machines could not: they would hold its limits for ever."""
        keys = [self._key(upload, attempt) for attempt in range(1, due)]
        chosen = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys))
        for run in self.client.read_flow_runs(flow_run_filter=chosen):
            if run.state is not None and run.state.type in _UNDER_WAY:
                log.warning("%s: its run %s shows no sign of life and counts as crashed", upload.name, run.name)
                self.client.set_flow_run_state(run.id, Crashed(message="no sign of life"), force=True)

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
    """Wait before Prefect is asked again: 1 s at first, half a minute at most."""
    time.sleep(min(30.0, 2.0 ** min(failures, 5)))
