"""What Prefect and Dask cost: `python -m tests.benchmarks.overhead`, the flow against its stages as plain calls.

Both inspect the same survey with the same settings in processes of their own, in alternating pairs. *Flow* is
`inspect-survey` with the embedded Prefect server and the Dask cluster in its process, both started and stopped within
the time. *Direct* is the body of the same flow with each stage a plain call and each work item a call on a pool of
threads: no Prefect, no Dask. Exit code 1 where a bar is missed: 15 s, or a tenth of a survey of five minutes or more.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from flows.settings import Settings

DEMO_BAR_S, LONG_BAR, LONG_S = 15.0, 0.10, 300.0
_SPREADING = ("segment", "seam_proof", "mask_pyramid", "stitch", "measure")
"""Modules of tasks that run items on the cluster."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One inspection, its process and all that it started."""

    wall_s: float
    cpu_s: float
    stages_s: float
    """Wall seconds of the stages alone, without starting and stopping anything."""


class Threads:
    """What the stages ask of a Dask client, answered by this process."""

    cluster = "this process"

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def nthreads(self) -> dict[str, int]:
        """Threads by worker."""
        return {"here": self._workers}

    def run(self, work: Callable[..., Any], *arguments: Any, **_: Any) -> dict[str, Any]:
        """Run something on each worker."""
        return {"here": work(*arguments)}

    def each(
        self, _client: Any, work: Any, items: Sequence[Any], *, shared: Any, on_done: Any = None, **_: Any
    ) -> list[Any]:
        """In place of `tasks.cluster.run_each`."""
        outcomes = []
        with ThreadPoolExecutor(self._workers) as pool:
            for outcome in pool.map(lambda item: work(item, shared), items):
                outcomes.append(outcome)
                if on_done is not None:
                    on_done(outcome)
        return outcomes


def inspect_directly(survey: str, chosen: Settings) -> dict[str, float]:
    """The stages as plain calls; seconds of each."""
    from flows import inspection
    from flows.run_board import run_board
    from flows.stopwatch import Stopwatch

    class Plain(Stopwatch):
        def run(self, name: str, work: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.monotonic()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds[name] = time.monotonic() - started

    threads = Threads(chosen.workers)
    watch = Plain()
    patches = [patch(f"tasks.{module}.run_each", threads.each) for module in _SPREADING]
    patches += [
        patch.object(inspection, "Stopwatch", lambda: watch),
        patch.object(inspection, "dask_client", lambda **_: nullcontext(threads)),
    ]
    with _all(patches), run_board(survey, chosen) as board:
        inspection.run_stages(board, survey, chosen)
    return watch.seconds


def inspect_by_flow(survey: str, chosen: Settings) -> dict[str, float]:
    """As `spanscan inspect` does; seconds of each stage."""
    from flows.prefect_home import prefect_api

    with prefect_api(home=chosen.home, meanwhile="flows.inspection"):
        from flows.inspect_survey import inspect_survey

        asked = {name: getattr(chosen, name) for name in ("results", "workers", "home")}
        return inspect_survey(survey, settings={name: str(value) for name, value in asked.items()}).seconds_by_stage


def cost_of(how: str, survey: Path, cache: Path, workers: int) -> Cost:
    """Inspect in a new process, into a new folder."""
    with tempfile.TemporaryDirectory(dir=cache) as out:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment |= {"PREFECT_PROFILES_PATH": str(cache / "none.toml"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.benchmarks.overhead", "--child", how, str(survey), out, str(cache)]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [*command, "--workers", str(workers)], env=environment, capture_output=True, text=True, check=False
        )
        wall_s, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{how} failed:\n{done.stderr[-2000:]}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s, cpu_s, sum(json.loads(done.stdout.splitlines()[-1]).values()))


def verdicts(flow: Cost, direct: Cost) -> list[str]:
    """What does not hold, one sentence each."""
    over_s = flow.wall_s - direct.wall_s
    if direct.wall_s >= LONG_S and over_s > LONG_BAR * direct.wall_s:
        return [f"a long survey must take {LONG_BAR:.0%} more at most, got {over_s / direct.wall_s:.1%}"]
    if direct.wall_s < LONG_S and over_s > DEMO_BAR_S:
        return [f"a short survey must take {DEMO_BAR_S:g} s more at most, got {over_s:.1f}"]
    return []


@contextmanager
def _all(patches: Sequence[Any]) -> Any:
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def _child(how: str, survey: str, out: str, cache: str, workers: int) -> None:
    chosen = Settings(results=out, home=Path(cache) / "home", workers=workers)
    seconds = (inspect_by_flow if how == "flow" else inspect_directly)(survey, chosen)
    sys.stdout.write(json.dumps(seconds) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line per inspection, and say whether it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--survey", type=Path, help="a folder; unset: the demo's survey")
    parser.add_argument("--scale", type=float, default=1.0, help="of the demo's survey, along each side")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "spanscan-benchmark-overhead")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _child(*options.child, workers=options.workers)
        return 0
    options.cache.mkdir(parents=True, exist_ok=True)
    survey = options.survey or options.cache / f"sample-{options.scale:g}"
    if not survey.exists():
        from tasks.sample_survey import write_sample_survey

        write_sample_survey(survey, seed=7, scale=options.scale)
    costs: dict[str, list[Cost]] = {"flow": [], "direct": []}
    cost_of("flow", survey, options.cache, options.workers)  # lays out Prefect's database, compiles kernels
    for _ in range(options.pairs):
        for how, found in costs.items():
            found.append(cost_of(how, survey, options.cache, options.workers))
            sys.stdout.write(f"{how}: {json.dumps(asdict(found[-1]))}\n")
            sys.stdout.flush()
    flow, direct = (Cost(*(median(values) for values in zip(*map(_values, costs[how]), strict=True))) for how in costs)
    sys.stdout.write(
        f"the flow takes {flow.wall_s - direct.wall_s:.1f} s and {flow.cpu_s - direct.cpu_s:.1f} CPU-s more than "
        f"{direct.wall_s:.1f} s and {direct.cpu_s:.1f} CPU-s; its stages {flow.stages_s / direct.stages_s - 1:+.1%}\n"
    )
    failed = verdicts(flow, direct)
    sys.stdout.write("".join(f"FAILED: {sentence}\n" for sentence in failed) or "held\n")
    return 1 if failed else 0


def _values(cost: Cost) -> tuple[float, float, float]:
    return cost.wall_s, cost.cpu_s, cost.stages_s


if __name__ == "__main__":
    sys.exit(main())
