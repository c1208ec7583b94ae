"""What a Dask cluster costs, by real processes: `python -m tests.benchmarks.cluster items|overhead|speedup`.

`items` hands many items that do nothing to two workers, all at once as `client.map` does and in waves as `run_each`
does, and tells what the scheduler's process took. `overhead` takes one worker and tells all processes' CPU time for
each item. `speedup` segments one raster with one worker and with two, of one thread each, in turn; its bar holds on a
machine that does nothing else.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from distributed import Client, as_completed

from tasks.cluster import dask_client, run_each
from tasks.plan import InspectionPlan
from tasks.segment import predictor_of, segment_blocks
from tests.tasks.cluster.processes import DaskProcesses, dask_processes
from tests.tasks.runs import place_in, plan_of, raster_at
from tests.tasks.surveys import write_raster

SPEEDUP_BAR = 1.8
BLOCK_PX = 1024
FIRST_PX = 2048
"""Side of a raster that every cluster segments first: a process pays for its first block, once and not per block."""


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


@dataclass(frozen=True, slots=True)
class Segmented:
    """One segmentation by so many workers of one thread each."""

    workers: int
    wall_s: float
    workers_cpu_s: float
    others_cpu_s: float
    """Of scheduler and client."""
    mask_sha256: str


def segmented(plan: InspectionPlan, first: InspectionPlan, folder: Path, workers: int) -> Segmented:
    """Segment on a new cluster; what counts begins when each worker holds the model and has worked at `first`."""
    with (
        dask_processes(folder, workers=workers) as cluster,
        dask_client(scheduler=cluster.address, workers=1) as client,
    ):
        client.run(_load, plan.inference)
        segment_blocks(first, place_in(folder / "first"), client, on_block=_nobody)
        place = place_in(folder / "run")
        with counted(cluster) as costs:
            segment_blocks(plan, place, client, on_block=_nobody)
    others_s = costs["scheduler_cpu_s"] + costs["client_cpu_s"]
    return Segmented(workers, costs["wall_s"], costs["workers_cpu_s"], others_s, _sha256_below(folder / "run"))


def speedup_benchmark(size_px: int, folder: Path, *, pairs: int) -> dict[str, Any]:
    """Segment one raster with one worker and with two, in turn; medians of the pairs, so that a drift cancels."""
    folder.mkdir(parents=True, exist_ok=True)
    plan, first = _plan(folder / "raster.tif", size_px), _plan(folder / "first.tif", FIRST_PX)
    found: list[tuple[Segmented, Segmented]] = []
    for pair in range(pairs):
        order = (1, 2) if pair % 2 == 0 else (2, 1)
        done = {workers: segmented(plan, first, folder / f"{pair}-{workers}", workers) for workers in order}
        found.append((done[1], done[2]))
        sys.stdout.write(json.dumps([asdict(done[workers]) for workers in order]) + "\n")
        sys.stdout.flush()
    if len({one.mask_sha256 for both in found for one in both}) != 1:
        raise ValueError("one worker and two must write the same mask, got different ones")
    return {
        "megapixels": size_px**2 / 1e6,
        "blocks": plan.block_count,
        "pairs": pairs,
        "speedup_wall": median(one.wall_s / two.wall_s for one, two in found),
        "speedups": [round(one.wall_s / two.wall_s, 3) for one, two in found],
        # What two idle cores would give, at most twice this: a second worker adds nothing where CPU time grows with it.
        "cpu_efficiency": median(one.workers_cpu_s / two.workers_cpu_s for one, two in found),
        "scheduler_and_client_share": median(two.others_cpu_s / two.workers_cpu_s for _, two in found),
    }


def _sha256_below(run: Path) -> str:
    """Of all that lies in the masks of a run, by name and content."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and "masks.zarr" in path.parts)
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(run)).encode() + path.read_bytes())
    return digest.hexdigest()


def _plan(path: Path, side_px: int) -> InspectionPlan:
    noise = np.random.default_rng(5).integers(0, 255, (3, side_px, side_px)).astype(np.uint8)
    raster = raster_at(write_raster(path, noise))
    return plan_of(raster, precision="auto", block_px=BLOCK_PX, tile_core_px=None, workers=1)


def _nobody(_done: int, _all: int) -> None:
    """Nobody watches the blocks."""


def _load(inference: Any) -> str:
    return predictor_of(inference).sha256


def main() -> int:
    """Run what is named and print one JSON line each; 1 where the speed-up misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("items", "overhead", "speedup"))
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=6144)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", choices=("at_once", "in_waves"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.what == "speedup":
            found = speedup_benchmark(args.size, folder, pairs=args.pairs)
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
