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
BLOCK_PX = 512


@pytest.fixture(scope="module")
def inspect(prefect: str, home: Path) -> Inspect:
    from flows.inspect_survey import inspect_survey

    def run(survey: str, **settings: Any) -> Any:
        return inspect_survey(survey, settings={"home": str(home), "workers": 2, "block_px": BLOCK_PX, **settings})

    return run


@pytest.fixture(scope="module")
def published(inspect: Inspect, sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The sample survey in a folder, inspected once with everything that can be written."""
    return inspect(str(sample[0]), results=str(tmp_path_factory.mktemp("published")))


@pytest.mark.slow
def test_a_survey_in_a_folder_is_published_complete(published: Any) -> None:
    run = Path(published.results)
    results = run.parents[2]
    assert json.loads((results / "sample/latest.json").read_text())["run_key"] == published.run_key
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
    collection = json.loads((results / "collection.json").read_text())
    (link,) = [link for link in collection["links"] if link["rel"] == "item"]
    assert (results / link["href"]).resolve() == run / "stac/item.json"
    assert manifest["seam_proof"]["windows"] > 0
    assert manifest["seam_proof"]["differing_pixels"] <= 1e-5 * manifest["seam_proof"]["pixels"]


@pytest.mark.slow
def test_every_pixel_of_the_mask_was_inspected_or_is_nodata(published: Any) -> None:
    masks = zarr.open_group(f"{published.results}/masks.zarr", mode="r")
    deck, truss = np.asarray(masks["deck/mask"]), np.asarray(masks["truss/mask"])
    assert not (deck == NOT_INSPECTED).any()
    assert not (truss == NOT_INSPECTED).any()
    assert not (deck == NODATA).any()
    assert (truss == NODATA).any()
    assert "crs_wkt" in masks["deck/spatial_ref"].attrs


@pytest.mark.slow
def test_the_same_content_is_inspected_once(inspect: Inspect, sample: Sample, published: Any) -> None:
    manifest = Path(published.results) / "manifest.json"
    written = manifest.stat().st_mtime_ns
    second = inspect(str(sample[0]), results=str(Path(published.results).parents[2]))
    assert second.already_published
    assert second.run_key == published.run_key
    assert manifest.stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_survey_in_s3_gives_the_reports_of_the_same_survey_in_a_folder(
    inspect: Inspect, sample: Sample, published: Any, s3_server: EmbeddedS3
) -> None:
    s3 = boto3.client("s3", endpoint_url=s3_server.endpoint_url)
    s3.create_bucket(Bucket="flows")
    for path in sample[0].iterdir():
        s3.upload_file(str(path), "flows", f"inbox/sample/{path.name}")
    remote = inspect("s3://flows/inbox/sample/", results="s3://flows/results", s3_endpoint_url=s3_server.endpoint_url)
    assert remote.run_key == published.run_key
    for key in ("index.html", "defects.csv"):
        body = s3.get_object(Bucket="flows", Key=f"results/sample/runs/{remote.run_key}/{key}")["Body"].read()
        assert body == (Path(published.results) / key).read_bytes()
    pointer = s3.get_object(Bucket="flows", Key="results/sample/latest.json")["Body"].read()
    assert json.loads(pointer)["run_key"] == remote.run_key


@pytest.mark.slow
def test_a_killed_run_repeats_no_finished_block_and_gives_the_same_bytes(
    inspect: Inspect, sample: Sample, published: Any, home: Path, prefect: str, tmp_path: Path
) -> None:
    """Symptom to guard against: after kill -9 the whole survey is inferred again, or a half block is published.

    It asks for one format alone, which is another run than that of all formats, with shards of the same bytes.
    """
    command = [sys.executable, "-m", "flows", "inspect", str(sample[0]), "--results", str(tmp_path)]
    environment = {
        **os.environ,
        "SPANSCAN_HOME": str(home),
        "SPANSCAN_BLOCK_PX": str(BLOCK_PX),
        "SPANSCAN_WORKERS": "1",
        "SPANSCAN_REPORT_FORMATS": '["csv"]',
        "PREFECT_API_URL": prefect,
    }
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    blocks = tmp_path / "sample/runs"
    while len(list(blocks.glob("*/blocks/*/*.json"))) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in blocks.glob("*/blocks/*/*.json")}
    assert not (tmp_path / "sample/latest.json").exists()

    resumed = inspect(str(sample[0]), results=str(tmp_path), report_formats=["csv"], workers=1)
    run = Path(resumed.results)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert all(path.is_relative_to(run) for path in finished)
    assert json.loads((run / "manifest.json").read_text())["blocks"]["resumed"] == len(finished)
    shards = sorted(path.relative_to(run) for path in run.glob("masks.zarr/**/c/**/*") if path.is_file())
    assert len(shards) > len(finished)
    for relative in shards:
        assert (run / relative).read_bytes() == (Path(published.results) / relative).read_bytes()
    only_csv = {"blocks", "masks.zarr", "structures", "defects.csv", "manifest.json", "results.jsonl.gz"}
    assert {path.name for path in run.iterdir()} == only_csv
    assert {path.name for path in run.glob("structures/*/*")} == {"report.json"}
    assert all(line.report.endswith("report.json") for line in resumed.structures)
    assert resumed.run_key != published.run_key
