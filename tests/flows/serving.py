"""A `spanscan serve` in a process of its own, on loopback, for tests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from flows.serve_guard import marked
from tasks.child_process import free_port


@dataclass
class Serving:
    """A `spanscan serve` in a process of its own."""

    process: "subprocess.Popen[str]"
    folder: Path
    port: int

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text()

    def started(self) -> list[psutil.Process]:
        """What it has started, by the mark that all of it carries, and the guard."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        environments = [p.environ() for p in below if p.is_running()]
        mark = next(e["SPANSCAN_SERVE"] for e in environments if "SPANSCAN_SERVE" in e)
        return list({*below, *marked(f"SPANSCAN_SERVE={mark}")})

    def wait_for(self, what: Callable[[], object], *, within_s: float = 300) -> None:
        """Wait until something holds; fail with the log where it ends before, or does not get there."""
        deadline = time.monotonic() + within_s
        while not what():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.2)


@contextmanager
def served(folder: Path, *, home: Path, settings: Mapping[str, str]) -> Iterator[Serving]:
    """Serve with these settings, by their names in upper case; the Prefect database is that of the other tests."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {f"SPANSCAN_{name}": value for name, value in settings.items()}
    environment |= {"SPANSCAN_HOME": str(home), "PREFECT_PROFILES_PATH": str(home / "none.toml")}
    command = [sys.executable, "-P", "-m", "flows", "serve", "--port", str(port)]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, text=True)
    try:
        yield Serving(process, folder, port)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
