"""The survey's overview page: table, links, static map, policy and the data of its script."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from segmentation.records import StructureResult
from tasks.report.index import FileLink, render_index_html
from tasks.report.index_rows import index_row, worst_rows
from tasks.report.severity import worst_severity
from tests.tasks.report.pages import Page, parse
from tests.tasks.report.samples import (
    GEOREFERENCES,
    HOSTILE_NAME,
    RUN,
    bridge_deck,
    clean_deck,
    noise_pictures,
    unseen_pier,
)

FILES = (FileLink("Defects", "defects.geojson", "every defect in WGS 84"),)
FORMATS = ("html", "pdf", "json")


def index_of(*results: StructureResult, formats: tuple[str, ...] = FORMATS, with_pictures: bool = False) -> str:
    return render_index_html(
        results,
        run=RUN,
        georeferences=GEOREFERENCES,
        files=FILES,
        pictures=noise_pictures() if with_pictures else None,
        formats=formats,
        pictured_count=3,
    )


def script_data(html: str, element_id: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{element_id}">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def row_of(page: Page, number: int) -> str:
    (row,) = [e for e in page.all("tr") if e.attributes.get("id") == f"structure-{number}"]
    return row.text


def test_every_structure_has_a_row_a_place_on_the_map_and_links_to_its_reports() -> None:
    page = parse(index_of(bridge_deck(), clean_deck(), unseen_pier()))
    expected = [
        link
        for slug in ("east-deck", "west-deck", "pier-2")
        for link in (f"structures/{slug}/report.html", *(f"structures/{slug}/report.{end}" for end in FORMATS))
    ]
    assert [a.attributes["href"] for a in page.all("a")] == [*expected, "defects.geojson"]
    areas = [path for path in page.all("path") if str(path.attributes.get("class")).startswith("area")]
    assert len(areas) == 3


def test_reports_that_were_not_written_are_not_linked() -> None:
    html = index_of(bridge_deck(), formats=("json",))
    assert {a.attributes["href"] for a in parse(html).all("a")} == {
        "structures/east-deck/report.json",
        "defects.geojson",
    }
    assert script_data(html, "map-data")["structures"][0]["href"] is None


def test_severity_is_said_by_word_and_by_colour() -> None:
    page = parse(index_of(bridge_deck(), clean_deck(), unseen_pier()))
    badges = [(e.attributes["class"], e.text) for e in page.all("span") if "badge" in str(e.attributes.get("class"))]
    assert badges == [
        ("badge sev-3", "CS3 poor"),
        ("badge sev-none", "nothing found"),
        ("badge sev-unseen", "not inspected"),
    ]


def test_structure_that_was_not_inspected_shows_no_figure_and_sorts_by_none() -> None:
    html = index_of(unseen_pier())
    text = row_of(parse(html), 1)
    assert "Nothing is known: no raster covers it" in text
    assert not re.search(r"\b0\b|none found", text)
    assert "this survey says nothing about its 1 structure" in parse(html).text
    values = [e.attributes["data-value"] for e in parse(html).all("td") if "data-value" in e.attributes]
    assert values == ["1"], "only its number"


def test_cells_are_sorted_by_figures_and_not_by_words() -> None:
    deck = bridge_deck()
    rows = [index_row(1, deck, RUN, formats=FORMATS), index_row(2, clean_deck(), RUN, formats=FORMATS)]
    assert [(cell.text, cell.value) for cell in (rows[0].cracks, rows[0].width)] == [
        ("3", 3),
        ("9.0 ± 0.9\u00a0mm", 9.03),
    ]
    thin = replace(deck, defects=deck.defects[3:], cracks=replace(deck.cracks, count=1, max_width_mm=None))
    below = index_row(3, thin, RUN, formats=FORMATS).width
    assert (below.text, below.value) == ("<\u00a03.0\u00a0mm", 0.0)
    assert rows[1].width.value is not None
    assert rows[1].width.value < 0.0 < 9.03, "no crack, one below the limit, one with a width"


def test_summary_counts_what_was_inspected_alone() -> None:
    text = parse(index_of(bridge_deck(), clean_deck(), unseen_pier())).text.replace("\u00a0", " ")
    assert (
        "2 structures inspected, 1 of them in part: 3 cracks (3.30 m) and 1 rust patch (0.0225 m²) found; "
        "1 structure not inspected, of which nothing is known."
    ) in text


def test_hostile_names_are_text_in_table_map_and_data() -> None:
    html = index_of(bridge_deck(name=HOSTILE_NAME))
    assert html.count("<script") == html.count("</script>") == 5, "two of data, Leaflet, the map, the page"
    assert "alert('x')" not in html
    name = script_data(html, "map-data")["structures"][0]["name"]
    assert name.startswith("\"><script>alert('x')</script>")
    assert "\u202e" not in name
    assert not re.search(r'(href|src)="(?!structures/|defects|#|data:)', html.split("<script")[0])


def test_the_policy_allows_the_scripts_and_the_style_of_the_page_and_nothing_else() -> None:
    page = parse(index_of(bridge_deck()))
    (policy,) = [e.attributes["content"] for e in page.all("meta") if e.attributes.get("http-equiv")]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    code = [e.text for e in page.all("script") if e.attributes.get("type") is None]
    assert rules == {
        "default-src": "'none'",
        "script-src": " ".join(hashed(text) for text in code),
        "img-src": "data:",
        "style-src": hashed(page.all("style")[0].text),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert len(code) == 3
    assert not [e for e in page.elements if "style" in e.attributes or any(name[:2] == "on" for name in e.attributes)]


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_defects_carry_their_size_with_its_uncertainty_their_state_and_their_place_in_the_report() -> None:
    data = script_data(index_of(bridge_deck()), "map-data")
    found = data["defects"]
    at = found["ids"].index("C-0001")
    assert found["texts"][at].replace("\u00a0", " ") == "9.0 ± 0.9 mm wide, 0.900 m long"
    assert data["states"][found["states"][at]] == {"word": "CS3 poor", "css": "sev-3"}
    assert (found["numbers"][at], data["pictured"], data["structures"][0]["href"]) == (
        1,
        3,
        "structures/east-deck/report.html",
    )
    assert found["texts"][found["ids"].index("C-0003")].replace("\u00a0", " ") == "< 3.0 mm wide, 0.300 m long"
    assert found["texts"][found["ids"].index("R-0001")].replace("\u00a0", " ") == "0.0225 m²"
    assert found["classes"][found["ids"].index("R-0001")] == 1
    assert found["ids"][-1] in ("C-0001", "R-0001"), "the worst is drawn last, on top"


def test_a_survey_without_any_place_has_a_table_and_no_map() -> None:
    nowhere = replace(unseen_pier(), structure=replace(unseen_pier().structure, footprint=None))
    html = render_index_html(
        [nowhere], run=RUN, georeferences={}, files=(), pictures=None, formats=FORMATS, pictured_count=3
    )
    page = parse(html)
    ids = {e.attributes.get("id") for e in page.elements}
    assert "structures" in ids
    assert not ids & {"map", "map-data", "static-map"}
    assert len(page.all("script")) == 1


def test_structures_without_a_place_on_the_earth_are_named_under_the_map() -> None:
    facade = replace(clean_deck(), structure=replace(clean_deck().structure, name="Façade", footprint=None))
    text = parse(index_of(bridge_deck(), facade)).text
    assert "usable outline: Façade" in text


def test_controls_have_labels_and_the_map_a_text_beside_it() -> None:
    page = parse(index_of(bridge_deck(), with_pictures=True))
    labelled = {e.attributes.get("for") for e in page.all("label")}
    ids = {str(e.attributes["id"]) for e in page.elements if "id" in e.attributes}
    assert {"mask-opacity", "filter-text", "filter-state", "filter-class"} <= labelled & ids
    (map_element,) = [e for e in page.elements if e.attributes.get("id") == "map"]
    assert map_element.attributes["aria-describedby"] in ids
    assert {f"layer-{name}" for name in ("imagery", "mask", "structures", "cracks", "rust")} <= ids
    (count,) = [e for e in page.elements if e.attributes.get("id") == "filter-count"]
    assert count.attributes["aria-live"] == "polite"
    assert len(ids) == sum("id" in e.attributes for e in page.elements), "no id twice"


def test_without_pictures_there_is_no_control_for_them() -> None:
    ids = {e.attributes.get("id") for e in parse(index_of(bridge_deck())).elements}
    assert not ids & {"layer-imagery", "layer-mask", "mask-opacity"}


def test_too_many_structures_leave_the_worst_and_the_unseen_in_their_order() -> None:
    results = [clean_deck(), unseen_pier(), clean_deck(), bridge_deck()]
    rows = [index_row(number, result, RUN, formats=FORMATS) for number, result in enumerate(results, start=1)]
    assert [row.number for row in worst_rows(rows, most=2)] == [2, 4]
    assert worst_rows(rows, most=4) == tuple(rows)


def test_what_a_page_leaves_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.report.index.MOST_ROWS", 2)
    html = index_of(clean_deck(), unseen_pier(), clean_deck(), bridge_deck())
    text = parse(html).text
    assert "Table and map show the 2 worst of 4 structures. 2 are left out, the worst of them “nothing found”" in text
    assert [one["number"] for one in script_data(html, "map-data")["structures"]] == [2, 4]


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
