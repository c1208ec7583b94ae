"""report.json: the schema, and what is null."""

import json
from dataclasses import replace
from math import inf, nan

import pytest
from jsonschema import Draft202012Validator

from segmentation.records import CrackMeasure, RunIdentity, StructureResult
from tasks.report.record import report_json, report_schema
from tests.tasks.report.samples import HOSTILE_NAME, RUN, bridge_deck, clean_deck, unseen_pier


def with_nans() -> StructureResult:
    deck = bridge_deck()
    crack = deck.defects[0]
    assert isinstance(crack.crack, CrackMeasure)
    broken = replace(crack, confidence=nan, crack=replace(crack.crack, max_width_mm=inf, width_uncertainty_mm=0.8))
    return replace(deck, defects=(broken,), gsd_mm=nan, footprint_area_m2=None)


def problems(data: object) -> list[str]:
    return [error.message for error in Draft202012Validator(report_schema()).iter_errors(data)]


def test_schema_is_itself_valid() -> None:
    Draft202012Validator.check_schema(report_schema())


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(bridge_deck(), id="cracks-and-rust"),
        pytest.param(bridge_deck(name=HOSTILE_NAME), id="hostile-name"),
        pytest.param(clean_deck(), id="nothing-found"),
        pytest.param(unseen_pier(), id="not-inspected"),
        pytest.param(with_nans(), id="figures-that-are-not-finite"),
    ],
)
def test_report_follows_its_schema_and_is_strict_json(result: StructureResult) -> None:
    data = report_json(result, run=RUN)
    assert problems(data) == []
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["structure"]["name"] == result.structure.name


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda data: data.update(schema="spanscan/report/2"), id="another-schema"),
        pytest.param(lambda data: data.update(extra=1), id="an-unknown-key"),
        pytest.param(lambda data: data["cracks"].pop("p95_width_mm"), id="a-missing-figure"),
        pytest.param(lambda data: data["cracks"].update(count=None), id="an-unknown-count-of-what-was-inspected"),
        pytest.param(lambda data: data.update(not_inspected_reason="fog"), id="findings-of-what-was-not-inspected"),
        pytest.param(lambda data: data["defects"][0].update({"class": "spalling"}), id="an-unknown-class"),
        pytest.param(lambda data: data["defects"][3]["width_mm"].update(max=1.7), id="a-width-below-resolution"),
    ],
)
def test_schema_refuses(break_it: object) -> None:
    data = report_json(bridge_deck(), run=RUN)
    assert callable(break_it)
    break_it(data)
    assert problems(data)


def test_figures_of_what_was_not_inspected_are_null() -> None:
    data = report_json(unseen_pier(), run=RUN)
    assert data["not_inspected_reason"] == "no raster covers it"
    assert set(data["cracks"].values()) == set(data["rust"].values()) == {None}
    assert data["defects"] == data["grades"] == []


def test_figures_are_those_of_the_records() -> None:
    data = report_json(bridge_deck(), run=RUN)
    assert data["cracks"]["total_length_m"] == 3.3
    assert data["defects"][0]["width_mm"] == {
        "max": 9.03,
        "p95": 8.578,
        "mean": 6.2,
        "median": 6.2,
        "uncertainty": 0.82,
        "resolvable": 3.0,
        "method": "profile",
    }
    assert data["defects"][1]["class"] == "rust"
    assert data["defects"][1]["length_m"] is None
    assert data["defects"][2]["width_mm"]["mean"] is None, "a mean below the resolvable width is not stated"
    assert data["defects"][3]["width_mm"]["max"] is None
    assert data["defects"][3]["below_resolution"] is True
    assert data["grades"][0]["quantities"] == {"CS1": 7.2, "CS2": 3.1, "CS3": 0.19, "not graded": 0.09}
    assert data["run"]["model"] == {"name": "spanscan-unet", "sha256": "ab" * 32}
    assert data["run"]["settings"]["broken"] is None


def test_same_records_give_the_same_report() -> None:
    run = RunIdentity(**{name: getattr(RUN, name) for name in RunIdentity.__dataclass_fields__})
    assert json.dumps(report_json(bridge_deck(), run=run)) == json.dumps(report_json(bridge_deck(), run=RUN))
