"""The page of a review in a real browser: decisions last, tabs do not lose each other's, names stay names."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from flows.review import review_page
from flows.settings import Settings
from tests.browser.conftest import PATIENCE_MS, Open
from tests.browser.watched import Watched
from tests.tasks.review.runs import HOSTILE, Reviewed, opened, published_once

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE_MS)
READY = "html[data-ready='true']"
REVIEWER = "Ada <b onmouseover=alert(1)>Lovelace</b>"
Begin = Callable[..., Watched]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_once(tmp_path_factory.mktemp("published"))


@pytest.fixture
def reviewed(published: Path, tmp_path: Path) -> Reviewed:
    return opened(published, tmp_path)


@pytest.fixture
def address(reviewed: Reviewed, tmp_path: Path) -> Iterator[str]:
    """The page as `spanscan review` serves it."""
    page = review_page(reviewed.place.run.uri(""), Settings(review_port=0, home=tmp_path), reviewer=None)
    threading.Thread(target=page.run, daemon=True).start()
    return page.address


@pytest.fixture
def begin(open_page: Open, address: str) -> Begin:
    """Opens the page in a browser of its own and states who reviews."""

    def begun(name: str = REVIEWER, **options: int) -> Watched:
        watched = open_page(address, **options)
        watched.page.wait_for_selector(READY, state="attached")
        watched.page.fill("#ask-name", name)
        watched.page.keyboard.press("Enter")
        expect(watched.page.locator("#ask")).not_to_be_visible()
        return watched

    return begun


def shown(page: Page) -> str:
    """Id of the defect on the sheet."""
    return str(page.locator("#sheet").get_attribute("data-id"))


def row(page: Page, defect_id: str) -> str:
    """What the list says of a defect."""
    return page.locator(f"#list button[data-id='{defect_id}']").inner_text()


def looked_at(page: Page, count: int, of: int) -> None:
    expect(page.locator("#progress-text")).to_have_text(f"{count} of {of} looked at")


def test_a_decision_is_saved_and_there_after_a_reload(begin: Begin, reviewed: Reviewed) -> None:
    watched, all_of_them = begin(), len(reviewed.defects)
    page, first = watched.page, shown(watched.page)
    looked_at(page, 0, all_of_them)
    page.fill("#comment", "a joint, <script>window.hacked=3</script>")
    page.click("#reject")
    looked_at(page, 1, all_of_them)
    page.reload()
    page.wait_for_selector(READY, state="attached")
    looked_at(page, 1, all_of_them)
    assert "rejected" in row(page, first)
    page.click(f"#list button[data-id='{first}']")
    expect(page.locator("#reject")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#comment")).to_have_value("a joint, <script>window.hacked=3</script>")
    expect(page.locator("#standing")).to_contain_text(f"rejected by {REVIEWER}")
    log = reviewed.log()
    log.refresh()
    assert [(one.defect_id, one.verdict, one.reviewer) for one in log.all()] == [(first, "reject", REVIEWER)]
    # The reload breaks off what is fetched ahead, which is no complaint of the page.
    ahead = re.compile("request failed: .*/(pictures|api/defects)/")
    watched.complaints = [one for one in watched.complaints if not ahead.match(one)]
    watched.assert_quiet()


def test_a_stale_tab_is_told_who_was_first_and_loses_nothing(begin: Begin, reviewed: Reviewed) -> None:
    one, two = begin("Ada"), begin("Ben")
    first = shown(one.page)
    assert shown(two.page) == first
    one.page.click("#accept")
    looked_at(one.page, 1, len(reviewed.defects))
    two.page.fill("#comment", "paint, not rust")
    two.page.click("#reject")
    expect(two.page.locator("#message")).to_contain_text(f"Ada decided on {first} meanwhile: accepted")
    expect(two.page.locator("#comment")).to_have_value("paint, not rust")
    assert shown(two.page) == first
    log = reviewed.log()
    log.refresh()
    assert [(d.verdict, d.reviewer) for d in log.history(first)] == [("accept", "Ada")]
    two.page.click("#reject")
    # One is looked at already, by Ada: that Ben's decision is saved shows when his page goes on.
    expect(two.page.locator("#sheet")).not_to_have_attribute("data-id", first)
    looked_at(two.page, 1, len(reviewed.defects))
    log.refresh()
    assert [(d.verdict, d.reviewer, d.comment) for d in log.history(first)] == [
        ("accept", "Ada", ""),
        ("reject", "Ben", "paint, not rust"),
    ]
    two.page.click(f"#list button[data-id='{first}']")
    expect(two.page.locator("#history li")).to_have_count(2)


def test_two_tabs_decide_on_different_defects_and_both_see_both(begin: Begin, reviewed: Reviewed) -> None:
    one, two = begin("Ada"), begin("Ben")
    first = shown(one.page)
    two.page.keyboard.press("j")
    expect(two.page.locator("#sheet")).not_to_have_attribute("data-id", first)
    second = shown(two.page)
    two.page.keyboard.press("r")
    looked_at(two.page, 1, len(reviewed.defects))
    one.page.keyboard.press("a")
    looked_at(one.page, 2, len(reviewed.defects))
    assert "accepted" in row(one.page, first)
    assert "rejected" in row(one.page, second)


def test_the_keyboard_alone_goes_through_the_list(begin: Begin, reviewed: Reviewed) -> None:
    page = begin().page
    order = page.locator("#list button").evaluate_all("all => all.map((one) => one.dataset.id)")
    assert sorted(order) == sorted(one.id for one in reviewed.defects)
    sheet = page.locator("#sheet")
    page.keyboard.press("j")
    expect(sheet).to_have_attribute("data-id", order[1])
    page.keyboard.press("k")
    expect(sheet).to_have_attribute("data-id", order[0])
    for number, key in enumerate("arc"):
        page.keyboard.press(key)
        expect(sheet).to_have_attribute("data-id", order[number + 1])
    page.keyboard.press("e")
    page.keyboard.type("jarring")
    expect(page.locator("#comment")).to_have_value("jarring")
    expect(sheet).to_have_attribute("data-id", order[3])
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(page.locator("#outline")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#picture")).to_have_attribute("src", re.compile("/plain/"))
    log = reviewed.log()
    log.refresh()
    assert {d.defect_id: d.verdict for d in log.all()} == dict(
        zip(order[:3], ("accept", "reject", "reclass"), strict=True)
    )


def test_hostile_names_are_text_and_no_request_leaves_the_page(begin: Begin, address: str) -> None:
    watched = begin()
    page = watched.page
    assert HOSTILE in page.locator("#list h2").all_inner_texts()
    page.select_option("#filter-structure", label=HOSTILE)
    page.keyboard.press("a")
    expect(page.locator("#progress-text")).to_contain_text("1 of")
    expect(page.locator("#headline")).to_contain_text("<img src=x")
    assert page.locator("main img").count() == 1
    assert all(url.startswith(address) for url in watched.requests)
    watched.assert_quiet()


def test_the_filters_leave_what_they_say_and_the_picture_is_there(begin: Begin, reviewed: Reviewed) -> None:
    page = begin().page
    page.select_option("#filter-class", "rust")
    patches = [one.id for one in reviewed.defects if one.crack is None]
    ids = page.locator("#list button").evaluate_all("all => all.map((one) => one.dataset.id)")
    assert sorted(ids) == sorted(patches)
    page.select_option("#filter-decision", "none")
    expect(page.locator("#sheet")).to_have_attribute("data-id", ids[0])
    page.keyboard.press("a")
    expect(page.locator("#list button")).to_have_count(len(patches) - 1)
    expect(page.locator("#picture")).to_have_attribute("data-loading", "false")
    assert page.locator("#picture").evaluate("one => one.naturalWidth") >= 300


def test_the_report_is_issued_and_opens_with_the_reviewers_name(begin: Begin, open_page: Open, address: str) -> None:
    page = begin("Ada").page
    page.keyboard.press("r")
    expect(page.locator("#progress-text")).to_contain_text("1 of")
    page.click("#issue")
    expect(page.locator("#issued a")).to_have_text("Revision 1")
    watched = open_page(address.rstrip("/") + str(page.locator("#issued a").get_attribute("href")))
    expect(watched.page.locator("main")).to_contain_text("reviewed by Ada, 1 of")
    watched.page.click("td.links a >> nth=0")
    expect(watched.page.locator("#review")).to_have_text("Review")
    assert watched.strangers == []
    assert watched.dialogs == []


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (400, 900)])
def test_the_page_is_fit_for_everybody_and_for_a_telephone(
    open_page: Open, address: str, screenshots: Path, width: int, height: int
) -> None:
    # The page's own policy allows no foreign script; the engine that looks at it is one.
    page = open_page(address, width=width, height=height, bypass_csp=True).page
    page.wait_for_selector(READY, state="attached")
    for name in ("asking", "deciding"):
        page.screenshot(path=screenshots / f"review-{name}-{width}.png")
        found = Axe().run(page).response["violations"]
        told = [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == [], told
        page.evaluate("document.getElementById('ask').close()")
        expect(page.locator("#picture")).to_have_attribute("data-loading", "false")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
