"""The whole way on a small survey of known damage: published once, complete, resumable after kill -9."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import numpy as np
import pytest
import zarr

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.models.registry import load_model
from tasks.report.record import report_schema
from tasks.s3_server import EmbeddedS3
from tasks.sample_survey import SampleTruth

Sample = tuple[Path, SampleTruth]
Inspect = Callable[..., Any]


@pytest.fixture
def inspect(prefect: str, home: Path) -> Inspect:
    from flows.inspect_survey import inspect_survey

    def run(survey: str, **settings: Any) -> Any:
        return inspect_survey(survey, settings={"home": str(home), "workers": 2, **settings})

    return run


@pytest.mark.slow
def test_a_survey_in_a_folder_is_published_complete(inspect: Inspect, sample: Sample, tmp_path: Path) -> None:
    published = inspect(str(sample[0]), results=str(tmp_path), block_px=512)
    run = Path(published.results)
    assert json.loads((tmp_path / "sample/latest.json").read_text())["run_key"] == published.run_key
    assert (run / "index.html").is_file()
    assert {path.name for path in run.iterdir()} == {
        *("blocks", "masks.zarr", "structures", "stac", "index.html", "manifest.json"),
        *("defects.geojson", "defects.csv", "defects.parquet", "defects.gpkg", "results.jsonl.gz"),
        *("mask.deck.tif", "mask.deck.tif.aux.xml", "mask.truss.tif", "mask.truss.tif.aux.xml"),
    }
    for folder in (run / "structures").iterdir():
        report = json.loads((folder / "report.json").read_text())
        jsonschema.validate(report, report_schema())
        assert report["structure"]["coverage_percent"] > 99.0
        assert set(load_model("spanscan-unet").card.limits) <= set(report["run"]["warnings"])
        assert (folder / "report.html").stat().st_size < 5_000_000
        assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    manifest = json.loads((run / "manifest.json").read_text())
    assert {i["name"] for i in manifest["inputs"]} == {"deck.tif", "truss.tif"}
    written = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()} - {"manifest.json"}
    unlisted = {key for key in written if key.split("/")[0] in manifest["outputs_without_sha256"]}
    assert set(manifest["outputs_sha256"]) == written - unlisted
    for key, digest in manifest["outputs_sha256"].items():
        assert hashlib.sha256((run / key).read_bytes()).hexdigest() == digest, key
    collection = json.loads((tmp_path / "collection.json").read_text())
    (link,) = [link for link in collection["links"] if link["rel"] == "item"]
    assert (tmp_path / link["href"]).resolve() == run / "stac/item.json"
    assert manifest["seam_proof"]["windows"] > 0
    assert manifest["seam_proof"]["differing_pixels"] <= 1e-5 * manifest["seam_proof"]["pixels"]


@pytest.mark.slow
def test_every_pixel_of_the_mask_was_inspected_or_is_nodata(inspect: Inspect, sample: Sample, tmp_path: Path) -> None:
    published = inspect(str(sample[0]), results=str(tmp_path))
    masks = zarr.open_group(f"{published.results}/masks.zarr", mode="r")
    deck, truss = np.asarray(masks["deck/mask"]), np.asarray(masks["truss/mask"])
    assert not (deck == NOT_INSPECTED).any()
    assert not (truss == NOT_INSPECTED).any()
    assert not (deck == NODATA).any()
    assert (truss == NODATA).any()
    assert "crs_wkt" in masks["deck/spatial_ref"].attrs


@pytest.mark.slow
def test_the_same_content_is_inspected_once(inspect: Inspect, sample: Sample, tmp_path: Path) -> None:
    first = inspect(str(sample[0]), results=str(tmp_path))
    manifest = Path(first.results) / "manifest.json"
    written = manifest.stat().st_mtime_ns
    second = inspect(str(sample[0]), results=str(tmp_path))
    assert second.already_published
    assert second.run_key == first.run_key
    assert manifest.stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_survey_in_s3_gives_the_reports_of_the_same_survey_in_a_folder(
    inspect: Inspect, sample: Sample, s3_server: EmbeddedS3, tmp_path: Path
) -> None:
    s3 = boto3.client("s3", endpoint_url=s3_server.endpoint_url)
    s3.create_bucket(Bucket="flows")
    for path in sample[0].iterdir():
        s3.upload_file(str(path), "flows", f"inbox/sample/{path.name}")
    local = inspect(str(sample[0]), results=str(tmp_path))
    remote = inspect("s3://flows/inbox/sample/", results="s3://flows/results", s3_endpoint_url=s3_server.endpoint_url)
    assert remote.run_key == local.run_key
    for key in ("index.html", "defects.csv"):
        body = s3.get_object(Bucket="flows", Key=f"results/sample/runs/{remote.run_key}/{key}")["Body"].read()
        assert body == (Path(local.results) / key).read_bytes()
    pointer = s3.get_object(Bucket="flows", Key="results/sample/latest.json")["Body"].read()
    assert json.loads(pointer)["run_key"] == remote.run_key


@pytest.mark.slow
def test_a_killed_run_repeats_no_finished_block_and_gives_the_same_bytes(
    inspect: Inspect, sample: Sample, home: Path, prefect: str, tmp_path: Path
) -> None:
    """Symptom to guard against: after kill -9 the whole survey is inferred again, or a half block is published."""
    command = [sys.executable, "-m", "flows", "inspect", str(sample[0]), "--results", str(tmp_path / "killed")]
    environment = {
        **os.environ,
        "SPANSCAN_HOME": str(home),
        "SPANSCAN_BLOCK_PX": "512",
        "SPANSCAN_WORKERS": "1",
        "PREFECT_API_URL": prefect,
    }
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    blocks = tmp_path / "killed/sample/runs"
    deadline = time.monotonic() + 120
    while len(list(blocks.glob("*/blocks/*/*.json"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in blocks.glob("*/blocks/*/*.json")}
    assert len(finished) >= 3
    assert not (tmp_path / "killed/sample/latest.json").exists()

    settings = {"block_px": 512, "workers": 1}
    resumed = inspect(str(sample[0]), results=str(tmp_path / "killed"), **settings)
    control = inspect(str(sample[0]), results=str(tmp_path / "control"), **settings)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    manifest = json.loads((Path(resumed.results) / "manifest.json").read_text())
    assert manifest["blocks"]["resumed"] == len(finished)
    assert resumed.run_key == control.run_key
    masks = sorted(p.relative_to(resumed.results) for p in Path(resumed.results).glob("masks.zarr/**/*") if p.is_file())
    assert masks
    for relative in masks:
        assert (Path(resumed.results) / relative).read_bytes() == (Path(control.results) / relative).read_bytes()


@pytest.mark.slow
def test_other_formats_are_another_run_with_those_files_alone(inspect: Inspect, sample: Sample, tmp_path: Path) -> None:
    published = inspect(str(sample[0]), results=str(tmp_path), report_formats=["csv"])
    run = Path(published.results)
    assert {path.name for path in run.iterdir()} == {
        "blocks",
        "masks.zarr",
        "structures",
        "defects.csv",
        "manifest.json",
        "results.jsonl.gz",
    }
    assert {path.name for path in run.glob("structures/*/*")} == {"report.json"}
    assert all(line.report.endswith("report.json") for line in published.structures)
