"""The servers of the tests stay on this machine and end with whoever started them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.servers.fixtures import SERVER_NAMES
from tests.servers.running import RunningS3


@pytest.fixture(params=SERVER_NAMES)
def server(request: pytest.FixtureRequest) -> RunningS3:
    found: RunningS3 = request.getfixturevalue(f"{request.param}_server")
    return found


def test_they_listen_on_loopback_only(server: RunningS3) -> None:
    processes = [psutil.Process(process_id) for process_id in server.process_ids]
    listening = [c for one in processes for c in one.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


def test_they_are_small(server: RunningS3) -> None:
    assert sum(psutil.Process(process_id).memory_info().rss for process_id in server.process_ids) < 1_500_000_000


@pytest.fixture
def started(server: RunningS3) -> Iterator["tuple[subprocess.Popen[str], list[int]]"]:
    """The script with one server (which is installed, since the fixture has it), and its processes."""
    script = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.start", server.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert script.stdout is not None
    told = json.loads(script.stdout.readline())
    assert told["name"] == server.name
    yield script, told["process_ids"]
    script.kill()
    script.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "stopped", "let go"])
def test_they_end_with_the_script_that_started_them(
    started: "tuple[subprocess.Popen[str], list[int]]", how: str
) -> None:
    script, process_ids = started
    assert all(psutil.pid_exists(process_id) for process_id in process_ids)
    if how == "let go":
        assert script.stdin is not None
        script.stdin.close()
        script.stdin = None
    else:
        script.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
    script.wait(60)
    deadline_s = time.monotonic() + 240  # Ceph's gateway takes a minute and more to end on a busy machine
    while any(is_running(process_id) for process_id in process_ids) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert not [process_id for process_id in process_ids if is_running(process_id)]


def is_running(process_id: int) -> bool:
    return psutil.pid_exists(process_id) and psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE


def test_an_unknown_server_is_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.servers.start", "nonesuch"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "moto, ministack, rgw" in done.stderr) == (2, True)
