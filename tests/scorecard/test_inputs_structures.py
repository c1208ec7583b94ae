"""Rows 38 to 42 of the scorecard: structures.geojson that is refused whole, spoilt in part, or enormous."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import Polygon, shape

from segmentation.errors import InputRejected
from tests.scorecard.inputs import (
    MOST_RSS_BYTES,
    Control,
    Row,
    check,
    check_apart,
    discovered,
    inspected,
    mask_of,
    reports,
    write_picture,
)
from tests.tasks.surveys import write_raster
from tests.tasks.test_structures_file import REFUSED, SQUARE, UNUSABLE, collection, feature, polygon


@dataclass(frozen=True)
class RefusedDocument(Row):
    """A structures.geojson that must be refused as a whole."""

    code: str
    document: Any


def _of(number: int, name: str) -> RefusedDocument:
    code, document = REFUSED[name]
    return RefusedDocument(f"{number} {name.replace('-', ' ')}", code, document)


REFUSED_DOCUMENTS = [
    *(_of(38, name) for name, (code, _) in REFUSED.items() if code == "E_GEOJSON"),
    *(_of(41, name) for name, (code, _) in REFUSED.items() if code == "E_DUP_ID"),
]


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """A survey of one small raster."""
    return write_raster(tmp_path / "bridge" / "deck.tif").parent


def write_structures(survey: Path, document: Any) -> None:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    (survey / "structures.geojson").write_bytes(data)


@pytest.mark.parametrize("case", REFUSED_DOCUMENTS, ids=lambda case: case.id)
def test_a_document_that_cannot_be_understood_refuses_the_survey(case: RefusedDocument, survey: Path) -> None:
    write_structures(survey, case.document)
    with pytest.raises(InputRejected) as refused:
        discovered(survey, home=survey.parent, results=survey.parent / "results")
    assert refused.value.code == case.code
    refusal = json.loads((survey.parent / "results" / "bridge" / "rejected.json").read_text())
    assert (refusal["state"], refusal["code"]) == ("rejected", case.code)
    assert "\n" not in refusal["message"]
    assert {path.name for path in (survey.parent / "results" / "bridge").iterdir()} == {"rejected.json", "uploads"}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED_DOCUMENTS, ids=lambda case: case.id)
def test_check_says_the_same_of_the_document_and_still_judges_the_raster(case: RefusedDocument, survey: Path) -> None:
    write_structures(survey, case.document)
    told = check(survey, home=survey.parent)
    assert told.exit_code == 3
    assert [(file["name"], file["code"]) for file in told.record["refused_files"]] == [
        ("structures.geojson", case.code)
    ]
    assert [raster["verdict"] for raster in told.record["rasters"]] == ["ACCEPT"]


@pytest.mark.parametrize(
    "crs",
    [
        {"type": "link", "properties": {"href": "{url}", "type": "proj4"}},
        {"type": "name", "properties": {"name": "{url}"}},
        {"type": "name", "properties": {"name": "urn:ogc:def:crs:{url}::1"}},
    ],
    ids=["38 a link", "38 a name that is a URL", "38 a URN of a URL"],
)
def test_a_crs_that_leads_to_a_url_is_refused_and_nobody_is_asked(
    crs: Any, survey: Path, asked: tuple[str, list[str]]
) -> None:
    url, paths = asked
    document = json.loads(json.dumps(collection(feature(polygon(SQUARE)), crs=crs)).replace("{url}", url))
    write_structures(survey, document)
    with pytest.raises(InputRejected) as refused:
        discovered(survey, home=survey.parent, results=survey.parent / "results")
    assert refused.value.code == "E_GEOJSON"
    assert paths == []


@dataclass(frozen=True)
class Spoilt(Row):
    """A footprint that spoils its own structure only."""

    geometry: Any
    words: str


SPOILT = [Spoilt(f"39 {case.id.replace('-', ' ')}", case.geometry, case.words) for case in UNUSABLE]


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `check` says of each structure of a survey with all of them and a good one."""
    folder = tmp_path_factory.mktemp("spoilt")
    survey = write_raster(folder / "bridge" / "deck.tif").parent
    features = [feature(case.geometry, id=case.id) for case in SPOILT]
    write_structures(survey, collection(*features, feature(polygon(SQUARE), id="good")))
    told = check(survey, home=folder)
    assert told.exit_code == 0
    return {structure["id"]: structure["problem"] for structure in told.record["structures"]}


@pytest.mark.parametrize("case", SPOILT, ids=lambda case: case.id)
def test_a_spoilt_footprint_is_told_with_its_reason_and_the_good_one_is_unaffected(
    case: Spoilt, judged: dict[str, Any]
) -> None:
    assert case.words in judged[case.id]
    assert judged["good"] is None


@dataclass(frozen=True)
class Covered(Row):
    """A footprint and how much of it the raster shows."""

    columns: tuple[float, float]
    """From and to, in widths of the raster."""
    coverage_percent: float


COVERED = [
    Covered("40 inside the raster", (0.02, 0.6), 100.0),
    Covered("40 half outside the raster", (0.6, 1.4), 50.0),
    Covered("40 wholly outside the raster", (1.2, 2.2), 0.0),
    # Each place counts for the first footprint that holds it: of this one only a strip is left.
    Covered("40 overlapping the first", (0.0, 0.6), 3.3),
]


def _ring(control: Control, left: float, right: float) -> list[list[float]]:
    found = discovered(control.inbox / "good", home=control.home, results=control.folder / "look")
    place = found.rasters[0].georeference
    rows = np.array([0.1, 0.1, 0.9, 0.9, 0.1]) * place.height
    cols = np.array([left, right, right, left, left]) * place.width
    ring: list[list[float]] = np.column_stack(place.lonlat_from_pixel(rows, cols)).tolist()
    return ring


@pytest.fixture(scope="session")
def covered(control: Control) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """(run, reports with spoilt structures beside the good ones, report of the good one alone)."""
    good = [feature(polygon(_ring(control, *case.columns)), id=case.id) for case in COVERED]
    runs = []
    for name, features in (
        ("alone", good[:1]),
        ("beside", [*good, *(feature(case.geometry, id=case.id) for case in SPOILT)]),
    ):
        survey = control.inbox / name
        write_picture(survey / "deck.tif")
        write_structures(survey, collection(*features))
        runs.append(inspected(survey, home=control.home, results=control.folder / name, report_formats=["html", "csv"]))
    return runs[1], reports(runs[1]), reports(runs[0])


@pytest.mark.slow
@pytest.mark.parametrize("case", COVERED, ids=lambda case: case.id)
def test_a_footprint_is_reported_by_how_much_of_it_was_seen(
    case: Covered, covered: tuple[Path, dict[str, Any], dict[str, Any]]
) -> None:
    structure = covered[1][case.id]["structure"]
    assert structure["coverage_percent"] == pytest.approx(case.coverage_percent, abs=0.5)
    html = (covered[0] / "structures" / _slug(covered[0], case.id) / "report.html").read_text(encoding="utf-8")
    if case.coverage_percent == 0:
        assert covered[1][case.id]["cracks"] is None or covered[1][case.id]["cracks"]["total_length_m"] is None
        assert "not inspected" in html.lower()


@pytest.mark.slow
def test_damage_in_several_footprints_is_counted_in_the_first_of_them(
    covered: tuple[Path, dict[str, Any], dict[str, Any]], control: Control
) -> None:
    footprints = {case.id: Polygon(_ring(control, *case.columns)) for case in COVERED}
    found = {name: [shape(d["geometry"]) for d in covered[1][name]["defects"]] for name in footprints}
    (first, *_, overlapping) = footprints
    assert any(footprints[overlapping].contains(one) for one in found[first]), "nothing lies in both otherwise"
    for one in found[overlapping]:
        others = [name for name in footprints if name != overlapping and footprints[name].contains(one)]
        assert others == []
    listed = [one.wkb for each in found.values() for one in each]
    assert len(listed) == len(set(listed))


@pytest.mark.slow
@pytest.mark.parametrize("case", SPOILT, ids=lambda case: case.id)
def test_a_spoilt_structure_has_a_report_that_says_it_was_not_inspected_and_why(
    case: Spoilt, covered: tuple[Path, dict[str, Any], dict[str, Any]]
) -> None:
    html = (covered[0] / "structures" / _slug(covered[0], case.id) / "report.html").read_text(encoding="utf-8")
    assert "not inspected" in html.lower()
    report = covered[1][case.id]
    assert report["cracks"] is None or report["cracks"]["total_length_m"] is None
    assert report["grades"] == []


@pytest.mark.slow
def test_the_good_structure_beside_them_has_the_figures_it_has_alone(
    covered: tuple[Path, dict[str, Any], dict[str, Any]], control: Control
) -> None:
    run, beside, alone = covered
    good = COVERED[0].id
    for group in ("structure", "cracks", "rust", "grades"):
        assert beside[good][group] == alone[good][group]
    assert beside[good]["cracks"]["count"] > 0
    assert np.array_equal(mask_of(run), mask_of(control.run))
    control.assert_unchanged()


def _slug(run: Path, identity: str) -> str:
    (found,) = [
        path.parent.name
        for path in run.glob("structures/*/report.json")
        if json.loads(path.read_text())["structure"]["id"] == identity
    ]
    return found


@dataclass(frozen=True)
class Enormous(Row):
    """A document at the limits."""

    make: Callable[[], Any]
    structures: int
    settings: dict[str, str]
    code: str | None
    """None: it is understood."""


def _many(count: int) -> Any:
    return collection(*[feature(polygon(SQUARE), id=str(number)) for number in range(count)])


def _round(count: int) -> Any:
    angles = np.linspace(0, 2 * np.pi, count)
    ring = np.column_stack([np.cos(angles), np.sin(angles)]).tolist()
    return collection(feature(polygon([*ring[:-1], ring[0]]), id="round"))


ENORMOUS = [
    Enormous("42 100,000 structures", lambda: _many(100_000), 100_000, {}, None),
    Enormous("42 100,001 structures", lambda: _many(100_001), 0, {}, "E_LIMIT"),
    Enormous("42 a polygon of 1,000,000 vertices", lambda: _round(1_000_000), 1, {}, None),
    Enormous(
        "42 more vertices than are allowed",
        lambda: _round(200_000),
        0,
        {"SPANSCAN_MAX_VERTICES": "100000"},
        "E_LIMIT",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", ENORMOUS, ids=lambda case: case.id)
def test_an_enormous_document_is_understood_or_refused_within_500_megabytes(case: Enormous, survey: Path) -> None:
    write_structures(survey, case.make())
    told, peak_bytes = check_apart(survey, home=survey.parent, settings=case.settings)
    record = told.record
    assert told.exit_code == (0 if case.code is None else 3)
    assert [file["code"] for file in record["refused_files"]] == ([] if case.code is None else [case.code])
    assert len(record["structures"]) == case.structures
    assert peak_bytes < MOST_RSS_BYTES
