"""The survey's overview page."""

import re
from dataclasses import replace

import pytest

from tasks.report.index import FileLink, render_index_html
from tasks.report.severity import worst_severity
from tests.tasks.report.pages import parse
from tests.tasks.report.samples import GEOREFERENCES, HOSTILE_NAME, RUN, bridge_deck, clean_deck, unseen_pier

FILES = (FileLink("Defects", "defects.geojson", "every defect in WGS 84"),)


def index_of(*results: object) -> str:
    return render_index_html(results, run=RUN, georeferences=GEOREFERENCES, files=FILES)  # type: ignore[arg-type]


def test_every_structure_has_a_row_a_place_on_the_map_and_a_link() -> None:
    page = parse(index_of(bridge_deck(), clean_deck(), unseen_pier()))
    assert [a.attributes["href"] for a in page.all("a")] == [
        "structures/east-deck/report.html",
        "structures/west-deck/report.html",
        "structures/pier-2/report.html",
        "defects.geojson",
    ]
    areas = [path for path in page.all("path") if str(path.attributes.get("class")).startswith("area")]
    assert len(areas) == 3
    assert not page.all("script")


def test_severity_is_said_by_word_and_by_colour() -> None:
    page = parse(index_of(bridge_deck(), clean_deck(), unseen_pier()))
    badges = [(e.attributes["class"], e.text) for e in page.all("span") if "badge" in str(e.attributes.get("class"))]
    assert badges == [
        ("badge sev-3", "CS3 poor"),
        ("badge sev-none", "nothing found"),
        ("badge sev-unseen", "not inspected"),
    ]


def test_structure_that_was_not_inspected_shows_no_figure() -> None:
    page = parse(index_of(unseen_pier()))
    (row,) = [e for e in page.all("tr") if e.attributes.get("id") == "structure-1"]
    assert "Nothing is known: no raster covers it" in row.text
    assert not re.search(r"\b0\b|none found", row.text)
    assert "this survey says nothing about its 1 structure" in page.text


def test_summary_counts_what_was_inspected_alone() -> None:
    text = parse(index_of(bridge_deck(), clean_deck(), unseen_pier())).text.replace("\u00a0", " ")
    assert (
        "2 structures inspected, 1 of them in part: 3 cracks (3.30 m) and 1 rust patch (0.0225 m²) found; "
        "1 structure not inspected, of which nothing is known."
    ) in text


def test_width_in_the_table_carries_its_uncertainty() -> None:
    deck = bridge_deck()
    assert "9.0 ± 0.9" in index_of(deck)
    thin = replace(deck, defects=deck.defects[3:], cracks=replace(deck.cracks, count=1, max_width_mm=None))
    assert "<\u00a03.0\u00a0mm".replace("<", "&lt;") in index_of(thin)


def test_hostile_names_are_text_in_table_map_and_title() -> None:
    html = index_of(bridge_deck(name=HOSTILE_NAME))
    assert "<script" not in html
    assert not parse(html).all("script")


def test_structures_without_a_place_on_the_earth_are_named_under_the_map() -> None:
    facade = replace(clean_deck(), structure=replace(clean_deck().structure, name="Façade", footprint=None))
    text = parse(index_of(bridge_deck(), facade)).text
    assert "usable outline: Façade" in text


@pytest.mark.parametrize("path", ["javascript:alert(1)", "/etc/passwd", "../../x", "https://example.org/x", "\\\\x"])
def test_link_leads_below_the_index_or_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="relative path below the index"):
        FileLink("x", path, "x")


def test_worst_state_is_that_of_the_worst_quantity_that_is_there() -> None:
    deck = bridge_deck()
    grades = (replace(deck.grades[0], quantities={"CS1": 3.0, "CS2": 0.1, "CS3": 0.0}, grade=""),)
    assert worst_severity(replace(deck, defects=deck.defects[3:], grades=grades)).word == "CS2 fair"


def test_cracks_too_thin_to_be_graded_are_not_called_good() -> None:
    deck = bridge_deck()
    grades = (replace(deck.grades[0], quantities={"CS1": 10.0, "not graded": 0.1}, grade="CS1"),)
    assert worst_severity(replace(deck, defects=deck.defects[3:], grades=grades)).word == "not graded"


def test_nothing_found_is_not_called_good() -> None:
    grades = (replace(bridge_deck().grades[0], quantities={"CS1": 10.0}, grade="CS1, no crack found"),)
    assert worst_severity(replace(clean_deck(), grades=grades)).word == "nothing found"
