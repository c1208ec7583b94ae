"""The record that a run keeps of itself: begun, alive, and how it ended."""

import asyncio
import json
import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from segmentation.errors import InputRejected, RunFailed
from tasks.storage import Storage, open_storage
from tasks.uploads.ledger import INTERRUPTED, REJECTED, TIMED_OUT, DatedRecord, RunLog, read_record, run_log

CONTENT = "0123456789abcdef"
REFUSAL = InputRejected("E_NO_CRS", "deck.tif", "a raster must have a CRS, got none", "give it one")


@pytest.fixture
def results(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "bridge"), endpoint_url=None, region=None)


def begun(results: Storage, *, settings: str = "s", beat_s: float = 60) -> AbstractContextManager[RunLog]:
    root = open_storage(str(Path(results.uri("")).parent), endpoint_url=None, region=None)
    return run_log(
        root,
        "bridge",
        survey="/in/bridge/",
        content=CONTENT,
        settings=settings,
        beat_s=beat_s,
    )


def run(results: Storage, error: BaseException | None = None, *, settings: str = "s") -> DatedRecord:
    expected = nullcontext() if error is None else pytest.raises(type(error))
    with expected, begun(results, settings=settings) as log:
        if error is not None:
            raise error
        log.published("f" * 16)
    found = read_record(results, CONTENT)
    assert found is not None
    return found


def test_a_run_is_running_until_it_has_published(results: Storage) -> None:
    assert read_record(results, CONTENT) is None
    with begun(results) as log:
        first = read_record(results, CONTENT)
        assert first is not None
        assert first.record.state == "running"
        log.published("f" * 16)
    found = read_record(results, CONTENT)
    assert found is not None
    assert (found.record.state, found.record.run_key, found.record.attempt) == ("published", "f" * 16, 1)


def test_a_record_is_renewed_while_its_run_lives_and_not_after(results: Storage) -> None:
    with begun(results, beat_s=0.05) as log:
        first = read_record(results, CONTENT)
        deadline = time.monotonic() + 30
        while (again := read_record(results, CONTENT)) and first and again.written_at == first.written_at:
            assert time.monotonic() < deadline, "the record must be renewed"
            time.sleep(0.02)
        log.published("f" * 16)
        ended = read_record(results, CONTENT)
        time.sleep(0.3)
    found = read_record(results, CONTENT)
    assert found is not None
    assert ended is not None
    assert found.written_at == ended.written_at
    assert found.record.state == "published"


def test_a_rejection_is_told_beside_the_results_with_its_remedy(results: Storage) -> None:
    found = run(results, REFUSAL).record
    assert (found.state, found.code, found.subject) == ("rejected", "E_NO_CRS", "deck.tif")
    told = json.loads(results.read(REJECTED))
    assert told["content"] == CONTENT
    assert {"code": "E_NO_CRS", "cause": REFUSAL.cause, "remedy": "give it one"}.items() <= told.items()
    assert told["message"] == str(REFUSAL)


def test_a_later_publication_takes_the_rejection_away(results: Storage) -> None:
    run(results, REFUSAL)
    assert run(results).record.state == "published"
    assert not results.exists(REJECTED)


def test_failures_are_counted_but_interruptions_are_not(results: Storage) -> None:
    failed = run(results, RunFailed("E_DISK_FULL", "/", "the disk must have room", "free some")).record
    assert (failed.state, failed.code, failed.attempt, failed.failures_so_far) == ("failed", "E_DISK_FULL", 1, 1)
    stopped = run(results, KeyboardInterrupt()).record
    assert (stopped.code, stopped.attempt, stopped.failures_so_far) == (INTERRUPTED, 2, 1)
    crashed = run(results, ZeroDivisionError("x")).record
    assert (crashed.code, crashed.attempt, crashed.failures_so_far) == ("E_UNEXPECTED", 3, 2)
    assert run(results, settings="other").record.attempt == 1


def test_what_a_killed_process_left_half_written_is_gone_when_a_run_begins_a_day_later(results: Storage) -> None:
    survey = Path(results.uri(""))
    root = survey.parent
    places = [
        root, survey, survey / "uploads", survey / "comparisons/x", root / ".published/bridge/0123", survey / "runs/1",
        root / ".published/other", root / "other",
    ]  # fmt: skip
    yesterday = time.time() - 90_000
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        for name, written_at in (("old", yesterday), ("new", time.time())):
            path = place / f".spanscan-{name}.tmp"
            path.touch()
            os.utime(path, (written_at, written_at))
        (place / "kept.json").touch()
        os.utime(place / "kept.json", (yesterday, yesterday))
    run(results)
    assert [(place / ".spanscan-old.tmp").exists() for place in places] == [False] * 5 + [True] * 3
    assert all((place / ".spanscan-new.tmp").exists() and (place / "kept.json").exists() for place in places)


def test_a_run_that_is_out_of_time_has_failed_and_was_not_interrupted(results: Storage) -> None:
    """Prefect ends it by an exception that is none of `Exception`, as who stops a run does."""
    ended = run(results, asyncio.CancelledError()).record
    assert (ended.state, ended.code, ended.failures_so_far) == ("failed", TIMED_OUT, 1)
    assert "time limit" in (ended.cause or "")


def test_a_record_that_nobody_can_read_counts_as_none(results: Storage) -> None:
    results.write(f"uploads/{CONTENT}.json", b"{", content_type="application/json")
    assert read_record(results, CONTENT) is None
    assert run(results).record.attempt == 1
