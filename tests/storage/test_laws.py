"""One set of laws for folders and for each S3 server, in buckets with versions and without."""

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segmentation.errors import InputRejected, RunFailed
from tasks.storage import Storage, open_storage
from tests.servers.fixtures import SERVER_NAMES, new_bucket, use
from tests.storage.pins import pin

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


def _places() -> list[object]:
    found: list[object] = ["folder"]
    for one in SERVER_NAMES:
        name, marks = (one, ()) if isinstance(one, str) else (one.values[0], one.marks)
        found += [pytest.param(f"{name}{kind}", marks=marks) for kind in ("", "-versioned")]
    return found


@pytest.fixture(params=_places())
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "results"), endpoint_url=None, region=None)
    name, _, versioned = request.param.partition("-")
    server = use(request.getfixturevalue(f"{name}_server"), monkeypatch)
    bucket = new_bucket(server, request.node.nodeid, versioned=bool(versioned))
    return open_storage(f"s3://{bucket}/some prefix", endpoint_url=server.endpoint_url, region=None)


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

    @pytest.mark.parametrize("fate", ["replaced", "replaced by equally many bytes", "deleted"])
    def test_of_a_pinned_object_comes_what_was_pinned_or_nothing(
        self, storage: Storage, tmp_path: Path, fate: str
    ) -> None:
        storage.write("k", b"one", content_type=OPAQUE)
        pinned = pin(storage, "k")
        if fate == "deleted":
            storage.delete("k")
        else:
            storage.write("k", b"two" if "equally" in fate else b"another", content_type=OPAQUE)
        if pinned.version_id is not None:
            storage.download(pinned, tmp_path / "down")
            assert (tmp_path / "down").read_bytes() == b"one"
            return
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

    def test_the_address_of_the_whole_leads_back_to_it(self, storage: Storage) -> None:
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
