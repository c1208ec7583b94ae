"""A small survey in S3, inspected stage by stage through a proxy that fails, and what a run without faults gives."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

from segmentation.models.registry import load_model
from tasks.discover import InputRules, discover
from tasks.mask_store import MaskStore
from tasks.measure import measure_survey
from tasks.plan import EngineSettings, InspectionPlan, MeasureSettings, make_plan
from tasks.publish import Published, RunFigures, publish_run, published_run
from tasks.report_settings import ReportSettings
from tasks.report_survey import write_reports
from tasks.run_place import RunPlace
from tasks.s3_client import s3_client
from tasks.segment import segment_blocks
from tasks.stitch import stitch_blocks
from tasks.storage import Storage, open_storage
from tests.tasks.surveys import LIMITS, write_raster

FORMATS = ("json", "html", "csv")
SIDE_PX = 160
NOT_COMPARED = ("manifest.json", "blocks/")
"""They tell when and how fast, which differs from run to run."""


def write_deck(folder: Path, *, seed: int = 3) -> Path:
    """A survey of one raster with a dark line across it."""
    noise = np.random.default_rng(seed).normal(150, 6, (3, SIDE_PX, SIDE_PX))
    noise[:, :, 70:74] = 50
    write_raster(folder / "deck.tif", noise.clip(0, 255).astype(np.uint8))
    return folder


@dataclass(frozen=True)
class Inspector:
    """Inspects the survey in a bucket through an endpoint, each time into a place of its own."""

    client: Client
    bucket: str
    endpoint_url: str
    folder: Path
    """For staged files."""

    def storage(self, prefix: str) -> Storage:
        """A prefix of the bucket."""
        return open_storage(f"s3://{self.bucket}/{prefix}", endpoint_url=self.endpoint_url, region=None)

    def planned(self, survey: str = "inbox/bridge", *, results: str = "results") -> tuple[InspectionPlan, RunPlace]:
        """A survey as it is found now, and where its run goes."""
        rules = InputRules(self.endpoint_url, None, self.folder / results, None, None, None, LIMITS)
        found = discover(f"s3://{self.bucket}/{survey}/", rules=rules, skip_rejected=False)
        plan = make_plan(
            found,
            load_model("spanscan-unet"),
            model_path="spanscan-unet",
            engine=EngineSettings("cpu", "fp32", 1, 1, 256, 512, 10**10),
            measure=MeasureSettings(2.0, 24.0, 64, ("astm-d610",)),
            report=ReportSettings(FORMATS, worst_count=3),
        )
        of_survey = self.storage(f"{results}/{found.id}")
        storage = of_survey.child(f"runs/{plan.run_key}")
        masks = MaskStore(storage.uri("masks.zarr"), self.endpoint_url, None)
        place = RunPlace(
            of_survey, storage, storage.uri(""), masks, self.folder / results, self.endpoint_url, None,
            root=self.storage(results),
        )  # fmt: skip
        return plan, place

    def inspect(self, survey: str = "inbox/bridge", *, results: str = "results") -> Published:
        """The whole way, from the upload to the pointer."""
        return self.finish(*self.planned(survey, results=results))

    def finish(self, plan: InspectionPlan, place: RunPlace) -> Published:
        """The way from a plan to the pointer, as the flow goes it."""
        if (earlier := published_run(place, plan.survey)) is not None:
            return earlier
        on_block: Any = lambda done, count: None  # noqa: E731
        segmented = segment_blocks(plan, place, self.client, on_block=on_block)
        stitched = stitch_blocks(plan, place, self.client, segmented=segmented)
        measured = measure_survey(plan, place, self.client, segmented=segmented, stitched=stitched)
        reported = write_reports(
            plan, place, measured, stitched.seam_proof, mask_files={}, workers=1, on_structure=on_block
        )
        figures = RunFigures({}, plan.pixels, plan.block_count, segmented.resumed, plan.memory.total_bytes, {})
        return publish_run(plan, place, measured, reported, stitched.seam_proof, figures)

    def files(self, published: Published) -> dict[str, str]:
        """SHA-256 of the masks and of every report of a run, by key."""
        prefix = published.results.removeprefix(f"s3://{self.bucket}/").rstrip("/")
        storage = self.storage(prefix)
        keys = [one.key for one in storage.list("", recursive=True) if not one.key.startswith(NOT_COMPARED)]
        assert any(key.startswith("masks.zarr/") for key in keys)
        assert any(key.endswith("report.json") for key in keys)
        return {key: hashlib.sha256(storage.read(key)).hexdigest() for key in keys}


def put_survey(bucket: str, folder: Path, *, endpoint_url: str, survey: str = "inbox/bridge") -> None:
    """Upload the files of a folder as a survey."""
    client = s3_client(endpoint_url=endpoint_url, region=None)
    for path in sorted(folder.iterdir()):
        client.put_object(Bucket=bucket, Key=f"{survey}/{path.name}", Body=path.read_bytes())
