"""A published run is found by whatever an operator calls its survey."""

import json
from pathlib import Path

import pytest

from segmentation.errors import InputRejected
from tasks.compare.published import open_run
from tasks.slugs import survey_folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The results of an upload that is called "Pont 7 ü"."""
    run = tmp_path / survey_folder("Pont 7 ü") / "runs" / "1a2b"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"schema": "spanscan/manifest/1", "run_key": "1a2b"}))
    (run.parents[1] / "latest.json").write_text(json.dumps({"run": "runs/1a2b"}))
    return tmp_path


@pytest.mark.parametrize(
    "called",
    [
        pytest.param("Pont 7 ü", id="as its upload is called"),
        pytest.param(survey_folder("Pont 7 ü"), id="as its folder of results is called"),
        pytest.param("{results}/" + survey_folder("Pont 7 ü"), id="by the address of that folder"),
        pytest.param("{results}/" + survey_folder("Pont 7 ü") + "/runs/1a2b", id="by the address of the run"),
    ],
)
def test_it_is_found(results: Path, called: str) -> None:
    address = called.format(results=results)
    found = open_run(address, results=str(results), endpoint_url=None, region=None)
    assert found.manifest["run_key"] == "1a2b"


def test_a_name_that_only_looks_alike_finds_no_other_survey(results: Path) -> None:
    with pytest.raises(InputRejected, match="E_NO_RUN"):
        open_run("pont 7 ü", results=str(results), endpoint_url=None, region=None)
