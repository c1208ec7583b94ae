"""The queue of notifications: kept while worked, deleted after, set aside when it cannot be worked."""

import time
from collections.abc import Callable

import boto3
import pytest

from segmentation.errors import RunFailed, UsageError
from tasks.child_process import free_port
from tasks.s3_server import EmbeddedS3
from tasks.uploads.events import parse_notification
from tasks.uploads.intake import understand
from tasks.uploads.queue import Message, UploadQueue

MakeQueue = Callable[..., UploadQueue]
AWKWARD = ["bridge 7/a+b.tif", "bridge%207/a.tif", "Brücke/é.tif", "a=b&c/d;e.tif"]


@pytest.fixture
def make_queue(s3_server: EmbeddedS3, request: pytest.FixtureRequest) -> MakeQueue:
    name = f"queue-{abs(hash(request.node.nodeid)) % 10**12}"
    boto3.client("s3", endpoint_url=s3_server.endpoint_url).create_bucket(Bucket=name)

    def make(*, receipts: int | None = 3, visibility_s: int = 30) -> UploadQueue:
        url = s3_server.upload_queue(name, prefix="in/", name=name, receipts=receipts)
        return UploadQueue(url, None, visibility_s)

    return make


def put(server: EmbeddedS3, queue: UploadQueue, key: str) -> None:
    bucket = queue.url.rsplit("/", 1)[1]
    boto3.client("s3", endpoint_url=server.endpoint_url).put_object(Bucket=bucket, Key=key, Body=b"x")


def test_an_upload_is_told_with_the_key_that_was_written(make_queue: MakeQueue, s3_server: EmbeddedS3) -> None:
    queue = make_queue()
    for key in AWKWARD:
        put(s3_server, queue, f"in/{key}")
    put(s3_server, queue, "elsewhere/a.tif")
    told = [c.key for m in queue.receive(wait_s=0) for c in parse_notification(m.body).changes]
    assert sorted(told) == sorted(f"in/{key}" for key in AWKWARD)


def test_a_deleted_message_is_gone_and_a_released_one_comes_again(make_queue: MakeQueue, s3_server: EmbeddedS3) -> None:
    queue = make_queue()
    queue.delete(queue.receive(wait_s=0))  # the test event
    put(s3_server, queue, "in/a/a.tif")
    (first,) = queue.receive(wait_s=1)
    assert queue.receive(wait_s=0) == []
    queue.release(first)
    (again,) = queue.receive(wait_s=1)
    assert (again.id, again.received_count) == (first.id, 2)
    queue.delete([again])
    assert queue.receive(wait_s=0) == []


def test_a_message_is_hidden_for_as_long_as_it_is_worked(make_queue: MakeQueue, s3_server: EmbeddedS3) -> None:
    """Symptom to guard against: a slow record of a run, and a second watcher takes the same message."""
    queue = make_queue(visibility_s=1)
    queue.delete(queue.receive(wait_s=0))
    put(s3_server, queue, "in/a/a.tif")
    messages = queue.receive(wait_s=1)
    with queue.kept(messages):
        time.sleep(1.8)
        assert queue.receive(wait_s=0) == []
    time.sleep(1.3)
    assert [m.id for m in queue.receive(wait_s=0)] == [m.id for m in messages]


def test_the_queues_own_rule_sets_a_message_aside(make_queue: MakeQueue, s3_server: EmbeddedS3) -> None:
    queue = make_queue(receipts=3)
    assert queue.dead_letters_after() == 3
    queue.delete(queue.receive(wait_s=0))
    put(s3_server, queue, "in/a/a.tif")
    for _ in range(3):
        queue.release(queue.receive(wait_s=1)[0])
    assert queue.receive(wait_s=0) == []
    dead = UploadQueue(f"{queue.url}-dead", None, 30)
    assert len(dead.receive(wait_s=1)) == 1


def test_a_queue_without_that_rule_says_so(make_queue: MakeQueue) -> None:
    assert make_queue(receipts=None).dead_letters_after() is None


def test_a_queue_that_does_not_exist_is_a_wrong_setting(s3_server: EmbeddedS3) -> None:
    with pytest.raises(UsageError, match="E_QUEUE"):
        UploadQueue(f"{s3_server.endpoint_url}/123456789012/none", None, 30).receive(wait_s=0)


def test_a_server_that_is_away_is_a_failure_that_can_pass(s3_server: EmbeddedS3) -> None:
    with pytest.raises(RunFailed, match="E_QUEUE_UNAVAILABLE"):
        UploadQueue(f"http://127.0.0.1:{free_port()}/1/none", None, 30).receive(wait_s=0)


def message(number: int, *keys: str, bucket: str = "surveys") -> Message:
    records = ",".join(
        f'{{"eventName": "ObjectCreated:Put", "eventTime": "2026-11-22T10:00:{number:02d}Z",'
        f' "s3": {{"bucket": {{"name": "{bucket}"}}, "object": {{"key": "{key}"}}}}}}'
        for key in keys
    )
    return Message(str(number), f'{{"Records": [{records}]}}', "receipt", 1)


def test_a_batch_asks_for_each_survey_once_and_knows_which_messages_wait_for_it() -> None:
    batch = [
        message(1, "in/a/1.tif", "in/b/1.tif"),
        message(2, "in/a/1.tif"),
        message(3, "in/loose.tif", "in/a/sub/1.tif"),
        message(4, "in/a/1.tif", bucket="another"),
        Message("5", "no notification", "receipt", 1),
    ]
    intake = understand(batch, bucket="surveys", prefix="in/")
    assert list(intake.surveys) == ["a", "b"]
    assert intake.surveys["a"] is not None
    assert intake.surveys["a"].second == 2
    assert intake.asks == {"1": {"a", "b"}, "2": {"a"}, "3": set(), "4": set()}
    assert intake.foreign == 3
    assert [m.id for m, _ in intake.malformed] == ["5"]
