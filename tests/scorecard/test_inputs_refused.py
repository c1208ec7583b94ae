"""Rows 1 to 33 of the scorecard that must be refused: by `check` and by an inspection, with one code and no results."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from segmentation.error_codes import error_codes
from segmentation.errors import InputRejected
from tasks.slugs import survey_folder
from tasks.survey_rejected import SurveyRejected
from tests.scorecard.inputs import MOST_RSS_BYTES, Control, Told, check, check_apart, discovered, inspected
from tests.scorecard.inputs_refused import REFUSED, Refused, a_good_one, write_refused

GOOD = "good.tif"
DEMANDED = {
    "E_GSD_RANGE": r"range of [\d.]+ … [\d.]+ mm, got [\d.]+ mm",
    "E_BANDS": r"SPANSCAN_RGB_BANDS|gdal_translate -expand rgb",
    "E_NO_CRS": "gsd_m in survey.json",
    "E_NO_GEOREF": "gsd_m in survey.json",
    "E_CRS_LOCAL": "give its GSD",
}
"""What the message of a code must say beside cause and remedy."""
ENORMOUS = (30, 31, 32)
"""Rows of files that declare more than anybody can hold."""


@dataclass(frozen=True)
class Judged:
    """All hostile rasters in one survey, beside a good one, and what was said of each."""

    told: Told
    rejected: dict[str, Any]
    results: Path

    def verdict(self, name: str) -> dict[str, Any]:
        (found,) = [raster for raster in self.told.record["rasters"] if raster["name"] == name]
        return found


@pytest.fixture(scope="session")
def judged(asked: tuple[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("refused")
    survey = folder / "inbox" / "hostile"
    survey.mkdir(parents=True)
    listed = [write_refused(case, survey / case.file_name, asked[0]) for case in REFUSED]
    listed.append(a_good_one(survey / GOOD))
    (survey / "survey.json").write_text(json.dumps({"rasters": listed}))
    told = check(survey, home=folder / "home")
    with pytest.raises(SurveyRejected) as refused:
        discovered(survey, home=folder / "home", results=folder / "results")
    return Judged(told, {one.name: one for one in refused.value.rejected}, folder / "results" / "hostile")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_a_hostile_raster_is_refused_by_check_and_by_the_inspection_alike(case: Refused, judged: Judged) -> None:
    verdict = judged.verdict(case.file_name)
    assert (verdict["verdict"], verdict["code"]) == ("REJECT", case.code), verdict["message"]
    assert verdict["message"].startswith(f"{case.file_name}: {case.code}: ")
    assert ". Remedy: " in verdict["message"]
    assert "\n" not in verdict["message"]
    assert re.search(DEMANDED.get(case.code, ""), verdict["message"])
    assert case.code in error_codes()
    told = judged.rejected[case.file_name]
    assert (told.code, told.message) == (case.code, verdict["message"])


def test_the_good_raster_beside_them_is_accepted_and_nothing_is_published(judged: Judged) -> None:
    assert judged.told.exit_code == 3
    assert judged.verdict(GOOD)["verdict"] == "ACCEPT"
    assert GOOD not in judged.rejected
    assert {path.name for path in judged.results.iterdir()} == {"rejected.json", "uploads"}
    refusal = json.loads((judged.results / "rejected.json").read_text())
    assert (refusal["state"], refusal["code"]) == ("rejected", "E_REJECTED")
    assert len(refusal["message"].splitlines()) == len(REFUSED)


def test_nobody_was_asked_for_anything(judged: Judged, asked: tuple[str, list[str]]) -> None:
    assert asked[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_a_survey_of_a_hostile_raster_leaves_a_quarantine_record_and_no_report(
    case: Refused, asked: tuple[str, list[str]], control: Control
) -> None:
    survey = control.inbox / case.id.replace(" ", "-")
    survey.mkdir()
    listed = write_refused(case, survey / "deck.tif", asked[0])
    (survey / "survey.json").write_text(json.dumps({"rasters": [listed]}))
    results = control.folder / "refused"
    with pytest.raises(InputRejected) as refused:
        inspected(survey, home=control.home, results=results)
    assert refused.value.code == case.code
    left = results / survey_folder(survey.name)
    assert {path.name for path in left.iterdir()} == {"rejected.json", "uploads"}
    refusal = json.loads((left / "rejected.json").read_text())
    assert (refusal["state"], refusal["code"]) == ("rejected", case.code)
    assert refusal["message"].startswith(f"deck.tif: {case.code}: ")
    assert "\n" not in refusal["message"]
    for path in survey.iterdir():
        path.unlink()


@pytest.mark.slow
def test_files_that_declare_more_than_memory_holds_are_refused_within_500_megabytes(
    asked: tuple[str, list[str]], tmp_path: Path
) -> None:
    enormous = [case for case in REFUSED if case.number in ENORMOUS]
    (tmp_path / "survey").mkdir()
    for case in enormous:
        write_refused(case, tmp_path / "survey" / case.file_name, asked[0])
    told, peak_bytes = check_apart(tmp_path / "survey", home=tmp_path)
    assert {one["name"]: one["code"] for one in told.record["rasters"]} == {one.file_name: one.code for one in enormous}
    assert {case.number for case in enormous} == set(ENORMOUS)
    assert peak_bytes < MOST_RSS_BYTES


@pytest.mark.slow
def test_after_these_the_good_survey_gives_the_same_bytes(control: Control) -> None:
    control.assert_unchanged()
