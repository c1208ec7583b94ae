"""What each S3 server does in its own way, and what comes of it: versions, checksums, parts, events, refusals."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from segmentation.errors import InputRejected, RunFailed
from tasks.s3_client import s3_client
from tasks.staging import pin_and_stage
from tasks.storage import Storage, open_storage
from tasks.uploads.events import Notification, newest_per_key, parse_notification
from tests.servers.fixtures import new_bucket, use
from tests.servers.running import RunningS3
from tests.storage.pins import pin
from tests.tasks.faulty_s3 import faulty_s3

OPAQUE = "application/octet-stream"
PART_BYTES = 5 << 20


def storage_in(server: RunningS3, bucket: str) -> Storage:
    return open_storage(f"s3://{bucket}/inbox", endpoint_url=server.endpoint_url, region=None)


def put_in_parts(server: RunningS3, bucket: str, key: str, data: bytes, *, part_bytes: int = PART_BYTES) -> None:
    client = s3_client(endpoint_url=server.endpoint_url, region=None)
    where: Any = {"Bucket": bucket, "Key": key}
    upload = client.create_multipart_upload(**where)["UploadId"]
    pieces = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]
    parts: Any = [
        {"PartNumber": n, "ETag": client.upload_part(**where, UploadId=upload, PartNumber=n, Body=piece)["ETag"]}
        for n, piece in enumerate(pieces, start=1)
    ]
    client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})


def test_a_pinned_version_is_staged_after_it_was_replaced_and_deleted(any_s3: RunningS3, tmp_path: Path) -> None:
    bucket = new_bucket(any_s3, f"versions {any_s3.name}", versioned=True)
    storage = storage_in(any_s3, bucket)
    data = os.urandom(100_000)
    storage.write("deck.tif", data, content_type=OPAQUE)
    source = pin(storage, "deck.tif")
    storage.write("deck.tif", os.urandom(100_000), content_type=OPAQUE)
    storage.delete("deck.tif")
    assert source.version_id is not None
    assert storage.download(source, tmp_path / "down") == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "down").read_bytes() == data


def test_an_object_put_in_parts_is_staged_whole(any_s3: RunningS3, any_bucket: str, tmp_path: Path) -> None:
    data = os.urandom(PART_BYTES + 123_457)
    put_in_parts(any_s3, any_bucket, "inbox/deck.tif", data)
    storage = storage_in(any_s3, any_bucket)
    found = storage.head("deck.tif")
    # The tag of an object in parts is no MD5 of it.
    assert "-" in found.etag
    assert "MD5" not in found.checksums
    source, path = pin_and_stage(storage, found, staging_dir=tmp_path)
    assert path.read_bytes() == data
    assert source.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("part_bytes", [None, PART_BYTES, PART_BYTES + 4321], ids=["whole", "parts", "odd parts"])
def test_a_byte_changed_on_the_way_is_noticed_and_fetched_again(
    any_s3: RunningS3, any_bucket: str, tmp_path: Path, part_bytes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RGW and moto keep no checksum of an object in parts but its tag, which tells nothing where parts are odd."""
    monkeypatch.setattr("tasks.s3_client._LONGEST_PAUSE_S", 0.01)
    data = os.urandom(2 * PART_BYTES + 10_000)
    near = storage_in(any_s3, any_bucket)
    if part_bytes is None:
        near.write("deck.tif", data, content_type=OPAQUE)
    else:
        put_in_parts(any_s3, any_bucket, "inbox/deck.tif", data, part_bytes=part_bytes)
    with faulty_s3(any_s3.endpoint_url) as proxy:
        far = open_storage(f"s3://{any_bucket}/inbox", endpoint_url=proxy.endpoint_url, region=None)
        proxy.plan("GET", "flip-byte")
        source, path = pin_and_stage(far, far.head("deck.tif"), staging_dir=tmp_path)
        assert path.read_bytes() == data
        assert source.sha256 == hashlib.sha256(data).hexdigest()
        assert proxy.requests.count("GET") <= 3


def test_a_listing_tells_when_each_object_was_written_by_the_servers_clock(any_s3: RunningS3, any_bucket: str) -> None:
    storage = storage_in(any_s3, any_bucket)
    storage.write("a.tif", b"a", content_type=OPAQUE)
    (listed,) = storage.list("", recursive=False)
    headed = storage.head("a.tif")
    assert listed == headed or headed.checksums  # a listing knows no checksums
    assert listed.modified_at is not None
    assert headed.modified_at is not None
    assert abs((listed.modified_at - headed.modified_at).total_seconds()) < 1


def received(server: RunningS3, url: str, *, at_least: int) -> list[Notification]:
    sqs = boto3.client("sqs", endpoint_url=server.endpoint_url)
    found: list[Notification] = []
    deadline_s = time.monotonic() + 60
    while sum(len(one.changes) for one in found) < at_least and time.monotonic() < deadline_s:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        found += [parse_notification(message["Body"]) for message in answer.get("Messages", ())]
    return found


def queue_for(server: RunningS3, bucket: str) -> str:
    sqs = boto3.client("sqs", endpoint_url=server.endpoint_url)
    url = str(sqs.create_queue(QueueName=f"{bucket}-uploads")["QueueUrl"])
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    told: Any = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    s3_client(endpoint_url=server.endpoint_url, region=None).put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [told]}
    )
    return url


@pytest.mark.parametrize("key", ["deck.tif", "Br\u00fccke 7+8/a%20b #1.tif", 'quote\'s "q".tif'])
def test_the_notifications_of_each_server_name_the_object_that_was_written(
    any_s3: RunningS3, any_bucket: str, key: str
) -> None:
    if not any_s3.has_queues:
        pytest.skip("Ceph's gateway sends notifications to HTTP, AMQP and Kafka, not to SQS: the sweep serves there")
    url = queue_for(any_s3, any_bucket)
    storage = open_storage(f"s3://{any_bucket}", endpoint_url=any_s3.endpoint_url, region=None)
    storage.write(key, b"one", content_type=OPAQUE)
    storage.write(key, b"two", content_type=OPAQUE)
    storage.delete(key)
    changes = [change for one in received(any_s3, url, at_least=3) for change in one.changes]
    assert {(change.bucket, change.key) for change in changes} == {(any_bucket, key)}
    assert sorted(change.kind for change in changes) == ["created", "created", "removed"]
    if any_s3.name == "ministack":
        (newest,) = newest_per_key(changes)
        assert all(change.sequencer for change in changes)
        assert newest.kind == "removed"


def test_an_upload_in_parts_is_one_object_however_often_it_is_told(any_s3: RunningS3, any_bucket: str) -> None:
    if not any_s3.has_queues:
        pytest.skip("Ceph's gateway sends notifications to HTTP, AMQP and Kafka, not to SQS: the sweep serves there")
    url = queue_for(any_s3, any_bucket)
    put_in_parts(any_s3, any_bucket, "inbox/deck.tif", os.urandom(PART_BYTES + 1))
    changes = [change for one in received(any_s3, url, at_least=1) for change in one.changes]
    (newest,) = newest_per_key(changes)
    assert (newest.key, newest.kind) == ("inbox/deck.tif", "created")


@pytest.mark.slow
class TestCredentials:
    """On the one server that checks them."""

    @pytest.fixture
    def rgw(self, rgw_server: RunningS3, monkeypatch: pytest.MonkeyPatch) -> RunningS3:
        return use(rgw_server, monkeypatch)

    def test_a_stranger_is_told_the_permission_that_is_missing(
        self, rgw: RunningS3, any_owned: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert rgw.stranger is not None
        for name, value in rgw.stranger.items():
            monkeypatch.setenv(name, value)
        strange = open_storage(any_owned.uri(""), endpoint_url=rgw.endpoint_url, region="stranger")
        for permission, call in {
            "s3:GetObject": lambda: strange.read("deck.tif"),
            "s3:PutObject": lambda: strange.write("deck.tif", b"", content_type=OPAQUE),
            "s3:ListBucket": lambda: list(strange.list("", recursive=False)),
            "s3:DeleteObject": lambda: strange.delete("deck.tif"),
        }.items():
            with pytest.raises(RunFailed) as failed:
                call()
            assert (failed.value.code, permission in str(failed.value)) == ("E_ACCESS", True)
        with pytest.raises(RunFailed) as failed:
            strange.head("deck.tif")
        assert failed.value.code == "E_ACCESS"

    @pytest.mark.parametrize("call", ["head", "read", "exists"])
    def test_wrong_keys_are_told_as_such_also_where_the_answer_has_no_body(
        self, rgw: RunningS3, any_owned: Storage, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        storage = open_storage(any_owned.uri(""), endpoint_url=rgw.endpoint_url, region=f"wrong-{call}")
        with pytest.raises(RunFailed) as failed:
            getattr(storage, call)("deck.tif")
        assert failed.value.code == "E_CREDENTIALS"

    @pytest.fixture
    def any_owned(self, rgw: RunningS3, request: pytest.FixtureRequest) -> Storage:
        storage = storage_in(rgw, new_bucket(rgw, request.node.nodeid))
        storage.write("deck.tif", b"deck", content_type=OPAQUE)
        return storage


def test_a_bucket_that_is_not_there_is_named(any_s3: RunningS3) -> None:
    storage = storage_in(any_s3, "no-such-bucket-here")
    with pytest.raises(InputRejected) as refused:
        list(storage.list("", recursive=False))
    assert refused.value.code == "E_NO_BUCKET"
