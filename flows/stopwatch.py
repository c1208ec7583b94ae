"""The stages of a flow as Prefect tasks, with what each of them took."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.allocator import peak_rss_bytes
from tasks.crash_points import reached

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
            reached("after_stage")
