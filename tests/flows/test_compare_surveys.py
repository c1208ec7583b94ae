"""`spanscan compare` and `history` as an operator uses them, and the comparison that an inspection adds by itself."""

import csv
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.published_comparison import compare_with_previous
from flows.settings import Settings
from segmentation.comparison.similarity import Similarity
from segmentation.synthetic.survey_pairs import survey_pair
from tasks.cluster import dask_client
from tasks.publish import Published
from tests.tasks.compare.published_pairs import PublishedPair, published_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishedPair]:
    painted = survey_pair(31, error=Similarity(0.985, 1.1, -0.02, 0.03), older_gsd_m=0.0024, newer_gsd_m=0.0024)
    with dask_client(scheduler=None, workers=2) as client:
        yield published_pair(tmp_path_factory.mktemp("published"), painted, client)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANSCAN_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_survey_that_was_never_published_ends_with_3_and_one_line(tmp_path: Path) -> None:
    result = run("compare", "no-such", "nor-this", "--results", str(tmp_path))
    assert result.exit_code == 3
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("spanscan:")]
    assert "E_NO_RUN" in line
    assert "Remedy:" in line


def test_a_structure_that_no_survey_lists_ends_with_3(tmp_path: Path) -> None:
    result = run("history", "pier 9", "--results", str(tmp_path))
    assert result.exit_code == 3
    assert "E_NO_STRUCTURE" in result.stderr


@pytest.mark.slow
def test_a_run_is_not_compared_with_itself(pair: PublishedPair) -> None:
    result = run("compare", "deck-2025", "deck-2025", "--results", str(pair.folder / "results"))
    assert result.exit_code == 3
    assert "E_SAME_RUN" in result.stderr


@pytest.mark.slow
def test_what_has_changed_is_told_and_lies_beside_the_newer_run(pair: PublishedPair) -> None:
    results = str(pair.folder / "results")
    first = run("compare", "deck-2024", "deck-2025", "--results", results)
    assert first.exit_code == 0, first.stderr
    folder = Path(first.stdout.splitlines()[-1])
    assert folder == Path(pair.newer.uri) / "comparisons" / pair.older.run_key
    assert "10 grown, 10 new, 5 repaired, 4 not seen, 15 static" in first.stdout
    assert {path.name for path in folder.iterdir()} == {
        "comparison.csv",
        "comparison.geojson",
        "comparison.gpkg",
        "comparison.html",
        "comparison.json",
        "comparison.pdf",
    }
    page = (folder / "comparison.html").read_text()
    assert page.count("<figure>") >= 16
    assert "http://" not in page.replace("http://www.w3.org", "")
    again = run("compare", pair.older.uri, pair.newer.uri, "--results", results, "--json")
    told = json.loads(again.stdout)
    assert told["already_there"]
    assert told["comparison"] == str(folder)
    assert told["structures"][0]["counts"]["REPAIRED"] == 5


@pytest.mark.slow
def test_the_history_tells_each_survey_and_draws_how_defects_grew(pair: PublishedPair, tmp_path: Path) -> None:
    results = str(pair.folder / "results")
    assert run("compare", "deck-2024", "deck-2025", "--results", results).exit_code == 0
    result = run("history", "deck", "--results", results, "--out", str(tmp_path / "h"))
    assert result.exit_code == 0, result.stderr
    assert [line[:20] for line in result.stdout.splitlines() if "(run" in line] == [
        "2024-05-01 deck-2024",
        "2025-05-01 deck-2025",
    ]
    assert Path(result.stdout.splitlines()[-1]) == tmp_path / "h"
    rows = list(csv.DictReader((tmp_path / "h" / "growth.csv").open()))
    assert len({row["stable_id"] for row in rows}) == 44
    grown = [row["stable_id"] for row in rows if row["change"] == "GROWN"]
    assert all(sum(row["stable_id"] == one for row in rows) == 2 for one in grown)
    assert (tmp_path / "h" / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_an_inspection_is_compared_with_the_survey_before_it_and_the_first_with_none(
    pair: PublishedPair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Settings(results=str(pair.folder / "results"), home=tmp_path)
    newer, older = (Published(one.run_key, one.uri, (), (), {}) for one in (pair.newer, pair.older))
    made = compare_with_previous(newer, chosen)
    assert made is not None
    assert made.record["older"]["survey_id"] == "deck-2024"
    assert compare_with_previous(older, chosen) is None
    with caplog.at_level(logging.WARNING):
        assert compare_with_previous(Published("x", str(tmp_path / "gone"), (), (), {}), chosen) is None
