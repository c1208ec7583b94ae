"""The Dask client that carries the blocks: threads of this process, or a cluster by its address."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import dask
from distributed import Client, LocalCluster, as_completed

from segmentation.errors import RunFailed

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
    # The interpreter lock is held for seconds by large numpy calls; that is no reason to warn an operator.
    logging.getLogger("distributed").setLevel(logging.ERROR)
    quiet = {"distributed.admin.tick.limit": "60s", "distributed.worker.memory.terminate": False}
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            dashboard_address=None,
            memory_limit=None,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def run_each(
    client: Client,
    work: Callable[[Item, Shared], Outcome],
    items: Sequence[Item],
    *,
    shared: Shared,
    on_done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run ``work(item, shared)`` on each item on the cluster; outcomes in the order of the items.

    `shared` is sent to each worker once. The first failure cancels what has not begun and is raised here as it was
    raised there.
    """
    if not items:
        return []
    everywhere = client.scatter(shared, broadcast=True, hash=False)
    futures = client.map(work, items, [everywhere] * len(items), pure=False, retries=0)
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
