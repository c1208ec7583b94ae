"""A page of a browser with a record of everything that it must not do."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Page, Request

_LOCAL = ("file", "data", "blob")


@dataclass
class Watched:
    """A page and what happened on it since it was opened."""

    page: Page
    origin: str
    """Start of the addresses that are the site's own: ``file://`` or ``http://127.0.0.1:…``."""
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Console errors and warnings, breaches of the content security policy among them, and uncaught exceptions."""
    dialogs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._on_request)
        self.page.on("console", lambda message: self._on_console(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"request failed: {request.url[:200]}"))

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _on_console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    @property
    def strangers(self) -> list[str]:
        """Requests that left the site."""
        return [url for url in self.requests if urlsplit(url).scheme not in _LOCAL and not url.startswith(self.origin)]

    def assert_quiet(self) -> None:
        """Nothing complained, nothing asked the user, no request left the site."""
        assert self.complaints == []
        assert self.dialogs == []
        assert self.strangers == []
        assert self.page.evaluate("window.hacked") is None
