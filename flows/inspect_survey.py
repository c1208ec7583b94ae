"""The flow `inspect-survey`: from an upload to a published report, stage by stage."""

import logging
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.progress import block_progress
from flows.settings import Settings
from flows.stages import discover_survey, plan_inspection, run_place
from tasks.cluster import dask_client
from tasks.measure import measure_survey
from tasks.publish import Published, RunFigures, publish_run, published_run
from tasks.report_survey import write_reports
from tasks.segment import segment_blocks
from tasks.stitch import stitch_blocks

log = logging.getLogger("spanscan.inspect")

Arguments = ParamSpec("Arguments")
Outcome = TypeVar("Outcome")


@dataclass
class _Stopwatch:
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


@flow(name="inspect-survey", flow_run_name="{survey}", validate_parameters=True, persist_result=False)
def inspect_survey(survey: str, settings: dict[str, Any] | None = None) -> Published:
    """Inspect a survey and publish its reports.

    `survey` is ``s3://bucket/prefix/``, a folder or one raster; `settings` overrides settings of the environment by
    their names in lower case. Raises SpanscanError with its code where the input or the run does not allow a report.
    """
    chosen = Settings(**(settings or {}))
    watch = _Stopwatch()
    found = watch.run("discover", discover_survey, survey, chosen)
    plan = watch.run("plan", plan_inspection, found, chosen)
    place = run_place(plan, chosen)
    if (earlier := published_run(place)) is not None:
        log.info("this content was inspected before with the same model and settings: run %s", plan.run_key)
        return earlier
    with dask_client(scheduler=chosen.scheduler, workers=chosen.workers) as client:
        with block_progress("segment") as on_block:
            segmented = watch.run("segment", segment_blocks, plan, place, client, on_block=on_block)
        if segmented.resumed:
            log.info("%d of %d blocks were finished by an earlier attempt", segmented.resumed, plan.block_count)
        stitched = watch.run("stitch", stitch_blocks, plan, place, client, segmented=segmented)
        measured = watch.run("measure", measure_survey, plan, place, client, stitched=stitched)
    reported = watch.run(
        "report", write_reports, plan, place, measured, stitched.seam_proof, worst_count=chosen.worst_count
    )
    figures = RunFigures(
        seconds=watch.seconds,
        segmented_pixels=plan.pixels,
        blocks=plan.block_count,
        resumed_blocks=segmented.resumed,
        projected_peak_bytes=plan.memory.total_bytes,
        measured_peak_bytes=watch.peak_bytes,
    )
    return watch.run("publish", publish_run, plan, place, measured, reported, stitched.seam_proof, figures)


def peak_rss_bytes() -> int:
    """Largest resident size this process had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
