"""The flow `measure-mask`: a mask that somebody else made, to a published report by the stages of an inspection."""

import logging
from functools import partial
from typing import Any, Literal

from prefect import flow

from flows.check_survey import input_rules
from flows.progress import block_progress
from flows.report_stages import write_mask_files, write_run_reports
from flows.run_board import RunBoard, run_board
from flows.run_names import name_of_run
from flows.run_summary import run_summary, survey_picture
from flows.settings import Settings
from flows.stages import measure_settings, report_settings, run_place
from flows.stopwatch import Stopwatch
from segmentation.classes import PixelClass
from tasks.cluster import dask_client
from tasks.given_mask import copy_mask
from tasks.given_mask_plan import GivenMaskPlan, MaskRequest, discover_mask, plan_mask
from tasks.measure import measure_survey
from tasks.publish import Published, RunFigures, publish_run, published_run
from tasks.stitch import StitchOutcome, join_components

log = logging.getLogger("spanscan.inspect")


@flow(
    name="measure-mask", flow_run_name=name_of_run, validate_parameters=True, persist_result=False,
    timeout_seconds=Settings().run_timeout_s,
)  # fmt: skip
def measure_mask(
    mask: str,
    image: str | None = None,
    structures: str | None = None,
    class_name: Literal["crack", "rust"] | None = None,
    probability: str | None = None,
    settings: dict[str, Any] | None = None,
) -> Published:
    """Measure, grade and report a mask of class ids, or of 0 and 255 for the one class `class_name`.

    All files are paths or ``s3://bucket/key``; `probability` is that of crack, into which cracks grow where
    `grow_cracks_above` is set. `settings` overrides settings of the environment by their names in lower case. Raises
    SpanscanError with its code where the input or the run does not allow a report.
    """
    chosen = Settings(**(settings or {}))
    single = None if class_name is None else PixelClass[class_name.upper()]
    with run_board(mask, chosen) as board:
        request = MaskRequest(mask, image, structures, single, probability, chosen.grow_cracks_above)
        return _measured(board, request, chosen)


def _measured(board: RunBoard, request: MaskRequest, chosen: Settings) -> Published:
    watch = Stopwatch()
    plan = watch.run("discover", _plan, request, chosen)
    board.structures_known(len(plan.survey.structures))
    place = run_place(plan, chosen)
    if (earlier := published_run(place, plan.survey)) is not None:
        log.info("this mask was measured before with the same settings: run %s", plan.run_key)
        return earlier
    with dask_client(scheduler=chosen.scheduler, workers=chosen.workers, worker_wait_s=chosen.worker_wait_s) as client:
        with block_progress("copy", board, pixels=plan.pixels) as on_block:
            copied = watch.run("copy", copy_mask, plan, place, client, on_block=on_block)
        if copied.resumed:
            log.info("%d of %d blocks were finished by an earlier attempt", copied.resumed, plan.block_count)
        components = watch.run("stitch", join_components, plan, place, client, segmented=copied)
        stitched = StitchOutcome(components, None)
        measured = watch.run("measure", measure_survey, plan, place, client, segmented=copied, stitched=stitched)
        mask_files = write_mask_files(watch, plan, place, client)
    reported = write_run_reports(
        watch, board, plan, place, measured, None, mask_files=mask_files, workers=chosen.workers
    )
    figures = RunFigures(
        seconds=watch.seconds,
        segmented_pixels=plan.pixels,
        blocks=plan.block_count,
        resumed_blocks=copied.resumed,
        projected_peak_bytes=plan.memory.total_bytes,
        measured_peak_bytes=watch.peak_bytes,
    )
    board.picture(partial(survey_picture, plan, place, measured))
    published = watch.run("publish", publish_run, plan, place, measured, reported, None, figures)
    board.published(partial(run_summary, plan, measured, published))
    return published


def _plan(request: MaskRequest, chosen: Settings) -> GivenMaskPlan:
    survey, mask = discover_mask(request, input_rules(chosen))
    return plan_mask(
        survey,
        mask,
        measure=measure_settings(chosen),
        report=report_settings(chosen),
        block_px=chosen.block_px,
        workers=chosen.workers,
        memory_limit_bytes=chosen.memory_limit_bytes,
    )
