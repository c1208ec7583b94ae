"""Each structure's report in a real browser: whole, still and narrow enough for a telephone and for paper."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.browser.conftest import Open
from tests.browser.survey import NAMES
from tests.browser.watched import Watched

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def reports(run_folder: Path) -> list[Path]:
    """Folders of the reports, in the order of their structures' ids."""
    folders = sorted((run_folder / "structures").iterdir(), key=lambda folder: _structure(folder)["id"])
    assert len(folders) == len(NAMES) + 2
    return folders


def _structure(folder: Path) -> dict[str, str]:
    structure: dict[str, str] = json.loads((folder / "report.json").read_text(encoding="utf-8"))["structure"]
    return structure


def _open(open_page: Open, site: str, folder: Path, **options: int) -> Watched:
    return open_page(f"{site}/structures/{quote(folder.name)}/report.html", **options)


def test_every_report_opens_without_a_script_a_request_or_a_complaint(
    open_page: Open, site: str, reports: list[Path]
) -> None:
    for folder in reports:
        watched = _open(open_page, site, folder)
        page = watched.page
        assert page.locator("script").count() == 0
        assert page.evaluate("Array.from(document.images).every((one) => one.complete && one.naturalWidth > 0)")
        assert [url for url in watched.requests if not url.startswith("data:")] == [page.url]
        watched.assert_quiet()


def test_a_name_stands_as_it_was_given_in_heading_and_title(open_page: Open, site: str, reports: list[Path]) -> None:
    seen = {name.text: name.seen for name in NAMES}
    for folder in reports:
        name = _structure(folder)["name"]
        if name in seen:
            page = _open(open_page, site, folder).page
            assert seen[name] in page.locator("h1").inner_text()
            assert seen[name] in page.title()


def test_every_anchor_leads_to_one_place(open_page: Open, site: str, reports: list[Path]) -> None:
    page = _open(open_page, site, reports[-1]).page
    anchors = page.locator("a[href^='#']").evaluate_all("all => all.map((one) => one.getAttribute('href').slice(1))")
    ids = page.locator("[id]").evaluate_all("all => all.map((one) => one.id)")
    assert anchors
    assert set(anchors) <= set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window(
    open_page: Open, site: str, reports: list[Path], screenshots: Path, width: int
) -> None:
    for folder in reports:
        watched = _open(open_page, site, folder, width=width)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
        watched.page.screenshot(path=screenshots / f"report-{_structure(folder)['id']}-{width}.png", full_page=True)


def test_on_paper_nothing_is_wider_than_the_sheet(open_page: Open, site: str, reports: list[Path]) -> None:
    """186 mm of an A4 sheet within margins of 12 mm are 703 CSS pixels."""
    for folder in reports:
        watched = _open(open_page, site, folder, width=703)
        watched.page.emulate_media(media="print")
        wide = watched.page.evaluate(
            """() => Array.from(document.querySelectorAll('main *')).filter((one) => one.getBoundingClientRect().right
            > innerWidth + 1).map((one) => one.outerHTML.slice(0, 80))"""
        )
        assert wide == []
