"""A comparison while it is written: killed at named points, beside another one, on a disk that is full."""

import hashlib
import json
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from segmentation.errors import SpanscanError
from tasks.compare.chain import RECORD
from tasks.compare.compare import RunComparison
from tasks.compare.write import write_comparison, written_before
from tasks.crash_points import CRASH_AT
from tasks.storage import Storage, open_storage
from tests.scorecard.forked_runs import ended, forked
from tests.servers.small_disk import PAGE_BYTES, leave_free

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
UNSAID = ("before_rename:1", "before_rename:4", "after_output_file:3", "before_rename:6", "before_comparison_record")
"""Kills after which nobody may read a comparison; the sixth file is the record."""


def storage_at(folder: Path) -> Storage:
    return open_storage(str(folder), endpoint_url=None, region=None)


def write(comparison: RunComparison, folder: str, environment: dict[str, str]) -> None:
    """Write a comparison in this process, which ends as the command line does."""
    os.environ.update(environment)
    tempfile.tempdir = None  # else it is what the environment said before
    try:
        write_comparison(comparison, storage_at(Path(folder)))
    except SpanscanError as error:
        Path(environment["TOLD"]).write_text(str(error))
        sys.exit(error.exit_code)


def written(comparison: RunComparison, folder: Path, **environment: str) -> int:
    """The exit code of a process that writes a comparison into a folder."""
    return ended(forked(partial(write, comparison, str(folder), environment)))


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def is_whole(folder: Path) -> bool:
    """Whether a reader finds a comparison; if so every file must be what the record says."""
    if not (folder / RECORD).is_file():
        return False
    record = json.loads((folder / RECORD).read_text())
    for name, sha256 in record["outputs_sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256, name
    return True


@pytest.fixture(scope="module")
def undisturbed(comparison: RunComparison, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_comparison(comparison, storage_at(folder))
    return files_in(folder)


def test_one_killed_before_its_record_is_no_comparison_and_the_next_one_ends_it(
    comparison: RunComparison, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """Fault 7: kills one after another in one folder, each finding what the one before has left."""
    for point in UNSAID:
        assert written(comparison, tmp_path, **{CRASH_AT: point}) == KILLED, point
        assert not is_whole(tmp_path), point
    assert written(comparison, tmp_path) == 0
    assert is_whole(tmp_path)
    found = {name: content for name, content in files_in(tmp_path).items() if not name.startswith(".spanscan-")}
    assert found == undisturbed


def test_one_killed_after_its_record_is_published(
    comparison: RunComparison, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    assert written(comparison, tmp_path, **{CRASH_AT: "after_comparison_record"}) == KILLED
    assert files_in(tmp_path) == undisturbed
    earlier = written_before(comparison.older, comparison.newer, storage_at(tmp_path))
    assert earlier is not None
    assert earlier.already_there


def test_where_another_comparison_lies_its_record_goes_before_its_files_are_overwritten(
    comparison: RunComparison, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    other = json.loads(undisturbed[RECORD])
    other["older"]["run_key"] = "0" * 16
    (tmp_path / RECORD).write_text(json.dumps(other))
    assert written(comparison, tmp_path, **{CRASH_AT: "before_rename:1"}) == KILLED
    assert not (tmp_path / RECORD).exists()


def test_a_record_is_the_same_data_whatever_its_structures(undisturbed: dict[str, bytes]) -> None:
    text = undisturbed[RECORD].decode()
    record = json.loads(text)
    assert list(record)[-1] == "outputs_sha256"
    assert text.count("\n") <= 12 + 2 * len(record["structures"])


@pytest.mark.parametrize("which", ["results", "temporaries"])
def test_a_full_disk_is_told_and_the_comparison_is_written_once_there_is_room(
    comparison: RunComparison, undisturbed: dict[str, bytes], disk: Path, tmp_path: Path, which: str
) -> None:
    """Fault 10."""
    folder = disk / "made" if which == "results" else tmp_path / "made"
    folder.mkdir()
    told = tmp_path / "told.txt"
    environment = {"TOLD": str(told), "TMPDIR": str(disk if which == "temporaries" else tmp_path)}
    for free_bytes in (PAGE_BYTES, 60 * PAGE_BYTES):
        leave_free(disk, free_bytes)
        assert written(comparison, folder, **environment) == 4
        message = told.read_text()
        assert "E_DISK_FULL" in message
        assert str(disk) in message
        assert not is_whole(folder)
        assert [path.name for path in disk.iterdir() if path.name.startswith("spanscan-")] == []
    (disk / "filler").unlink()
    assert written(comparison, folder, **environment) == 0
    assert files_in(folder) == undisturbed
