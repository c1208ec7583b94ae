"""Which Prefect API the flows talk to: the user's own where one is configured, else an embedded one.

Prefect reads its settings when it is imported, so this runs first and imports nothing of Prefect.
"""

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segmentation.errors import RunFailed
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
def prefect_api(*, home: Path) -> Iterator[str]:
    """Make a Prefect API ready for this process and yield its URL; what was started here is stopped at the end.

    The user's API is used as it is. Else a server on loopback with its database in ``<home>/prefect`` is started,
    so that no Prefect profile of the user is touched. Telemetry is off in both cases.
    Raises RunFailed E_PREFECT where the embedded server does not come up.
    """
    os.environ.update(_QUIET)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    if url := configured_api_url(os.environ):
        yield url
        return
    prefect_home = home / "prefect"
    first_start = not (prefect_home / "prefect.db").exists()
    prefect_home.mkdir(parents=True, exist_ok=True)
    if first_start:
        sys.stderr.write(f"spanscan: setting up its own Prefect database in {prefect_home} (once, some ten seconds)\n")
    port = free_port()
    own = {
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_LOGGING_TO_API_ENABLED": "false",  # the log is on stderr; nobody reads it here afterwards
        "PREFECT_PROFILES_PATH": str(prefect_home / "profiles.toml"),
        **{f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _SERVICES_NOT_NEEDED},
    }
    os.environ.update(own)
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    log_path = prefect_home / "server.log"
    with owned_process(command, environment=os.environ, log_path=log_path) as process:
        ready = wait_until_ready(process, f"http://127.0.0.1:{port}/api/health", timeout_s=120)
        if not ready:
            raise RunFailed(
                "E_PREFECT",
                "Prefect server",
                f"the embedded server must answer within 120 s, got none; its log is {log_path}",
                f"delete {prefect_home} and run again, or set PREFECT_API_URL to a server of yours",
            )
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        try:
            yield os.environ["PREFECT_API_URL"]
        finally:
            del os.environ["PREFECT_API_URL"]
