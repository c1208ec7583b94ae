"""One control for all rows of the inputs, and a server that nobody may ask."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.browser.conftest import chromium, open_page
from tests.scorecard.inputs import Control
from tests.scorecard.killed_surveys import local_place
from tests.scorecard.killed_worlds import World, undisturbed

__all__ = ["chromium", "open_page"]


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Control:
    """The good survey, inspected once before the rows and again after each group of them."""
    return Control(tmp_path_factory.mktemp("control"))


@pytest.fixture(scope="session")
def asked() -> Iterator[tuple[str, list[str]]]:
    """An HTTP server's address and what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/x", paths
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def in_folders(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A survey in a folder whose older upload is published, and what becomes of the newer one."""
    folder = tmp_path_factory.mktemp("killed")
    return undisturbed(local_place(folder), folder / "told.json")
