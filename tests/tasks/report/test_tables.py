"""Components and reference widths in the report, and grades that a ± leaves open."""

from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from segmentation.measurement.grading import load_standards, shipped_standards
from segmentation.measurement.summary import summarise
from segmentation.records import Defect, Structure, StructureResult
from tasks.report.document import structure_report
from tasks.report.findings import defect_row
from tasks.report.places import frames_of, places_of
from tasks.report.record import report_json, report_schema
from tasks.report.severity import severity_of
from tasks.report.structure_html import structure_html
from tasks.report.tables import component_rows, limit_rows
from tests.tasks.report.pages import Page, parse
from tests.tasks.report.samples import GEOREFERENCES, RUN, bridge_deck, rust

STANDARDS = load_standards(shipped_standards())


def summed(structure: Structure, *defects: Defect, components: tuple[StructureResult, ...] = ()) -> StructureResult:
    seen = structure.problem is None
    return summarise(
        structure,
        defects=[replace(defect, structure_id=structure.id) for defect in defects],
        inspected_area_m2=10.0 if seen else 0.0,
        footprint_area_m2=12.0 if seen else None,
        gsd_mm=1.5 if seen else None,
        standards=STANDARDS,
        min_rust_area_px=64,
        components=components,
    )


def bridge() -> StructureResult:
    """A concrete deck with a rusted steel girder and a bearing that nobody saw."""
    deck = bridge_deck()
    girder = Structure("g", "Girder <1>", "girder-1", "girder", "steel", deck.structure.footprint, component_of="deck")
    bearing = Structure(
        "b", "Bearing", "bearing", "bearing", "steel", None, "its polygon is empty", component_of="deck"
    )
    parts = (summed(girder, rust("R-0009", row=50, col=60, side_px=200, state=None)), summed(bearing))
    wide, _, straddling, thin = deck.defects
    assert straddling.crack is not None
    open_question = replace(straddling, crack=replace(straddling.crack, max_width_mm=1.2, width_uncertainty_mm=0.4))
    return summed(deck.structure, wide, open_question, thin, components=parts)


@pytest.fixture(scope="module")
def page() -> Page:
    html = structure_html(
        structure_report(
            bridge(),
            run=RUN,
            georeferences=GEOREFERENCES,
            pictures=None,
            seam_proof=None,
            worst_count=3,
            max_html_bytes=5_000_000,
        )
    )
    return parse(html)


def test_components_stand_in_the_report_with_their_own_quantities(page: Page) -> None:
    girder, bearing = component_rows(bridge(), RUN)
    assert (girder.name, girder.kind, girder.cracks) == ("Girder <1>", "girder · steel", "none found")
    assert girder.rust.startswith("0.0900")
    assert "ASTM D610: 6-S" in girder.grades
    assert bearing.reason == "its polygon is empty"
    for words in ("Girder <1>", "Bearing", "its polygon is empty"):
        assert words in page.text


def test_reference_widths_stand_beside_the_cracks_and_say_what_is_not_known(page: Page) -> None:
    rows = limit_rows(bridge())
    assert {row.limit for row in rows if row.standard.startswith("EN 1992")} == {
        "0.20\xa0mm",
        "0.30\xa0mm",
        "0.40\xa0mm",
    }
    assert all(row.over.startswith("2 (") for row in rows)
    assert all("below resolution" in row.remark and "narrower than a pixel" in row.remark for row in rows)
    assert "a comparison, not a grade" in page.text
    assert limit_rows(bridge().components[1]) == ()


def test_every_table_that_was_applied_is_told_with_edition_limits_rule_and_source(page: Page) -> None:
    for one in STANDARDS:
        if one.element in {grade.element for grade in (*bridge().grades, *bridge().limit_comparisons)}:
            for words in (one.standard, one.version, one.limits_text, one.rule, one.source):
                assert " ".join(words.split()) in page.text
    assert "indicative, verify against the licensed standard" in page.text


def test_a_state_that_its_uncertainty_leaves_open_is_told_with_both() -> None:
    (defect,) = [d for d in bridge().defects if len(d.possible_states) > 1]
    (place,) = places_of([defect], GEOREFERENCES, frames_of(bridge().structure, GEOREFERENCES))
    severity = defect_row(1, defect, place).severity
    assert (severity.word, severity.css) == ("CS2 or CS3", severity_of("CS3").css)
    assert severity_of("CS1 to CS3").rank == severity_of("CS3").rank
    assert severity_of("CS1, no crack found").word == "not graded"
    assert severity_of("medium").word == "medium severity"


def test_the_json_holds_components_and_reference_widths_by_its_schema() -> None:
    data = report_json(bridge(), run=RUN, georeferences=GEOREFERENCES)
    assert [error.message for error in Draft202012Validator(report_schema()).iter_errors(data)] == []
    girder, bearing = data["components"]
    assert girder["rust"]["denominator_area_m2"] == 10.0
    assert (bearing["not_inspected_reason"], bearing["cracks"]["count"]) == ("its polygon is empty", None)
    assert {d["component_id"] for d in data["defects"]} == {None, "g"}
    assert data["rust"]["denominator"] == "inspected area of the steel components, as seen in the raster"
    assert all(line["below_a_pixel"] for one in data["limit_comparisons"] for line in one["lines"])
