"""Fault 10 of the scorecard: a disk that is full, where results go, where files are staged, where temporaries are."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.scorecard.forked_runs import run
from tests.scorecard.killed_surveys import SURVEY, Place
from tests.scorecard.killed_worlds import World
from tests.scorecard.readers import Reader, published_now
from tests.servers.small_disk import PAGE_BYTES, leave_free

pytestmark = pytest.mark.slow

SHARES = (0.0, 0.1, 0.3, 0.6, 0.9)
"""Of what a run needs in all, how much its next attempt finds, with what those before have left."""


def used_bytes(disk: Path) -> int:
    """What lies on a disk beside what fills it."""
    filler = disk / "filler"
    return shutil.disk_usage(disk).used - (filler.stat().st_size if filler.exists() else 0)


def full(place: Place, told: Path) -> str:
    """The message of a run that found the disk full and left what was published as it was."""
    with Reader(place.storage, SURVEY) as reader:
        before = published_now(place.storage, SURVEY)
        assert run(replace(place.job, told=told)) == 4, told.read_text()
    assert reader.seen == [before]
    outcome = json.loads(told.read_text())
    assert outcome["code"] == "E_DISK_FULL", outcome
    assert "free some space" in outcome["message"]
    return str(outcome["message"])


def test_a_full_disk_of_results_is_told_and_the_run_goes_on_once_there_is_room(
    in_folders: World, disk: Path, tmp_path: Path
) -> None:
    place = replace(in_folders.place, job=replace(in_folders.place.job, results=str(disk / "results")))
    place.begin()
    before_bytes = used_bytes(disk)
    assert run(place.job) == 0
    needed_bytes = used_bytes(disk) - before_bytes
    place.begin()
    for share in SHARES:
        leave_free(disk, before_bytes + int(share * needed_bytes) - used_bytes(disk))
        message = full(place, tmp_path / "told.json")
        assert str(disk) in message
        assert place.temporaries_of(in_folders.new_run) == []
    (disk / "filler").unlink()
    assert run(place.job) == 0
    in_folders.holds_in(place)


@pytest.mark.parametrize("which", ["staging", "temporaries"])
def test_a_full_disk_of_scratch_files_is_told_and_the_run_goes_on_once_there_is_room(
    in_folders: World, disk: Path, tmp_path: Path, which: str
) -> None:
    job = in_folders.place.job
    elsewhere = {"staging": {"home": disk / "home"}, "temporaries": {"environment": {"TMPDIR": str(disk)}}}
    place = replace(in_folders.place, job=replace(job, **elsewhere[which]))
    place.begin()
    for free_pages in {"staging": (1,), "temporaries": (1, 12)}[which]:
        leave_free(disk, free_pages * PAGE_BYTES)
        assert str(disk) in full(place, tmp_path / "told.json")
        assert [path for kind in ("*.tif", "*.part", "spanscan-*") for path in disk.rglob(kind)] == []
    (disk / "filler").unlink()
    assert run(place.job) == 0
    in_folders.holds_in(place)
