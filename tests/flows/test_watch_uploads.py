"""Notifications become runs: each whole upload once, whatever repeats, comes late, or is killed on the way."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

from flows.uploads import inbox_of
from segmentation.errors import RunFailed, UsageError
from tasks.s3_server import EmbeddedS3
from tasks.storage_s3 import S3Storage
from tasks.uploads.queue import UploadQueue
from tests.flows.bursts import burst
from tests.flows.inboxes import DEPLOYMENT, TestInbox, apply_recording_deployment, make_inbox


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


def test_a_run_whose_machine_died_before_it_kept_a_record_is_recorded_anew(
    inbox: TestInbox, watch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: the upload was waited for without end. Cause: Prefect calls such a run RUNNING for ever."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.states import Running

    inbox.upload("bridge")
    watch()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(inbox.flow_runs()[0].id, Running(), force=True)
    watch()
    assert inbox.runs() == {"bridge": 1}

    class AnHourLater(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=1)

    monkeypatch.setattr("flows.record_run.datetime", AnHourLater)
    watch()
    assert inbox.runs() == {"bridge": 2}
    assert {run.state.type for run in inbox.flow_runs() if run.state} == {StateType.CRASHED, StateType.SCHEDULED}


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


def test_hundreds_of_runs_that_wait_do_not_hold_a_new_upload_up(
    inbox: TestInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: behind a device that was busy, all runs were looked at again at once, for minutes, before a message was.

    Each look here takes all the time that looking again has: one upload of the three is settled in a turn.
    """
    from flows import watch_uploads
    from flows.record_run import RunRecorder, prefect_client

    monkeypatch.setattr(watch_uploads, "_LOOK_AGAIN_S", 0.0)
    chosen = inbox.chosen()
    with prefect_client() as client:
        place = inbox_of(chosen)
        assert isinstance(place.storage, S3Storage)
        queue = UploadQueue(inbox.queue_url, None, 20)
        recorder = RunRecorder(place, chosen, client, DEPLOYMENT)
        watcher = watch_uploads._Watcher(place, place.storage, queue, recorder, threading.Event())
        for name in ("a", "b", "c"):
            inbox.upload(name)
        watcher.reconcile()
        watcher.turn(longest_wait_s=0)
        assert watcher.watched.recorded == 3
        recorder._known.clear()
        watcher.pending = dict.fromkeys(("a", "b", "c"), 0.0)
        inbox.upload("new")
        looked_at = watcher.watched.surveys_looked_at
        watcher.turn(longest_wait_s=0)
    assert watcher.watched.recorded == 4
    assert watcher.watched.surveys_looked_at == looked_at + 2
    assert sorted(watcher.pending.values())[:2] == [0.0, 0.0]


@pytest.mark.slow
def test_a_burst_told_up_to_three_times_and_shuffled_with_watchers_killed_is_run_once_each(inbox: TestInbox) -> None:
    """40 uploads and 3 kills here; 500 and 20 in `python -m tests.benchmarks.uploads burst`."""
    done = burst(inbox, uploads=40, kills=3, seed=1)
    once = Counter({f"{inbox.bucket}-{i:03d}": 1 for i in range(40)})
    assert (done.runs, done.carried_out, done.messages_left) == (once, once, 0)
    assert all(0 < at < 40 for at in done.killed_at[:-1]), "watchers must be killed while there is work"
