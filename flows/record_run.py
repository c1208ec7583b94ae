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
from prefect.client.schemas.objects import StateType
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from flows.settings import Settings
from flows.uploads import Inbox, asked_settings
from segmentation.errors import RunFailed
from tasks.uploads.completeness import Upload
from tasks.uploads.standing import Standing

log = logging.getLogger("spanscan.uploads")

EVENT = "spanscan.survey.uploaded"
DEPLOYMENT = "inspect-survey/inspect-survey"
_REMEMBERED_RUNS = 10_000
_ENDED_BADLY = frozenset({StateType.FAILED, StateType.CRASHED})

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
        self._known: OrderedDict[str, None] = OrderedDict()

    def record(self, upload: Upload, due: Standing) -> Recorded:
        """Record the run that is due; raises httpx.HTTPError where Prefect does not answer, RunFailed E_DEPLOYMENT."""
        if due.attempt is None:
            raise ValueError(f"a run must be due to be recorded, got state {due.state!r}")
        for attempt in range(due.attempt, due.attempt + self.inbox.rules.failures):
            key = f"{self.inbox.survey_uri(upload.name)}#{upload.content}-{self.inbox.rules.settings}-{attempt}"
            if key in self._known:
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
        self._known[key] = None
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
