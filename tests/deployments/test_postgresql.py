"""The second way to run: a Prefect server on PostgreSQL that asks for a password, and a process worker beside it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.child_process import free_port, owned_process, wait_until_ready
from tasks.sample_survey import SampleTruth
from tasks.uploads.ledger import REJECTED
from tests.deployments.files import DEPLOYMENTS
from tests.deployments.postgresql import missing, postgresql, program

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=missing() or "")]

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
CANARY = "canary-5b0c0f6e2d4a47c1"
AUTH = ("admin", "of-this-test-alone")


@dataclass(frozen=True)
class Running:
    """A server on PostgreSQL and a worker of the pool `spanscan`."""

    folder: Path
    api_url: str
    database: str
    environment: dict[str, str]

    def command(self, *arguments: str) -> str:
        """Run a python module as an operator would; its output."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", *arguments], env=self.environment, cwd=self.folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def flow_runs(self) -> list[dict[str, Any]]:
        """What the server knows of runs of inspect-survey."""
        asked = {"flows": {"name": {"any_": ["inspect-survey"]}}}
        answer = httpx.post(f"{self.api_url}/flow_runs/filter", json=asked, auth=AUTH, timeout=60)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("postgresql")
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        api_url = f"http://127.0.0.1:{(port := free_port())}/api"
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT_", "SPANSCAN_"))}
        client = inherited | {
            "DO_NOT_TRACK": "1",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": api_url,
            "PREFECT_API_AUTH_STRING": ":".join(AUTH),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "AWS_ACCESS_KEY_ID": "of-nobody",
            "AWS_SECRET_ACCESS_KEY": CANARY,
            "SPANSCAN_HOME": str(folder / "home"),
            "SPANSCAN_INBOX": str(folder / "in"),
            "SPANSCAN_RESULTS": str(folder / "out"),
        }
        server = client | {
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_API_AUTH_STRING": ":".join(AUTH),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "dashboard"),
        }
        prefect = [sys.executable, "-P", "-m", "prefect", "--no-prompt"]
        start = [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        process = stack.enter_context(owned_process(start, environment=server, log_path=folder / "server.log"))
        ready = wait_until_ready(process, f"{api_url}/health", timeout_s=480)
        assert ready, (folder / "server.log").read_text()
        found = Running(folder, api_url, database, client)
        found.command("prefect", "--no-prompt", "work-pool", "create", "spanscan", "--type", "process")
        deploy = ("deploy", "--prefect-file", str(DEPLOYMENTS / "prefect.yaml"), "--name", "inspect-survey")
        found.command("prefect", "--no-prompt", *deploy)
        work = [*prefect, "worker", "start", "--pool", "spanscan", "--type", "process"]
        stack.enter_context(owned_process(work, environment=client, log_path=folder / "worker.log"))
        yield found


def test_swept_uploads_are_run_by_the_worker_and_recorded_in_postgresql(
    running: Running, sample: tuple[Path, SampleTruth]
) -> None:
    inbox, results = running.folder / "in", running.folder / "out"
    (inbox / "spoiled").mkdir(parents=True)
    (inbox / "spoiled" / "a.tif").write_bytes(b"")
    (inbox / "spoiled" / "survey.json").write_text("{}")
    shutil.copytree(sample[0], inbox / "sample", ignore=shutil.ignore_patterns("truth.json"))
    assert "2 runs recorded" in running.command("flows", "sweep")
    deadline = time.monotonic() + 900
    while not all(run["state_type"] in ENDED for run in running.flow_runs()):
        assert time.monotonic() < deadline, (running.folder / "worker.log").read_text()
        time.sleep(2)
    states = {run["parameters"]["survey"].rstrip("/").rpartition("/")[2]: run for run in running.flow_runs()}
    assert states["sample"]["state_type"] == "COMPLETED"
    assert (results / "sample" / "latest.json").exists()
    # An empty raster is rejected for good: the run tells that, and no other takes its place.
    assert states["spoiled"]["state_type"] == "FAILED"
    assert "E_EMPTY" in (results / "spoiled" / REJECTED).read_text()
    assert "0 runs recorded" in running.command("flows", "sweep")
    held = rows(running, "select name, state_type::text from flow_run where deployment_id is not null")
    assert set(held) == {(run["name"], run["state_type"]) for run in states.values()}


def test_without_the_password_the_server_tells_its_health_and_nothing_else(running: Running) -> None:
    assert httpx.get(f"{running.api_url}/health", timeout=60).status_code == 200
    assert httpx.post(f"{running.api_url}/flow_runs/filter", json={}, timeout=60).status_code == 401
    assert httpx.post(f"{running.api_url}/flow_runs/filter", json={}, auth=AUTH, timeout=60).status_code == 200


def test_no_secret_of_the_environment_is_written_down_anywhere(running: Running) -> None:
    """After the runs above: logs, results with their masks, the folder of the workers, all of Prefect's database."""
    dump = [program("pg_dump") or "pg_dump", "--dbname", running.database.replace("+asyncpg", "")]
    database = subprocess.run(dump, capture_output=True, check=True).stdout
    written = {path: path.read_bytes() for path in running.folder.rglob("*") if path.is_file()}
    assert b"inspect-survey" in database  # what is looked for would be found
    assert any(path.name == "zarr.json" for path in written)
    assert any(b"spoiled" in content for content in written.values())
    for secret in (CANARY.encode(), AUTH[1].encode()):
        assert secret not in database
        assert not [path for path, content in written.items() if secret in content]


def rows(running: Running, query: str) -> list[tuple[Any, ...]]:
    """What PostgreSQL itself holds."""
    import asyncio

    import asyncpg

    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(running.database.replace("+asyncpg", ""))
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(fetch())
