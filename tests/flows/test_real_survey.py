"""A real drone survey: six rotated, overlapping rasters of a street, five pavement polygons, through S3."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from tasks.s3_server import EmbeddedS3

REAL = Path(__file__).parents[3] / "shared" / "data" / "drone_brighton_beach"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason="the drone survey is not beside this checkout"),
]


@pytest.fixture(scope="module")
def reports(prefect: str, home: Path, s3_server: EmbeddedS3) -> dict[str, Any]:
    """report.json of each structure, by id, as published to S3."""
    from flows.inspect_survey import inspect_survey

    s3 = boto3.client("s3", endpoint_url=s3_server.endpoint_url)
    s3.create_bucket(Bucket="real")
    for path in [*sorted((REAL / "geotiff").glob("*.tif")), REAL / "structures.geojson"]:
        s3.upload_file(str(path), "real", f"inbox/brighton/{path.name}")
    published = inspect_survey(
        "s3://real/inbox/brighton/",
        settings={"home": str(home), "results": "s3://real/results", "s3_endpoint_url": s3_server.endpoint_url},
    )
    prefix = f"results/brighton/runs/{published.run_key}/structures/"
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket="real", Prefix=prefix)["Contents"]]
    read = [json.loads(s3.get_object(Bucket="real", Key=k)["Body"].read()) for k in keys if k.endswith("report.json")]
    return {r["structure"]["id"]: r for r in read}


def test_each_pavement_polygon_has_its_report(reports: dict[str, Any]) -> None:
    wanted = json.loads((REAL / "structures.geojson").read_text())["features"]
    assert sorted(reports) == sorted(str(f["properties"]["id"]) for f in wanted)


def test_the_footprints_have_the_areas_that_were_drawn(reports: dict[str, Any]) -> None:
    for feature in json.loads((REAL / "structures.geojson").read_text())["features"]:
        stated = reports[str(feature["properties"]["id"])]["structure"]["footprint_area_m2"]
        assert stated == pytest.approx(feature["properties"]["area_m2"], rel=0.01)


def test_no_place_is_counted_twice_where_rasters_overlap(reports: dict[str, Any]) -> None:
    """Six rasters overlap by half: without the ownership of places the inspected areas would exceed the footprints."""
    for report in reports.values():
        structure = report["structure"]
        assert 50.0 < structure["coverage_percent"] <= 100.0
        assert structure["inspected_area_m2"] <= structure["footprint_area_m2"] * 1.002


def test_the_gsd_is_that_of_the_flight(reports: dict[str, Any]) -> None:
    assert all(15.0 < r["structure"]["gsd_mm"] < 18.0 for r in reports.values())
