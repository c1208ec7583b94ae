"""S3's notifications in the three shapes in which they come, and which of two changes of a key is the later one."""

import json
from dataclasses import dataclass
from itertools import permutations
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.uploads.events import MalformedEvent, ObjectChange, newest_per_key, parse_notification

KEY = "inbox/bridge 7/déck+a%20b.tif"


def record(name: str = "ObjectCreated:Put", *, key: str = KEY, **of_object: Any) -> dict[str, Any]:
    return {
        "eventName": name,
        "eventTime": "2026-11-22T10:00:00.000Z",
        "s3": {"bucket": {"name": "surveys"}, "object": {"key": quote_plus(key), **of_object}},
    }


def direct(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": list(records)})


def by_sns(body: str) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": body})


def by_eventbridge(detail_type: str = "Object Created", **of_object: Any) -> str:
    detail = {"bucket": {"name": "surveys"}, "object": {"key": KEY, **of_object}}
    document = {"source": "aws.s3", "detail-type": detail_type, "time": "2026-11-22T10:00:00Z", "detail": detail}
    return json.dumps(document)


@dataclass(frozen=True)
class Shape:
    id: str
    body: str
    kinds: tuple[str, ...]
    ignored: int = 0


SHAPES = [
    Shape("direct-put", direct(record()), ("created",)),
    Shape("direct-multipart", direct(record("ObjectCreated:CompleteMultipartUpload")), ("created",)),
    Shape("prefixed-event-name-of-other-servers", direct(record("s3:ObjectCreated:Put")), ("created",)),
    Shape("removed", direct(record("ObjectRemoved:DeleteMarkerCreated")), ("removed",)),
    Shape("expired", direct(record("LifecycleExpiration:Delete")), ("removed",)),
    Shape("tags-are-ignored", direct(record("ObjectTagging:Put")), (), ignored=1),
    Shape("several-records", direct(record(), record("ObjectTagging:Put"), record()), ("created", "created"), 1),
    Shape("no-records", direct(), ()),
    Shape("sns-wrapped", by_sns(direct(record())), ("created",)),
    Shape("sns-wrapped-twice", by_sns(by_sns(direct(record()))), ("created",)),
    Shape("sns-wrapped-eventbridge", by_sns(by_eventbridge()), ("created",)),
    Shape("eventbridge", by_eventbridge(), ("created",)),
    Shape("eventbridge-deleted", by_eventbridge("Object Deleted"), ("removed",)),
    Shape("eventbridge-tags-are-ignored", by_eventbridge("Object Tags Added"), (), ignored=1),
    Shape("test-event", json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}), (), ignored=1),
    Shape("sns-wrapped-test-event", by_sns(json.dumps({"Event": "s3:TestEvent"})), (), ignored=1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.id)
def test_each_shape_tells_the_same_key(shape: Shape) -> None:
    told = parse_notification(shape.body)
    assert [change.kind for change in told.changes] == list(shape.kinds)
    assert {(change.bucket, change.key) for change in told.changes} <= {("surveys", KEY)}
    assert told.ignored == shape.ignored


MALFORMED = {
    "no-json": "hello",
    "nothing": "",
    "a-list": "[]",
    "nested-too-deep": "[" * 100_000,
    "an-empty-object": "{}",
    "records-are-no-list": '{"Records": 7}',
    "a-record-is-no-object": '{"Records": [7]}',
    "a-record-without-object": '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}}}]}',
    "a-key-that-is-no-text": direct({**record(), "s3": {"bucket": {"name": "b"}, "object": {"key": 7}}}),
    "a-key-that-is-no-utf-8": direct({**record(), "s3": {"bucket": {"name": "b"}, "object": {"key": "%ff"}}}),
    "eventbridge-without-detail": '{"source": "aws.s3", "detail-type": "Object Created"}',
    "wrapped-without-end": by_sns(by_sns(by_sns(by_sns(direct(record()))))),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_notification_is_told_as_such(body: str) -> None:
    with pytest.raises(MalformedEvent):
        parse_notification(body)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.dictionaries(
    st.sampled_from(["Records", "s3", "object", "bucket", "key", "name", "eventName", "Message", "source", "detail"]), v
) | st.lists(v)))  # fmt: skip
def test_any_json_is_understood_or_refused(document: Any) -> None:
    try:
        parse_notification(json.dumps(document))
    except MalformedEvent:
        return


def change(sequencer: str | None, kind: Any = "created", *, second: int = 0) -> ObjectChange:
    body = direct({**record("ObjectCreated:Put"), "eventTime": f"2026-11-22T10:00:{second:02d}Z"})
    (found,) = parse_notification(body).changes
    return ObjectChange(found.bucket, found.key, kind, sequencer, found.occurred_at, None)


@dataclass(frozen=True)
class Order:
    id: str
    in_time: tuple[ObjectChange, ...]


ORDERS = [
    Order("sequencers-of-one-length", (change("0A"), change("0B"), change("1A"))),
    Order("a-longer-sequencer-is-later", (change("FF"), change("0100"), change("1000"))),
    Order("leading-zeros-do-not-count", (change("0000AA"), change("AB"))),
    Order("small-letters-are-hex-digits-too", (change("0a"), change("0B"))),
    Order("sequencers-go-before-times", (change("0A", second=9), change("0B", second=1))),
    Order("without-sequencer-by-time", (change(None, second=1), change(None, "removed", second=2))),
    Order("one-without-sequencer-by-time", (change("FF", second=1), change(None, second=2))),
    Order("in-one-second-the-object-is-there", (change(None, "removed"), change(None, "created"))),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: o.id)
def test_the_newest_change_of_a_key_stands_in_whatever_order_they_arrive_and_repeated(order: Order) -> None:
    for arrival in permutations(order.in_time + order.in_time[:1]):
        assert newest_per_key(arrival) == (order.in_time[-1],)
