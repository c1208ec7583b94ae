"""The command line: exit codes, one line per failure, JSON where it is asked for."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from tasks.sample_survey import SampleTruth

Sample = tuple[Path, SampleTruth]


@pytest.fixture(autouse=True)
def own_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANSCAN_HOME", str(home))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def spoil(folder: Path, name: str) -> Path:
    """A survey of one raster that must be refused."""
    survey = folder / "survey"
    survey.mkdir()
    match name:
        case "empty":
            (survey / "a.tif").write_bytes(b"")
        case "text":
            (survey / "a.tif").write_text("<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>")
        case "nothing":
            pass
    return survey


@dataclass(frozen=True)
class Refusal:
    id: str
    spoiled: str
    code: str


REFUSALS = [
    Refusal("an-empty-file", "empty", "E_EMPTY"),
    Refusal("an-error-page-named-tif", "text", "E_NOT_TIFF"),
    Refusal("a-folder-without-rasters", "nothing", "E_NO_RASTERS"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda c: c.id)
def test_a_bad_survey_ends_with_3_and_one_line_of_file_code_and_remedy(case: Refusal, tmp_path: Path) -> None:
    result = run("plan", str(spoil(tmp_path, case.spoiled)))
    assert result.exit_code == 3
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert case.code in lines[0]
    assert "Remedy:" in lines[0]
    assert "Traceback" not in result.output


def test_check_says_the_verdict_of_each_raster_and_ends_with_3(tmp_path: Path) -> None:
    result = run("check", str(spoil(tmp_path, "empty")), "--json")
    assert result.exit_code == 3
    verdicts = json.loads(result.stdout)["rasters"]
    assert [(v["name"], v["verdict"], v["code"]) for v in verdicts] == [("a.tif", "REJECT", "E_EMPTY")]


def test_check_accepts_a_good_survey(sample: Sample) -> None:
    result = run("check", str(sample[0]), "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert [(v["name"], v["verdict"]) for v in record["rasters"]] == [("deck.tif", "ACCEPT"), ("truss.tif", "ACCEPT")]
    assert [s["id"] for s in record["structures"]] == ["deck", "truss"]


def test_plan_is_plain_data_of_blocks_and_bytes(sample: Sample) -> None:
    result = run("plan", str(sample[0]), "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    pixels = sum(
        (b["window"]["row_stop"] - b["window"]["row_start"]) * (b["window"]["col_stop"] - b["window"]["col_start"])
        for r in record["rasters"]
        for b in r["blocks"]
    )
    assert pixels == sum(r["width"] * r["height"] for r in record["rasters"])
    assert record["memory_bytes"]["total"] == sum(v for k, v in record["memory_bytes"].items() if k != "total")


def test_a_setting_out_of_bounds_ends_with_2_and_its_name(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANSCAN_BLOCK_PX", "1000")
    result = run("plan", str(sample[0]))
    assert result.exit_code == 2
    assert "SPANSCAN_BLOCK_PX" in result.stderr


def test_a_run_that_would_need_too_much_memory_is_refused_with_the_figures(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANSCAN_MEMORY_LIMIT_BYTES", "100000000")
    result = run("plan", str(sample[0]))
    assert result.exit_code == 3
    assert "E_MEMORY" in result.stderr
    assert "100 MB" in result.stderr


def test_a_model_that_does_not_exist_is_named_with_those_that_do(sample: Sample) -> None:
    result = run("plan", str(sample[0]), "--model", "no-such-net")
    assert result.exit_code == 2
    assert "spanscan-unet" in result.stderr


def test_an_option_that_does_not_exist_ends_with_2(sample: Sample) -> None:
    assert run("plan", str(sample[0]), "--no-such-option").exit_code == 2


def test_models_lists_the_shipped_weights_with_their_licence() -> None:
    result = run("models", "--json")
    assert result.exit_code == 0
    names = [m["card"]["name"] for m in json.loads(result.stdout)["models"]]
    assert "spanscan-unet" in names
