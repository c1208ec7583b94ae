"""Two listings tell what is done, as the records themselves would tell it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from segmentation.errors import InputRejected, RunFailed
from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tasks.storage import Storage, open_storage
from tasks.storage_s3 import S3Storage
from tasks.uploads.cancelled import is_cancelled, mark_cancelled, unmark_cancelled
from tasks.uploads.known_runs import known_runs
from tasks.uploads.ledger import DatedRecord, RunLog, known_record, read_record, run_log

CONTENT, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture(params=["s3", "folder"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "results"), endpoint_url=None, region=None)
    server: EmbeddedS3 = request.getfixturevalue("s3_server")
    bucket = f"known-{abs(hash(request.node.nodeid)) % 10**12}"
    s3_client(endpoint_url=server.endpoint_url, region=None).create_bucket(Bucket=bucket)
    return open_storage(f"s3://{bucket}/results", endpoint_url=server.endpoint_url, region=None)


def test_what_a_person_cancelled_is_told_until_it_is_taken_back(root: Storage) -> None:
    for _ in range(2):
        mark_cancelled(root, "bridge", CONTENT)
    mark_cancelled(root, "bridge-2", OTHER)
    assert known_runs(root).cancelled == {("bridge", CONTENT), ("bridge-2", OTHER)}
    assert known_runs(root).folders == frozenset()
    assert is_cancelled(root, "bridge", CONTENT)
    assert not is_cancelled(root, "bridge", OTHER)
    for _ in range(2):
        unmark_cancelled(root, "bridge", CONTENT)
    assert not is_cancelled(root, "bridge", CONTENT)
    assert known_runs(root).cancelled == {("bridge-2", OTHER)}


def test_nothing_is_cancelled_where_there_are_no_results_yet(s3_server: EmbeddedS3) -> None:
    root = open_storage("s3://no-such-bucket/results", endpoint_url=s3_server.endpoint_url, region=None)
    assert not is_cancelled(root, "bridge", CONTENT)
    assert known_runs(root).cancelled == frozenset()


def publish(log: RunLog) -> None:
    log.published("a" * 16)


def refuse(log: RunLog) -> None:
    raise InputRejected("E_NO_CRS", "deck.tif", "a raster must have a CRS, got none", "give it one")


def fail(log: RunLog) -> None:
    raise RunFailed("E_DISK_FULL", "/", "the disk must have room, got none", "free some")


def run(root: Storage, folder: str, end: Callable[[RunLog], None], *, settings: str = "s") -> None:
    with (
        suppress(InputRejected, RunFailed),
        run_log(root, folder, survey="/in/x/", content=CONTENT, settings=settings, beat_s=60) as log,
    ):
        end(log)


def told(found: DatedRecord | None) -> tuple[str, str, str | None] | None:
    return None if found is None else (found.record.state, found.record.settings, found.record.run_key)


HISTORIES: dict[str, list[tuple[str, Callable[[RunLog], None]]]] = {
    "never-run": [],
    "published": [("s", publish)],
    "rejected": [("s", refuse)],
    "failed-then-published": [("s", fail), ("s", publish)],
    "published-then-failed-with-other-settings": [("s", publish), ("t", fail)],
    "published-with-one-choice-then-with-another": [("s", publish), ("t", publish)],
}


@pytest.mark.parametrize("history", HISTORIES)
def test_listings_tell_what_the_records_tell(root: Storage, history: str) -> None:
    for settings, end in HISTORIES[history]:
        run(root, "bridge", end, settings=settings)
    known = known_runs(root)
    for content in (CONTENT, OTHER):
        assert told(known_record(known, root, "bridge", content)) == told(read_record(root.child("bridge"), content))
    assert known_record(known, root, "elsewhere", CONTENT) is None


def test_of_what_is_published_or_never_ran_no_record_is_read(root: Storage) -> None:
    run(root, "bridge", publish)
    known = known_runs(root)
    root.child("bridge").write(f"uploads/{CONTENT}.json", b"not to be read", content_type="text/plain")
    found = known_record(known, root, "bridge", CONTENT)
    assert found is not None
    assert (found.record.state, found.record.run_key) == ("published", "a" * 16)


def test_results_that_were_taken_away_count_as_never_made(root: Storage) -> None:
    run(root, "bridge", publish)
    for found in list(root.list("bridge/", recursive=True)):
        root.delete(found.key)
    if not isinstance(root, S3Storage):
        for folder in ("bridge/uploads", "bridge"):
            Path(root.uri(folder)).rmdir()
    assert known_record(known_runs(root), root, "bridge", CONTENT) is None


def test_where_nothing_is_yet_nothing_is_known(root: Storage, s3_server: EmbeddedS3) -> None:
    missing = open_storage("s3://no-such-bucket-here/x", endpoint_url=s3_server.endpoint_url, region=None)
    for place in (root, missing):
        assert known_runs(place).folders == frozenset()
