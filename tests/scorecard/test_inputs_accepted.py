"""Rows 9 to 34 of the scorecard that must be accepted: as the control, whatever the form of the file."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segmentation.classes import NODATA, NOT_INSPECTED
from tests.scorecard.inputs import Control, Told, check, discovered, inspected, mask_of, reports, write_picture
from tests.scorecard.inputs_accepted import ACCEPTED, OTHER_ACCEPTED, SPARSE_SIDE_PX, Accepted

EDGE_PX = 128
"""So far from what was not seen a pixel's class does not depend on it: more than the radius of the net's view."""
ALL = [*ACCEPTED, *OTHER_ACCEPTED]


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What `check` says of a survey of them all."""
    folder = tmp_path_factory.mktemp("accepted")
    survey = folder / "sound"
    survey.mkdir()
    for case in ALL:
        case.make(survey / f"{case.id}.tif")
    (survey / "survey.json").write_text(json.dumps({"gsd_m": 0.0015}))
    return check(survey, home=folder / "home")


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_a_sound_raster_is_accepted_with_the_ground_resolution_of_the_control(case: Accepted, judged: Told) -> None:
    (verdict,) = [raster for raster in judged.record["rasters"] if raster["name"] == f"{case.id}.tif"]
    assert (verdict["verdict"], verdict["code"]) == ("ACCEPT", ""), verdict["message"]
    gsd_mm = float(verdict["message"].rpartition("GSD ")[2].split()[0])
    expected_mm = 2.0 if "sparse" in case.id else 1.5
    assert gsd_mm == pytest.approx(expected_mm, rel=0.01)


@pytest.fixture
def survey(control: Control, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder of one case's survey."""
    case: Accepted = request.getfixturevalue("case")
    folder = control.inbox / "".join(c if c.isalnum() else "-" for c in case.id)
    folder.mkdir()
    case.make(folder / "deck.tif")
    if case.manifest:
        (folder / "survey.json").write_text(json.dumps(dict(case.manifest)))
    yield folder
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.id)
def test_it_gives_the_mask_of_the_control_and_its_lengths_and_areas(
    case: Accepted, survey: Path, control: Control
) -> None:
    run = inspected(survey, home=control.home, results=control.folder / "accepted", report_formats=["html"])
    mask, expected = mask_of(run), mask_of(control.run)
    sure = slice(None) if case.shown_cols is None else slice(0, case.shown_cols - EDGE_PX)
    assert np.array_equal(mask[:, sure], expected[:, sure])
    (report,), (of_control,) = reports(run).values(), reports(control.run).values()
    if case.shown_cols is not None:
        assert (mask[:, case.shown_cols :] == NODATA).all()
        edge = slice(case.shown_cols - EDGE_PX, case.shown_cols)
        assert np.count_nonzero(mask[:, edge] != expected[:, edge]) <= 1e-3 * mask[:, edge].size
        whole = mask.shape[1]
        assert report["structure"]["coverage_percent"] == pytest.approx(100 * case.shown_cols / whole, abs=0.5)
        return
    assert of_control["cracks"]["count"] > 0
    for group, figure in (("cracks", "total_length_m"), ("cracks", "mean_width_mm"), ("rust", "area_m2")):
        assert report[group][figure] == pytest.approx(of_control[group][figure], rel=case.tolerance), figure
    assert report["structure"]["inspected_area_m2"] == pytest.approx(
        of_control["structure"]["inspected_area_m2"], rel=case.tolerance
    )
    if case.number == 25:
        assert "mapped to 0 … 255" in " ".join(report["run"]["warnings"])


@pytest.mark.slow
@pytest.mark.parametrize("case", OTHER_ACCEPTED, ids=lambda case: case.id)
def test_it_is_inspected_where_it_holds_data_and_nowhere_else(case: Accepted, survey: Path, control: Control) -> None:
    run = inspected(survey, home=control.home, results=control.folder / "accepted", report_formats=["html"])
    (report,) = reports(run).values()
    if "sparse" in case.id:
        share = 1024**2 / SPARSE_SIDE_PX**2
        assert report["structure"]["coverage_percent"] == pytest.approx(100 * share, rel=0.05)
        return
    mask = mask_of(run)
    assert not (mask == NOT_INSPECTED).any()
    assert not (mask == NODATA).any()
    assert report["structure"]["coverage_percent"] == 100.0


@pytest.mark.slow
def test_after_these_the_good_survey_gives_the_same_bytes(control: Control) -> None:
    control.assert_unchanged()


def test_the_good_survey_is_the_same_raster_whatever_lies_beside_it(tmp_path: Path) -> None:
    for name in ("alone", "beside"):
        write_picture(tmp_path / name / "deck.tif")
    (tmp_path / "beside" / "text.tif").write_text("hello")
    (tmp_path / "beside" / "deck.tif.ovr").write_text("hello")
    alone = discovered(tmp_path / "alone", home=tmp_path, results=tmp_path / "results")
    beside = discovered(tmp_path / "beside", home=tmp_path, results=tmp_path / "results", skip_rejected=True)
    assert [raster.source.sha256 for raster in beside.rasters] == [alone.rasters[0].source.sha256]
    assert beside.rasters[0].georeference == alone.rasters[0].georeference
    assert [one.code for one in beside.rejected] == ["E_NOT_TIFF"]
