"""`spanscan status`: every survey and its state from the storage alone, as a table and as JSON."""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.settings import Settings
from flows.uploads import results_folder, settings_name
from segmentation.errors import InputRejected, RunFailed
from tasks.storage import open_storage
from tasks.uploads.cancelled import mark_cancelled
from tasks.uploads.ledger import RunLog, run_log
from tasks.uploads.listing import uploads

STATES = {
    "1 waiting": "waiting",
    "2 whole": "complete",
    "3 running": "running",
    "4 published": "published",
    "5 rejected": "rejected",
    "6 failed": "failed",
    "7 died": "failed",
    "8 cancelled": "cancelled",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An inbox with a survey in each state."""
    for name in STATES:
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "a.tif").write_bytes(name.encode())
        if name != "1 waiting":
            (tmp_path / "in" / name / "survey.json").write_text("{}")
    settings = settings_name(Settings())
    contents = {u.name: u.content for u in uploads(open_storage(str(tmp_path / "in"), endpoint_url=None, region=None))}

    def log(name: str) -> AbstractContextManager[RunLog]:
        root = open_storage(str(tmp_path / "out"), endpoint_url=None, region=None)
        folder = results_folder(name)
        known = {"survey": name, "content": contents[name], "settings": settings}
        return run_log(root, folder, **known, beat_s=60)

    under_way = [log(name) for name in ("3 running", "7 died")]
    for one in under_way:
        one.__enter__()
    for record in (tmp_path / "out" / results_folder("7 died") / "uploads").iterdir():
        os.utime(record, (0, 0))
    with log("4 published") as run:
        run.published("0123456789abcdef")
    for name, error in {
        "5 rejected": InputRejected("E_NO_CRS", "a.tif", "a raster must have a CRS, got none", "give it one"),
        "6 failed": RunFailed("E_DISK_FULL", "/", "the disk must have room, got none", "free some"),
    }.items():
        with pytest.raises(type(error)), log(name):
            raise error
    root = open_storage(str(tmp_path / "out"), endpoint_url=None, region=None)
    mark_cancelled(root, results_folder("8 cancelled"), contents["8 cancelled"])
    yield tmp_path
    for one in under_way:
        one.__exit__(None, None, None)


def run(folder: Path, *arguments: str) -> Result:
    where = ["--inbox", str(folder / "in"), "--results", str(folder / "out")]
    return CliRunner().invoke(app, ["status", *where, *arguments])


def test_each_state_is_told_from_what_lies_there(folder: Path) -> None:
    result = run(folder, "--json")
    assert result.exit_code == 0, result.output
    found = {one["survey"]: one for one in json.loads(result.stdout)["surveys"]}
    assert {name: one["state"] for name, one in found.items()} == STATES
    assert found["5 rejected"]["code"] == "E_NO_CRS"
    assert (found["7 died"]["code"], found["7 died"]["resumable"]) == ("E_RUN_DIED", True)
    assert "spanscan sweep --resume" in found["8 cancelled"]["why"]
    assert (found["4 published"]["files"], found["4 published"]["size_bytes"]) == (2, 13)


def test_the_table_has_a_row_for_each_and_a_line_of_counts(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 0
    for name in STATES:
        assert name in result.stdout
    assert "E_NO_CRS: a raster must have a CRS" in result.stdout
    assert result.stdout.strip().splitlines()[-1].startswith("8 surveys: 1 cancelled, 1 complete, 2 failed")


def test_names_that_would_command_a_terminal_are_shown_as_text(tmp_path: Path) -> None:
    (tmp_path / "in" / "[red]x").mkdir(parents=True)
    (tmp_path / "in" / "[red]x" / "a.tif").write_bytes(b"1")
    assert "[red]x" in run(tmp_path).stdout


def test_an_empty_inbox_is_no_failure(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.exit_code, result.stdout.strip()) == (0, "no survey in the inbox")


def test_without_an_inbox_it_ends_with_2_and_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPANSCAN_INBOX", raising=False)
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 2
    assert "SPANSCAN_INBOX" in result.stderr


@pytest.mark.parametrize("command", ["watch", "sweep"])
def test_runs_need_a_prefect_server_that_somebody_else_keeps(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in os.environ if n.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    result = CliRunner().invoke(app, [command, "--inbox", str(tmp_path)])
    assert result.exit_code == 2
    assert "PREFECT_API_URL" in result.stderr
