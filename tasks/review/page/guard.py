"""Who may talk to the page: the right host, the right token, the page itself, and no more than a decision's bytes."""

import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from fastapi.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY_BYTES: Final = 32_768
TOKEN_HEADER: Final = "x-spanscan-token"
_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_ISSUED_POLICY: Final = "sandbox allow-scripts allow-popups; frame-ancestors 'none'"
"""For reports, which bear a policy of their own: nothing in one may act as the page."""
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether an address to bind to is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request must bring."""

    host: str
    """The address that is bound."""
    port: int
    token: str | None
    """None: bound to loopback, where none is asked for."""
    is_encrypted: bool = False
    """Whether the page is served by TLS."""

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token; ports share cookies."""
        return f"spanscan-review-{self.port}"

    def knows_host(self, header: str) -> bool:
        """Whether the Host header names this server: a page of a stranger's name that points here is not it.

        Bound to every address, any literal one will do, since only a name can be pointed elsewhere. Encrypted, the
        browser has held the name against the certificate before it asked.
        """
        name, port = _name_and_port(header, default=443 if self.is_encrypted else 80)
        if port != self.port:
            return False
        if self.is_encrypted and self.token is not None:
            return True
        if name in _LOOPBACK_NAMES or name == _bracketed(self.host):
            return True
        return self.host in ("0.0.0.0", "::") and _is_literal(name)

    def knows_token(self, given: str | None) -> bool:
        """Whether the token is right, in a time that tells nothing of how much of it is."""
        return self.token is None or hmac.compare_digest((given or "").encode(), self.token.encode())


class Guard:
    """ASGI middleware that refuses what `Access` does not allow, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        hardened = _hardened(send, _ISSUED_POLICY if _is_issued(scope["path"]) else _POLICY)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, hardened)
            return
        if scope["method"] == "POST":
            body = await _whole_body(receive)
            if body is None:
                await _too_large()(scope, receive, hardened)
                return
            receive = _replayed(body, receive)
        await self._app(scope, receive, hardened)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> Any:
        """The answer to a request that is refused or sent on; None for one that may pass."""
        access, method = self._access, scope["method"]
        if not access.knows_host(headers.get("host", "")):
            return _told(421, "open the page by the address that `spanscan review` printed")
        if method not in ("GET", "HEAD", "POST"):
            return _told(405, "the page takes GET and POST")
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [None])[0]
        if asked is not None and method == "GET" and access.token is not None and access.knows_token(asked):
            answer = RedirectResponse(scope["path"], status_code=303)
            answer.set_cookie(
                access.cookie, asked, httponly=True, samesite="strict", path="/", secure=access.is_encrypted
            )
            return answer
        if not access.knows_token(headers.get(TOKEN_HEADER) or _cookie(headers, access.cookie)):
            return _told(401, "open the page by the whole address that `spanscan review` printed, with its token")
        if method == "POST":
            return _refused_post(headers)
        return None


def _refused_post(headers: dict[str, str]) -> Any:
    # A browser states the origin with every POST; another site's page cannot forge it.
    if urlsplit(headers.get("origin", "")).netloc != headers.get("host"):
        return _told(403, "a decision must come from the page itself")
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return _told(403, "a decision must come from the page itself")
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return _told(415, "a decision must be sent as application/json")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
        return _too_large()
    return None


def _too_large() -> PlainTextResponse:
    return _told(413, f"a request must hold at most {MOST_BODY_BYTES} bytes")


def _told(status: int, words: str) -> PlainTextResponse:
    return PlainTextResponse(f"{words}\n", status_code=status)


async def _whole_body(receive: Receive) -> bytes | None:
    """The body of a request, which need not say its length; None where it is larger than any decision."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MOST_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _hardened(send: Send, policy: str) -> Send:
    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {**_HEADERS, "content-security-policy": policy}
            kept = [(key, value) for key, value in message["headers"] if key.decode("latin-1").lower() not in own]
            message["headers"] = [*kept, *((key.encode(), value.encode()) for key, value in own.items())]
        await send(message)

    return hardened


def _is_issued(path: str) -> bool:
    return path.startswith(("/revisions/", "/runs/"))


def _cookie(headers: dict[str, str], name: str) -> str | None:
    found = SimpleCookie(headers.get("cookie", "")).get(name)
    return None if found is None else found.value


def _name_and_port(header: str, *, default: int) -> tuple[str, int]:
    name, colon, port = header.rpartition(":")
    if not colon or port.endswith("]"):
        return header.lower(), default
    return name.lower(), int(port) if port.isdecimal() and len(port) < 6 else -1


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()


def _is_literal(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
