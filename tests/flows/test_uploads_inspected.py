"""Surveys in a burst through the whole of it: notifications, watcher, Prefect, inspection, published results."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from flows.settings import Settings
from flows.status_uploads import status_of
from flows.uploads import results_folder
from tasks.s3_server import EmbeddedS3
from tests.flows.bursts import send, taken
from tests.flows.inboxes import TestInbox, make_inbox
from tests.flows.serving import served
from tests.flows.tiny import tiny_survey


def put_burst(inbox: TestInbox, folder: Path, surveys: list[str], *, seed: int) -> None:
    """Upload the surveys, then tell of each file 1 to 3 times, shuffled."""
    for shade, survey in enumerate(surveys):
        place = tiny_survey(folder / survey, shade=shade)
        inbox.upload(survey, {name: (place / name).read_bytes() for name in ("deck.tif", "survey.json")})
    rng = random.Random(seed)
    bodies = [body for body in taken(inbox) for _ in range(rng.randint(1, 3))]
    rng.shuffle(bodies)
    send(inbox, bodies)


def runs_of(inbox: TestInbox, survey: str) -> set[str]:
    """Keys of the runs whose results lie there."""
    place = f"results/{results_folder(survey)}/runs/"
    pages = inbox.s3.get_paginator("list_objects_v2").paginate(Bucket=inbox.bucket, Prefix=place, Delimiter="/")
    return {one["Prefix"].split("/")[-2] for page in pages for one in page.get("CommonPrefixes", ())}


@pytest.mark.parametrize(
    "count",
    [pytest.param(3, marks=pytest.mark.slow), pytest.param(12, marks=pytest.mark.long)],
    ids=["three", "twelve"],
)
def test_uploads_in_a_burst_are_each_published_once(
    s3_server: EmbeddedS3, home: Path, tmp_path: Path, count: int
) -> None:
    """Each costs a process that imports Prefect and torch, which is nearly all of what it takes."""
    surveys = [f"bridge {number}" for number in range(count)]
    inbox = make_inbox(s3_server, f"burst-of-{count}")
    put_burst(inbox, tmp_path / "surveys", surveys, seed=3)
    settings = {name.upper(): str(value) for name, value in inbox.settings.items()}
    further = {"WORKERS": "1", "REPORT_FORMATS": json.dumps(["index"]), "LOG_LEVEL": "WARNING"}
    with served(tmp_path, home=home, settings=settings | further) as serving:
        chosen = Settings(**inbox.settings)

        def states() -> Counter[str]:
            return Counter(one.state for one in status_of(chosen))

        serving.wait_for(lambda: states()["published"] == count, within_s=300 * count)
        assert states() == {"published": count}
        serving.wait_for(lambda: inbox.messages_left() == 0)
    for survey in surveys:
        (run_key,) = runs_of(inbox, survey)
        (record,) = inbox.s3.list_objects_v2(Bucket=inbox.bucket, Prefix=f"results/{results_folder(survey)}/uploads/")[
            "Contents"
        ]
        told = json.loads(inbox.s3.get_object(Bucket=inbox.bucket, Key=record["Key"])["Body"].read())
        assert (told["state"], told["attempt"], told["run_key"]) == ("published", 1, run_key)
    assert "Traceback" not in serving.log
