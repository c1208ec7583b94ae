"""Notifications become runs: each whole upload once, whatever repeats, comes late, or is killed on the way."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from segmentation.errors import RunFailed, UsageError
from tasks.s3_server import EmbeddedS3
from tests.flows.inboxes import DEPLOYMENT, TestInbox, apply_recording_deployment, make_inbox

WATCHER = """
import json, sys, threading
from flows.settings import Settings
from flows.watch_uploads import watch
given = json.loads(sys.argv[1])
print("ready", flush=True)
watch(Settings(**given["settings"]), stop=threading.Event(), for_s=given["for_s"], deployment=given["deployment"])
"""


@pytest.fixture
def inbox(prefect: str, s3_server: EmbeddedS3, request: pytest.FixtureRequest) -> TestInbox:
    apply_recording_deployment()
    return make_inbox(s3_server, f"watch-{abs(hash(request.node.nodeid)) % 10**12}")


@pytest.fixture
def watch(inbox: TestInbox) -> Callable[..., Any]:
    from flows.watch_uploads import watch as watch_queue

    def run(*, for_s: float = 0.1, deployment: str = DEPLOYMENT, **settings: Any) -> Any:
        return watch_queue(inbox.chosen(**settings), stop=threading.Event(), for_s=for_s, deployment=deployment)

    return run


def run_recorded(inbox: TestInbox, **settings: Any) -> None:
    """Do what a worker does with the runs: in this process, one after the other."""
    from tests.flows.recording import record_survey

    for run in inbox.flow_runs():
        asked = {**inbox.settings, **run.parameters["settings"], **settings}
        try:
            record_survey.fn(run.parameters["survey"], settings=asked)
        except Exception:  # what the flow says of it is in its record
            continue


def test_an_upload_is_run_once_however_often_it_is_told(inbox: TestInbox, watch: Callable[..., Any]) -> None:
    inbox.upload("bridge 7", {"a b+c.tif": b"raster", "survey.json": b"{}"})
    watched = watch()
    assert inbox.runs() == {"bridge 7": 1}
    assert (watched.recorded, watched.ignored, inbox.messages_left()) == (1, 1, 0)
    (run,) = inbox.flow_runs()
    assert run.parameters == {
        "survey": f"s3://{inbox.bucket}/in/bridge 7/",
        "settings": {"results": f"s3://{inbox.bucket}/results"},
    }
    for _ in range(2):  # the same files told again, by a watcher that remembers nothing
        inbox.upload("bridge 7", {"survey.json": b"{}"})
        assert watch().recorded == 0
    assert inbox.runs() == {"bridge 7": 1}


def test_what_is_published_or_rejected_is_left_alone_and_new_content_is_run(
    inbox: TestInbox, watch: Callable[..., Any]
) -> None:
    inbox.upload("good")
    inbox.upload("bad")
    watch()
    run_recorded(inbox)
    from flows.status_uploads import status_of

    assert {s.survey: (s.state, s.code) for s in status_of(inbox.chosen())} == {
        "good": ("published", None),
        "bad": ("rejected", "E_NO_CRS"),
    }
    told = json.loads(inbox.s3.get_object(Bucket=inbox.bucket, Key="results/bad/rejected.json")["Body"].read())
    assert told["remedy"] == "give it one"
    inbox.upload("good", {"survey.json": b"{}"})
    inbox.upload("bad", {"survey.json": b"{}"})
    assert watch().recorded == 0
    inbox.upload("good", {"a.tif": b"another raster", "survey.json": b"{}"})
    assert watch().recorded == 1
    assert inbox.runs() == {"good": 2, "bad": 1}


def test_an_upload_without_a_manifest_is_run_when_it_has_been_quiet(
    inbox: TestInbox, watch: Callable[..., Any]
) -> None:
    inbox.upload("slow", {"a.tif": b"raster"})
    assert watch(upload_quiet_s=300).recorded == 0
    inbox.upload("slow", {"b.tif": b"raster"})
    assert watch(for_s=4, upload_quiet_s=2).recorded == 1


def test_a_watcher_finds_what_was_told_to_nobody(inbox: TestInbox, watch: Callable[..., Any]) -> None:
    inbox.upload("lost")
    inbox.sqs.purge_queue(QueueUrl=inbox.queue_url)
    assert watch().recorded == 1


def test_a_poison_message_is_set_aside_and_holds_nothing_up(inbox: TestInbox, watch: Callable[..., Any]) -> None:
    inbox.sqs.send_message(QueueUrl=inbox.queue_url, MessageBody="no notification")
    inbox.upload("good")
    assert sum(watch().malformed for _ in range(4)) == 3
    assert inbox.runs() == {"good": 1}
    assert inbox.messages_left() == 0
    dead = inbox.sqs.receive_message(QueueUrl=f"{inbox.queue_url}-dead")["Messages"]
    assert [m["Body"] for m in dead] == ["no notification"]


def test_a_queue_without_a_dead_letter_rule_gets_one_by_the_watcher(
    prefect: str, s3_server: EmbeddedS3, request: pytest.FixtureRequest
) -> None:
    from flows.watch_uploads import watch as watch_queue

    apply_recording_deployment()
    inbox = make_inbox(s3_server, f"watch-{abs(hash(request.node.nodeid)) % 10**12}", receipts=None)
    inbox.sqs.send_message(QueueUrl=inbox.queue_url, MessageBody="no notification")
    seen = [watch_queue(inbox.chosen(), stop=threading.Event(), for_s=0.1, deployment=DEPLOYMENT) for _ in range(4)]
    assert (sum(w.malformed for w in seen), sum(w.dead_letters for w in seen), inbox.messages_left()) == (3, 1, 0)
    (letter,) = inbox.s3.list_objects_v2(Bucket=inbox.bucket, Prefix="results/.dead-letters/")["Contents"]
    told = json.loads(inbox.s3.get_object(Bucket=inbox.bucket, Key=letter["Key"])["Body"].read())
    assert told["body"] == "no notification"


def test_a_run_that_died_before_it_began_is_recorded_anew_and_not_for_ever(
    inbox: TestInbox, watch: Callable[..., Any]
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    inbox.upload("bridge")
    for expected in (1, 2, 3, 3):
        watch()
        assert inbox.runs() == {"bridge": expected}
        with get_client(sync_client=True) as client:
            for run in inbox.flow_runs():
                client.set_flow_run_state(run.id, Crashed(), force=True)


def test_the_upload_is_told_to_those_who_want_to_know(inbox: TestInbox, watch: Callable[..., Any]) -> None:
    from prefect.client.orchestration import get_client

    inbox.upload("told")
    watch()
    body = {"filter": {"event": {"name": ["spanscan.survey.uploaded"]}}}
    deadline = time.monotonic() + 60
    names: set[str] = set()
    with get_client(sync_client=True) as client:
        while "told" not in names and time.monotonic() < deadline:
            time.sleep(0.2)
            events = client.request("POST", "/events/filter", json=body).json()["events"]
            names = {event["resource"]["prefect.resource.name"] for event in events}
    assert "told" in names


def test_a_deployment_that_is_not_there_keeps_the_messages(inbox: TestInbox, watch: Callable[..., Any]) -> None:
    inbox.upload("kept")
    with pytest.raises(RunFailed, match="E_DEPLOYMENT"):
        watch(deployment="record-survey/none")
    assert inbox.messages_left() >= 2


def test_a_folder_has_no_notifications_to_watch(inbox: TestInbox, watch: Callable[..., Any], tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="spanscan sweep"):
        watch(inbox=str(tmp_path))


@pytest.mark.slow
def test_a_burst_told_up_to_three_times_and_shuffled_with_watchers_killed_is_run_once_each(inbox: TestInbox) -> None:
    """40 uploads and 4 kills here; 500 and 20 in `python -m tests.benchmarks.uploads`."""
    assert burst(inbox, uploads=40, kills=4, seed=1) == Counter({f"survey-{i:03d}": 1 for i in range(40)})
    assert inbox.messages_left() == 0


def burst(inbox: TestInbox, *, uploads: int, kills: int, seed: int) -> Counter[str]:
    """Runs recorded after a burst, its events shuffled and repeated, with watchers killed at random moments."""
    rng = random.Random(seed)
    names = [f"survey-{i:03d}" for i in range(uploads)]
    for name in names:
        inbox.upload(name)
    bodies = taken(inbox)
    again = [body for body in bodies for _ in range(rng.randint(1, 3))]
    rng.shuffle(again)
    sending = threading.Thread(target=send, args=(inbox, again))
    sending.start()
    for _ in range(kills):
        with _watcher(inbox):
            time.sleep(rng.uniform(0, 3))
    sending.join()
    with _watcher(inbox) as process:
        deadline = time.monotonic() + 1800
        while time.monotonic() < deadline and inbox.messages_left():
            assert process.poll() is None, "the watcher must go on"
            time.sleep(0.5)
    return inbox.runs()


@contextmanager
def _watcher(inbox: TestInbox) -> Iterator["subprocess.Popen[str]"]:
    """A watcher in a process of its own, which is about to look at the inbox; killed at the end."""
    settings = {**inbox.settings, "queue_visibility_s": 5}
    given = json.dumps({"settings": settings, "for_s": 3600, "deployment": DEPLOYMENT})
    process = subprocess.Popen([sys.executable, "-c", WATCHER, given], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def taken(inbox: TestInbox) -> list[str]:
    """The notifications of the uploads, taken out of the queue."""
    bodies: list[str] = []
    while found := inbox.sqs.receive_message(QueueUrl=inbox.queue_url, MaxNumberOfMessages=10).get("Messages"):
        entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(found)]
        inbox.sqs.delete_message_batch(QueueUrl=inbox.queue_url, Entries=entries)
        bodies += [m["Body"] for m in found]
    return bodies


def send(inbox: TestInbox, bodies: list[str]) -> None:
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies[start : start + 10])]
        inbox.sqs.send_message_batch(QueueUrl=inbox.queue_url, Entries=entries)
