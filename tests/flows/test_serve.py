"""`spanscan serve`: from an upload to its record with one command, on loopback, and nothing left when it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from flows.serve_guard import end, marked
from flows.settings import Settings
from tasks.child_process import free_port
from tasks.uploads.ledger import REJECTED

DEPLOYMENTS = Path(__file__).parents[2] / "deployments" / "prefect.yaml"


@dataclass
class Serving:
    """A `spanscan serve` in a process of its own."""

    process: "subprocess.Popen[str]"
    folder: Path
    port: int

    def is_idle(self) -> bool:
        """Whether no run's process is left; a run that is cut short is another matter than a server that ends."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return not any("engine" in " ".join(p.cmdline()) for p in below if p.is_running())

    def started(self) -> list[psutil.Process]:
        """What it has started, by the mark that all of it carries, and the guard."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        environments = [p.environ() for p in below if p.is_running()]
        mark = next(e["SPANSCAN_SERVE"] for e in environments if "SPANSCAN_SERVE" in e)
        return list({*below, *marked(f"SPANSCAN_SERVE={mark}")})


@pytest.fixture
def serving(tmp_path: Path, home: Path) -> Iterator[Serving]:
    """With a survey that must be rejected in its inbox; the database is that of the other tests, made already."""
    survey = tmp_path / "in" / "spoiled"
    survey.mkdir(parents=True)
    (survey / "a.tif").write_bytes(b"")
    (survey / "survey.json").write_text("{}")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {
        "SPANSCAN_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "none.toml"),
        "SPANSCAN_INBOX": str(tmp_path / "in"),
        "SPANSCAN_RESULTS": str(tmp_path / "out"),
    }
    command = [sys.executable, "-P", "-m", "flows", "serve", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log, text=True)
    yield Serving(process, tmp_path, port)
    if process.poll() is None:
        process.kill()
    process.wait()


def wait_for(what: Callable[[], object], serving: Serving, *, within_s: float = 240) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert serving.process.poll() is None, (serving.folder / "log").read_text()
        assert time.monotonic() < deadline, (serving.folder / "log").read_text()
        time.sleep(0.2)


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "told-to-end", "killed"]
)
def test_an_upload_is_worked_and_nothing_is_left_when_it_ends(serving: Serving, how: signal.Signals) -> None:
    rejected = serving.folder / "out" / "spoiled" / REJECTED
    wait_for(rejected.exists, serving)
    assert "E_EMPTY" in rejected.read_text()
    wait_for(serving.is_idle, serving)
    started = serving.started()
    assert len(started) >= 2
    listening = [c for p in started for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    assert serving.port in {c.laddr.port for c in listening}
    assert f"dashboard http://127.0.0.1:{serving.port}" in (serving.folder / "log").read_text()
    serving.process.send_signal(how)
    serving.process.wait(60)
    deadline = time.monotonic() + 60
    while not all(is_gone(p) for p in started):
        assert time.monotonic() < deadline, [p for p in started if not is_gone(p)]
        time.sleep(0.2)
    assert "Traceback" not in (serving.folder / "log").read_text()


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
    for served in deployments(Settings()):
        same = written[served.name]
        assert served.entrypoint == same["entrypoint"]
        assert served.tags == same["tags"]
        assert served.concurrency_options is not None
        assert served.concurrency_options.collision_strategy.value == same["concurrency_limit"]["collision_strategy"]
