"""Scorecard, faults 15 and 16, through SQS in a process of its own: what cannot be worked, and what comes late."""

import base64
import json
import random
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from flows.status_uploads import status_of
from flows.watch_uploads import watch
from tasks.s3_server import EmbeddedS3
from tests.flows.bursts import send, taken
from tests.flows.inboxes import DEPLOYMENT, TestInbox, apply_recording_deployment, make_inbox

RECEIPTS = 3


def _record(**changes: Any) -> dict[str, Any]:
    return {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": "b"}, "object": {"key": "in/x/a.tif"}},
        **changes,
    }


@dataclass(frozen=True)
class Poison:
    """A message that cannot be worked."""

    id: str
    body: str


POISON = [
    Poison("15 no JSON", "no notification"),
    Poison("15 nested too deeply", "[" * 50_000),
    Poison("15 no object", "[]"),
    Poison("15 nothing known", "{}"),
    Poison("15 records that are no list", '{"Records": 3}'),
    Poison("15 a record that is no object", '{"Records": ["x"]}'),
    Poison("15 a record without its object", json.dumps({"Records": [_record(s3={"bucket": {"name": "b"}})]})),
    Poison("15 a record without a name", json.dumps({"Records": [_record(eventName=None)]})),
    Poison(
        "15 a key that is no UTF-8",
        json.dumps({"Records": [_record(s3={"bucket": {"name": "b"}, "object": {"key": "in/%FF/a.tif"}})]}),
    ),
    Poison("15 nonsense wrapped by SNS", json.dumps({"Type": "Notification", "Message": "hello"})),
    Poison("15 EventBridge without details", json.dumps({"source": "aws.s3", "detail-type": "Object Created"})),
    Poison("15 base64 of a notification", base64.b64encode(json.dumps({"Records": [_record()]}).encode()).decode()),
]


def _inbox(server: EmbeddedS3, name: str) -> TestInbox:
    apply_recording_deployment()
    return make_inbox(server, name)


def _watched(inbox: TestInbox) -> Any:
    return watch(inbox.chosen(), stop=threading.Event(), for_s=0.1, deployment=DEPLOYMENT)


def _dead_letters(inbox: TestInbox) -> Counter[str]:
    queue = {"QueueUrl": f"{inbox.queue_url}-dead", "MaxNumberOfMessages": 10, "VisibilityTimeout": 600}
    found: Counter[str] = Counter()
    while messages := inbox.sqs.receive_message(**queue).get("Messages"):
        found.update(message["Body"] for message in messages)
    return found


@pytest.fixture(scope="module")
def poisoned(prefect: str, s3_server: EmbeddedS3) -> tuple[TestInbox, Counter[str], list[Any]]:
    """An inbox whose queue holds all of them and the notifications of a good upload, watched; its dead letters."""
    inbox = _inbox(s3_server, "poisoned")
    send(inbox, [case.body for case in POISON])
    inbox.upload("good")
    seen = [_watched(inbox) for _ in range(2 * RECEIPTS)]
    return inbox, _dead_letters(inbox), seen


@pytest.mark.parametrize("case", POISON, ids=lambda case: case.id)
def test_a_message_that_cannot_be_worked_is_one_dead_letter(
    case: Poison, poisoned: tuple[TestInbox, Counter[str], list[Any]]
) -> None:
    assert poisoned[1][case.body] == 1


def test_15_what_comes_with_them_is_worked_once_and_each_was_tried_three_times(
    poisoned: tuple[TestInbox, Counter[str], list[Any]],
) -> None:
    inbox, dead, seen = poisoned
    assert inbox.runs() == {"good": 1}
    assert inbox.messages_left() == 0
    assert dead.total() == len(POISON)
    assert sum(one.malformed for one in seen) == RECEIPTS * len(POISON)


def _removed_before(inbox: TestInbox, key: str) -> str:
    """A notification of a removal that happened before all else, and comes last."""
    found = {"bucket": {"name": inbox.bucket}, "object": {"key": key, "sequencer": "00"}}
    return json.dumps({"Records": [_record(eventName="ObjectRemoved:Delete", s3=found)]})


@pytest.mark.parametrize("seed", range(3))
def test_16_late_duplicate_and_shuffled_events_give_one_run_of_what_lies_there(
    prefect: str, s3_server: EmbeddedS3, seed: int
) -> None:
    from tests.flows.recording import record_survey

    inbox = _inbox(s3_server, f"late-{seed}")
    inbox.upload("bridge", {"a.tif": b"older", "survey.json": b"{}"})
    older = taken(inbox)
    inbox.upload("bridge", {"a.tif": b"newer", "survey.json": b"{}"})
    bodies = [*older * 3, *taken(inbox) * 2]
    random.Random(seed).shuffle(bodies)
    send(inbox, [*bodies, _removed_before(inbox, "in/bridge/a.tif")])
    assert sum(_watched(inbox).recorded for _ in range(3)) == 1
    (run,) = inbox.flow_runs()
    record_survey.fn(run.parameters["survey"], settings={**inbox.settings, **run.parameters["settings"]})
    assert [(one.state, one.attempts) for one in status_of(inbox.chosen())] == [("published", 0)]
    send(inbox, older)  # told once more, after all is done
    assert _watched(inbox).recorded == 0
    assert inbox.runs() == {"bridge": 1}
    assert (inbox.messages_left(), _dead_letters(inbox)) == (0, Counter())
