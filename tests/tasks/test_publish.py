"""Publishing: the pointer moves in one step, to a run that is complete, and back again when asked."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tasks.mask_store import MaskStore
from tasks.output_files import dumped_json
from tasks.publish import MANIFEST, POINTER, Published, StructureLine, published_run, swap_pointer
from tasks.run_place import RunPlace
from tasks.storage import open_storage


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
    swap_pointer(where.results, run_key)
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
