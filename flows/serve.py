"""`spanscan serve`: one command that keeps a workstation inspecting: server, schedules, watcher and worker.

The Prefect server is a child of this process, the worker is Prefect's runner in it, each run is a child of that.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from flows.prefect_home import Serving, configured_api_url, prefect_api
from flows.serve_until import run_until_told
from flows.settings import Settings
from flows.uploads import inbox_of
from segmentation.errors import SpanscanError, UsageError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.deployments.runner import RunnerDeployment

log = logging.getLogger("spanscan.serve")

MARK = "SPANSCAN_SERVE"
"""Variable by whose value all processes of one `spanscan serve` are known."""
_POLL_S = 2.0
_SLOT_WAIT_S = 2
"""How often a run asks whether the one before it has ended; by Prefect's default the device rests for half a minute."""
_WATCH_AGAIN_S = 30.0
_GUARD_S = 15.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def run_serve(settings: Settings) -> None:
    """Serve until it is interrupted or told to end; all that it started ends with it, also when it is killed.

    Raises UsageError E_INBOX, E_PORT; RunFailed E_PREFECT.
    """
    inbox = inbox_of(settings)
    own_server = configured_api_url(os.environ) is None
    serving = Serving(settings.serve_host, settings.serve_port)
    with ExitStack() as stack:
        stack.enter_context(_no_orphans())
        if own_server:
            _check_address(serving)
            os.environ.setdefault("PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS", str(_SLOT_WAIT_S))
        api_url = stack.enter_context(prefect_api(home=settings.home, serving=serving))
        if own_server:
            _mend_what_was_left()
        shown = f"http://{serving.host}:{serving.port}" if own_server else api_url.removesuffix("/api")
        told = settings.queue_url or f"no queue: swept at {settings.sweep_cron!r}"
        sys.stderr.write(f"spanscan: dashboard {shown}\nspanscan: inbox {inbox.storage.uri('')} ({told})\n")
        sys.stderr.write(f"spanscan: results {inbox.results.uri('')}; Ctrl-C ends it\n")
        _run(settings)


def deployments(settings: Settings) -> "list[RunnerDeployment]":
    """What is served: inspections, one at a time since each takes the whole device, and sweeps by the clock."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.types.entrypoint import EntrypointType

    from flows.inspect_survey import inspect_survey
    from flows.sweep_uploads import sweep_uploads

    common: dict[str, Any] = {"tags": ["spanscan"], "entrypoint_type": EntrypointType.MODULE_PATH}
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
    one_only = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    inspect = inspect_survey.to_deployment("inspect-survey", concurrency_limit=one, **common)
    sweep = sweep_uploads.to_deployment("sweep-uploads", cron=settings.sweep_cron, concurrency_limit=one_only, **common)
    return [inspect, sweep]  # type: ignore[list-item]


def _run(settings: Settings) -> None:
    from prefect.runner import Runner

    # For the runs only: in this process, which has read its settings by now, the log goes to stderr alone.
    os.environ["PREFECT_LOGGING_EXTRA_LOGGERS"] = "spanscan"
    # Telling the server that schedules rest would only keep them resting after the next start.
    runner = Runner(name="spanscan-serve", query_seconds=_POLL_S, pause_on_shutdown=False)
    for deployment in deployments(settings):
        runner.add_deployment(deployment)
    stop = threading.Event()
    watching = threading.Thread(target=_watch, args=(settings, stop), name="spanscan-watch", daemon=True)
    watching.start()
    try:
        run_until_told(runner, on_told=stop.set)
    finally:
        stop.set()


def _watch(settings: Settings, stop: threading.Event) -> None:
    """Watch the queue, or sweep once where there is none; begun again where it ends with a failure."""
    from flows.sweep_uploads import sweep
    from flows.watch_uploads import watch

    while not stop.is_set():
        try:
            if settings.queue_url is None:
                sweep(settings)
                return
            watch(settings, stop=stop)
        except SpanscanError as error:
            if not stop.is_set():
                log.error("%s", error)
        except Exception:
            if stop.is_set():  # it failed because the server ends
                return
            log.exception("the watcher failed; it begins again in %.0f s", _WATCH_AGAIN_S)
        stop.wait(_WATCH_AGAIN_S)


def _check_address(serving: Serving) -> None:
    """Refuse a port that is taken, and say what an open address means."""
    try:
        with socket.create_server((serving.host, serving.port)):
            pass
    except OSError as error:
        raise UsageError(
            "E_PORT",
            f"{serving.host}:{serving.port}",
            f"the address of the dashboard must be free, got: {error.strerror}",
            "stop what listens there, or set SPANSCAN_SERVE_PORT",
        ) from error
    if serving.host not in _LOOPBACK:
        sys.stderr.write(
            f"spanscan: warning: {serving.host} lets every machine that reaches it start and stop runs; "
            "the server asks for no password\n"
        )


def _mend_what_was_left() -> None:
    """Runs that a killed `spanscan serve` left as running are crashed, and sweeps that it missed are not made up for.

    The database is this command's own, so nobody else can be running them.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for run in _runs(client, ["RUNNING", "PENDING", "CANCELLING"], "inspect-survey"):
            log.info("%s was left running; its finished blocks are kept", run.name)
            _end(client, run)
        for state in ("SCHEDULED", "RUNNING", "PENDING"):
            for run in _runs(client, [state], "sweep-uploads"):
                client.delete_flow_run(run.id)


def _runs(client: "SyncPrefectClient", states: list[str], flow_name: str) -> list[Any]:
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    chosen = FlowRunFilterStateType(any_=[StateType(state) for state in states])
    return list(
        client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=chosen)),
            limit=200,
        )
    )


def _end(client: "SyncPrefectClient", run: Any) -> None:
    from prefect.states import Cancelled, Crashed

    ended = Cancelled if run.state.is_cancelling() else Crashed
    client.set_flow_run_state(run.id, ended(message="spanscan serve ended before this run"), force=True)


@contextmanager
def _no_orphans() -> Iterator[None]:
    """Mark all that this process will start, and have a guard end what is left of it when this process is gone."""
    mark = uuid.uuid4().hex
    # The guard waits for the end of its input, which comes with the end of this process, however it ends.
    guard = subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.serve_guard", f"{MARK}={mark}"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    os.environ[MARK] = mark
    os.environ["PYTHONSAFEPATH"] = "1"  # a folder named `flows` where the operator stands must not be taken for ours
    try:
        yield
    finally:
        with suppress(subprocess.TimeoutExpired):  # it does its work whether or not this process is there
            guard.communicate(timeout=_GUARD_S)
