"""Which Prefect API the flows talk to: the user's own where one is configured, else an embedded one.

Prefect reads its settings when it is imported, so this runs first and imports Prefect only once they are set.
"""

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutine
from pathlib import Path

from segmentation.errors import RunFailed, UsageError
from tasks.child_process import free_port, owned_process, wait_until_ready

_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    # A failure is told to the operator in one line by the command; Prefect would print its traceback before.
    "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "CRITICAL",
}
_SERVICES_NOT_NEEDED = (
    "SCHEDULER",
    "LATE_RUNS",
    "CANCELLATION_CLEANUP",
    "PAUSE_EXPIRATIONS",
    "FOREMAN",
    "TRIGGERS",
)


_START_S = 300.0
"""A busy machine takes over a minute to lay out a new database."""

_TELL_S = 20.0
"""What Prefect still holds at the end is a few dozen events, which take a second or two."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How a server that stays is reached, with schedules and a dashboard."""

    host: str
    """Address that it listens on."""
    port: int


def configured_api_url(environ: Mapping[str, str]) -> str | None:
    """The Prefect API that the user configured, in the environment or in the active Prefect profile; None for none.

    The profile file is read and never written.
    """
    if url := environ.get("PREFECT_API_URL"):
        return url
    home = Path(environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser()
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, ValueError):
        return None
    active = environ.get("PREFECT_PROFILE", document.get("active"))
    profile = document.get("profiles", {}).get(active, {})
    url = profile.get("PREFECT_API_URL") if isinstance(profile, dict) else None
    return str(url) if url else None


@contextmanager
def prefect_api(*, home: Path, serving: Serving | None = None, meanwhile: str | None = None) -> Iterator[str]:
    """Make a Prefect API ready for this process and yield its URL; what was started here is stopped at the end.

    The user's API is used as it is. Else a server on loopback with its database in ``<home>/prefect`` is started,
    so that no Prefect profile of the user is touched; one that keeps schedules and shows a dashboard at the address of
    `serving`, where that is given. Telemetry is off in all cases. The module that `meanwhile` names is imported while
    the server starts: each takes a core for some seconds.
    Raises RunFailed E_PREFECT where the embedded server does not come up.
    """
    os.environ.update(_QUIET)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    if url := configured_api_url(os.environ):
        tell_events_to(url)
        yield url
        return
    prefect_home = home / "prefect"
    first_start = not (prefect_home / "prefect.db").exists()
    prefect_home.mkdir(parents=True, exist_ok=True)
    if first_start:
        sys.stderr.write(f"spanscan: setting up its own Prefect database in {prefect_home} (once, some ten seconds)\n")
    host, port = ("127.0.0.1", free_port()) if serving is None else (serving.host, serving.port)
    os.environ["PREFECT_HOME"] = str(prefect_home)
    os.environ["PREFECT_PROFILES_PATH"] = str(prefect_home / "profiles.toml")
    os.environ.update(_passing() if serving is None else _staying(prefect_home, port))
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--host", host, "--port", str(port), "--log-level", "error"]
    log_path = prefect_home / "server.log"
    with owned_process(command, environment=os.environ, log_path=log_path) as process:
        os.environ["PREFECT_API_URL"] = url = f"http://127.0.0.1:{port}/api"  # Prefect reads it when it is imported
        try:
            if meanwhile is not None:
                import_module(meanwhile)
            if not wait_until_ready(process, f"{url}/health", timeout_s=_START_S):
                raise RunFailed(
                    "E_PREFECT",
                    "Prefect server",
                    f"the embedded server must answer within {_START_S:.0f} s, got none; its log is {log_path}",
                    f"delete {prefect_home} and run again, or set PREFECT_API_URL to a server of yours",
                )
            tell_events_to(None if serving is None else url)
            try:
                with _no_heartbeats() if serving is None else nullcontext():
                    yield url
            finally:
                _tell_the_rest()
        finally:
            del os.environ["PREFECT_API_URL"]


@contextmanager
def required_prefect_api(command: str) -> Iterator[str]:
    """The Prefect API that the user configured, for commands whose runs others carry out.

    Raises UsageError E_PREFECT_API where none is configured.
    """
    os.environ.update(_QUIET)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    url = configured_api_url(os.environ)
    if url is None:
        raise UsageError(
            "E_PREFECT_API",
            f"spanscan {command}",
            "a Prefect server with a worker must be configured to run what is recorded, got none",
            "set PREFECT_API_URL, for instance to http://127.0.0.1:4200/api of `spanscan serve`",
        )
    yield url


def tell_events_to(url: str | None) -> None:
    """Choose how Prefect's events of this process reach the server at `url`; None for one that nobody looks at.

    Prefect tries some ten times, with pauses, for each event that a server does not take, which holds up the end of a
    run whose server went away by minutes. What could not be sent is kept and sent with the next event, so a server
    that comes back misses nothing.
    """
    from prefect.events.clients import NullEventsClient, PrefectEventsClient
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_CLOUD_API_URL

    if url is None:
        EventsWorker.set_client_override(NullEventsClient)
    elif not url.startswith(PREFECT_CLOUD_API_URL.value()):  # which wants a client and a key of its own
        EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=1)


def _no_heartbeats() -> AbstractContextManager[object]:
    """Nobody watches the run of one command for a sign of life; each flow would wait up to a second for the last."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})  # no variable of the environment can say so


def _tell_the_rest() -> None:
    """Let Prefect send the events and logs it still holds, while there is a server to take them."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for still_told in (EventsWorker.drain_all(timeout=_TELL_S), APILogWorker.drain_all(timeout=_TELL_S)):
        if iscoroutine(still_told):  # an event loop runs in this thread, which cannot wait here
            still_told.close()


def _passing() -> dict[str, str]:
    """Settings of a server that lasts as long as one command."""
    return {
        "PREFECT_LOGGING_TO_API_ENABLED": "false",  # the log is on stderr; nobody reads it here afterwards
        **{f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _SERVICES_NOT_NEEDED},
    }


def _staying(prefect_home: Path, port: int) -> dict[str, str]:
    """Settings of a server with a dashboard, which somebody looks at later."""
    return {
        "PREFECT_SERVER_UI_ENABLED": "true",
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(prefect_home / "dashboard"),
    }
