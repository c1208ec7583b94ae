"""The structure's report as its reader gets it."""

import base64
import hashlib
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from shapely.geometry import MultiPolygon

from segmentation.records import StructureResult
from tasks.report.document import structure_report
from tasks.report.structure_html import page_header_styles, structure_html
from tasks.report.wording import clean_text
from tests.tasks.report.pages import Page, parse
from tests.tasks.report.samples import (
    GEOREFERENCES,
    HOSTILE_NAME,
    RUN,
    ArrayPictures,
    bridge_deck,
    clean_deck,
    noise_pictures,
    rust,
    unseen_pier,
)

MAX_BYTES = 5_000_000


def html_of(result: StructureResult, *, pictures: ArrayPictures | None = None, worst_count: int = 12) -> str:
    return structure_html(
        structure_report(
            result,
            run=RUN,
            georeferences=GEOREFERENCES,
            pictures=pictures,
            seam_proof="Seam proof: 0 of 1 000 000 pixels differ.",
            worst_count=worst_count,
            max_html_bytes=MAX_BYTES,
        )
    )


@pytest.fixture(scope="module")
def pictured() -> str:
    return html_of(bridge_deck(), pictures=noise_pictures())


@pytest.fixture(scope="module")
def page(pictured: str) -> Page:
    return parse(pictured)


def test_contents_come_in_the_order_an_inspector_expects(page: Page) -> None:
    assert [element.text for element in page.all("h2")] == [
        "Condition",
        "Overview",
        "Worst defects",
        "All defects",
        "Sizes",
        "Method and limits",
        "Warnings",
        "Words",
    ]


def test_headings_descend_one_level_at_a_time(page: Page) -> None:
    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_title_block_names_what_was_inspected_and_by_which_model(page: Page) -> None:
    for text in (
        "East deck, span 3",
        "demo-bridge",
        "2025-05-04",
        "Ingenieurbüro Müller & Søn",
        "1.50 mm per pixel",
        "spanscan-unet (abababababab)",
        "9f2c41d07ab3e855",
    ):
        assert text in page.text.replace("\u00a0", " ")


def test_condition_is_one_plain_sentence(page: Page) -> None:
    sentence = next(element.text for element in page.all("p") if element.attributes.get("class") == "lead")
    assert " ".join(sentence.split()) == (
        "On the inspected 97.2 % of the footprint (10.5 m² of 10.8 m²): 3 cracks, 3.30 m long in total, the widest "
        "9.0 ± 0.9 mm; 1 rust patch, 0.0225 m² or 0.21 % of the inspected area of the footprint, as seen "
        "in the raster; nothing is known of the rest."
    )


def test_every_picture_is_inlined_and_described(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 1 + 2 * 4
    for image in images:
        assert (image.attributes["src"] or "").startswith("data:image/jpeg;base64,")
        assert len(image.attributes["alt"] or "") > 20


def test_ids_are_unique_and_every_inner_link_leads_to_one(page: Page) -> None:
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    pointers = ("aria-labelledby", "aria-describedby")
    targets = [(a.attributes["href"] or "").removeprefix("#") for a in page.all("a")]
    targets += [
        str(element.attributes[name]) for element in page.elements for name in pointers if name in element.attributes
    ]
    assert targets
    assert set(targets) <= set(ids)


def test_page_needs_nothing_from_outside_and_runs_nothing(pictured: str, page: Page) -> None:
    assert not page.all("script")
    assert not page.all("link")
    assert not page.all("iframe")
    assert not [
        e for e in page.elements if "style" in e.attributes or any(name.startswith("on") for name in e.attributes)
    ]
    without_pictures = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", pictured)
    assert not re.search(r"https?:|url\((?!#)|@import|javascript:", without_pictures)


def test_content_security_policy_allows_this_style_sheet_alone(page: Page) -> None:
    (style,) = page.all("style")
    digest = base64.b64encode(hashlib.sha256(style.text.encode("utf-8")).digest()).decode()
    policy = next(m.attributes["content"] for m in page.all("meta") if "http-equiv" in m.attributes)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_crack_too_thin_to_measure_has_no_width_anywhere(pictured: str) -> None:
    alone = replace(bridge_deck(), defects=bridge_deck().defects[3:])
    text = parse(html_of(alone)).text.replace("\u00a0", " ")
    assert "0.300 m long, < 3.0 mm wide" in text
    assert "±" not in text.partition("Worst defects")[2].partition("Method and limits")[0]
    assert "1.7" not in text.partition("Worst defects")[2].partition("Method and limits")[0]
    assert pictured.count('class="profile"') == 2, "one profile per measurable crack"


def test_every_stated_width_has_its_uncertainty(page: Page) -> None:
    facts = [(dt.text, dd.text) for dt, dd in zip(page.all("dt"), page.all("dd"), strict=True)]
    widths = [value for label, value in facts if re.match(r"(Largest width|Width, )", label)]
    assert len(widths) == 3 + 3 * 3
    assert all(width.startswith("<") or "±" in width for width in widths)


def test_partial_coverage_is_a_warning() -> None:
    assert "Only 97.2 % of the footprint was inspected" in parse(html_of(bridge_deck())).text.replace("\u00a0", " ")
    assert "of the footprint was inspected" not in parse(html_of(clean_deck())).text


def test_nothing_found_is_said_with_what_could_have_been_missed() -> None:
    text = parse(html_of(clean_deck())).text.replace("\u00a0", " ")
    assert "no crack was found (cracks thinner than 3.0 mm may be missed); no rust was found." in text
    assert "nothing is known of the rest" not in text


def test_not_inspected_structure_is_loud_and_states_no_finding() -> None:
    html = html_of(unseen_pier(), pictures=noise_pictures())
    page = parse(html)
    assert "Not inspected" in [e.text for e in page.all("p") if e.attributes.get("class") == "alarm-head"]
    assert "no raster covers it" in page.text
    assert not page.all("table")
    assert not page.all("img")
    body = page.text.partition("Words")[0]
    assert not re.search(r"\b0(\.0+)?\s*(%|m|m²|cm²|mm|cracks?|patch|patches)(\s|$|\.)", body.replace("\u00a0", " "))
    assert not re.search(r"no (crack|rust|defect|damage)", body, re.IGNORECASE)
    assert "CS1" not in body


def test_inspected_area_of_nothing_counts_as_not_inspected_even_without_a_reason() -> None:
    text = parse(html_of(replace(unseen_pier(), not_inspected_reason=None))).text
    assert "no pixel of it was inspected" in text
    assert "no crack" not in text


def test_hostile_name_is_text_and_nothing_else() -> None:
    result = bridge_deck(name=HOSTILE_NAME)
    run = replace(RUN, operator=HOSTILE_NAME, warnings=(HOSTILE_NAME,), survey_id=HOSTILE_NAME, captured_at="<b>")
    html = structure_html(
        structure_report(
            result,
            run=run,
            georeferences=GEOREFERENCES,
            pictures=noise_pictures(),
            seam_proof=HOSTILE_NAME,
            worst_count=1,
            max_html_bytes=MAX_BYTES,
        )
    )
    page = parse(html)
    assert "<script" not in html
    assert not page.all("script")
    assert not page.all("b")
    assert "\u202e" not in html
    assert "\x00" not in html
    assert "{{ 7*7 }}" in html
    assert page.all("h1")[0].text == clean_text(HOSTILE_NAME)
    assert clean_text(HOSTILE_NAME) in str(page.all("img")[0].attributes["alt"])


def test_every_table_has_a_caption_and_every_scroll_region_is_named_and_reachable(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table"))
    regions = [e for e in page.elements if "scroll" in (e.attributes.get("class") or "").split()]
    assert regions
    for region in regions:
        assert region.attributes["tabindex"] == "0"
        assert region.attributes["role"] == "region"
        assert {"aria-label", "aria-labelledby"} & set(region.attributes)
    for landmark in ("header", "main", "nav", "footer"):
        assert len(page.all(landmark)) == 1
    assert page.all("a")[0].attributes == {"class": "skip", "href": "#condition"}


def test_numbers_in_the_overview_lead_to_the_defects(page: Page) -> None:
    spots = [a for a in page.all("a") if a.attributes.get("tabindex") == "-1"]
    assert [a.attributes["href"] for a in spots] == ["#defect-1", "#defect-2", "#defect-3", "#defect-4"]


def test_place_on_the_structure_stands_beside_the_place_on_the_earth(page: Page) -> None:
    text = page.text.replace("\u00a0", " ")
    assert re.search(r"On the structure\s*\d\.\d\d m along, \d\.\d\d m across", text)
    assert "Structure coordinates are metres from the corner 47." in text


def test_what_was_not_inspected_is_said_and_hatched(page: Page, pictured: str) -> None:
    text = page.text.replace("\u00a0", " ")
    assert "0.302 m² of the 10.8 m² of the footprint: no usable picture there." in text
    assert 'class="key key-unseen"' not in pictured, "the mask of this sample is inspected everywhere"
    pictures = noise_pictures()
    pictures.mask[:, :500] = 255
    hatched = html_of(bridge_deck(), pictures=pictures, worst_count=1)
    assert '<span class="key key-unseen">not inspected</span>' in hatched


def test_histograms_tell_each_bar_as_text_and_as_a_table(page: Page) -> None:
    titles = [e.text for e in page.all("title")]
    assert any(
        t.startswith("Cracks by largest width, number of cracks: < 3.0 mm: 1; 4–5: 1")
        for t in (title.replace("\u00a0", " ") for title in titles)
    )
    assert [e.text for e in page.all("summary")] == [
        "Cracks by largest width as a table",
        "Rust patches by area as a table",
    ]


def test_hostile_title_stays_inside_the_printed_page_header() -> None:
    styles = page_header_styles('"} body { display: none } \\ </style><script>', "run")
    assert "body { display" not in styles
    assert "<" not in styles
    assert styles.count('"') == 4


@pytest.mark.parametrize(("defects", "worst_count"), [(5000, 12), (5000, 100), (20_000, 100)])
@pytest.mark.slow
def test_five_megabytes_hold_any_structure(defects: int, worst_count: int) -> None:
    crowd = tuple(
        rust(f"R-{n:05d}", row=5 + 13 * (n % 150), col=5 + 21 * (n // 150), side_px=9) for n in range(defects)
    )
    html = html_of(replace(bridge_deck(), defects=crowd), pictures=noise_pictures(), worst_count=worst_count)
    assert len(html.encode("utf-8")) < MAX_BYTES
    page = parse(html)
    assert len(page.all("article")) == worst_count
    assert f"of {defects} carry their number (worst first)" in page.text


def test_five_megabytes_hold_twelve_pictured_defects_and_thousands_of_rows() -> None:
    crowd = tuple(rust(f"R-{n:04d}", row=20 + 7 * (n % 250), col=20 + 11 * (n // 250), side_px=60) for n in range(3000))
    html = html_of(replace(bridge_deck(), defects=crowd), pictures=noise_pictures())
    assert len(html.encode("utf-8")) < MAX_BYTES
    page = parse(html)
    assert len(page.all("article")) == 12
    assert "worst of 3000 defects; report.json and defects.csv hold every one." in page.text


def test_pictures_are_read_in_windows_and_never_at_full_size() -> None:
    pictures = noise_pictures()
    html_of(bridge_deck(), pictures=pictures, worst_count=2)
    overview, unseen, *native = pictures.reads
    assert max(overview[2], unseen[2]) < 1700
    assert len(native) == 4
    assert all(max(window.shape) <= 640 for _, window, _ in native)


def test_report_without_pictures_keeps_every_figure_and_draws_a_plan() -> None:
    page = parse(html_of(bridge_deck()))
    (plan,) = page.all("img")
    assert "4 defects drawn, 4 numbered" in str(plan.attributes["alt"])
    assert len(page.all("article")) == 4
    captions = [element.text for element in page.all("caption")]
    assert len(captions) == len(page.all("table")) == 4, "grades, all defects, and a table under each histogram"


def test_structure_without_footprint_shows_its_raster() -> None:
    deck = bridge_deck()
    whole = replace(deck, structure=replace(deck.structure, footprint=None, raster_name="deck_east.tif"), defects=())
    pictures = noise_pictures()
    text = parse(html_of(whole, pictures=pictures)).text
    assert pictures.reads[0][1].shape == (2000, 3000)
    assert "metres from the lower left corner of the raster" in text


def test_local_frame_has_no_place_on_the_earth() -> None:
    georeference = GEOREFERENCES["deck_east.tif"]
    local = replace(georeference, crs_wkt=None, metres_per_unit=1.0)
    deck = bridge_deck()
    result = replace(deck, structure=replace(deck.structure, footprint=None, raster_name="deck_east.tif"))
    html = structure_html(
        structure_report(
            result,
            run=RUN,
            georeferences={"deck_east.tif": local},
            pictures=noise_pictures(),
            seam_proof=None,
            worst_count=2,
            max_html_bytes=MAX_BYTES,
        )
    )
    page = parse(html)
    assert "local frame, no place on the earth" in page.text
    assert "° N" not in page.text
    assert len(page.all("img")) == 5


def test_endless_names_and_warnings_do_not_burst_the_file() -> None:
    deck = bridge_deck(name="<" * 100_000)
    run = replace(RUN, warnings=tuple(f"{n} " + "&" * 5000 for n in range(500)), operator="'" * 100_000)
    html = structure_html(
        structure_report(
            deck,
            run=run,
            georeferences=GEOREFERENCES,
            pictures=noise_pictures(),
            seam_proof=None,
            worst_count=12,
            max_html_bytes=MAX_BYTES,
        )
    )
    assert len(html.encode("utf-8")) < MAX_BYTES
    assert "440 more warnings stand in report.json." in html


def test_rust_without_outline_is_placed_in_the_middle_of_its_window() -> None:
    patch = replace(rust("R-1", row=100, col=200, side_px=50), pixel_geometry=MultiPolygon([]), geometry=None)
    page = parse(html_of(replace(bridge_deck(), defects=(patch,)), pictures=noise_pictures()))
    assert "row 125, column 225" in page.text
