"""The cluster: work goes where its resource is, and a worker that dies takes nothing with it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from segmentation.errors import RunFailed
from tasks.cluster import dask_client, inference_resources, run_each
from tasks.segment import segment_blocks
from tests.tasks.runs import files_of, place_in, plan_of, raster_at
from tests.tasks.surveys import write_raster


def doubled(item: int, factor: int) -> int:
    return item * factor


def test_outcomes_come_in_the_order_of_the_items() -> None:
    with dask_client(scheduler=None, workers=3) as client:
        assert run_each(client, doubled, range(20), shared=2) == [2 * i for i in range(20)]
        assert run_each(client, doubled, [], shared=2) == []


def failing(item: int, _shared: int) -> int:
    if item == 3:
        raise RunFailed("E_TEST", "item", "must not be 3, got 3", "take another")
    return item


def test_a_failure_is_raised_as_it_was_raised_there() -> None:
    with dask_client(scheduler=None, workers=2) as client, pytest.raises(RunFailed) as failure:
        run_each(client, failing, range(9), shared=0)
    assert failure.value.code == "E_TEST"


def test_a_cluster_in_this_process_needs_no_gpu_for_work_on_processors() -> None:
    with dask_client(scheduler=None, workers=1) as client:
        assert inference_resources(client, device="cpu") == {}


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with pytest.raises(RunFailed) as failure, dask_client(scheduler="tcp://127.0.0.1:9", workers=1):
        pass
    assert failure.value.code == "E_SCHEDULER"


@contextmanager
def dask_processes(folder: Path, *workers: tuple[str, ...]) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and workers of its own on loopback, each worker with its options; (address, workers)."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}  # noqa: PTH109
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    with ExitStack() as stack:

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([sys.executable, "-m", "distributed.cli." + command[0], *command[1:]], **quiet)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        file = folder / "scheduler.json"
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        common = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
        started = [start("dask_worker", address, *common, *options) for options in workers]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(len(workers), timeout=120)
        yield address, started


def picture(folder: Path) -> Path:
    noise = np.random.default_rng(5).integers(0, 255, (3, 1300, 1300)).astype(np.uint8)
    return write_raster(folder / "a.tif", noise)


@pytest.mark.slow
def test_blocks_are_worked_only_where_the_gpu_is_declared(tmp_path: Path) -> None:
    plan, place = plan_of(raster_at(picture(tmp_path))), place_in(tmp_path)
    with (
        dask_processes(tmp_path, ("--name", "cpu"), ("--name", "gpu", "--resources", "GPU=1")) as (address, _),
        dask_client(scheduler=address, workers=1) as client,
    ):
        assert inference_resources(client, device="cpu") == {"GPU": 1}
        segment_blocks(plan, place, client, on_block=lambda _done, _all: None)
        names = {w["id"]: worker for worker, w in client.scheduler_info(n_workers=-1)["workers"].items()}
        worked = client.run(lambda dask_worker: sum("segment_strip" in str(e) for e in dask_worker.state.log))
    assert worked[names["gpu"]] > 0
    assert worked[names["cpu"]] == 0


@pytest.mark.slow
def test_a_worker_that_dies_costs_no_block_and_no_byte(tmp_path: Path) -> None:
    raster = raster_at(picture(tmp_path))
    plan, place = plan_of(raster), place_in(tmp_path / "killed")
    with (
        dask_processes(tmp_path, ("--name", "one"), ("--name", "two")) as (address, workers),
        dask_client(scheduler=address, workers=1) as client,
    ):
        killed = threading.Event()

        def kill_one(done: int, _all: int) -> None:
            if done and not killed.is_set():
                killed.set()
                workers[0].send_signal(signal.SIGKILL)

        outcome = segment_blocks(plan, place, client, on_block=kill_one)
    assert killed.is_set()
    assert len(outcome.records) == plan.block_count
    with dask_client(scheduler=None, workers=1) as client:
        segment_blocks(plan, place_in(tmp_path / "control"), client, on_block=lambda _done, _all: None)
    run = "results/runs/1/masks.zarr"
    assert files_of(tmp_path / "killed" / run) == files_of(tmp_path / "control" / run)
