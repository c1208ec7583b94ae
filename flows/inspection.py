"""An inspection, stage by stage: what the flow `inspect-survey` does once its run has started."""

import logging
from functools import partial

from flows.progress import block_progress
from flows.published_comparison import compare_with_previous
from flows.report_stages import write_mask_files, write_run_reports
from flows.run_board import RunBoard, run_board
from flows.run_summary import run_summary, survey_picture
from flows.settings import Settings
from flows.stages import discover_survey, plan_inspection, run_place
from flows.stopwatch import Stopwatch
from flows.uploads import with_record
from tasks.cluster import dask_client
from tasks.measure import measure_survey
from tasks.publish import Published, RunFigures, publish_run, published_run
from tasks.segment import segment_blocks
from tasks.stitch import stitch_blocks

log = logging.getLogger("spanscan.inspect")


def inspected(survey: str, chosen: Settings) -> Published:
    """Inspect a survey, publish its reports and keep the record of the run; raises SpanscanError with its code."""
    with run_board(survey, chosen) as board:
        return with_record(survey, chosen, partial(run_stages, board))


def run_stages(board: RunBoard, survey: str, chosen: Settings) -> Published:
    """The stages one after the other, told to `board`."""
    watch = Stopwatch()
    found = watch.run("discover", discover_survey, survey, chosen)
    board.structures_known(len(found.structures))
    plan = watch.run("plan", plan_inspection, found, chosen)
    place = run_place(plan, chosen)
    if (earlier := published_run(place, plan.survey)) is not None:
        log.info("this content was inspected before with the same model and settings: run %s", plan.run_key)
        return earlier
    with dask_client(scheduler=chosen.scheduler, workers=chosen.workers, worker_wait_s=chosen.worker_wait_s) as client:
        with block_progress("segment", board, pixels=plan.pixels) as on_block:
            segmented = watch.run("segment", segment_blocks, plan, place, client, on_block=on_block)
        if segmented.resumed:
            log.info("%d of %d blocks were finished by an earlier attempt", segmented.resumed, plan.block_count)
        stitched = watch.run("stitch", stitch_blocks, plan, place, client, segmented=segmented)
        measured = watch.run("measure", measure_survey, plan, place, client, segmented=segmented, stitched=stitched)
        mask_files = write_mask_files(watch, plan, place, client)
    reported = write_run_reports(
        watch, board, plan, place, measured, stitched.seam_proof, mask_files=mask_files, workers=chosen.workers
    )
    figures = RunFigures(
        seconds=watch.seconds,
        segmented_pixels=plan.pixels,
        blocks=plan.block_count,
        resumed_blocks=segmented.resumed,
        projected_peak_bytes=plan.memory.total_bytes,
        measured_peak_bytes=watch.peak_bytes,
    )
    board.picture(partial(survey_picture, plan, place, measured))
    published = watch.run("publish", publish_run, plan, place, measured, reported, stitched.seam_proof, figures)
    board.published(partial(run_summary, plan, measured, published))
    compare_with_previous(published, chosen)
    return published
