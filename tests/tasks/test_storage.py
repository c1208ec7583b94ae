"""One set of laws for S3 and for folders; then what only networks do."""

import os
import pickle
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from segmentation.errors import InputRejected, RunFailed, SpanscanError, UsageError
from segmentation.records import SourceObject
from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tasks.storage import Storage, check_key, open_storage
from tests.tasks.faulty_s3 import FaultyS3, faulty_s3

OPAQUE = "application/octet-stream"
AWKWARD_KEYS = [
    "bridge 7/deck.tif",
    "a+b.tif",
    "a%20b.tif",
    "a%2Fb.tif",
    "a#b?c=d&e.tif",
    "quotes'\"`.tif",
    "<script>.tif",
    "Br\u00fccke.tif",
    "Bru\u0308cke.tif",
    "\u6a4b.tif",
    "a;b,c:d=e@f!$*().tif",
    "back\\slash.tif",
    "..hidden..tif",
]


@pytest.fixture
def bucket(s3_server: EmbeddedS3, request: pytest.FixtureRequest) -> str:
    name = f"test-{abs(hash(request.node.nodeid)) % 10**12}"
    s3_client(endpoint_url=s3_server.endpoint_url, region=None).create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["s3", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "results"), endpoint_url=None, region=None)
    server: EmbeddedS3 = request.getfixturevalue("s3_server")
    return open_storage(
        f"s3://{request.getfixturevalue('bucket')}/some prefix", endpoint_url=server.endpoint_url, region=None
    )


def pin(storage: Storage, key: str) -> SourceObject:
    found = storage.head(key)
    return SourceObject(storage.uri(key), found.size_bytes, found.etag, found.version_id, sha256="")


class TestLaws:
    @pytest.mark.parametrize("key", AWKWARD_KEYS)
    def test_what_is_written_under_an_awkward_key_is_read_back_and_listed_under_it(
        self, storage: Storage, key: str
    ) -> None:
        storage.write("another.tif", b"another", content_type=OPAQUE)
        storage.write(key, key.encode(), content_type=OPAQUE)
        assert storage.read(key) == key.encode()
        assert storage.head(key).size_bytes == len(key.encode())
        assert [o.key for o in storage.list("", recursive=True)] == sorted({key, "another.tif"}, key=str.encode)

    @pytest.mark.parametrize(
        "key", ["", "/a", "../a", "a/../b", "a/./b", ".", "a//b", "a/", "a\0b", "a\nb", "a\x7fb", "a\ud800", "x" * 1025]
    )
    def test_a_key_that_could_mean_another_object_is_refused_everywhere(self, storage: Storage, key: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: storage.read(key),
            lambda: storage.head(key),
            lambda: storage.exists(key),
            lambda: storage.delete(key),
            lambda: storage.write(key, b"", content_type=OPAQUE),
            lambda: storage.swap(key, b"", expected=None),
        ]
        calls += [lambda: storage.uri(key)] if key else []
        for call in calls:
            with pytest.raises(InputRejected) as refused:
                call()
            assert refused.value.code == "E_KEY"
            assert "\n" not in str(refused.value)

    def test_a_missing_object_is_not_found_and_its_deletion_changes_nothing(self, storage: Storage) -> None:
        storage.delete("nothing")
        assert not storage.exists("nothing")
        for call in (storage.read, storage.head):
            with pytest.raises(InputRejected) as refused:
                call("nothing")
            assert refused.value.code == "E_NOT_FOUND"

    def test_a_second_write_replaces_the_first_and_a_deletion_removes_it(self, storage: Storage) -> None:
        first = storage.write("k", b"one", content_type=OPAQUE)
        second = storage.write("k", b"three", content_type=OPAQUE)
        assert storage.read("k") == b"three"
        assert first != second == storage.head("k").etag
        storage.delete("k")
        assert not storage.exists("k")

    def test_a_listing_stays_in_its_prefix_and_goes_down_only_when_asked(self, storage: Storage) -> None:
        for key in ("a.tif", "sub/b.tif", "sub/deep/c.tif", "subway.tif"):
            storage.write(key, b"x", content_type=OPAQUE)
        assert [o.key for o in storage.list("", recursive=False)] == ["a.tif", "subway.tif"]
        assert [o.key for o in storage.list("sub/", recursive=True)] == ["sub/b.tif", "sub/deep/c.tif"]
        assert [o.key for o in storage.child("sub").list("", recursive=False)] == ["b.tif"]
        assert storage.child("sub").read("deep/c.tif") == b"x"
        assert list(storage.list("nowhere/", recursive=True)) == []

    def test_a_pickled_storage_reaches_the_same_objects(self, storage: Storage) -> None:
        storage.write("k", b"x", content_type=OPAQUE)
        again = pickle.loads(pickle.dumps(storage))
        assert again == storage
        assert again.read("k") == b"x"

    def test_an_uploaded_file_is_downloaded_with_its_sha256(self, storage: Storage, tmp_path: Path) -> None:
        data = bytes(range(256)) * 80_000  # 20 MB: more than one part
        (tmp_path / "up").write_bytes(data)
        storage.upload(tmp_path / "up", "big file.tif")
        sha256 = storage.download(pin(storage, "big file.tif"), tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == data
        assert len(sha256) == 64

    def test_a_pinned_object_that_was_replaced_is_not_downloaded(self, storage: Storage, tmp_path: Path) -> None:
        storage.write("k", b"one", content_type=OPAQUE)
        pinned = pin(storage, "k")
        storage.write("k", b"two", content_type=OPAQUE)
        with pytest.raises(RunFailed) as failed:
            storage.download(pinned, tmp_path / "down")
        assert failed.value.code == "E_CHANGED"

    def test_a_pinned_object_that_was_deleted_has_changed(self, storage: Storage, tmp_path: Path) -> None:
        storage.write("k", b"one", content_type=OPAQUE)
        pinned = pin(storage, "k")
        storage.delete("k")
        with pytest.raises(RunFailed) as failed:
            storage.download(pinned, tmp_path / "down")
        assert failed.value.code == "E_CHANGED"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
    def test_a_full_disk_is_told_with_what_is_needed_and_what_is_free(self, storage: Storage) -> None:
        storage.write("k", bytes(5_000_000), content_type=OPAQUE)
        with pytest.raises(RunFailed) as failed:
            storage.download(pin(storage, "k"), Path("/dev/full"))
        assert failed.value.code == "E_DISK_FULL"
        assert "bytes free" in str(failed.value)

    def test_the_address_of_the_whole_leads_back_to_it(self, storage: Storage, s3_server: EmbeddedS3) -> None:
        again = open_storage(storage.uri(""), endpoint_url=getattr(storage, "endpoint_url", None), region=None)
        assert again == storage

    def test_a_swap_needs_the_expected_tag(self, storage: Storage) -> None:
        assert not storage.swap("latest.json", b"0", expected="another").swapped
        first = storage.swap("latest.json", b"1", expected=None)
        assert first.swapped
        again = storage.swap("latest.json", b"2", expected=None)
        assert (again.swapped, again.etag) == (False, first.etag)
        second = storage.swap("latest.json", b"2", expected=first.etag)
        assert second.swapped
        assert second.etag == storage.head("latest.json").etag != first.etag
        assert not storage.swap("latest.json", b"3", expected=first.etag).swapped
        assert storage.read("latest.json") == b"2"

    @pytest.mark.parametrize("is_first", [True, False], ids=["no-pointer-yet", "a-pointer-is-replaced"])
    def test_of_many_swaps_at_once_exactly_one_is_told_success(self, storage: Storage, is_first: bool) -> None:
        expected = None if is_first else storage.write("latest.json", b"old", content_type=OPAQUE)
        start = threading.Barrier(8)

        def swap(number: int) -> bool:
            start.wait()
            return storage.swap("latest.json", b"%d" % number, expected=expected).swapped

        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(swap, range(8)))
        assert told.count(True) == 1
        assert storage.read("latest.json") == b"%d" % told.index(True)

    def test_equal_pointers_swapped_at_once_are_still_one_success(self, storage: Storage) -> None:
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda _: storage.swap("latest.json", b"same", expected=None).swapped, range(8)))
        assert told.count(True) == 1

    def test_swaps_in_a_row_always_change_the_tag(self, storage: Storage) -> None:
        # Same length, within one tick of a file system's clock: only the tag tells them apart.
        tags = [storage.swap("latest.json", b"00", expected=None).etag]
        for number in range(1, 20):
            tags.append(storage.swap("latest.json", b"%02d" % number, expected=tags[-1]).etag)
        assert None not in tags
        assert len(set(tags)) == 20


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
