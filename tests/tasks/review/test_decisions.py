"""Decisions: one object each, never overwritten, the latest stands, and nobody overrules what they have not seen."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from tasks.review.decisions import MOST_COMMENT_CHARS, DecisionLog, StaleDecisionError, Verdict, looked_at
from tasks.s3_server import EmbeddedS3
from tasks.storage import Storage, open_storage

CLASSES = {"C-0001": PixelClass.CRACK, "R-0001": PixelClass.RUST}


@pytest.fixture(params=["a-folder", "s3"])
def review(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "a-folder":
        return open_storage(str(tmp_path / "review"), endpoint_url=None, region=None)
    server: EmbeddedS3 = request.getfixturevalue("s3_server")
    storage = open_storage(f"s3://decisions/{tmp_path.name}", endpoint_url=server.endpoint_url, region=None)
    import boto3

    boto3.client("s3", endpoint_url=server.endpoint_url, region_name="us-east-1").create_bucket(Bucket="decisions")
    return storage


def log_of(review: Storage) -> DecisionLog:
    return DecisionLog(review, run_key="k", classes=CLASSES)


def decide(log: DecisionLog, verdict: Verdict = "accept", *, by: str = "Ada", saw: int = 0, on: str = "C-0001") -> None:
    log.decide(on, verdict, comment=f"{verdict} by {by}", reviewer=by, saw=saw)


@pytest.mark.slow
def test_the_latest_stands_and_the_earlier_ones_remain_for_every_reader(review: Storage) -> None:
    log = log_of(review)
    decide(log, "accept")
    decide(log, "reclass", by="Ben", saw=1)
    other = log_of(review)
    other.refresh()
    standing = other.latest()["C-0001"]
    assert (standing.verdict, standing.reviewer, standing.final_class, standing.number) == ("reclass", "Ben", "rust", 2)
    assert [one.verdict for one in other.history("C-0001")] == ["accept", "reclass"]
    assert other.all() == log.all()


@pytest.mark.slow
def test_who_has_not_seen_the_last_decision_is_told_and_writes_nothing(review: Storage) -> None:
    ada, ben = log_of(review), log_of(review)
    decide(ada, "reject", by="Ada")
    before = {info.key: info.etag for info in review.list("", recursive=True)}
    with pytest.raises(StaleDecisionError) as told:
        decide(ben, "accept", by="Ben", saw=0)
    assert (told.value.standing.reviewer, told.value.standing.verdict) == ("Ada", "reject")
    assert {info.key: info.etag for info in review.list("", recursive=True)} == before
    decide(ben, "accept", by="Ben", saw=1)
    assert [one.reviewer for one in ben.history("C-0001")] == ["Ada", "Ben"]


@pytest.mark.slow
def test_of_many_who_decide_at_once_exactly_one_does(review: Storage) -> None:
    def attempt(number: int) -> bool:
        try:
            decide(log_of(review), by=f"reviewer {number}")
        except StaleDecisionError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    log = log_of(review)
    log.refresh()
    assert len(log.all()) == 1


def test_a_defect_that_is_opened_again_counts_as_not_looked_at(tmp_path: Path) -> None:
    log = log_of(open_storage(str(tmp_path), endpoint_url=None, region=None))
    decide(log, "accept")
    decide(log, "reject", on="R-0001")
    assert looked_at(log.latest().values()) == 2
    decide(log, "reopen", saw=1)
    assert looked_at(log.latest().values()) == 1
    assert len(log.history("C-0001")) == 2


def test_a_decision_says_who_when_and_what_in_an_object_of_its_own(tmp_path: Path) -> None:
    decide(log_of(open_storage(str(tmp_path), endpoint_url=None, region=None)), "reject")
    record = json.loads((tmp_path / "decisions/C-0001/00001.json").read_text())
    assert record["schema"] == "spanscan/decision/1"
    assert (record["verdict"], record["machine_class"], record["final_class"]) == ("reject", "crack", None)
    assert (record["reviewer"], record["comment"], record["run_key"]) == ("Ada", "reject by Ada", "k")
    assert record["decided_at"].endswith("+00:00")


@dataclass(frozen=True)
class Refused:
    id: str
    words: str
    on: str = "C-0001"
    verdict: str = "accept"
    reviewer: str = "Ada"
    comment: str = ""
    saw: int = 0


REFUSED = [
    Refused("a-defect-of-no-run", "defect of this run", on="C-9999"),
    Refused("a-path-for-a-defect", "defect of this run", on="../../runs/k/manifest"),
    Refused("a-verdict-that-is-none", "verdict must be", verdict="delete"),
    Refused("nobody-in-particular", "must have a name", reviewer=" \n "),
    Refused("a-name-without-end", "must have a name", reviewer="x" * 101),
    Refused("a-comment-without-end", "a comment must", comment="x" * (MOST_COMMENT_CHARS + 1)),
    Refused("one-that-leaves-out-a-number", "must follow", saw=3),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_is_no_decision_is_refused_and_leaves_nothing(case: Refused, tmp_path: Path) -> None:
    log = log_of(open_storage(str(tmp_path / "review"), endpoint_url=None, region=None))
    with pytest.raises(InputRejected, match=case.words):
        log.decide(case.on, case.verdict, comment=case.comment, reviewer=case.reviewer, saw=case.saw)  # type: ignore[arg-type]
    assert not (tmp_path / "review").exists()


def test_an_object_that_is_no_decision_is_told_by_its_address(tmp_path: Path) -> None:
    log = log_of(open_storage(str(tmp_path), endpoint_url=None, region=None))
    path = tmp_path / "decisions/C-0001/00001.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(InputRejected, match="E_DECISION") as told:
        log.refresh()
    assert "00001.json" in told.value.subject
