"""Items in flight on a cluster: submitted a few at a time, and known to land, whatever becomes of the workers."""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

from distributed import Client, Future, KilledWorker
from distributed.protocol.pickle import dumps

from tasks.cluster.on_worker import Call, unpacked, worked
from tasks.cluster.versions import installed_versions
from tasks.cluster.watch import ClusterWatch

IN_FLIGHT_PER_THREAD: Final = 8
"""Enough that no worker waits for the next wave, few enough that the scheduler holds little and newcomers get work."""
LEAST_IN_FLIGHT: Final = 64
"""So that items of milliseconds are not sent one by one."""
IN_FLIGHT_PER_RESOURCE: Final = 4
"""Fewer of what asks for a resource: Dask gives all of it to the workers at once, and all of it dies with them."""

_PATIENCE_S: Final = 1.0

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Flight(Generic[Item, Outcome]):
    """Calls of one function on a cluster, only some for each thread or resource of its workers at once."""

    def __init__(
        self,
        client: Client,
        work: Callable[[Item, Any], Outcome],
        *,
        shared: Any,
        resources: Mapping[str, float],
    ) -> None:
        self._client = client
        self._resources = dict(resources) or None
        self._watch = ClusterWatch(client, resources=resources)
        run = uuid.uuid4().hex
        self._name = f"{getattr(work, '__name__', 'work')}-{run}"
        self._submitted = 0
        self._flying: dict[Any, tuple[int, Future[Any]]] = {}
        self._landed: SimpleQueue[Future[Any]] = SimpleQueue()
        self._remade: list[Future[Any]] = []
        call = Call(work, shared, installed_versions() if self._watch.is_remote else None)
        # A task and not scattered data: that would be lost with the workers that hold it, this is made again.
        with self._watch.telling():
            self._call = client.submit(unpacked, dumps(call), key=f"call-{run}", pure=False)

    def carry(self, items: Sequence[Item]) -> Iterator[tuple[int, Outcome | KilledWorker]]:
        """(position, outcome) of each item as they land; KilledWorker where every worker that took it has died.

        Raises what the first other failure was, RunFailed E_NO_WORKERS, RunFailed E_SCHEDULER.
        """
        begun = 0
        while begun < len(items) or self._flying:
            self._watch.look()
            room = self._room()
            if begun < len(items) and len(self._flying) <= room // 2:
                stop = min(begun + room - len(self._flying), len(items))
                self._submit(begun, items[begun:stop])
                begun = stop
            yield from self._landing()

    def _room(self) -> int:
        """How many may be in flight."""
        if self._resources:
            return IN_FLIGHT_PER_RESOURCE * self._watch.slots
        return max(LEAST_IN_FLIGHT, IN_FLIGHT_PER_THREAD * self._watch.slots)

    def cancel(self) -> None:
        """Let what has not begun be forgotten."""
        with suppress(Exception):  # a scheduler that is gone has forgotten it
            self._client.cancel([future for _, future in self._flying.values()])

    def _submit(self, first: int, items: Sequence[Item]) -> None:
        # One group of tasks for all waves: Dask then keeps most of a wave back until a worker is free.
        keys = [(self._name, self._submitted + i) for i in range(len(items))]
        self._submitted += len(items)
        packed = [dumps(item) for item in items]
        calls = [self._call] * len(items)
        with self._watch.telling():
            futures = self._client.map(worked, packed, calls, key=keys, retries=0, resources=self._resources)
        for position, future in enumerate(futures, start=first):
            self._flying[future.key] = (position, future)
            future.add_done_callback(self._landed.put)

    def _landing(self) -> Iterator[tuple[int, Outcome | KilledWorker]]:
        """Those that are done; failures come last."""
        done = self._next_done()
        finished = [future for future in done if future.status == "finished"]
        try:
            outcomes = self._gathered(finished)
        except KilledWorker:  # of an outcome that was made again: its future tells which at the next look
            self._remade += done
            return
        for future, outcome in zip(finished, outcomes, strict=True):
            yield self._forgotten(future), outcome
        for future in done:
            if future.key not in self._flying:
                continue
            if future.status == "cancelled":
                raise self._watch.lost()
            if future.status == "error":
                killed = _killed(future)
                yield self._forgotten(future), killed
            else:  # its worker died before its outcome was fetched
                self._remade.append(future)

    def _next_done(self) -> list[Future[Any]]:
        done: list[Future[Any]] = []
        while not done:
            with suppress(Empty):
                done.append(self._landed.get(timeout=_PATIENCE_S))
                while True:
                    done.append(self._landed.get_nowait())
            if not done:
                done, self._remade = self._remade, []
            self._watch.look()
        return done

    def _gathered(self, finished: list[Future[Any]]) -> list[Outcome]:
        """Outcomes, in one request; where a worker has died with one of them, Dask has it made again first."""
        if not finished:
            return []
        loop: Any = self._client.loop
        gathering = asyncio.run_coroutine_threadsafe(self._gather(finished), loop.asyncio_loop)
        while not wait([gathering], timeout=_PATIENCE_S).done:
            self._watch.look()
        with self._watch.telling():
            return gathering.result()

    async def _gather(self, finished: list[Future[Any]]) -> list[Outcome]:
        gathered: list[Outcome] = await self._client.gather(finished, asynchronous=True)
        return gathered

    def _forgotten(self, future: Future[Any]) -> int:
        position, _ = self._flying.pop(future.key)
        future.release()
        return position


def _killed(future: Future[Any]) -> KilledWorker:
    """Why an item failed, where its workers died; raises any other reason as it was raised there."""
    error = future.exception()
    if isinstance(error, KilledWorker):
        return error
    future.result()
    raise ValueError(f"a failed item must raise its failure, got {error!r}")
