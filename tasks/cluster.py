"""The Dask client that carries the blocks: threads of this process, or a cluster by its address."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import dask
from distributed import Client, LocalCluster, as_completed

from segmentation.errors import RunFailed
from segmentation.inference.devices import gpu_count
from tasks.allocator import share_one_arena

GPU: Final = "GPU"
"""The resource that a worker declares for each GPU it owns: `dask worker --resources GPU=1`."""

_QUIET: Final = {
    "distributed.admin.tick.limit": "60s",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.scheduler.work-stealing-interval": "1s",
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
}
"""A cluster in this process has no dashboard: what Dask would sample for it, each 10 ms, holds the interpreter lock
while blocks are worked."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Shared = TypeVar("Shared")


@contextmanager
def dask_client(*, scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of the cluster at `scheduler`, or of `workers` threads in this process; closed at the end.

    Threads and not processes: torch, GDAL and Zarr's codecs release the interpreter lock, and one process holds
    the weights and the libraries once. Raises RunFailed E_SCHEDULER where the address does not answer.
    """
    if scheduler is not None:
        try:
            client = Client(scheduler, set_as_default=False, timeout="10s")
        except (OSError, ValueError) as error:
            raise RunFailed(
                "E_SCHEDULER",
                scheduler,
                f"the Dask scheduler must answer, got {error}",
                "start it or mend SPANSCAN_SCHEDULER",
            ) from error
        with client:
            yield client
        return
    # The interpreter lock is held for seconds by large numpy calls, which is no reason to warn an operator; and what
    # fails on a worker is raised here, where it becomes one line: its traceback is not for a user.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    share_one_arena()
    with (
        dask.config.set(_QUIET),
        _local_cluster(workers) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def inference_resources(client: Client, *, device: str) -> Mapping[str, float]:
    """What a work item that runs the model asks of a worker: a GPU where the cluster's workers declare any.

    Such a worker then takes one of them at a time for each GPU. A cluster in this process is asked for its GPU only
    where the model runs on it.
    """
    if client.cluster is not None and not device.startswith("cuda"):
        return {}
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {GPU: 1} if any(worker.get("resources", {}).get(GPU, 0) >= 1 for worker in workers) else {}


def _local_cluster(workers: int) -> LocalCluster:
    """Threads of this process; with several GPUs and dask-cuda installed, a process for each GPU."""
    gpus = gpu_count()
    options: dict[str, Any] = {
        "threads_per_worker": workers,
        # Left out, both would listen on every interface of the machine.
        "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        "worker_dashboard_address": "127.0.0.1:0",
        "memory_limit": None,
        "resources": {GPU: 1} if gpus else None,
    }
    if gpus > 1 and find_spec("dask_cuda") is not None:
        from dask_cuda import LocalCUDACluster

        cluster: LocalCluster = LocalCUDACluster(**options)
        return cluster
    return LocalCluster(n_workers=1, processes=False, **options)


def run_each(
    client: Client,
    work: Callable[[Item, Shared], Outcome],
    items: Sequence[Item],
    *,
    shared: Shared,
    on_done: Callable[[Outcome], None] | None = None,
    resources: Mapping[str, float] | None = None,
) -> list[Outcome]:
    """Run ``work(item, shared)`` on each item on the cluster; outcomes in the order of the items.

    `shared` is sent to each worker once; `resources` are what each item asks of its worker. The items of a worker
    that dies are run again elsewhere. The first failure cancels what has not begun and is raised here as it was
    raised there.
    """
    if not items:
        return []
    # A task and not scattered data: that would be lost with the workers that hold it, this is made again.
    everywhere = client.submit(_itself, shared, pure=False)
    futures = client.map(
        work, items, [everywhere] * len(items), pure=False, retries=0, resources=dict(resources) if resources else None
    )
    position = {future.key: i for i, future in enumerate(futures)}
    outcomes: list[Any] = [None] * len(items)
    try:
        for future in as_completed(futures, loop=client.loop):
            outcome = future.result()
            outcomes[position[future.key]] = outcome
            future.release()
            if on_done is not None:
                on_done(outcome)
    except BaseException:
        client.cancel(futures)
        raise
    return outcomes


def _itself(shared: Shared) -> Shared:
    return shared
