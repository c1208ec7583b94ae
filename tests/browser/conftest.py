"""The system's Chromium, a small published run, and its pages from disk and from a static server."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.survey import write_survey
from tests.browser.watched import Watched

NAMES_OF_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
)
PATIENCE_MS = 60_000
Open = Callable[..., Watched]


def path_of_chromium() -> str | None:
    """The system's browser; None where there is none."""
    return next((found for name in NAMES_OF_CHROMIUM if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    path = path_of_chromium()
    if path is None:
        pytest.skip(f"needs one of {', '.join(NAMES_OF_CHROMIUM)} on the path (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def run_folder(prefect: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run published by the flow: several rasters, awkward names, one structure that no raster shows."""
    from flows.inspect_survey import inspect_survey

    folder = tmp_path_factory.mktemp("browser")
    survey = write_survey(folder / "hostile-names", scale=0.2)
    settings = {"home": str(home), "results": str(folder / "results"), "block_px": 1024, "worst_count": 4}
    return Path(inspect_survey(str(survey), settings=settings).results)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def served(run_folder: Path) -> Iterator[str]:
    """Address of a static server of the run's folder on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(run_folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture(scope="session", params=["from-disk", "from-a-static-server"])
def site(request: pytest.FixtureRequest, run_folder: Path) -> str:
    """Where the pages are opened from."""
    return run_folder.as_uri() if request.param == "from-disk" else str(request.getfixturevalue("served"))


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Opens a page by its address and watches it; closed with the test."""
    contexts = []

    def opened(url: str, *, width: int = 1280, height: int = 900, **options: Any) -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        watched = Watched(context.new_page(), url if url.startswith("file:") else "/".join(url.split("/")[:3]))
        answer = watched.page.goto(url, wait_until="load")
        assert answer is not None, url
        assert answer.ok, f"{url}: {answer.status}"
        return watched

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for pictures of the pages: `SPANSCAN_SCREENSHOTS`, which CI keeps, or a temporary one."""
    chosen = os.environ.get("SPANSCAN_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
