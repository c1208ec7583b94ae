"""Publishing: the pointer moves in one step, to a run that is complete, and back again when asked."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from segmentation.records import SurveyContent
from tasks.mask_store import MaskStore
from tasks.output_files import dumped_json
from tasks.publish import MANIFEST, Published, StructureLine, published_run
from tasks.publish_pointer import POINTER, swap_pointer
from tasks.run_place import RunPlace
from tasks.storage import open_storage
from tasks.survey_content import present_content


def place(folder: Path, run_key: str) -> RunPlace:
    results = open_storage(str(folder), endpoint_url=None, region=None)
    storage = results.child(f"runs/{run_key}")
    masks = MaskStore(storage.uri("masks.zarr"), None, None)
    return RunPlace(results, storage, results.uri(f"runs/{run_key}"), masks, folder, None, None)


def outcome(run_key: str) -> Published:
    line = StructureLine("1", "Deck", "report.html", 100.0, 1.0, None, 0.0, 0.0, None)
    return Published(run_key, "/results", (line,), ("a warning",), {"segment": 1.0})


def finish(folder: Path, run_key: str) -> RunPlace:
    where = place(folder, run_key)
    where.storage.write(MANIFEST, dumped_json({"outcome": asdict(outcome(run_key))}), content_type="application/json")
    swap_pointer(where.results, run_key, content=None, present=lambda: None)
    return where


def pointed_at(folder: Path) -> str:
    return str(json.loads((folder / POINTER).read_text())["run_key"])


def test_a_run_without_a_manifest_is_not_published(tmp_path: Path) -> None:
    assert published_run(place(tmp_path, "one")) is None


def test_the_pointer_names_the_newest_run(tmp_path: Path) -> None:
    finish(tmp_path, "one")
    finish(tmp_path, "two")
    assert pointed_at(tmp_path) == "two"


def test_an_older_run_asked_for_again_is_pointed_at_again(tmp_path: Path) -> None:
    first = finish(tmp_path, "one")
    finish(tmp_path, "two")
    again = published_run(first)
    assert again is not None
    assert again.already_published
    assert again.structures == outcome("one").structures
    assert pointed_at(tmp_path) == "one"


def test_runs_that_publish_at_once_leave_one_whole_pointer(tmp_path: Path) -> None:
    finish(tmp_path, "zero")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: finish(tmp_path, f"run-{n}"), range(4)))
    assert len(done) == 4
    assert pointed_at(tmp_path) in {f"run-{n}" for n in range(4)}


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Order:
    """A run that ends while the pointer names another, and which of the two readers are to see."""

    id: str
    pointed_at: tuple[str, int | None]
    """Content of the run that is published, and the minute when its files were last written."""
    ends: tuple[str, int | None]
    """The same of the run that ends now."""
    present: str | None
    """Content of the inbox now; None where it cannot be told."""
    moves: bool


ORDERS = [
    Order("a newer upload replaces an older one", ("old", 0), ("new", 9), "new", True),
    Order("an older upload that ends late leaves the newer one", ("new", 9), ("old", 0), "new", False),
    Order("what lies there goes before dates: files with older dates were put back", ("b", 9), ("a", 0), "a", True),
    Order("what lies there goes before dates: the newest file was taken away", ("less", 0), ("more", 9), "less", False),
    Order("a third upload overtook both: the later files", ("old", 0), ("new", 9), "third", True),
    Order("a third upload overtook both: the earlier files", ("new", 9), ("old", 0), "third", False),
    Order("the inbox was tidied up: the later files", ("old", 0), ("new", 9), None, True),
    Order("the inbox was tidied up: the earlier files", ("new", 9), ("old", 0), None, False),
    Order("equal content with other settings: who ends last", ("same", 5), ("same", 5), "same", True),
    Order("equal content after a third upload: who ends last", ("same", 5), ("same", 5), "third", True),
    Order("no dates and nothing to compare with: who ends last", ("a", None), ("b", None), None, True),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.id)
def test_readers_see_the_newest_upload_whoever_ends_last(tmp_path: Path, order: Order) -> None:
    results = open_storage(str(tmp_path), endpoint_url=None, region=None)

    def content(name: str, minute: int | None) -> SurveyContent:
        return SurveyContent(name, None if minute is None else NOON + timedelta(minutes=minute))

    def present() -> SurveyContent | None:
        return None if order.present is None else content(order.present, 99)

    first = swap_pointer(results, "first", content=content(*order.pointed_at), present=present)
    second = swap_pointer(results, "second", content=content(*order.ends), present=present)
    assert (first.run_key, first.moved) == ("first", True)
    assert (second.run_key, second.moved) == (("second", True) if order.moves else ("first", False))
    assert pointed_at(tmp_path) == second.run_key


def test_the_pointer_is_moved_once_however_often_the_same_run_is_told(tmp_path: Path) -> None:
    results = open_storage(str(tmp_path), endpoint_url=None, region=None)
    moved = [swap_pointer(results, "one", content=None, present=lambda: None).moved for _ in range(3)]
    assert moved == [True, False, False]


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"run_key": null}', '{"content": "x", "changed_at": 7}'])
def test_a_pointer_that_nobody_can_read_is_replaced(tmp_path: Path, text: str) -> None:
    results = open_storage(str(tmp_path), endpoint_url=None, region=None)
    (tmp_path / POINTER).write_text(text)
    assert swap_pointer(results, "one", content=SurveyContent("c", NOON), present=lambda: None).moved
    assert pointed_at(tmp_path) == "one"


def test_a_run_that_was_superseded_says_so_and_names_the_newer_one() -> None:
    told = replace(outcome("old"), superseded_by="new").summary_lines()[-1]
    assert "newer upload" in told
    assert "new" in told
    assert "/results" in told


@pytest.mark.parametrize("change", ["a raster", "structures.geojson", "survey.json", "a raster taken away"])
def test_a_change_of_anything_that_makes_the_survey_is_another_content(tmp_path: Path, change: str) -> None:
    for name in ("a.tif", "b.tif", "structures.geojson", "survey.json", "notes.txt"):
        (tmp_path / name).write_text(name)
    where: dict[str, Any] = {"endpoint_url": None, "region": None}
    before = present_content(str(tmp_path), **where)
    (tmp_path / "notes.txt").write_text("other notes")
    assert present_content(str(tmp_path), **where) == before
    if change == "a raster taken away":
        (tmp_path / "b.tif").unlink()
    else:
        (tmp_path / {"a raster": "a.tif"}.get(change, change)).write_text("other content")
    after = present_content(str(tmp_path), **where)
    assert before is not None
    assert after is not None
    assert after.name != before.name
