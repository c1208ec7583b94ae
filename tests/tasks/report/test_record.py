"""report.json: the schema, and what is null."""

import json
from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from segmentation.records import CrackMeasure, Defect, RunIdentity, StructureResult
from tasks.report.record import report_json, report_schema
from tests.tasks.report.samples import (
    GEOREFERENCE,
    GEOREFERENCES,
    HOSTILE_NAME,
    RASTER,
    RUN,
    bridge_deck,
    clean_deck,
    crack,
    rust,
    unseen_pier,
)


def with_nans() -> StructureResult:
    deck = bridge_deck()
    first = deck.defects[0]
    assert isinstance(first.crack, CrackMeasure)
    broken = replace(first, confidence=nan, crack=replace(first.crack, max_width_mm=inf, width_uncertainty_mm=0.8))
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
    data = report_json(result, run=RUN, georeferences=GEOREFERENCES)
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
    data = report_json(bridge_deck(), run=RUN, georeferences=GEOREFERENCES)
    assert callable(break_it)
    break_it(data)
    assert problems(data)


@st.composite
def any_defects(draw: st.DrawFn) -> StructureResult:
    """A deck with any cracks and patches, some of them with figures that are not finite."""
    figure = st.one_of(st.floats(0, 1e4), st.sampled_from([nan, inf]))
    defects: list[Defect] = []
    for n in range(draw(st.integers(0, 6))):
        row, col = draw(st.integers(20, 1900)), draw(st.integers(0, 2800))
        if draw(st.booleans()):
            defects.append(replace(rust(f"R-{n}", row=row, col=col, side_px=40), area_m2=draw(st.floats(0, 1e4))))
            continue
        below = draw(st.booleans())
        one = crack(f"C-{n}", row=row, col=col, length_px=90, max_width_mm=5.0, below_resolution=below)
        assert one.crack is not None
        measure = replace(
            one.crack,
            max_width_mm=draw(figure),
            p95_width_mm=draw(figure),
            width_uncertainty_mm=draw(figure),
        )
        confidence = draw(st.one_of(st.floats(0, 1), st.just(nan)))
        defects.append(replace(one, crack=measure, confidence=confidence))
    deck = bridge_deck(name=draw(st.text(max_size=30)))
    return replace(deck, defects=tuple(defects), gsd_mm=draw(st.one_of(st.none(), st.floats(0.1, 100))))


@settings(max_examples=60)
@given(any_defects())
def test_any_report_follows_its_schema(result: StructureResult) -> None:
    data = report_json(result, run=RUN, georeferences=GEOREFERENCES)
    assert problems(data) == []
    json.dumps(data, allow_nan=False)


def test_reader_can_rely_on_the_versions() -> None:
    data = report_json(bridge_deck(), run=RUN, georeferences=GEOREFERENCES)
    assert (data["schema"], data["schema_version"]) == ("spanscan/report/1", "1.2")
    assert report_schema()["$id"] == "urn:spanscan:report:1"


def test_places_are_told_on_the_structure_on_the_earth_and_in_the_raster() -> None:
    deck = bridge_deck()
    data = report_json(deck, run=RUN, georeferences=GEOREFERENCES)
    assert data["coordinates"]["of"] == "footprint"
    assert data["coordinates"]["length_m"] == pytest.approx(2710 * 0.0015, rel=0.01)
    place = data["defects"][1]["place"]
    assert (place["row"], place["col"]) == (1250.0, 2050.0)
    assert place["along_m"] == pytest.approx((2050 - 150) * 0.0015, abs=0.03)
    assert place["across_m"] == pytest.approx((1890 - 1250) * 0.0015, abs=0.03)
    assert (place["longitude"], place["latitude"]) == pytest.approx((8.538, 47.40), abs=0.05)


def test_local_frame_has_places_on_the_structure_alone() -> None:
    local = replace(GEOREFERENCE, crs_wkt=None, metres_per_unit=1.0)
    deck = bridge_deck()
    result = replace(deck, structure=replace(deck.structure, footprint=None, raster_name=RASTER))
    data = report_json(result, run=RUN, georeferences={RASTER: local})
    assert problems(data) == []
    assert data["coordinates"] == {"of": "raster"}
    place = data["defects"][1]["place"]
    assert (place["longitude"], place["latitude"]) == (None, None)
    assert (place["along_m"], place["across_m"]) == (3.075, 1.125)


def test_figures_of_what_was_not_inspected_are_null() -> None:
    data = report_json(unseen_pier(), run=RUN, georeferences=GEOREFERENCES)
    assert data["not_inspected_reason"] == "no raster covers it"
    assert set(data["cracks"].values()) == set(data["rust"].values()) == {None}
    assert data["defects"] == data["grades"] == []


def test_figures_are_those_of_the_records() -> None:
    data = report_json(bridge_deck(), run=RUN, georeferences=GEOREFERENCES)
    assert data["cracks"]["total_length_m"] == 3.3
    assert data["defects"][0]["width_mm"] == {
        "max": 9.03,
        "p95": 8.578,
        "mean": 6.2,
        "median": 6.2,
        "uncertainty": 0.82,
        "mean_uncertainty": 0.82,
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
    assert json.dumps(report_json(bridge_deck(), run=run, georeferences=GEOREFERENCES)) == json.dumps(
        report_json(bridge_deck(), run=RUN, georeferences=GEOREFERENCES)
    )
