"""A staged file is the pinned content, whole, fetched once, or an error."""

import base64
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from segmentation.errors import InputRejected, RunFailed
from segmentation.records import SourceObject
from tasks import staging
from tasks.checksums import Crc64Nvme, StreamChecks
from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tasks.staging import pin_and_stage, staged
from tasks.storage import Storage, open_storage
from tests.tasks.faulty_s3 import FaultyS3, faulty_s3

DATA = os.urandom(200_000)


@pytest.fixture
def proxy(s3_server: EmbeddedS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    monkeypatch.setattr("tasks.s3_client._LONGEST_PAUSE_S", 0.01)
    with faulty_s3(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def storage(proxy: FaultyS3, s3_server: EmbeddedS3, tmp_path: Path) -> Storage:
    name = f"staging-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]}"
    s3_client(endpoint_url=s3_server.endpoint_url, region=None).create_bucket(Bucket=name)
    return open_storage(f"s3://{name}/survey 1", endpoint_url=proxy.endpoint_url, region=None)


def put(storage: Storage, data: bytes = DATA) -> SourceObject:
    """The object `deck.tif`, pinned with its SHA-256 but not staged."""
    storage.write("deck.tif", data, content_type="image/tiff")
    found = storage.head("deck.tif")
    sha256 = hashlib.sha256(data).hexdigest()
    return SourceObject(storage.uri("deck.tif"), found.size_bytes, found.etag, found.version_id, sha256)


def stage(source: SourceObject, proxy: FaultyS3, folder: Path) -> Path:
    return staged(source, staging_dir=folder, endpoint_url=proxy.endpoint_url, region=None)


def left_overs(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix in (".part", ".lock")) if folder.exists() else []


def test_an_object_is_fetched_once_and_kept_under_its_content(
    storage: Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    source = put(storage)
    path = stage(source, proxy, tmp_path)
    assert path.read_bytes() == DATA
    assert path.name == f"{source.sha256}.tif"
    requests = len(proxy.requests)
    assert stage(source, proxy, tmp_path) == path
    assert len(proxy.requests) == requests
    assert left_overs(tmp_path) == []


def test_many_callers_at_once_fetch_it_once(storage: Storage, proxy: FaultyS3, tmp_path: Path) -> None:
    source = put(storage)
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: stage(source, proxy, tmp_path), range(8)))
    assert len(paths) == 1
    assert proxy.requests.count("GET") == 1
    assert left_overs(tmp_path) == []


def test_a_replaced_object_is_refused_and_nothing_is_left(storage: Storage, proxy: FaultyS3, tmp_path: Path) -> None:
    source = put(storage)
    put(storage, DATA[::-1])
    with pytest.raises(RunFailed) as failed:
        stage(source, proxy, tmp_path / "staging")
    assert failed.value.code == "E_CHANGED"
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_versioned_object_is_read_as_it_was_pinned_after_it_was_replaced(
    storage: Storage, s3_server: EmbeddedS3, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket = storage.uri("").removeprefix("s3://").split("/")[0]
    client = s3_client(endpoint_url=s3_server.endpoint_url, region=None)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    source = put(storage)
    assert source.version_id is not None
    put(storage, b"newer")
    storage.delete("deck.tif")
    assert stage(source, proxy, tmp_path).read_bytes() == DATA


def test_content_that_contradicts_the_pinned_sha256_is_refused(
    storage: Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    source = replace(put(storage), sha256="0" * 64)
    with pytest.raises(InputRejected) as refused:
        stage(source, proxy, tmp_path / "staging")
    assert refused.value.code == "E_CHECKSUM"
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_staged_file_that_was_damaged_on_disk_is_fetched_again(
    storage: Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    source = put(storage)
    path = stage(source, proxy, tmp_path)
    path.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    assert stage(source, proxy, tmp_path).read_bytes() == DATA


def test_an_object_larger_than_the_disk_is_refused_before_a_byte_is_fetched(
    storage: Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    source = replace(put(storage), size_bytes=10**18)
    with pytest.raises(RunFailed) as failed:
        stage(source, proxy, tmp_path / "staging")
    assert failed.value.code == "E_DISK_FULL"
    assert str(10**18 + staging._SPARE_BYTES) in str(failed.value)
    assert "GET" not in proxy.requests
    assert list((tmp_path / "staging").iterdir()) == []


@pytest.mark.parametrize("faults", [["cut-body"], ["flip-byte"], ["503"], ["cut-body", "cut-body", "503"]])
def test_what_is_staged_after_faults_is_what_was_pinned(
    storage: Storage, proxy: FaultyS3, tmp_path: Path, faults: list[str]
) -> None:
    source = put(storage)
    proxy.plan("GET", *faults)
    assert stage(source, proxy, tmp_path).read_bytes() == DATA


def test_pinning_hashes_the_content_and_a_second_survey_of_it_fetches_nothing(
    storage: Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    put(storage)
    source, path = pin_and_stage(storage, storage.head("deck.tif"), staging_dir=tmp_path, with_sha256=True)
    assert source.sha256 == hashlib.sha256(DATA).hexdigest()
    assert path.read_bytes() == DATA
    gets = proxy.requests.count("GET")
    assert pin_and_stage(storage, storage.head("deck.tif"), staging_dir=tmp_path, with_sha256=True) == (source, path)
    assert proxy.requests.count("GET") == gets


def test_a_byte_changed_on_the_way_while_pinning_is_noticed_and_fetched_again(
    storage: Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    put(storage)
    proxy.plan("GET", "flip-byte")
    _, path = pin_and_stage(storage, storage.head("deck.tif"), staging_dir=tmp_path, with_sha256=True)
    assert path.read_bytes() == DATA


def test_content_that_contradicts_the_checksum_kept_by_s3_is_refused(
    storage: Storage, proxy: FaultyS3, tmp_path: Path
) -> None:
    put(storage)
    proxy.plan("GET", *["flip-byte"] * 20)
    with pytest.raises(InputRejected) as refused:
        pin_and_stage(storage, storage.head("deck.tif"), staging_dir=tmp_path / "s", with_sha256=True)
    assert refused.value.code == "E_CHECKSUM"
    assert list((tmp_path / "s").iterdir()) == []


def test_a_local_file_is_used_where_it_is_and_refused_once_it_has_changed(tmp_path: Path) -> None:
    (tmp_path / "deck.tif").write_bytes(DATA)
    storage = open_storage(str(tmp_path), endpoint_url=None, region=None)
    source, path = pin_and_stage(storage, storage.head("deck.tif"), staging_dir=tmp_path / "s", with_sha256=True)
    assert path == tmp_path / "deck.tif"
    assert source.sha256 == hashlib.sha256(DATA).hexdigest()
    assert staged(source, staging_dir=tmp_path / "s", endpoint_url=None, region=None) == path
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(0, 0))
    with pytest.raises(RunFailed) as failed:
        staged(source, staging_dir=tmp_path / "s", endpoint_url=None, region=None)
    assert failed.value.code == "E_CHANGED"
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA1", "CRC32"])
def test_our_checksums_are_those_that_the_aws_client_computes(
    storage: Storage, s3_server: EmbeddedS3, algorithm: Literal["SHA256", "SHA1", "CRC32"]
) -> None:
    bucket, _, prefix = storage.uri("").removeprefix("s3://").partition("/")
    client = s3_client(endpoint_url=s3_server.endpoint_url, region=None)
    client.put_object(Bucket=bucket, Key=f"{prefix}k", Body=DATA, ChecksumAlgorithm=algorithm)
    kept = storage.head("k").checksums
    assert {algorithm, "MD5"} <= set(kept)
    checks = StreamChecks(kept)
    checks.update(DATA[:1000])
    checks.update(DATA[1000:])
    assert checks.mismatches() == ()
    checks.update(b"more")
    assert set(checks.mismatches()) == set(kept)


def test_crc32c_is_that_of_its_standard() -> None:
    checks = StreamChecks({"CRC32C": base64.b64encode(bytes.fromhex("e3069283")).decode()})
    checks.update(b"123456789")
    assert checks.mismatches() == ()


def test_crc64nvme_in_lanes_equals_crc64nvme_byte_by_byte() -> None:
    data = os.urandom((1 << 20) * 2 + 12_345)
    whole, pieces = Crc64Nvme(), Crc64Nvme()
    whole.update(data)
    for start in range(0, len(data), 1000):
        pieces.update(data[start : start + 1000])
    assert whole.digest() == pieces.digest()
