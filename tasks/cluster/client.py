"""The Dask client that carries the blocks: threads of this process, or a running cluster by its address."""

import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

import dask
from distributed import Client, LocalCluster
from threadpoolctl import threadpool_limits

from segmentation.errors import RunFailed
from tasks.allocator import share_one_arena
from tasks.cluster.versions import refuse_other_versions
from tasks.cluster.watch import WORKER_WAIT, no_workers

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

_CONNECT_S: Final = 10

log = logging.getLogger("spanscan.cluster")


@contextmanager
def dask_client(*, scheduler: str | None, workers: int, worker_wait_s: float = 60.0) -> Iterator[Client]:
    """A client of the cluster at `scheduler`, or of `workers` threads in this process; closed at the end.

    Threads and not processes: torch, GDAL and Zarr's codecs release the interpreter lock, and one process holds
    the weights and the libraries once. Certificates for a ``tls://`` address are those of Dask's own configuration.
    Raises RunFailed E_SCHEDULER where the address does not answer or its certificates do not match, E_NO_WORKERS where
    no worker has come after `worker_wait_s` seconds, E_WORKER_VERSIONS where one holds other packages.
    """
    with dask.config.set({WORKER_WAIT: worker_wait_s}):
        if scheduler is not None:
            with _client_of(scheduler) as client:
                _wait_for_a_worker(client, scheduler, worker_wait_s=worker_wait_s)
                refuse_other_versions(client, subject=scheduler)
                _log_dashboard(client, scheduler)
                yield client
            return
        # The interpreter lock is held for seconds by large numpy calls, which is no reason to warn an operator; and
        # what fails on a worker is raised here, where it becomes one line: its traceback is not for a user.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        share_one_arena()
        with (
            dask.config.set(_QUIET),
            # Each block has a thread; those of BLAS would wait for each other, at full load.
            threadpool_limits(limits=1, user_api="blas"),
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


def _client_of(scheduler: str) -> Client:
    """A client of a running cluster."""
    try:
        return Client(scheduler, set_as_default=False, timeout=f"{_CONNECT_S}s")
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise _unreachable(scheduler, error) from error


def _unreachable(scheduler: str, error: Exception) -> RunFailed:
    told = _root_cause(error)
    if scheduler.startswith("tls://") or isinstance(told, ssl.SSLError):
        cause = f"the Dask scheduler must answer over TLS with certificates of one authority, got {told}"
        remedy = (
            "set distributed.comm.tls.ca-file, .client.cert and .client.key in ~/.config/dask, or as "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on, to files of the cluster's authority"
        )
        return RunFailed("E_SCHEDULER", scheduler, cause, remedy)
    cause = f"the Dask scheduler must answer, got {told}"
    return RunFailed("E_SCHEDULER", scheduler, cause, "start it or mend SPANSCAN_SCHEDULER")


def _root_cause(error: BaseException) -> BaseException:
    """The first of a chain of errors: a refused certificate is told as a time-out otherwise."""
    while (earlier := error.__cause__) is not None and str(earlier):
        error = earlier
    return error


def _wait_for_a_worker(client: Client, scheduler: str, *, worker_wait_s: float) -> None:
    if client.nthreads():
        return
    log.info("the scheduler %s has no worker yet: waiting for up to %g s", scheduler, worker_wait_s)
    try:
        client.wait_for_workers(1, timeout=worker_wait_s)
    except TimeoutError as error:
        raise no_workers(scheduler, worker_wait_s=worker_wait_s) from error


def _log_dashboard(client: Client, scheduler: str) -> None:
    threads = client.nthreads()
    log.info("cluster %s: %d workers, %d threads", scheduler, len(threads), sum(threads.values()))
    if "dashboard" in client.scheduler_info(n_workers=0).get("services", {}):
        log.info("Dask dashboard: %s", client.dashboard_link)


def _local_cluster(workers: int) -> LocalCluster:
    """Threads of this process; with several GPUs and dask-cuda installed, a process for each GPU."""
    # Imported here, since a scheduler that learns of this package by a work item needs no torch.
    from segmentation.inference.devices import gpu_count

    gpus = gpu_count()
    options: dict[str, Any] = {
        "threads_per_worker": workers,
        # Left out, both would listen on every interface of the machine.
        "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        "worker_dashboard_address": "127.0.0.1:0",
        # What a run holds is projected before it begins; Dask would count the caches of GDAL and torch as lost.
        "memory_limit": None,
        "resources": {GPU: 1} if gpus else None,
    }
    if gpus > 1 and find_spec("dask_cuda") is not None:
        from dask_cuda import LocalCUDACluster

        cluster: LocalCluster = LocalCUDACluster(**options)
        return cluster
    return LocalCluster(n_workers=1, processes=False, **options)
