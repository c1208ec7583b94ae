"""One pattern in a process of its own, so that its peak memory and its CPU seconds are its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.workload import Clock, Workload, peak_rss_bytes

_ENVIRONMENT = {
    "GOMP_SPINCOUNT": "0",  # else threads that wait burn CPU seconds
    "OMP_WAIT_POLICY": "PASSIVE",
    "MKL_NUM_THREADS": "1",
    "CUDA_MODULE_LOADING": "LAZY",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a pattern cost."""

    wall_s: float
    """Wall seconds of the work, without imports and loading."""
    cpu_s: float
    """CPU seconds of the work, of the process and its children."""
    peak_rss_bytes: int
    """The most that the process held, imports and all."""
    mask: str | None
    """Zarr array of class ids that it wrote."""
    projected_bytes: int | None
    """Peak that the plan foretold; the engine only."""
    device_peak_bytes: int | None
    """The most that torch held on the GPU; None without one."""
    skipped: str | None
    """Why it did not run; None where it did."""


def run_in_child(work: Workload) -> Outcome:
    """Run a pattern in a new process; raises RuntimeError with the end of its words where it fails."""
    threads = str(work.workers) if work.pattern in ("whole", "monai") else "1"
    environment = {**os.environ, **_ENVIRONMENT, "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-m", "tests.benchmarks.child", work.to_json()]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{work.pattern} failed:\n{finished.stderr[-2000:]}")
    return Outcome(**json.loads(finished.stdout.splitlines()[-1]))


def main(argument: str) -> dict[str, Any]:
    """Run the pattern that `argument` (a workload as JSON) asks for; what `Outcome` holds, as plain data."""
    from tests.benchmarks.patterns import PATTERNS, Skipped

    work = Workload.from_json(argument)
    clock = Clock()
    try:
        done = PATTERNS[work.pattern](work, clock)
    except Skipped as reason:
        return dict.fromkeys(Outcome.__annotations__, None) | {"skipped": str(reason)}
    return {
        "wall_s": clock.wall_s,
        "cpu_s": clock.cpu_s,
        "peak_rss_bytes": peak_rss_bytes(),
        "mask": done.mask,
        "projected_bytes": done.projected_bytes,
        "device_peak_bytes": _device_peak_bytes(work),
        "skipped": None,
    }


def _device_peak_bytes(work: Workload) -> int | None:
    if work.device == "cpu":
        return None
    import torch

    return int(torch.cuda.max_memory_allocated())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])) + "\n")
