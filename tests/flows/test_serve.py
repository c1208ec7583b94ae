"""`spanscan serve`: from an upload to its record with one command, on loopback, and nothing left when it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psutil
import pytest

from flows.serve_guard import end, marked
from flows.settings import Settings
from tasks.sample_survey import SampleTruth
from tasks.uploads.ledger import INTERRUPTED, REJECTED
from tests.flows.serving import Serving, is_gone, served

LISTEN = psutil.CONN_LISTEN
DEPLOYMENTS = Path(__file__).parents[2] / "deployments" / "prefect.yaml"


@pytest.fixture
def serving(tmp_path: Path, home: Path) -> Iterator[Serving]:
    """On an empty inbox."""
    (tmp_path / "in").mkdir()
    settings = {
        "INBOX": str(tmp_path / "in"),
        "RESULTS": str(tmp_path / "out"),
        "SWEEP_CRON": "* * * * *",
        "BLOCK_PX": "512",
        "WORKERS": "1",
    }
    with served(tmp_path, home=home, settings=settings) as serving:
        yield serving


def upload(serving: Serving, survey: str, files: Mapping[str, bytes]) -> None:
    """Put the files of a survey in the order that closes it: survey.json last."""
    folder = serving.folder / "in" / survey
    folder.mkdir()
    for name in sorted(files, key=lambda name: name == "survey.json"):
        (folder / name).write_bytes(files[name])


def assert_it_ends(serving: Serving, how: signal.Signals, started: list[psutil.Process]) -> None:
    """In bounded time, with nothing left and nothing that looks like a failure."""
    serving.process.send_signal(how)
    serving.process.wait(60)
    deadline = time.monotonic() + 60
    while not all(is_gone(p) for p in started):
        assert time.monotonic() < deadline, [p for p in started if not is_gone(p)]
        time.sleep(0.2)
    told = serving.log
    assert "Traceback" not in told
    assert "cut short" not in told, "it ended because its time was over"
    assert serving.process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 0, signal.SIGKILL: -9}[how]


def scheduled(serving: Serving, flow: str) -> int:
    """How many runs of a flow Prefect's clock has made.

    Symptom to guard against: none ever, where its database was spoken to by a library that it does not fit.
    """
    asked = {"flows": {"name": {"any_": [flow]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    api = f"http://127.0.0.1:{serving.port}/api"
    return int(httpx.post(f"{api}/flow_runs/count", json=asked, timeout=60).json())


@pytest.mark.slow
def test_an_upload_is_worked_and_nothing_is_left_when_it_is_killed(serving: Serving) -> None:
    """The signal comes in the last moments of the run: its record is written, its process is still there."""
    upload(serving, "spoiled", {"a.tif": b"", "survey.json": b"{}"})
    rejected = serving.folder / "out" / "spoiled" / REJECTED
    serving.wait_for(rejected.exists)
    started = serving.started()
    assert "E_EMPTY" in rejected.read_text()
    assert len(started) >= 2
    listening = [c for p in started if p.is_running() for c in p.net_connections("inet") if c.status == LISTEN]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    assert serving.port in {c.laddr.port for c in listening}
    assert f"dashboard http://127.0.0.1:{serving.port}" in serving.log
    serving.wait_for(lambda: scheduled(serving, "sweep-uploads"))
    assert_it_ends(serving, signal.SIGKILL, started)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "told-to-end"])
def test_it_ends_while_a_run_is_under_way_and_the_run_says_so(
    serving: Serving, how: signal.Signals, sample: tuple[Path, SampleTruth]
) -> None:
    """Symptom: told to end while a run was under way, it stayed for more than a minute, once with a traceback.

    Cause: Prefect's runner waits in its signal handler for a thread that needs the event loop of the handler's own
    thread. And Ctrl-C that reached this process alone killed the run before it could write down that it was stopped.
    """
    upload(serving, "bridge", {path.name: path.read_bytes() for path in sample[0].iterdir() if path.is_file()})
    place = serving.folder / "out" / "bridge"
    serving.wait_for(lambda: list(place.glob("runs/*/blocks/*/*.json")))
    started = serving.started()
    assert_it_ends(serving, how, started)
    (record,) = place.glob("uploads/*.json")
    told = json.loads(record.read_text())
    assert (told["state"], told["code"]) == ("failed", INTERRUPTED)
    assert not (place / "latest.json").exists()


def test_a_guard_ends_what_carries_its_mark_and_nothing_else() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours = subprocess.Popen(command, env={**os.environ, "SPANSCAN_SERVE": "test-mark"})
    other = subprocess.Popen(command, env={**os.environ, "SPANSCAN_SERVE": "another"})
    try:
        while not psutil.Process(ours.pid).environ().get("SPANSCAN_SERVE"):
            time.sleep(0.01)
        assert end("SPANSCAN_SERVE=test-mark") == 1
        assert not marked("SPANSCAN_SERVE=test-mark")
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


@pytest.mark.slow
def test_what_is_served_is_what_the_deployments_say(prefect: str) -> None:
    import yaml

    from flows.serve import deployments

    written = {d["name"]: d for d in yaml.safe_load(DEPLOYMENTS.read_text())["deployments"]}
    for offered in deployments(Settings()):
        same = written[offered.name]
        assert offered.entrypoint == same["entrypoint"]
        assert offered.tags == same["tags"]
        assert offered.concurrency_options is not None
        assert offered.concurrency_options.collision_strategy.value == same["concurrency_limit"]["collision_strategy"]
