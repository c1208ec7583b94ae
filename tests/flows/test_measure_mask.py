"""`spanscan measure` as an operator uses it: published once, complete; one line for what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from segmentation.synthetic.deck import deck_scene
from tests.tasks.given_masks import write_mask, write_scene


@pytest.fixture(autouse=True)
def own_home(prefect: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANSCAN_HOME", str(home))
    monkeypatch.setenv("PREFECT_API_URL", prefect)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["measure", *arguments])


@pytest.mark.slow
def test_a_mask_with_its_picture_is_published_complete_and_once(tmp_path: Path) -> None:
    mask, image = write_scene(tmp_path, deck_scene(np.random.default_rng([2, 0]), scale=0.1))
    results = tmp_path / "results"
    first = run(str(mask), "--image", str(image), "--results", str(results), "--json")
    assert first.exit_code == 0, first.stderr
    record = json.loads(first.stdout)
    folder = Path(record["results"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["given_mask"]["name"] == "labels.tif"
    assert list(manifest["seconds"]) == ["discover", "copy", "stitch", "measure", "pyramid", "cog", "report"]
    assert {p.name for p in folder.iterdir()} >= {"index.html", "defects.gpkg", "mask.tif", "masks.zarr"}
    pointer = json.loads((results / "labels-measured/latest.json").read_text())
    assert pointer["run_key"] == record["run_key"]
    again = run(str(mask), "--image", str(image), "--results", str(results))
    assert again.exit_code == 0
    assert "worked before" in again.stdout
    assert again.stdout.splitlines()[-1] == str(folder)


@pytest.mark.slow
def test_a_mask_that_is_refused_ends_with_3_and_one_line(tmp_path: Path) -> None:
    drawn = np.zeros((96, 130), np.uint8)
    drawn[10:20, 10:90] = 255
    result = run(str(write_mask(tmp_path / "m.tif", drawn)), "--results", str(tmp_path))
    assert result.exit_code == 3
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("spanscan:")]
    assert "E_MASK_AMBIGUOUS" in line
    assert "Remedy: give --class crack or --class rust" in line


def test_a_class_that_does_not_exist_ends_with_2(tmp_path: Path) -> None:
    assert run(str(tmp_path / "m.tif"), "--class", "moss").exit_code == 2
