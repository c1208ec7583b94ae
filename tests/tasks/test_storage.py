"""What folders, networks and wrong addresses do to a storage; the laws that all obey stand in tests/storage."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from segmentation.errors import RunFailed, SpanscanError, UsageError
from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tasks.storage import Storage, check_key, open_storage
from tests.storage.pins import pin
from tests.tasks.faulty_s3 import FaultyS3, faulty_s3

OPAQUE = "application/octet-stream"


@pytest.fixture
def bucket(s3_server: EmbeddedS3, request: pytest.FixtureRequest) -> str:
    name = f"test-{abs(hash(request.node.nodeid)) % 10**12}"
    s3_client(endpoint_url=s3_server.endpoint_url, region=None).create_bucket(Bucket=name)
    return name


class TestFolder:
    def test_a_write_that_fails_leaves_no_file_and_the_old_content(self, tmp_path: Path) -> None:
        storage = open_storage(str(tmp_path), endpoint_url=None, region=None)
        storage.write("k", b"old", content_type=OPAQUE)
        with pytest.raises(TypeError):
            storage.write("k", "no bytes", content_type=OPAQUE)  # type: ignore[arg-type]
        assert storage.read("k") == b"old"
        assert [p.name for p in tmp_path.iterdir()] == ["k"]

    def test_a_folder_that_may_not_be_written_names_itself(self, tmp_path: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        (tmp_path / "closed").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(RunFailed) as failed:
            open_storage(str(tmp_path / "closed"), endpoint_url=None, region=None).write("k", b"", content_type=OPAQUE)
        assert failed.value.code == "E_ACCESS"


class TestNetworkFaults:
    @pytest.fixture
    def proxy(self, s3_server: EmbeddedS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
        monkeypatch.setattr("tasks.s3_client._LONGEST_PAUSE_S", 0.01)
        with faulty_s3(s3_server.endpoint_url) as proxy:
            yield proxy

    @pytest.fixture
    def far(self, proxy: FaultyS3, bucket: str) -> Storage:
        return open_storage(f"s3://{bucket}/p", endpoint_url=proxy.endpoint_url, region=None)

    def test_a_lost_answer_to_the_swap_is_told_as_the_success_it_was(self, proxy: FaultyS3, far: Storage) -> None:
        proxy.plan("PUT", "lose-answer")
        assert far.swap("latest.json", b"mine", expected=None).swapped
        assert far.read("latest.json") == b"mine"
        assert not far.swap("latest.json", b"mine", expected=None).swapped

    def test_a_lost_answer_to_a_replacing_swap_is_told_as_the_success_it_was(
        self, proxy: FaultyS3, far: Storage
    ) -> None:
        before = far.write("latest.json", b"old", content_type=OPAQUE)
        proxy.plan("PUT", "lose-answer", "lose-answer")
        outcome = far.swap("latest.json", b"new", expected=before)
        assert outcome.swapped
        assert outcome.etag == far.head("latest.json").etag

    @pytest.mark.parametrize("faults", [["cut-body"], ["flip-byte"], ["503", "500"], ["cut-body", "503", "cut-body"]])
    def test_what_arrives_after_faults_is_what_was_sent(
        self, proxy: FaultyS3, far: Storage, tmp_path: Path, faults: list[str]
    ) -> None:
        data = os.urandom(300_000)
        far.write("k", data, content_type=OPAQUE)
        pinned = pin(far, "k")
        proxy.plan("GET", *faults)
        assert far.read("k") == data
        proxy.plan("GET", *faults)
        far.download(pinned, tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == data

    def test_a_server_that_stays_broken_is_asked_a_bounded_number_of_times(
        self, proxy: FaultyS3, far: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("time.sleep", lambda _: None)
        proxy.plan("GET", *["503"] * 50)
        with pytest.raises(RunFailed) as failed:
            far.read("k")
        assert failed.value.code == "E_S3_UNAVAILABLE"
        assert len(proxy.requests) <= 10

    @pytest.mark.parametrize(
        ("method", "permission"), [("GET", "s3:GetObject"), ("PUT", "s3:PutObject"), ("DELETE", "s3:DeleteObject")]
    )
    def test_denied_access_fails_at_once_and_names_the_permission(
        self, proxy: FaultyS3, far: Storage, method: str, permission: str
    ) -> None:
        proxy.plan(method, *["403"] * 10)
        calls: dict[str, Callable[[], object]] = {
            "GET": lambda: far.read("k"),
            "PUT": lambda: far.write("k", b"", content_type=OPAQUE),
            "DELETE": lambda: far.delete("k"),
        }
        with pytest.raises(RunFailed) as failed:
            calls[method]()
        assert (failed.value.code, len(proxy.requests)) == ("E_ACCESS", 1)
        assert permission in str(failed.value)


@dataclass(frozen=True)
class Address:
    """An address that cannot work, and the code that says why."""

    uri: str
    endpoint_url: str | None
    code: str
    words: str


@pytest.mark.parametrize(
    "case",
    [
        Address("s3://no-such-bucket-here/x", "server", "E_NO_BUCKET", "no-such-bucket-here"),
        Address("s3://bucket/x", "http://127.0.0.1:9", "E_S3_UNREACHABLE", "SPANSCAN_S3_ENDPOINT_URL"),
        Address("s3://bucket/x", "not a url", "E_S3_ENDPOINT", "SPANSCAN_S3_ENDPOINT_URL"),
        Address("s3://B!/x", "server", "E_URI", "B!"),
        Address("s3://", "server", "E_URI", "bucket"),
        Address("ftp://host/x", "server", "E_URI", "ftp"),
        Address("s3://bucket/a/../b", "server", "E_KEY", ".."),
        Address("", "server", "E_KEY", "empty"),
    ],
    ids=lambda case: case.uri or "empty",
)
def test_an_address_that_cannot_work_is_told_in_one_line(s3_server: EmbeddedS3, case: Address) -> None:
    endpoint_url = s3_server.endpoint_url if case.endpoint_url == "server" else case.endpoint_url
    with pytest.raises(SpanscanError) as failed:
        list(open_storage(case.uri, endpoint_url=endpoint_url, region=None).list("", recursive=False))
    assert failed.value.code == case.code
    assert case.words in str(failed.value)
    assert "\n" not in str(failed.value)


def test_missing_credentials_are_named(s3_server: EmbeddedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(RunFailed) as failed:
        # A region of its own, since the client of this process is kept by endpoint and region.
        open_storage("s3://bucket", endpoint_url=s3_server.endpoint_url, region="eu-north-1").read("k")
    assert failed.value.code == "E_CREDENTIALS"
    assert "AWS_ACCESS_KEY_ID" in str(failed.value)


def test_an_unknown_profile_is_told_as_missing_credentials(
    s3_server: EmbeddedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SpanscanError) as failed:
        open_storage("s3://bucket", endpoint_url=s3_server.endpoint_url, region="eu-north-2").read("k")
    assert failed.value.code == "E_CREDENTIALS"


def test_a_wrong_use_of_a_setting_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        open_storage("gs://bucket", endpoint_url=None, region=None)


def test_a_good_key_is_given_back_unchanged() -> None:
    assert check_key("a b/c+%.tif") == "a b/c+%.tif"
