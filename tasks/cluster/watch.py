"""A look at a running cluster now and then: has it workers, does its scheduler still answer."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Final

import dask
from distributed import Client

from segmentation.errors import RunFailed, SpanscanError

WORKER_WAIT: Final = "spanscan.worker-wait"
"""Key of Dask's configuration, set for the life of a client: seconds for which a cluster may be without a worker."""

_LOOK_S: Final = 5.0


def no_workers(scheduler: str, *, worker_wait_s: float, asked: str = "") -> RunFailed:
    """The failure of a cluster that has nobody to work."""
    return RunFailed(
        "E_NO_WORKERS",
        scheduler,
        f"the cluster must have a worker{asked}, got none for {worker_wait_s:g} s",
        f"start workers with `dask worker {scheduler}`, or raise SPANSCAN_WORKER_WAIT_S, and run it again",
    )


class ClusterWatch:
    """What of a cluster can take items that ask for `resources`; a cluster in this process is always there."""

    def __init__(self, client: Client, *, resources: Mapping[str, float]) -> None:
        self._client, self._resources = client, resources
        self._looked_s = float("-inf")
        self._seen_s = time.monotonic()
        self.slots = 1
        """How many items the workers could work at once at the last look: by their threads, or by their resources."""

    @property
    def is_remote(self) -> bool:
        """Whether the workers are other processes."""
        return self._client.cluster is None

    def look(self) -> None:
        """Count the workers, once in a while; raises RunFailed E_NO_WORKERS, E_SCHEDULER."""
        now = time.monotonic()
        if now - self._looked_s < _LOOK_S:
            return
        with self.telling():
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        slots = sum(self._slots(worker["nthreads"], worker["resources"]) for worker in workers)
        self.slots = max(1, slots)
        self._looked_s = now
        if slots:
            self._seen_s = now
        worker_wait_s = dask.config.get(WORKER_WAIT, 60.0)
        if now - self._seen_s > worker_wait_s:
            asked = "".join(f" with the resource {name}" for name in self._resources)
            raise no_workers(self._address, worker_wait_s=worker_wait_s, asked=asked)

    def _slots(self, threads: int, resources: Mapping[str, float]) -> int:
        return min((int(resources.get(name, 0) // asked) for name, asked in self._resources.items()), default=threads)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Raise RunFailed E_SCHEDULER for what shows that the scheduler is gone, and for nothing else."""
        try:
            yield
        except SpanscanError:
            raise
        except (OSError, CancelledError) as error:
            raise self.lost() from error
        except asyncio.CancelledError as error:
            if type(error) is not asyncio.CancelledError:  # Prefect's: the flow is out of time
                raise
            raise self.lost() from error
        except Exception as error:
            if self._client.status == "running":
                raise
            raise self.lost() from error

    def lost(self) -> RunFailed:
        """The failure of a scheduler that has forgotten this run."""
        return RunFailed(
            "E_SCHEDULER",
            self._address,
            "the Dask scheduler must live until the run is done, got the connection lost",
            "start it again and give the same command: finished blocks are not worked again",
        )

    @property
    def _address(self) -> str:
        scheduler = self._client.scheduler
        return str(scheduler.address) if scheduler is not None else "the Dask scheduler"
