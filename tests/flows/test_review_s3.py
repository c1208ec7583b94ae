"""``spanscan review s3://…`` end to end: two reviewers at once, append-only decisions, the report issued anew."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.settings import Settings
from tasks.review.kept_results import KEPT_RESULTS
from tasks.s3_server import EmbeddedS3
from tests.flows.test_review import asked, served
from tests.tasks.review.runs import published_once
from tests.tasks.runs import files_of

pytestmark = pytest.mark.slow

BUCKET = "reviewed-reports"
SURVEY = f"s3://{BUCKET}/deck"


@pytest.fixture(scope="module")
def bucket(s3_server: EmbeddedS3, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bucket with a published survey and its raster; nothing of either is read from this machine's disk."""
    folder = tmp_path_factory.mktemp("published")
    survey = published_once(folder)
    bucket = boto3.resource("s3", endpoint_url=s3_server.endpoint_url).Bucket(BUCKET)
    bucket.create()
    raster = bucket.Object("inbox/deck.tif")
    raster.put(Body=(folder / "deck.tif").read_bytes())
    for name, content in files_of(survey).items():
        if Path(name).name == KEPT_RESULTS:
            content = _raster_at(content, f"s3://{BUCKET}/inbox/deck.tif", raster.e_tag.strip('"'))
        bucket.Object(f"deck/{name}").put(Body=content)
    (folder / "deck.tif").unlink()
    return bucket


@pytest.fixture(scope="module")
def environment(s3_server: EmbeddedS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPANSCAN_HOME", str(home))
        patch.setenv("SPANSCAN_S3_ENDPOINT_URL", s3_server.endpoint_url)
        yield home


def _raster_at(kept: bytes, uri: str, etag: str) -> bytes:
    """The kept results with the raster at another address."""
    first, *rest = gzip.decompress(kept).splitlines()
    record = json.loads(first)
    (raster,) = record["rasters"]
    raster["source"] |= {"uri": uri, "etag": etag}
    return gzip.compress(b"\n".join([json.dumps(record).encode(), *rest]))


def objects(bucket: Any, prefix: str) -> dict[str, str]:
    return {one.key: one.e_tag for one in bucket.objects.filter(Prefix=prefix)}


def test_two_reviewers_at_once_lose_no_decision_and_the_run_stays_as_it_is(bucket: Any, environment: Path) -> None:
    run = objects(bucket, "deck/runs/")
    with ExitStack() as stack:
        ada, bo = (
            stack.enter_context(served(SURVEY, Settings(review_port=0, home=environment / name)))
            for name in ("ada", "bo")
        )
        ids = [one["id"] for one in ada.get("/api/review").json()["defects"]]
        assert ada.get(f"/api/defects/{ids[0]}").json()["note"] == ""  # the raster is read, not the mask for it
        assert ada.get(f"/pictures/outlined/{ids[0]}").content[:2] == b"\xff\xd8"
        with ThreadPoolExecutor(2) as pool:
            posts = [
                pool.submit(page.post, "/api/decisions", json=asked(one, verdict=verdict) | {"reviewer": name})
                for one in ids
                for page, name, verdict in ((ada, "Ada", "accept"), (bo, "Bo", "reject"))
            ]
            statuses = [one.result().status_code for one in posts]
        assert sorted(statuses) == [201] * len(ids) + [409] * len(ids)
        decided = objects(bucket, "deck/reviews/")
        assert len([key for key in decided if "/decisions/" in key]) == len(ids)
        for page in (ada, bo):
            assert page.get("/api/decisions").json()["looked_at"] == len(ids)
        second_thought = asked(ids[0], verdict="reject", saw=1) | {"reviewer": "Bo"}
        assert bo.post("/api/decisions", json=second_thought).status_code == 201
        assert objects(bucket, "deck/reviews/").items() >= decided.items()
        assert [one["reviewer"] for one in ada.get(f"/api/defects/{ids[0]}").json()["history"]][-1] == "Bo"
        assert _issued(ada)["decisions"] == len(ids)
        assert "Bo" in bo.get("/revisions/1/index.html").text
    assert objects(bucket, "deck/runs/") == run


def test_the_command_issues_the_next_revision_and_exports_masks(bucket: Any, environment: Path, tmp_path: Path) -> None:
    command = CliRunner()
    issued = command.invoke(app, ["review", SURVEY, "--issue", "--json"])
    assert issued.exit_code == 0, issued.stderr
    revision = json.loads(issued.stdout)
    assert revision["uri"].startswith(f"{SURVEY}/reviews/")
    key = revision["uri"].removeprefix(f"s3://{BUCKET}/").rstrip("/")
    there = objects(bucket, key)
    assert {f"{key}/{name}" for name in ("index.html", "manifest.json", "mask.tif", "stac/item.json")} <= set(there)
    (pointer,) = [name for name in objects(bucket, "deck/reviews/") if name.endswith("latest.json")]
    assert json.loads(bucket.Object(pointer).get()["Body"].read())["revision"] == revision["number"]
    exported = command.invoke(app, ["review", SURVEY, "--export-masks", str(tmp_path / "masks")])
    assert exported.exit_code == 0, exported.stderr
    assert list((tmp_path / "masks" / "crack" / "masks").iterdir())


def _issued(page: httpx.Client) -> dict[str, Any]:
    answer = page.post("/api/revisions", json={})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
