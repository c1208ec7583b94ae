"""Publishing tells the collection; what becomes of the collection does not touch what is published."""

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tasks.output_files import dumped_json
from tasks.publish import MANIFEST, POINTER, published_run
from tasks.run_place import RunPlace
from tasks.storage import open_storage
from tests.tasks.layers.layer_samples import written
from tests.tasks.report.samples import RUN
from tests.tasks.test_publish import outcome, place


def finished(folder: Path) -> RunPlace:
    """A run of the survey ``bridge`` that has ended, with its item, whose pointer was not swapped yet."""
    where = replace(place(folder / "bridge", "a1"), root=open_storage(str(folder), endpoint_url=None, region=None))
    written(folder / "bridge/runs/a1", run=replace(RUN, survey_id="bridge", run_key="a1"), formats=["stac"])
    record = {"survey": {"id": "bridge"}, "outcome": asdict(outcome("a1"))}
    where.storage.write(MANIFEST, dumped_json(record), content_type="application/json")
    return where


def test_published_run_stands_in_the_collection(tmp_path: Path) -> None:
    assert published_run(finished(tmp_path)) is not None
    (link,) = json.loads((tmp_path / "collection.json").read_text())["links"]
    assert (tmp_path / link["href"]).is_file()


def test_run_is_published_where_the_collection_is_somebody_else_s(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = finished(tmp_path)
    (tmp_path / "collection.json").write_text("[]")
    with caplog.at_level(logging.WARNING, logger="spanscan.publish"):
        assert published_run(where) is not None
    assert json.loads((tmp_path / "bridge" / POINTER).read_text())["run_key"] == "a1"
    assert "E_COLLECTION" in caplog.text
    assert (tmp_path / "collection.json").read_text() == "[]"
