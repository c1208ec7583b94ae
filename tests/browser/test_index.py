"""The survey's overview in a real browser: its map, its table and their controls, from disk and from a server."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.survey import NAMES, PANEL, UNSEEN
from tests.browser.watched import Watched

pytestmark = pytest.mark.browser


@pytest.fixture
def index(open_page: Open, site: str) -> Watched:
    """The overview, its scripts through."""
    watched = open_page(f"{site}/index.html")
    watched.page.wait_for_selector("html[data-ready='true']", state="attached")
    return watched


def painted_share(page: Page) -> float:
    """Share of the pixels of the map's canvas on which something is drawn."""
    share: float = page.evaluate(
        """() => { const canvas = document.querySelector('#map canvas');
        if (!canvas) return 0;
        const copy = document.createElement('canvas');
        copy.width = canvas.width; copy.height = canvas.height;
        const context = copy.getContext('2d', { willReadFrequently: true });
        context.drawImage(canvas, 0, 0);
        const drawn = context.getImageData(0, 0, canvas.width, canvas.height).data;
        let count = 0; for (let i = 3; i < drawn.length; i += 4) count += drawn[i] > 0;
        return 4 * count / drawn.length; }"""
    )
    return share


def shown_names(page: Page) -> list[str]:
    """Names in the table in their order, of the rows that are shown."""
    names: list[str] = page.evaluate(
        """() => Array.from(document.querySelectorAll('#structures tbody tr')).filter((row) => !row.hidden)
        .map((row) => row.querySelector('th bdi').textContent)"""
    )
    return names


def column(page: Page, heading: str) -> list[str]:
    """Cells of the rows that are shown, below a heading."""
    cells: list[str] = page.evaluate(
        """(heading) => { const table = document.getElementById('structures');
        const at = Array.from(table.tHead.rows[0].cells).findIndex((cell) => cell.textContent.trim() === heading);
        return Array.from(table.tBodies[0].rows).filter((row) => !row.hidden)
        .map((row) => row.cells[at] && row.cells[at].colSpan === 1 ? row.cells[at].textContent.trim() : ''); }""",
        heading,
    )
    return cells


def figure(cell: str) -> float:
    """The first number of a cell; -1 where there is none."""
    found = re.search(r"\d[\d,]*\.?\d*", cell)
    return float(found.group().replace(",", "")) if found else -1.0


def test_the_map_draws_imagery_mask_structures_and_defects(index: Watched, screenshots: Path) -> None:
    page = index.page
    assert painted_share(page) > 0.001
    pictures = page.locator("#map img.leaflet-image-layer")
    assert pictures.count() == 4, "imagery and mask of two rasters"
    assert pictures.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth > 50)")
    page.screenshot(
        path=screenshots / f"index-{'disk' if index.origin.startswith('file') else 'served'}.png", full_page=True
    )
    index.assert_quiet()


def test_every_name_is_read_as_it_was_given_and_does_nothing(index: Watched) -> None:
    names = shown_names(index.page)
    assert len(names) == len(NAMES) + 2
    for name in NAMES:
        assert any(name.seen in shown for shown in names), name
    assert index.page.locator("img[src='x'], b:text('West'), script:has-text('hacked')").count() == 0
    assert not any("\u202e" in shown for shown in names)
    for row in index.page.locator("#structures tbody tr").all():
        row.hover()
    index.assert_quiet()


def test_nothing_is_asked_of_any_other_place(index: Watched) -> None:
    if index.origin.startswith("file"):
        assert [url for url in index.requests if not url.startswith("data:")] == [index.page.url]
    assert index.strangers == []


@pytest.mark.parametrize("heading", ["Crack length", "Rust share", "Inspected"])
def test_a_heading_sorts_its_column_both_ways_and_what_was_not_inspected_comes_last(
    index: Watched, heading: str
) -> None:
    button = index.page.get_by_role("columnheader", name=heading).get_by_role("button")
    orders = []
    for _ in range(2):
        button.click()
        assert shown_names(index.page)[-1] == UNSEEN
        orders.append([figure(cell) for cell in column(index.page, heading)[:-1]])
    assert sorted(orders, key=lambda figures: figures[0]) == [sorted(orders[0]), sorted(orders[0], reverse=True)]
    expect(index.page.get_by_role("columnheader", name=heading)).to_have_attribute("aria-sort", re.compile("ending$"))
    index.assert_quiet()


def test_the_filter_finds_by_part_of_a_name_by_state_and_by_class(index: Watched) -> None:
    page = index.page
    page.get_by_role("searchbox").fill("BRUCKE")
    expect(page.locator("#filter-count")).to_contain_text(f"1 of {len(NAMES) + 2} structures")
    assert len(shown_names(page)) == 1
    page.get_by_role("button", name="Clear").click()
    page.locator("#filter-state").select_option("not inspected")
    assert shown_names(page) == [UNSEEN]
    page.locator("#filter-state").select_option("any")
    page.locator("#filter-class").select_option("rust")
    with_rust = shown_names(page)
    assert PANEL in with_rust
    assert UNSEEN not in with_rust
    index.assert_quiet()


def test_the_slider_fades_the_mask(index: Watched) -> None:
    slider = index.page.get_by_label("Mask opacity")
    opacity = (
        "() => Array.from(document.querySelectorAll('#map img.mask')).map((one) => Number(one.style.opacity || 1))"
    )
    slider.fill("20")
    assert index.page.evaluate(opacity) == [0.2, 0.2]
    slider.focus()
    slider.press("ArrowRight")
    assert index.page.evaluate(opacity) == [0.25, 0.25]
    expect(index.page.locator("#mask-opacity-value")).to_have_text("25 %")


def test_each_layer_is_taken_off_and_put_back(index: Watched) -> None:
    page = index.page
    for label, selector in (("Imagery", "#map img.imagery"), ("Mask", "#map img.mask")):
        box = page.get_by_role("checkbox", name=label, exact=True)
        before = page.locator(selector).count()
        box.uncheck()
        assert (before, page.locator(selector).count()) == (2, 0)
        box.check()
        assert page.locator(selector).count() == 2
    drawn = painted_share(page)
    for label in ("Structures", "Cracks", "Rust"):
        page.get_by_role("checkbox", name=label, exact=True).uncheck()
    page.wait_for_timeout(100)  # the canvas is drawn in the next frame
    assert painted_share(page) == 0 < drawn
    index.assert_quiet()


def test_pointing_at_a_defect_tells_its_figures_and_a_click_opens_its_report(index: Watched, screenshots: Path) -> None:
    page = index.page
    page.get_by_role("checkbox", name="Structures", exact=True).uncheck()
    row = page.locator("#structures tbody tr").filter(has_text=PANEL)
    row.get_by_role("button", name="on the map").click()
    page.locator("#selection li").first.get_by_role("button", name="Show").click()
    page.wait_for_timeout(300)
    x, y = _spot_of_a_defect(page)
    tip = page.locator("#map-tip")
    for step in (2, 1, 0):
        page.mouse.move(x - step, y)
        page.wait_for_timeout(60)  # the map looks at the pointer some thirty times a second
    page.screenshot(path=screenshots / "index-defect.png")  # a page that nobody looks at is not drawn
    expect(tip).to_contain_text(re.compile(r"[CR]-\d{4} (crack|rust)"))
    expect(tip).to_contain_text(PANEL)
    page.mouse.click(x, y)
    page.wait_for_url("**/report.html#*")
    anchor = unquote(page.url.split("#")[1])
    assert page.locator(f"[id='{anchor}']").count() == 1
    index.assert_quiet()


def _spot_of_a_defect(page: Page) -> tuple[float, float]:
    """Place in the viewport of a drawn pixel of the map's canvas that nothing lies on."""
    spot: dict[str, Any] | None = page.evaluate(
        """() => { const canvas = document.querySelector('#map canvas'), at = canvas.getBoundingClientRect();
        const ratio = canvas.width / at.width;
        const drawn = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const box = document.getElementById('map').getBoundingClientRect();
        const inside = (x, y) => x > box.left + 60 && x < box.right - 60 && y > box.top + 60 && y < box.bottom - 60;
        for (let i = 3; i < drawn.length; i += 4) {
          if (drawn[i] < 200) continue;
          const pixel = (i - 3) / 4, x = at.left + (pixel % canvas.width) / ratio + 1;
          const y = at.top + Math.floor(pixel / canvas.width) / ratio + 1;
          if (inside(x, y) && document.elementFromPoint(x, y) === canvas) return { x, y };
        }
        return null; }"""
    )
    assert spot is not None, "no defect is drawn in the middle of the map"
    return spot["x"], spot["y"]


def test_every_link_leads_to_a_file_or_an_anchor_that_is_there(index: Watched, run_folder: Path) -> None:
    links = index.page.locator("a[href]").evaluate_all("all => all.map((one) => one.getAttribute('href'))")
    assert len(links) > len(NAMES)
    for link in links:
        path, _, anchor = link.partition("#")
        target = run_folder / unquote(path) if path else run_folder / "index.html"
        assert target.is_file(), link
        if anchor:
            assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), link
        if not index.origin.startswith("file"):
            assert index.page.request.get(f"{index.origin}/{path}").ok, link
    unnamed = index.page.locator("a:not([href=''])").evaluate_all(
        "all => all.filter((one) => !one.innerText.trim()).length"
    )
    assert unnamed == 0


def test_the_page_says_all_without_scripts(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/index.html", java_script_enabled=False)
    page = watched.page
    assert page.locator("#structures tbody tr:visible").count() == len(NAMES) + 2
    assert page.locator("#static-map svg").is_visible()
    assert not page.locator("#map-app").is_visible()
    assert not page.locator("#filter").is_visible()
    assert watched.strangers == []
