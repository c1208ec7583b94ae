"""The stages of a flow as Prefect tasks, with what each of them took."""

import logging
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

log = logging.getLogger("spanscan.inspect")

Arguments = ParamSpec("Arguments")
Outcome = TypeVar("Outcome")


@dataclass
class Stopwatch:
    """Wall seconds of each stage and the process's peak memory after it, in the order of the stages."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)

    def run(
        self, name: str, work: Callable[Arguments, Outcome], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Outcome:
        """Run a stage as a Prefect task of its name and keep what it took.

        Nothing is cached or persisted by Prefect: blocks keep their own records, and what a stage hands on stays
        in memory.
        """
        started = time.monotonic()
        log.info("%s …", name)
        stage = task(name=name, cache_policy=NO_CACHE, persist_result=False)(work)
        try:
            return stage(*args, **kwargs)
        finally:
            self.seconds[name] = round(time.monotonic() - started, 2)
            self.peak_bytes[name] = peak_rss_bytes()
            log.info("%s: %.1f s, peak %.2f GB so far", name, self.seconds[name], self.peak_bytes[name] / 1e9)


def peak_rss_bytes() -> int:
    """Largest resident size this process had so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss begins at the parent's size there: a process inherits it when it is forked
        peak = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if peak is not None:
            return int(peak.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
