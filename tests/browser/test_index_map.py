"""The map and the table of the overview point at each other; by pointer, by filter and by keyboard alone."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.survey import PANEL, UNSEEN
from tests.browser.watched import Watched

pytestmark = pytest.mark.browser


@pytest.fixture
def index(open_page: Open, site: str) -> Watched:
    """The overview, its scripts through."""
    watched = open_page(f"{site}/index.html")
    watched.page.wait_for_selector("html[data-ready='true']", state="attached")
    return watched


def numbers_on_the_map(page: Page) -> set[str]:
    return set(page.locator("#map .tag").all_inner_texts())


def test_the_filter_holds_for_the_map_too(index: Watched) -> None:
    page = index.page
    row = page.locator("#structures tbody tr").filter(has_text=PANEL)
    number = row.locator("td").first.inner_text().strip()
    page.get_by_role("searchbox").fill(PANEL)
    expect(page.locator("#filter-count")).to_contain_text("1 of")
    assert numbers_on_the_map(page) == {number}
    page.get_by_role("button", name="Clear").click()
    assert len(numbers_on_the_map(page)) > 1
    index.assert_quiet()


def test_a_structure_is_found_on_the_map_and_its_defects_are_listed_by_keyboard_alone(index: Watched) -> None:
    page = index.page
    row = page.locator("#structures tbody tr").filter(has_text=PANEL)
    row.get_by_role("button", name="on the map").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#selection")).to_be_focused()
    expect(page.locator("#selection h3")).to_contain_text(PANEL)
    assert page.locator("#selection li a[href*='/report.html#']").count() > 0
    page.locator("#selection li button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".leaflet-marks-pane path").count() == 1
    page.get_by_role("button", name="Back to its row").press("Enter")
    expect(row.get_by_role("button", name="on the map")).to_be_focused()
    index.assert_quiet()


def test_a_row_that_is_pointed_at_is_outlined_on_the_map(index: Watched) -> None:
    page = index.page
    page.locator("#structures tbody tr").filter(has_text=PANEL).hover()
    assert page.locator(".leaflet-marks-pane path").count() == 1
    page.mouse.move(2, 2)
    assert page.locator(".leaflet-marks-pane path").count() == 0


def test_the_map_moves_by_its_keys_and_comes_back(index: Watched) -> None:
    page = index.page
    pane = page.locator("#map .leaflet-map-pane")
    before = page.locator("#map img.imagery").first.bounding_box()
    page.locator("#map").focus()
    page.keyboard.press("+")
    page.wait_for_timeout(600)
    larger = page.locator("#map img.imagery").first.bounding_box()
    assert before is not None
    assert larger is not None
    assert larger["width"] > 1.5 * before["width"]
    page.get_by_role("button", name="Whole survey").click()
    again = page.locator("#map img.imagery").first.bounding_box()
    assert again is not None
    assert again["width"] == pytest.approx(before["width"], rel=0.01)
    assert pane.count() == 1
    index.assert_quiet()


def test_what_was_not_inspected_is_last_by_state_in_both_orders(index: Watched) -> None:
    heading = index.page.get_by_role("columnheader", name="Worst state")
    for _ in range(2):
        heading.get_by_role("button").click()
        assert UNSEEN in index.page.locator("#structures tbody tr").last.inner_text()


def test_paper_shows_the_static_map_and_all_of_the_table(index: Watched) -> None:
    page = index.page
    page.emulate_media(media="print")
    assert page.locator("#static-map svg").is_visible()
    assert not page.locator("#map").is_visible()
    assert not page.locator("#filter").is_visible()
    assert page.locator("#structures tbody tr:visible").count() == page.locator("#structures tbody tr").count()
