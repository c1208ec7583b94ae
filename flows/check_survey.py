"""`spanscan check`: the verdicts of an inspection without one. Imports no Prefect, and torch for own weights alone."""

from flows.settings import Settings
from segmentation.models.catalogue import available_models, card_of
from tasks.discover import CheckReport, InputRules, check
from tasks.input_limits import InputLimits


def check_survey(survey: str, chosen: Settings) -> CheckReport:
    """The verdicts that an inspection would give, without one; raises InputRejected E_MODEL for own weights."""
    if chosen.model not in available_models():  # what is shipped was verified when it was released
        from segmentation.models.registry import load_model

        load_model(chosen.model)
    return check(survey, rules=input_rules(chosen))


def input_rules(chosen: Settings) -> InputRules:
    """How the survey is found and read, and what may be inspected."""
    return InputRules(
        endpoint_url=chosen.s3_endpoint_url,
        region=chosen.s3_region,
        staging_dir=chosen.home / "staging",
        gsd_range_m=card_of(chosen.model).gsd_range_m,
        gsd_m_override=chosen.gsd_m,
        rgb_bands=chosen.rgb_bands,
        limits=input_limits(chosen),
    )


def input_limits(chosen: Settings) -> InputLimits:
    """What an upload may ask of this machine."""
    return InputLimits(
        max_raster_px=chosen.max_raster_px,
        max_block_bytes=chosen.max_input_block_bytes,
        max_read_s=chosen.max_input_read_s,
        max_ratio=chosen.max_input_ratio,
        max_rasters=chosen.max_rasters,
        max_structures=chosen.max_structures,
        max_vertices=chosen.max_vertices,
        max_document_bytes=chosen.max_document_bytes,
    )
