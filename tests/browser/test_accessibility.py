"""What anybody needs to use the pages: names for pictures, headings in order, contrast, a keyboard that suffices."""

import itertools
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Open

pytestmark = pytest.mark.browser

PAGES = ("index.html", "structures/truss-*/report.html", "structures/pier-*/report.html")


@pytest.fixture(params=PAGES)
def path(request: pytest.FixtureRequest, run_folder: Path) -> str:
    """A page of each kind, below the run."""
    (found,) = run_folder.glob(request.param)
    return str(found.relative_to(run_folder))


def opened(open_page: Open, site: str, path: str, *, width: int = 1280) -> Page:
    page = open_page(f"{site}/{path}", width=width).page
    if path == "index.html":
        page.wait_for_selector("html[data-ready='true']", state="attached")
    return page


def test_no_serious_breach_of_the_wcag_rules_is_found(open_page: Open, served: str, path: str) -> None:
    # The pages' own policy allows no foreign script; the engine that looks at them is one.
    context = {"bypass_csp": True}
    page = open_page(f"{served}/{path}", **context).page
    found = Axe().run(page).response["violations"]
    told = [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == [], told


def test_headings_descend_by_one_and_pictures_have_words(open_page: Open, site: str, path: str) -> None:
    page = opened(open_page, site, path)
    levels = page.locator("h1, h2, h3, h4, h5, h6").evaluate_all("all => all.map((one) => Number(one.tagName[1]))")
    assert levels.count(1) == 1 == levels[0]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    unnamed = page.locator("main img").evaluate_all(
        "all => all.filter((one) => !one.hasAttribute('alt') || (!one.alt && !one.closest('#map'))).length"
    )
    assert unnamed == 0
    assert page.locator("html[lang]").count() == 1


def test_the_keyboard_reaches_filter_headings_slider_and_map_and_enter_sorts(open_page: Open, site: str) -> None:
    page = opened(open_page, site, "index.html")
    reached: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => { const one = document.activeElement;
            return one.id || (one.className === 'sort' ? 'sort ' + one.textContent : one.tagName); }"""
        )
        reached.append(focused)
        if focused == "sort Crack length":
            page.keyboard.press("Enter")
            break
    assert {"mask-opacity", "layer-mask", "map", "filter-text", "filter-state", "sort Crack length"} <= set(reached)
    sorted_by = page.locator("th[aria-sort]").evaluate_all("all => all.map((one) => one.textContent)")
    assert sorted_by == ["Crack length"]


def test_what_has_the_focus_is_seen_to_have_it(open_page: Open, site: str) -> None:
    page = opened(open_page, site, "index.html")
    for _ in range(12):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            """() => { const style = getComputedStyle(document.activeElement);
            return [style.outlineStyle, parseFloat(style.outlineWidth), style.boxShadow]; }"""
        )
        assert (outline[0] != "none" and outline[1] >= 1) or outline[2] != "none", page.evaluate(
            "document.activeElement.outerHTML.slice(0, 100)"
        )


def test_the_overview_fits_a_telephone(open_page: Open, site: str) -> None:
    page = opened(open_page, site, "index.html", width=400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
