"""A Dask cluster of real processes on loopback: a scheduler and workers that can be killed and joined by others."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

Process = subprocess.Popen[bytes]

ROOT = Path(__file__).parents[3]

_START_S = 240


@dataclass
class DaskProcesses:
    """A scheduler and its workers."""

    folder: Path
    stack: ExitStack
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the scheduler and all workers, beside this process's own."""
    protocol: str = "tcp"
    address: str = ""
    workers: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        file = self.folder / "scheduler.json"
        options = ("--host", "127.0.0.1", "--port", "0", "--protocol", self.protocol, "--no-dashboard")
        self.scheduler = self._start("dask_scheduler", *options, "--scheduler-file", str(file))
        deadline = time.monotonic() + _START_S
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.address = json.loads(file.read_text())["address"]

    def add_worker(
        self,
        *options: str,
        nanny: bool = False,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start a worker of one thread; it joins when it is ready. With a nanny it is started again when it dies."""
        common = ("--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(self.folder))
        nannied = ("--nanny",) if nanny else ("--no-nanny",)
        command = ("dask_worker", self.address, *common, *nannied, *options)
        self.workers.append(self._start(*command, environment=environment, cwd=cwd))
        return self.workers[-1]

    def wait_for(self, count: int) -> None:
        """Wait until so many workers have joined."""
        with Client(self.address, set_as_default=False, timeout=_START_S) as client:
            client.wait_for_workers(count, timeout=_START_S)

    def _start(self, *command: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
        inherited = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:]],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{command[0]}.log").open("ab"),
            env={**inherited, **self.environment, **(environment or {})},
            cwd=cwd,
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate if "--nanny" in command else process.kill)
        return process


@contextmanager
def dask_processes(
    folder: Path, *, workers: int = 0, environment: Mapping[str, str] | None = None, protocol: str = "tcp"
) -> Iterator[DaskProcesses]:
    """A scheduler and so many workers of one thread, all ended at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        cluster = DaskProcesses(folder, stack, environment or {}, protocol)
        for i in range(workers):
            cluster.add_worker("--name", f"worker-{i}")
        if workers:
            cluster.wait_for(workers)
        yield cluster
