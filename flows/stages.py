"""Settings into stages: what the flow, `plan` and `check` all start from. Imports nothing of Prefect."""

from flows.settings import Settings
from segmentation.models.registry import load_model
from segmentation.records import Survey
from tasks.discover import CheckReport, check, discover
from tasks.input_limits import InputLimits
from tasks.mask_store import MaskStore
from tasks.plan import EngineSettings, InspectionPlan, MeasureSettings, make_plan
from tasks.segment import RunPlace
from tasks.storage import open_storage


def discover_survey(survey: str, chosen: Settings) -> Survey:
    """Find, pin and check the survey's inputs."""
    return discover(
        survey,
        endpoint_url=chosen.s3_endpoint_url,
        region=chosen.s3_region,
        staging_dir=chosen.home / "staging",
        gsd_range_m=load_model(chosen.model).card.gsd_range_m,
        gsd_m_override=chosen.gsd_m,
        rgb_bands=chosen.rgb_bands,
        limits=input_limits(chosen),
        skip_rejected=chosen.skip_rejected,
    )


def check_survey(survey: str, chosen: Settings) -> CheckReport:
    """The verdicts that an inspection would give, without one."""
    return check(
        survey,
        endpoint_url=chosen.s3_endpoint_url,
        region=chosen.s3_region,
        staging_dir=chosen.home / "staging",
        gsd_range_m=load_model(chosen.model).card.gsd_range_m,
        gsd_m_override=chosen.gsd_m,
        rgb_bands=chosen.rgb_bands,
        limits=input_limits(chosen),
    )


def input_limits(chosen: Settings) -> InputLimits:
    """What an upload may ask of this machine."""
    return InputLimits(
        max_raster_px=chosen.max_raster_px,
        max_block_bytes=chosen.max_input_block_bytes,
        max_ratio=chosen.max_input_ratio,
        max_rasters=chosen.max_rasters,
        max_structures=chosen.max_structures,
        max_vertices=chosen.max_vertices,
        max_document_bytes=chosen.max_document_bytes,
    )


def plan_inspection(survey: Survey, chosen: Settings) -> InspectionPlan:
    """Plan the run of a survey with the chosen settings."""
    return make_plan(
        survey,
        load_model(chosen.model),
        model_path=chosen.model,
        engine=EngineSettings(
            device=chosen.device,
            precision=chosen.precision,
            workers=chosen.workers,
            batch=chosen.batch,
            tile_core_px=chosen.tile_core_px,
            block_px=chosen.block_px,
            memory_limit_bytes=chosen.memory_limit_bytes,
        ),
        measure=MeasureSettings(
            min_crack_width_px=chosen.min_crack_width_px,
            min_crack_length_px=chosen.min_crack_length_px,
            min_rust_area_px=chosen.min_rust_area_px,
            standards=chosen.standards,
        ),
    )


def run_place(plan: InspectionPlan, chosen: Settings) -> RunPlace:
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
    )
