"""Twelve surveys in a burst through the whole of it: notifications, watcher, Prefect, inspection, published results."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from flows.settings import Settings
from flows.status_uploads import status_of
from tasks.s3_server import EmbeddedS3
from tasks.sample_survey import write_sample_survey
from tests.flows.inboxes import TestInbox, make_inbox
from tests.flows.serving import served
from tests.flows.test_watch_uploads import send, taken

SURVEYS = [f"bridge {number}" for number in range(12)]


def put_burst(inbox: TestInbox, folder: Path, *, seed: int) -> None:
    """Upload the surveys, then tell of each file 1 to 3 times, shuffled."""
    write_sample_survey(folder, seed=11, scale=0.1)
    files = [path for path in folder.iterdir() if path.name in ("deck.tif", "truss.tif", "structures.geojson")]
    for survey in SURVEYS:
        inbox.upload(survey, {path.name: path.read_bytes() for path in [*files, folder / "survey.json"]})
    rng = random.Random(seed)
    bodies = [body for body in taken(inbox) for _ in range(rng.randint(1, 3))]
    rng.shuffle(bodies)
    send(inbox, bodies)


def runs_of(inbox: TestInbox, survey: str) -> set[str]:
    """Keys of the runs whose results lie there."""
    place = f"results/{survey.replace(' ', '-')}/runs/"
    pages = inbox.s3.get_paginator("list_objects_v2").paginate(Bucket=inbox.bucket, Prefix=place, Delimiter="/")
    return {one["Prefix"].split("/")[-2] for page in pages for one in page.get("CommonPrefixes", ())}


@pytest.mark.slow
def test_twelve_uploads_in_a_burst_are_each_published_once(s3_server: EmbeddedS3, home: Path, tmp_path: Path) -> None:
    inbox = make_inbox(s3_server, "twelve")
    put_burst(inbox, tmp_path / "sample", seed=3)
    settings = {name.upper(): str(value) for name, value in inbox.settings.items()}
    further = {"WORKERS": "1", "REPORT_FORMATS": json.dumps(["index"]), "LOG_LEVEL": "WARNING"}
    with served(tmp_path, home=home, settings=settings | further) as serving:
        chosen = Settings(**inbox.settings)

        def states() -> Counter[str]:
            return Counter(one.state for one in status_of(chosen))

        serving.wait_for(lambda: states()["published"] == len(SURVEYS), within_s=3600)
        assert states() == {"published": len(SURVEYS)}
        serving.wait_for(lambda: inbox.messages_left() == 0)
    for survey in SURVEYS:
        (run_key,) = runs_of(inbox, survey)
        (record,) = inbox.s3.list_objects_v2(
            Bucket=inbox.bucket, Prefix=f"results/{survey.replace(' ', '-')}/uploads/"
        )["Contents"]
        told = json.loads(inbox.s3.get_object(Bucket=inbox.bucket, Key=record["Key"])["Body"].read())
        assert (told["state"], told["attempt"], told["run_key"]) == ("published", 1, run_key)
    assert "Traceback" not in serving.log
