"""Who may talk to the page: case by case, through the whole application's guard."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tasks.review.page.guard import MOST_BODY_BYTES, TOKEN_HEADER, Access, Guard, is_loopback, new_token

PORT = 4280
HOST = f"127.0.0.1:{PORT}"
JSON = "application/json"


def client_of(host: str = "127.0.0.1", token: str | None = None) -> TestClient:
    app = FastAPI(openapi_url=None)

    @app.get("/")
    def page() -> dict[str, str]:
        return {"page": "here"}

    @app.post("/api/decisions")
    def decide(asked: dict[str, str]) -> dict[str, str]:
        return asked

    return TestClient(Guard(app, Access(host, PORT, token)), base_url=f"http://{HOST}", follow_redirects=False)


@dataclass(frozen=True)
class Post:
    id: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


GOOD = {"origin": f"http://{HOST}", "content-type": JSON}
POSTS = [
    Post("from-the-page-itself", 200, GOOD),
    Post("with-a-charset", 200, GOOD | {"content-type": "application/json; charset=utf-8"}),
    Post("from-another-site", 403, GOOD | {"origin": "https://evil.example"}),
    Post("from-another-port-of-this-machine", 403, GOOD | {"origin": "http://127.0.0.1:9999"}),
    Post("from-a-page-without-an-origin", 403, GOOD | {"origin": "null"}),
    Post("from-no-page", 403, {"content-type": JSON}),
    Post("said-to-be-of-another-site-by-the-browser", 403, GOOD | {"sec-fetch-site": "cross-site"}),
    Post("as-a-form-would-send-it", 415, GOOD | {"content-type": "text/plain"}),
    Post("too-large-by-its-own-word", 413, GOOD, b'"' + b"x" * MOST_BODY_BYTES + b'"'),
]


@pytest.mark.parametrize("case", POSTS, ids=lambda case: case.id)
def test_a_decision_is_taken_only_from_the_page(case: Post) -> None:
    answer = client_of().post("/api/decisions", content=case.body, headers=case.headers)
    assert answer.status_code == case.status


def test_a_body_that_does_not_say_its_length_is_cut_off() -> None:
    def endless() -> object:
        for _ in range(100):
            yield b"x" * 1000

    answer = client_of().post("/api/decisions", content=endless(), headers=GOOD)  # type: ignore[arg-type]
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (HOST, 200), (f"localhost:{PORT}", 200), (f"LOCALHOST:{PORT}", 200), (f"[::1]:{PORT}", 200),
        (f"evil.example:{PORT}", 421), ("127.0.0.1", 421), ("127.0.0.1:80", 421),
        (f"127.0.0.1.evil.example:{PORT}", 421),
        (f"10.0.0.7:{PORT}", 421), ("", 421), (f"127.0.0.1:{PORT}9999999", 421),
    ],
)  # fmt: skip
def test_a_name_that_was_pointed_at_this_machine_is_not_it(host: str, status: int) -> None:
    assert client_of().get("/", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("bound", "host", "status"),
    [
        ("0.0.0.0", f"10.0.0.7:{PORT}", 200),
        ("0.0.0.0", f"evil.example:{PORT}", 421),
        ("10.0.0.7", f"10.0.0.7:{PORT}", 200),
        ("10.0.0.7", f"10.0.0.8:{PORT}", 421),
        ("::", f"[fe80::1]:{PORT}", 200),
    ],
)
def test_bound_elsewhere_it_is_known_by_its_number(bound: str, host: str, status: int) -> None:
    answer = client_of(bound, "secret").get("/", headers={"host": host, TOKEN_HEADER: "secret"})
    assert answer.status_code == status


def test_without_its_token_nothing_is_told_and_with_it_a_cookie_holds_it() -> None:
    token = new_token()
    client = client_of(token=token)
    for answer in (
        client.get("/"),
        client.get("/?token=wrong"),
        client.get("/", headers={TOKEN_HEADER: token[:-1]}),
        client.get("/", headers={TOKEN_HEADER: "é".encode()}),
        client.post("/api/decisions", content=b"{}", headers=GOOD),
    ):
        assert answer.status_code == 401
        assert token not in answer.text
    opened = client.get(f"/?token={token}")
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/").status_code == 200
    assert client.post("/api/decisions", content=b"{}", headers=GOOD).status_code == 200


def test_tokens_are_long_and_never_twice_the_same() -> None:
    tokens = {new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 43


@pytest.mark.parametrize("ask", [lambda c: c.get("/"), lambda c: c.get("/none"), lambda c: c.put("/")])
def test_every_answer_forbids_what_a_stranger_could_use(ask: Callable[[TestClient], object]) -> None:
    headers = ask(client_of()).headers  # type: ignore[attr-defined]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.7", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_loopback_is_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@dataclass(frozen=True)
class Named:
    id: str
    access: Access
    host: str
    is_known: bool


NAMED = [
    Named("by-a-name-in-the-clear", Access("0.0.0.0", 80, "t"), "reports.example", False),
    Named(
        "by-a-name-that-its-certificate-bears", Access("0.0.0.0", 443, "t", is_encrypted=True), "reports.example", True
    ),
    Named("at-another-port", Access("0.0.0.0", 4280, "t", is_encrypted=True), "reports.example", False),
    Named("by-a-strange-name-on-loopback", Access("127.0.0.1", 443, None, is_encrypted=True), "evil.example", False),
]


@pytest.mark.parametrize("case", NAMED, ids=lambda case: case.id)
def test_the_page_is_called(case: Named) -> None:
    assert case.access.knows_host(case.host) is case.is_known
