"""Work goes out in waves: outcomes in order, the first failure by its own name, few items in the scheduler's hands."""

import pickle
from typing import Any

import pytest
from distributed import Client

from segmentation.errors import RunFailed
from tasks.cluster import dask_client, inference_resources, run_each
from tasks.cluster.flight import IN_FLIGHT_PER_THREAD, LEAST_IN_FLIGHT
from tests.tasks.cluster.work import doubled, failing_at_three


@pytest.mark.parametrize("count", [0, 1, LEAST_IN_FLIGHT // 2, LEAST_IN_FLIGHT, LEAST_IN_FLIGHT + 1, 331])
def test_outcomes_come_in_the_order_of_the_items(count: int) -> None:
    told: list[int] = []
    with dask_client(scheduler=None, workers=3) as client:
        outcomes = run_each(client, doubled, range(count), shared=2, on_done=told.append)
    assert outcomes == [2 * i for i in range(count)]
    assert sorted(told) == outcomes


def test_the_scheduler_never_holds_more_than_a_wave() -> None:
    held: list[int] = []
    with dask_client(scheduler=None, workers=2) as client:
        run_each(client, doubled, range(1000), shared=1, on_done=lambda _: held.append(_tasks_of(client)))
    wave = max(LEAST_IN_FLIGHT, 2 * IN_FLIGHT_PER_THREAD)
    # The call that all share, and what is being forgotten while the next part of a wave comes in.
    assert max(held) <= 2 * wave + 1
    assert max(held) > wave // 2


def _tasks_of(client: Client) -> int:
    cluster: Any = client.cluster
    return len(cluster.scheduler.tasks)


def test_a_failure_is_raised_as_it_was_raised_there() -> None:
    with dask_client(scheduler=None, workers=2) as client, pytest.raises(RunFailed) as failure:
        run_each(client, failing_at_three, range(9), shared=0)
    assert (failure.value.code, failure.value.cause) == ("E_TEST", "must not be 3, got 3")


def test_a_client_serves_again_after_a_failure() -> None:
    with dask_client(scheduler=None, workers=2) as client:
        with pytest.raises(RunFailed):
            run_each(client, failing_at_three, range(500), shared=0)
        assert run_each(client, doubled, range(5), shared=3) == [0, 3, 6, 9, 12]


class CountsArrivals:
    """Shared data that counts how often it is unpacked in this process."""

    arrivals = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, ()


def _arrived() -> CountsArrivals:
    CountsArrivals.arrivals += 1
    return CountsArrivals()


def ignoring(item: int, _shared: CountsArrivals) -> int:
    return item


def test_what_items_share_arrives_once_and_not_with_each_item() -> None:
    pickle.loads(pickle.dumps(CountsArrivals()))
    assert CountsArrivals.arrivals == 1
    with dask_client(scheduler=None, workers=2) as client:
        run_each(client, ignoring, range(300), shared=CountsArrivals())
    assert CountsArrivals.arrivals == 2


def test_a_cluster_in_this_process_needs_no_gpu_for_work_on_processors() -> None:
    with dask_client(scheduler=None, workers=1) as client:
        assert inference_resources(client, device="cpu") == {}


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with pytest.raises(RunFailed) as failure, dask_client(scheduler="tcp://127.0.0.1:9", workers=1):
        pass
    assert failure.value.code == "E_SCHEDULER"
