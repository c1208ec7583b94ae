"""A flow in place of the inspection: it keeps what it was asked for, and the record that an inspection keeps."""

import uuid
from typing import Any

from prefect import flow

from flows.settings import Settings
from flows.uploads import recorded_run
from segmentation.errors import InputRejected, RunFailed
from tasks.output_files import dumped_json
from tasks.storage import open_storage


@flow(name="record-survey", flow_run_name="{survey}", persist_result=False)
def record_survey(survey: str, settings: dict[str, Any] | None = None) -> None:
    """Write down that it ran; a survey whose address holds ``bad`` is rejected, ``broken`` fails."""
    chosen = Settings(**(settings or {}))
    with recorded_run(survey, chosen) as log:
        if "bad" in survey:
            raise InputRejected("E_NO_CRS", "deck.tif", "a raster must have a CRS, got none", "give it one")
        if "broken" in survey:
            raise RunFailed("E_DISK_FULL", "/", "the disk must have room, got none", "free some")
        results = open_storage(chosen.results, endpoint_url=chosen.s3_endpoint_url, region=chosen.s3_region)
        asked = dumped_json({"survey": survey})
        results.write(f".recorded/{uuid.uuid4().hex}.json", asked, content_type="application/json")
        if log is not None:
            log.published("0" * 16)
