"""What a Dask cluster costs, by real processes: `python -m tests.benchmarks.cluster items|overhead|speedup`.

`items` hands many items that do nothing to two workers, all at once as `client.map` does and in waves as `run_each`
does, and tells what the scheduler's process took. `overhead` takes one worker and tells all processes' CPU time for
each item. `speedup` segments one raster with one worker and with two, of one thread each; its bar holds on a machine
that does nothing else.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from distributed import Client, as_completed

from tasks.cluster import dask_client, run_each
from tasks.segment import predictor_of, segment_blocks
from tests.tasks.cluster.processes import DaskProcesses, dask_processes
from tests.tasks.runs import place_in, plan_of, raster_at
from tests.tasks.surveys import write_raster

SPEEDUP_BAR = 1.8
BLOCK_PX = 1024


@dataclass(frozen=True, slots=True)
class NoWork:
    """An item as large as a strip of blocks is."""

    name: str
    windows: tuple[tuple[int, int, int, int], ...]


def nothing(item: NoWork, _shared: int) -> tuple[int, ...]:
    """An outcome as small as a block's record."""
    return (len(item.name), 1, 2, 3)


def all_at_once(client: Client, items: Sequence[NoWork]) -> list[Any]:
    """The items as one `client.map`, as they were handed out before."""
    shared = client.submit(int, 0, pure=False)
    futures = client.map(nothing, items, [shared] * len(items), pure=False, retries=0)
    position = {future.key: i for i, future in enumerate(futures)}
    outcomes: list[Any] = [None] * len(items)
    for future in as_completed(futures, loop=client.loop):
        outcomes[position[future.key]] = future.result()
        future.release()
    return outcomes


def in_waves(client: Client, items: Sequence[NoWork]) -> list[Any]:
    """The items as the product hands them out."""
    return run_each(client, nothing, items, shared=0)


@contextmanager
def counted(cluster: DaskProcesses) -> Iterator[dict[str, float]]:
    """CPU seconds of scheduler, workers and this process while the block lasts, and the scheduler's peak memory."""
    watched = {"scheduler": [cluster.scheduler.pid], "workers": [w.pid for w in cluster.workers], "client": [None]}
    found: dict[str, float] = {}

    def cpu_s(name: str) -> float:
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in watched[name])

    before, started = {name: cpu_s(name) for name in watched}, time.monotonic()
    found["scheduler_rss_before_mb"] = psutil.Process(cluster.scheduler.pid).memory_info().rss / 1e6
    yield found
    found["wall_s"] = time.monotonic() - started
    found.update({f"{name}_cpu_s": cpu_s(name) - before[name] for name in watched})
    status = Path(f"/proc/{cluster.scheduler.pid}/status").read_text()
    found["scheduler_peak_mb"] = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def items_benchmark(
    count: int, folder: Path, carry: Callable[[Client, Sequence[NoWork]], list[Any]], workers: int
) -> dict[str, float]:
    """Carry `count` items that do nothing over a cluster of its own."""
    items = [NoWork(f"raster-{i}.tif", ((i, i + 1, 0, 1),) * 4) for i in range(count)]
    with (
        dask_processes(folder, workers=workers) as cluster,
        dask_client(scheduler=cluster.address, workers=1) as client,
    ):
        carry(client, items[:200])
        with counted(cluster) as found:
            outcomes = carry(client, items)
    if outcomes != [nothing(item, 0) for item in items]:
        raise ValueError("outcomes must be in the order of the items, got another order")
    all_s = sum(found[f"{name}_cpu_s"] for name in ("scheduler", "workers", "client"))
    return {"items": count, **found, "cpu_ms_per_item": all_s / count * 1000}


def speedup_benchmark(size_px: int, folder: Path) -> dict[str, Any]:
    """Segment one raster with one worker and with two: wall and CPU seconds, and speed-up by both."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(5).integers(0, 255, (3, size_px, size_px)).astype(np.uint8)
    raster = raster_at(write_raster(folder / "a.tif", noise))
    plan = plan_of(raster, precision="auto", block_px=BLOCK_PX, tile_core_px=None, workers=1)
    found: dict[str, Any] = {"megapixels": size_px**2 / 1e6, "blocks": plan.block_count}
    for workers in (1, 2):
        with (
            dask_processes(folder / f"cluster-{workers}", workers=workers) as cluster,
            dask_client(scheduler=cluster.address, workers=1) as client,
        ):
            client.run(_load, plan.inference)
            with counted(cluster) as costs:
                segment_blocks(plan, place_in(folder / f"run-{workers}"), client, on_block=lambda _done, _all: None)
        found[f"with_{workers}"] = costs
    one, two = found["with_1"], found["with_2"]
    found["speedup_wall"] = one["wall_s"] / two["wall_s"]
    # What two idle cores would give: the second worker adds nothing where CPU time grows with it.
    found["cpu_efficiency"] = one["workers_cpu_s"] / two["workers_cpu_s"]
    found["scheduler_and_client_share"] = (two["scheduler_cpu_s"] + two["client_cpu_s"]) / two["workers_cpu_s"]
    return found


def _load(inference: Any) -> str:
    return predictor_of(inference).sha256


def main() -> int:
    """Run what is named and print one JSON line each; 1 where the speed-up misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("items", "overhead", "speedup"))
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--only", choices=("at_once", "in_waves"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.what == "speedup":
            found = speedup_benchmark(args.size, folder)
            sys.stdout.write(json.dumps(found) + "\n")
            return 0 if found["speedup_wall"] >= SPEEDUP_BAR else 1
        workers = 2 if args.what == "items" else 1
        for label, carry in (("at_once", all_at_once), ("in_waves", in_waves)):
            if args.only in (None, label):
                told = items_benchmark(args.items, folder / label, carry, workers)
                sys.stdout.write(json.dumps({"how": label, **told}) + "\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
