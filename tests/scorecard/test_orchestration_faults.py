"""Scorecard, faults 11, 13, 14: a clock that is off, the orchestrator away, a run killed and left running."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.settings import Settings
from flows.status_uploads import status_of
from flows.uploads import recorded_run
from tasks.s3_server import EmbeddedS3
from tests.flows.inboxes import DEPLOYMENT, TestInbox, apply_recording_deployment, make_inbox
from tests.flows.prefect_servers import OwnServer, api, own_server
from tests.scorecard.killed_surveys import write_deck

WATCHER = """
import json, sys, threading
from flows.settings import Settings
from flows.watch_uploads import watch
given = json.loads(sys.argv[1])
watch(Settings(**given["settings"]), stop=threading.Event(), for_s=given["for_s"], deployment=given["deployment"])
"""


@pytest.fixture
def server(prefect: str, tmp_path: Path, pytestconfig: pytest.Config) -> OwnServer:
    return own_server(tmp_path, pytestconfig)


@pytest.fixture
def inbox(s3_server: EmbeddedS3, request: pytest.FixtureRequest) -> TestInbox:
    return make_inbox(s3_server, f"faults-{abs(hash(request.node.nodeid)) % 10**12}")


@contextmanager
def watcher(inbox: TestInbox, server: OwnServer, log: Path) -> Iterator["subprocess.Popen[str]"]:
    """A watcher of the inbox in a process of its own, ended at the end."""
    given = {"settings": {**inbox.settings, "queue_visibility_s": 5}, "for_s": 3600, "deployment": DEPLOYMENT}
    command = [sys.executable, "-c", WATCHER, json.dumps(given)]
    with log.open("a") as out:
        process = subprocess.Popen(command, env=server.environment, stdout=out, stderr=out, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(what: Callable[[], object], *, within_s: float = 240) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, "it must happen"
        time.sleep(0.3)


class Clock(datetime):
    """The clock of a machine that is off."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


@pytest.mark.parametrize("ahead_h", [2, -2], ids=["two hours fast", "two hours slow"])
def test_11_a_lease_is_told_by_the_clock_of_the_server(
    inbox: TestInbox, ahead_h: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that lives is not taken for dead, nor an upload that goes on for quiet, by a machine whose clock is off."""
    monkeypatch.setattr(Clock, "ahead", timedelta(hours=ahead_h))
    for module in ("tasks.uploads.ledger", "tasks.uploads.listing"):
        monkeypatch.setattr(f"{module}.datetime", Clock)
    chosen = inbox.chosen(run_lease_s=60, upload_quiet_s=60)
    inbox.upload("running")
    inbox.upload("waiting", {"a.tif": b"raster"})
    with recorded_run(f"s3://{inbox.bucket}/in/running/", chosen) as log:
        assert {one.survey: one.state for one in status_of(chosen)} == {"running": "running", "waiting": "waiting"}
        assert log is not None
        log.published("0" * 16)
    assert {one.survey: one.state for one in status_of(chosen)} == {"running": "published", "waiting": "waiting"}


@pytest.mark.slow
def test_13_prefect_down_at_the_start_and_mid_run_loses_and_doubles_nothing(
    inbox: TestInbox, server: OwnServer, tmp_path: Path
) -> None:
    """Messages stay in the queue while Prefect is away, and each upload is recorded once when it is back."""
    with server.running(), api(server.url):
        apply_recording_deployment()
    inbox.upload("before")
    log = tmp_path / "log"
    with watcher(inbox, server, log) as process:
        wait_for(lambda: _tried(log) >= 2)
        assert process.poll() is None, log.read_text()
        assert inbox.messages_left() >= 2
        with server.running(), api(server.url):
            wait_for(lambda: inbox.messages_left() == 0)
            assert inbox.runs() == {"before": 1}
        tried = _tried(log)
        inbox.upload("meanwhile")  # the server is down again
        wait_for(lambda: _tried(log) >= tried + 2)
        assert process.poll() is None, log.read_text()
        assert inbox.messages_left() >= 1  # what tells of the first file alone may be done with
        with server.running(), api(server.url):
            wait_for(lambda: inbox.messages_left() == 0)
            assert inbox.runs() == {"before": 1, "meanwhile": 1}


def _tried(log: Path) -> int:
    """How often a watcher has found a server away."""
    return log.read_text().count("waiting: ")


@pytest.mark.slow
def test_13_prefect_away_for_good_ends_a_run_in_bounded_time_and_its_work_is_kept(
    server: OwnServer, home: Path, tmp_path: Path
) -> None:
    """The run may end published or failed, but it ends; the next one repeats no finished block.

    Prefect's client asks again five times for each state that a run tells, with doubling pauses; here once.
    """
    survey = write_deck(tmp_path / "bridge" / "deck.tif", shifted_px=0).parent
    command = [sys.executable, "-m", "flows", "inspect", str(survey), "--results", str(tmp_path / "out"), "--json"]
    settings = {"HOME": str(home), "BLOCK_PX": "512", "WORKERS": "1", "REPORT_FORMATS": '["html"]'}
    settings = {f"SPANSCAN_{name}": value for name, value in settings.items()} | {"PREFECT_CLIENT_MAX_RETRIES": "1"}
    blocks = tmp_path / "out/bridge/runs"
    with server.running():
        environment = {**server.environment, **settings}
        with (tmp_path / "told").open("w") as told:
            process = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
        try:
            wait_for(lambda: process.poll() is not None or list(blocks.glob("*/blocks/*/*.json")))
        except BaseException:
            process.kill()
            raise
    try:
        process.wait(600)
    finally:
        process.kill()
    finished = {path: path.stat().st_mtime_ns for path in blocks.glob("*/blocks/*/*.json")}
    assert finished
    told = (tmp_path / "told").read_text()
    assert process.returncode in (0, 4), told
    assert process.returncode == 0 or "spanscan: Prefect server: E_PREFECT" in told, told
    with server.running():
        environment = {**server.environment, **settings}
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(list(blocks.iterdir())) == 1


@pytest.mark.slow
def test_14_a_killed_run_left_running_is_noticed_lets_go_and_is_run_again(
    inbox: TestInbox, prefect: str, tmp_path: Path
) -> None:
    """With the least lease, 10 s; shipped are 300 s and a look every 4 minutes: noticed within 9."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.states import Running

    from flows.sweep_uploads import sweep
    from tests.flows.recording import record_survey

    apply_recording_deployment()
    chosen = inbox.chosen(queue_url=None, run_lease_s=10)
    inbox.upload("bridge")
    assert sweep(chosen, deployment=DEPLOYMENT).recorded == 1
    (run,) = inbox.flow_runs()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Running(), force=True)
    asked = {**inbox.settings, **run.parameters["settings"], "run_lease_s": 10}
    killed = subprocess.Popen([sys.executable, "-c", _HANGING, json.dumps([run.parameters["survey"], asked])])
    wait_for(lambda: [s.state for s in status_of(chosen)] == ["running"])
    assert sweep(chosen, deployment=DEPLOYMENT).recorded == 0
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    wait_for(lambda: [(s.state, s.code) for s in status_of(chosen)] == [("failed", "E_RUN_DIED")], within_s=60)
    assert sweep(chosen, deployment=DEPLOYMENT).recorded == 1
    states = {r.id: r.state.type for r in inbox.flow_runs()}
    assert states.pop(run.id) == StateType.CRASHED  # it holds no place in a concurrency limit any more
    assert list(states.values()) == [StateType.SCHEDULED]
    record_survey.fn(run.parameters["survey"], settings=asked)
    assert [s.state for s in status_of(chosen)] == ["published"]
    assert sweep(chosen, deployment=DEPLOYMENT).recorded == 0


_HANGING = """
import json, sys, time
from flows.settings import Settings
from flows.uploads import recorded_run
survey, asked = json.loads(sys.argv[1])
with recorded_run(survey, Settings(**asked)):
    time.sleep(600)
"""


def test_14_a_watcher_looks_again_at_a_run_when_its_lease_is_over(inbox: TestInbox, prefect: str) -> None:
    """Symptom to guard against: between two sweeps nobody looks at a run whose machine is gone."""
    from flows.watch_uploads import watch
    from tasks.uploads.ledger import run_log

    apply_recording_deployment()
    chosen = inbox.chosen(run_lease_s=10, queue_visibility_s=5)
    inbox.upload("bridge")
    seen = watch(chosen, stop=threading.Event(), for_s=0.1, deployment=DEPLOYMENT)
    assert seen.recorded == 1
    (upload,) = (u for u in [_inbox(chosen).upload("bridge")] if u is not None)
    log = run_log(
        _inbox(chosen).results, "bridge", survey="x", content=upload.content,
        settings=_inbox(chosen).rules.settings, beat_s=3600,
    )  # fmt: skip
    log.__enter__()  # a run that gives no sign of life after its first
    seen = watch(chosen, stop=threading.Event(), for_s=14, deployment=DEPLOYMENT)
    assert seen.recorded == 1
    assert inbox.runs() == {"bridge": 2}


def _inbox(chosen: Settings) -> Any:
    from flows.uploads import inbox_of

    return inbox_of(chosen)
