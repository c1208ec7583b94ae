"""``spanscan review``: the page's answers, the report issued anew, decisions as masks that `spanscan train` takes."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.review import review_page
from flows.settings import Settings
from tests.tasks.cluster.test_tls import Authority
from tests.tasks.review.runs import Reviewed, opened, published_once

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_once(tmp_path_factory.mktemp("published"))


@pytest.fixture
def reviewed(published: Path, tmp_path: Path) -> Reviewed:
    return opened(published, tmp_path)


@contextmanager
def served(run: str, chosen: Settings) -> Iterator[httpx.Client]:
    """The page on loopback, as the command serves it, and a client that speaks as the page does."""
    page = review_page(run, chosen, reviewer=None)
    threading.Thread(target=page.run, daemon=True).start()
    address = page.address.rstrip("/")
    with httpx.Client(base_url=address, headers={"origin": address}, timeout=60) as client:
        for _ in range(600):
            try:
                client.get("/")
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        yield client


def served_here(reviewed: Reviewed, home: Path) -> AbstractContextManager[httpx.Client]:
    return served(reviewed.place.run.uri(""), Settings(review_port=0, home=home))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["review", *arguments])


def asked(defect_id: str, *, verdict: str = "accept", saw: int = 0, comment: str = "") -> dict[str, object]:
    return {"defect_id": defect_id, "verdict": verdict, "comment": comment, "reviewer": "Ada", "saw": saw}


def test_a_decision_made_on_the_page_is_there_for_the_next_server(reviewed: Reviewed, tmp_path: Path) -> None:
    first, second = reviewed.defects[:2]
    with served_here(reviewed, tmp_path) as page:
        overview = page.get("/api/review").json()
        assert (overview["looked_at"], overview["all"]) == (0, len(reviewed.defects))
        assert {one["id"] for one in overview["defects"]} == {one.id for one in reviewed.defects}
        made = page.post("/api/decisions", json=asked(first.id, comment="a joint")).json()
        assert (made["looked_at"], made["decision"]["comment"]) == (1, "a joint")
        stale = page.post("/api/decisions", json=asked(first.id, verdict="reject"))
        assert stale.status_code == 409
        assert stale.json()["decisions"][first.id]["verdict"] == "accept"
        page.post("/api/decisions", json=asked(second.id, verdict="reclass"))
    with served_here(reviewed, tmp_path) as page:
        detail = page.get(f"/api/defects/{first.id}").json()
        assert [(one["verdict"], one["reviewer"]) for one in detail["history"]] == [("accept", "Ada")]
        assert page.get("/api/decisions").json()["looked_at"] == 2
        for look in ("plain", "outlined"):
            picture = page.get(f"/pictures/{look}/{first.id}")
            assert picture.headers["content-type"] == "image/jpeg"
            assert picture.content[:2] == b"\xff\xd8"


@dataclass(frozen=True)
class Bad:
    id: str
    body: dict[str, object]


BAD = [
    Bad("a-field-too-many", {**asked("C-0001"), "decided_at": "2020-01-01"}),
    Bad("a-time-of-ones-own-for-a-count", {**asked("C-0001"), "saw": -1}),
    Bad("nobody", {**asked("C-0001"), "reviewer": "  "}),
    Bad("no-such-defect", asked("../../latest")),
    Bad("no-such-verdict", asked("C-0001", verdict="erase")),
]


def test_what_is_no_decision_is_refused_with_a_reason(reviewed: Reviewed, tmp_path: Path) -> None:
    with served_here(reviewed, tmp_path) as page:
        for bad in BAD:
            assert page.post("/api/decisions", json=bad.body).status_code == 422, bad.id
        assert page.get("/api/decisions").json()["looked_at"] == 0
        for path in ("/api/defects/C-9999", "/pictures/plain/C-9999"):
            assert page.get(path).json()["code"] == "E_DECISION"
        for path in ("/runs/x/../../latest.json", "/runs/x/masks.zarr/zarr.json", "/assets/app.py", "/openapi.json"):
            assert page.get(path).status_code == 404, path
        assert page.get("/revisions/1/index.html").status_code == 404


def test_the_report_is_issued_from_the_page_and_from_the_command(reviewed: Reviewed, tmp_path: Path) -> None:
    with served_here(reviewed, tmp_path) as page:
        page.post("/api/decisions", json=asked(reviewed.defects[0].id, verdict="reject"))
        assert page.post("/api/revisions", json={}).json() == {
            "revision": 1, "decisions": 1, "defects": len(reviewed.defects),
        }  # fmt: skip
        index = page.get("/revisions/1/index.html")
        assert "Revision 1, issued on" in index.text
        assert index.headers["content-security-policy"].startswith("sandbox")
        assert page.get(f"/runs/{reviewed.place.run_key}/index.html").status_code == 200
    result = run(reviewed.place.run.uri(""), "--issue", "--json")
    assert result.exit_code == 0, result.stderr
    revision = json.loads(result.stdout)
    assert (revision["number"], revision["decisions"], revision["reviewers"]) == (2, 1, ["Ada"])
    assert Path(revision["uri"], "index.html").is_file()


def test_exported_masks_train_a_net(reviewed: Reviewed, tmp_path: Path) -> None:
    log = reviewed.log()
    for number, defect in enumerate(reviewed.defects):
        verdict = ("accept", "reject", "reclass")[number % 3]
        log.decide(defect.id, verdict, comment="", reviewer="Ada", saw=0)  # type: ignore[arg-type]
    out = tmp_path / "masks"
    result = run(reviewed.place.run.uri(""), "--export-masks", str(out))
    assert result.exit_code == 0, result.stderr
    commands = [line.split() for line in result.stdout.splitlines() if line.strip().startswith("spanscan train")]
    assert [words[-1] for words in commands] == ["crack", "rust"]
    folders = [word for words in commands for word in words[2:]]
    small = "--synthetic-share 0 --model unet --set base_channels=4 --set depth=2 --steps 2 --batch 2 --crop-px 64"
    trained = CliRunner().invoke(app, ["train", *folders, *small.split(), "--out", str(tmp_path / "weights")])
    assert trained.exit_code == 0, trained.stderr
    assert Path(trained.stdout.strip().splitlines()[-1]).is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("{folder}", 3, "E_NO_RUN"),
        ("{run} --issue --export-masks x", 2, "at most"),
        ("{run} --export-masks {folder}/new", 3, "E_NO_DECISIONS"),
        ("{run} --host 203.0.113.7", 2, "E_PORT"),
        ("{run} --certificate {folder}/a.pem", 2, "the certificate alone"),
        ("{run} --certificate {folder}/a.pem --key {folder}/b.pem", 2, "E_SETTING"),
    ],
    ids=[
        "no-run",
        "two-things-at-once",
        "no-decision",
        "an-address-of-somebody-else",
        "a-certificate-without-its-key",
        "certificates-that-are-not-there",
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: str, code: int, said: str, reviewed: Reviewed, tmp_path: Path
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    told = run(*arguments.format(folder=folder, run=reviewed.place.run.uri("")).split())
    assert told.exit_code == code
    assert said in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


def test_bound_beyond_this_machine_the_page_wants_the_token_of_its_address_and_says_that_it_is_in_the_clear(
    reviewed: Reviewed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = review_page(
        reviewed.place.run.uri(""), Settings(review_port=0, review_host="0.0.0.0", home=tmp_path), reviewer=None
    )
    assert "WITHOUT encryption" in caplog.text
    threading.Thread(target=page.run, daemon=True).start()
    address, _, token = page.address.partition("?token=")
    assert len(token) >= 43
    port = address.rstrip("/").rpartition(":")[2]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert answered(client).status_code == 401
        assert client.get(f"/?token={token}", follow_redirects=True).status_code == 200
        assert client.get("/api/review").status_code == 200


def test_with_a_certificate_the_page_is_encrypted_and_the_token_never_leaves_it(
    reviewed: Reviewed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = Authority(tmp_path / "authority")
    chosen = Settings(
        review_port=0, review_host="0.0.0.0", home=tmp_path, review_certificate=own.cert_file, review_key=own.key_file
    )
    page = review_page(reviewed.place.run.uri(""), chosen, reviewer=None)
    assert "WITHOUT encryption" not in caplog.text
    threading.Thread(target=page.run, daemon=True).start()
    address, _, token = page.address.partition("?token=")
    assert address.startswith("https://")
    trusting = ssl.create_default_context(cafile=str(own.ca_file))
    trusting.check_hostname = False  # the certificate names another host
    port = address.rstrip("/").rpartition(":")[2]
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", timeout=60, verify=trusting) as client:
        assert answered(client).status_code == 401
        opened = client.get(f"/?token={token}")
        assert "secure" in opened.headers["set-cookie"].lower()
        assert client.get("/api/review").status_code == 200


def answered(client: httpx.Client) -> httpx.Response:
    """The first answer of a server that is starting."""
    for _ in range(600):
        try:
            return client.get("/api/review")
        except httpx.ConnectError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")
