"""The stages from the measurement to the published run, which every flow ends with."""

from collections.abc import Mapping

from distributed import Client

from flows.progress import block_progress
from flows.run_board import RunBoard
from flows.stopwatch import Stopwatch
from tasks.mask_cog import write_cogs
from tasks.mask_pyramid import write_pyramid
from tasks.measure import Measured
from tasks.output_files import OutputFiles
from tasks.plan import RunPlan
from tasks.report_survey import Reported, write_reports
from tasks.run_place import RunPlace
from tasks.seam_proof import SeamProof


def write_mask_files(watch: Stopwatch, plan: RunPlan, place: RunPlace, client: Client) -> Mapping[str, str]:
    """The masks' pyramid levels, which the overviews are drawn from, and their GeoTIFFs; checksums of these by key."""
    rasters, files = plan.survey.rasters, OutputFiles(place.storage)
    if plan.report.wants("pyramid"):
        watch.run("pyramid", write_pyramid, rasters, place, client)
    if plan.report.wants("cog"):
        watch.run("cog", write_cogs, rasters, place, files)
    return files.sha256


def write_run_reports(
    watch: Stopwatch,
    board: RunBoard,
    plan: RunPlan,
    place: RunPlace,
    measured: Measured,
    seam_proof: SeamProof | None,
    *,
    mask_files: Mapping[str, str],
    workers: int,
) -> Reported:
    """Everything that people and GIS read of a run, the overview last."""
    with block_progress("report", board, unit="structures") as on_structure:
        return watch.run(
            "report",
            write_reports,
            plan,
            place,
            measured,
            seam_proof,
            mask_files=mask_files,
            workers=workers,
            on_structure=on_structure,
        )
