"""A cluster of processes: what dies takes nothing with it, what joins takes its share, what is poison is named."""

import signal
import threading
from pathlib import Path

import pytest

from segmentation.errors import RunFailed
from tasks.cluster import dask_client, inference_resources, run_each
from tasks.segment import segment_blocks
from tests.tasks.cluster.processes import dask_processes
from tests.tasks.cluster.work import deadly_among, deadly_at, doubled, slow, worker_that_worked
from tests.tasks.runs import files_of, noisy_raster, place_in, plan_of

MASKS = "results/runs/1/masks.zarr"


@pytest.mark.slow
def test_a_worker_added_mid_run_takes_its_share(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with (
        dask_processes(tmp_path, workers=1) as cluster,
        dask_client(scheduler=cluster.address, workers=1) as client,
    ):

        def add_one(_outcome: str) -> None:
            if not flag.exists():
                cluster.add_worker()
                cluster.wait_for(2)
                flag.touch()

        worked = run_each(client, worker_that_worked, range(100), shared=flag, on_done=add_one)
    assert len(worked) == 100
    assert len(set(worked)) == 2
    assert min(worked.count(address) for address in set(worked)) >= 10


ANY_WORKER = pytest.param({}, id="on-any-worker", marks=pytest.mark.long)
GPU_WORKER = pytest.param({"GPU": 1}, id="on-workers-with-a-gpu", marks=pytest.mark.slow)


@pytest.mark.parametrize("resources", [ANY_WORKER, GPU_WORKER])
def test_an_item_that_kills_its_process_is_named_and_the_others_finish(
    resources: dict[str, float], tmp_path: Path
) -> None:
    told: list[int] = []
    few_deaths = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with dask_processes(tmp_path, environment=few_deaths) as cluster:
        for _ in range(2):
            cluster.add_worker("--resources", "GPU=1", nanny=True)
        cluster.wait_for(2)
        with dask_client(scheduler=cluster.address, workers=1) as client, pytest.raises(RunFailed) as failure:
            run_each(
                client,
                deadly_at,
                range(30),
                shared=frozenset({7, 19}),
                on_done=told.append,
                resources=resources,
                named=lambda item: f"raster.tif, block {item}",
            )
    assert failure.value.code == "E_BLOCK"
    assert failure.value.subject == "raster.tif, block 7; raster.tif, block 19"
    assert sorted(told) == [i for i in range(30) if i not in (7, 19)]


@pytest.mark.slow
def test_of_a_strip_that_kills_its_process_only_the_deadly_part_is_left(tmp_path: Path) -> None:
    told: list[tuple[int, ...]] = []
    no_second_try = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with dask_processes(tmp_path, environment=no_second_try) as cluster:
        cluster.add_worker(nanny=True)
        cluster.wait_for(1)
        with dask_client(scheduler=cluster.address, workers=1) as client, pytest.raises(RunFailed) as failure:
            run_each(
                client,
                deadly_among,
                [(0, 1), (2, 3), (4, 5)],
                shared=frozenset({3}),
                on_done=told.append,
                split=lambda strip: [(item,) for item in strip],
            )
    assert (failure.value.code, failure.value.subject) == ("E_BLOCK", "(3,)")
    assert sorted(item for strip in told for item in strip) == [0, 1, 2, 4, 5]


@pytest.mark.slow
def test_a_cluster_that_loses_all_workers_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    with (
        dask_processes(tmp_path, workers=1) as cluster,
        dask_client(scheduler=cluster.address, workers=1, worker_wait_s=3) as client,
        pytest.raises(RunFailed) as failure,
    ):
        run_each(client, slow, range(20), shared=0.05, on_done=lambda _: cluster.workers[0].kill())
    assert failure.value.code == "E_NO_WORKERS"


@pytest.mark.slow
def test_a_cluster_without_workers_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    with (
        dask_processes(tmp_path) as cluster,
        pytest.raises(RunFailed) as failure,
        dask_client(scheduler=cluster.address, workers=1, worker_wait_s=1),
    ):
        pass
    assert failure.value.code == "E_NO_WORKERS"
    assert cluster.address in str(failure.value)


@pytest.mark.slow
def test_blocks_are_worked_only_where_the_gpu_is_declared(tmp_path: Path) -> None:
    plan, place = plan_of(noisy_raster(tmp_path)), place_in(tmp_path)
    with dask_processes(tmp_path) as cluster:
        cluster.add_worker("--name", "cpu")
        cluster.add_worker("--name", "gpu", "--resources", "GPU=1")
        cluster.wait_for(2)
        with dask_client(scheduler=cluster.address, workers=1) as client:
            assert inference_resources(client, device="cpu") == {"GPU": 1}
            segment_blocks(plan, place, client, on_block=lambda _done, _all: None)
            names = {w["id"]: worker for worker, w in client.scheduler_info(n_workers=-1)["workers"].items()}
            worked = client.run(lambda dask_worker: sum("segment_strip" in str(e) for e in dask_worker.state.log))
    assert worked[names["gpu"]] > 0
    assert worked[names["cpu"]] == 0


@pytest.mark.slow
def test_a_worker_that_dies_costs_no_block_and_no_byte(tmp_path: Path) -> None:
    plan = plan_of(noisy_raster(tmp_path))
    place = place_in(tmp_path / "killed")
    with (
        dask_processes(tmp_path, workers=2) as cluster,
        dask_client(scheduler=cluster.address, workers=1) as client,
    ):
        killed = threading.Event()

        def kill_one(done: int, _all: int) -> None:
            if done and not killed.is_set():
                killed.set()
                cluster.workers[0].send_signal(signal.SIGKILL)

        outcome = segment_blocks(plan, place, client, on_block=kill_one)
    assert killed.is_set()
    assert len(outcome.records) == plan.block_count
    with dask_client(scheduler=None, workers=1) as client:
        segment_blocks(plan, place_in(tmp_path / "control"), client, on_block=lambda _done, _all: None)
    assert files_of(tmp_path / "killed" / MASKS) == files_of(tmp_path / "control" / MASKS)


@pytest.mark.slow
def test_a_scheduler_that_dies_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    plan = plan_of(noisy_raster(tmp_path))
    with dask_processes(tmp_path, workers=1) as cluster:

        def kill_scheduler(done: int, _all: int) -> None:
            if done:
                cluster.scheduler.kill()

        with (
            pytest.raises(RunFailed) as failure,
            dask_client(scheduler=cluster.address, workers=1) as client,
        ):
            segment_blocks(plan, place_in(tmp_path / "killed"), client, on_block=kill_scheduler)
        # A worker whose scheduler is gone ends what it has begun, and then itself.
        cluster.workers[0].wait(timeout=120)
    assert failure.value.code == "E_SCHEDULER"
    records = tmp_path / "killed" / "results/runs/1/blocks"
    finished = {path: path.stat().st_mtime_ns for path in records.rglob("*.json")}
    with dask_client(scheduler=None, workers=1) as client:
        resumed = segment_blocks(plan, place_in(tmp_path / "killed"), client, on_block=lambda _done, _all: None)
        segment_blocks(plan, place_in(tmp_path / "control"), client, on_block=lambda _done, _all: None)
    assert 0 < resumed.resumed == len(finished) < plan.block_count
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert files_of(tmp_path / "killed" / MASKS) == files_of(tmp_path / "control" / MASKS)


@pytest.mark.slow
def test_a_scheduler_that_died_between_two_stages_is_told(tmp_path: Path) -> None:
    with (
        dask_processes(tmp_path, workers=1) as cluster,
        dask_client(scheduler=cluster.address, workers=1) as client,
    ):
        assert run_each(client, doubled, range(3), shared=2) == [0, 2, 4]
        cluster.scheduler.kill()
        with pytest.raises(RunFailed) as failure:
            run_each(client, doubled, range(3), shared=2)
    assert failure.value.code == "E_SCHEDULER"
