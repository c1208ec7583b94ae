"""Settings into stages: what the flow and `plan` both start from. Imports nothing of Prefect."""

import hashlib
import json

from flows.check_survey import input_rules
from flows.settings import Settings
from segmentation.errors import UsageError
from segmentation.inference.openvino_runtime import compiled_folder
from segmentation.measurement.grading import load_standards
from segmentation.models.compiled import read_compiled
from segmentation.models.registry import LoadedModel, load_model
from segmentation.records import Survey
from tasks.discover import discover
from tasks.mask_store import MaskStore
from tasks.plan import EngineSettings, InspectionPlan, MeasureSettings, RunPlan, make_plan
from tasks.report_settings import ReportSettings
from tasks.run_place import RunPlace
from tasks.storage import open_storage


def discover_survey(survey: str, chosen: Settings) -> Survey:
    """Find, pin and check the survey's inputs."""
    return discover(survey, rules=input_rules(chosen), skip_rejected=chosen.skip_rejected)


def plan_inspection(survey: Survey, chosen: Settings) -> InspectionPlan:
    """Plan the run of a survey with the chosen settings."""
    loaded = load_model(chosen.model)
    return make_plan(
        survey,
        loaded,
        model_path=chosen.model,
        engine=EngineSettings(
            device="cpu" if chosen.runtime == "openvino" else chosen.device,
            precision=chosen.precision,
            workers=chosen.workers,
            batch=chosen.batch,
            tile_core_px=chosen.tile_core_px,
            block_px=chosen.block_px,
            memory_limit_bytes=chosen.memory_limit_bytes,
            runtime=chosen.runtime,
            compiled=chosen.compile,
            skip_outside_structures=chosen.skip_outside_structures,
        ),
        measure=measure_settings(chosen),
        report=report_settings(chosen),
        compiled=_compiled(loaded, chosen) if chosen.runtime == "openvino" else None,
    )


def measure_settings(chosen: Settings) -> MeasureSettings:
    """The settings that change what is measured; raises UsageError E_STANDARD for a grading table that cannot be."""
    load_standards(chosen.standards)
    return MeasureSettings(
        min_crack_width_px=chosen.min_crack_width_px,
        min_crack_length_px=chosen.min_crack_length_px,
        min_rust_area_px=chosen.min_rust_area_px,
        standards=chosen.standards,
        crack_gap_px=chosen.crack_gap_px,
    )


def report_settings(chosen: Settings) -> ReportSettings:
    """The settings that change what is published."""
    return ReportSettings(formats=chosen.report_formats, worst_count=chosen.worst_count)


def _compiled(loaded: LoadedModel, chosen: Settings) -> tuple[str, str]:
    """Folder and checksum of what `spanscan compile-model` made of the weights, if it passed its gate."""
    if chosen.device not in ("auto", "cpu"):
        cause = f"OpenVINO must run on processors, got SPANSCAN_DEVICE={chosen.device}"
        raise UsageError("E_DEVICE", chosen.device, cause, "set SPANSCAN_DEVICE=cpu or SPANSCAN_RUNTIME=torch")
    folder = compiled_folder(chosen.home, loaded)
    files = read_compiled(folder, loaded, gated=True).files
    return str(folder), hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def run_place(plan: RunPlan, chosen: Settings) -> RunPlace:
    """Where this run keeps its things."""
    results = open_storage(chosen.results, endpoint_url=chosen.s3_endpoint_url, region=chosen.s3_region)
    of_survey = results.child(plan.survey.id)
    storage = of_survey.child(f"runs/{plan.run_key}")
    return RunPlace(
        results=of_survey,
        storage=storage,
        run_uri=of_survey.uri(f"runs/{plan.run_key}"),
        masks=MaskStore(storage.uri("masks.zarr"), chosen.s3_endpoint_url, chosen.s3_region),
        staging_dir=chosen.home / "staging",
        endpoint_url=chosen.s3_endpoint_url,
        region=chosen.s3_region,
        root=results,
    )
