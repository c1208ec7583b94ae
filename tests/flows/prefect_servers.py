"""A Prefect server that a test may stop and start, with all of its services."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.child_process import free_port, owned_process, wait_until_ready
from tests.servers.prefect import laid_out_database


@dataclass(frozen=True)
class OwnServer:
    """A server on loopback with a database of its own in `home`."""

    home: Path
    port: int

    @property
    def url(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that speaks to it."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_SERVER_")}
        return {**ours, "PREFECT_API_URL": self.url, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run it until the end of the block."""
        command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "error"]
        environment = {**self.environment, "PREFECT_HOME": str(self.home), "PREFECT_SERVER_UI_ENABLED": "false"}
        del environment["PREFECT_API_URL"]
        with owned_process(command, environment=environment, log_path=self.home / "server.log") as process:
            assert wait_until_ready(process, f"{self.url}/health", timeout_s=300), "the server must answer"
            yield process


def own_server(folder: Path, config: pytest.Config) -> OwnServer:
    """A server with its database in `folder`, laid out already."""
    shutil.copyfile(laid_out_database(config.cache.mkdir("prefect")), folder / "prefect.db")
    return OwnServer(folder, free_port())


@contextmanager
def api(url: str) -> Iterator[None]:
    """Have this process speak to the Prefect server at `url`."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        yield
