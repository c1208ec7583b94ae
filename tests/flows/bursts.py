"""Many uploads at once, told 1 to 3 times and shuffled, with watchers that are killed while they work at them."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.uploads.queue import MOST_MESSAGES
from tests.flows.inboxes import DEPLOYMENT, TestInbox

VISIBILITY_S = 5
_WAIT_S = 3600.0
_POLL_S = 0.2
_POLL_QUEUE_S = 3.0
"""moto counts its messages one by one for each look, which would take from the watcher what it waits for."""

WATCHER = """
import json, sys, threading
from flows.settings import Settings
from flows.watch_uploads import watch
given = json.loads(sys.argv[1])
print("ready", flush=True)
watch(Settings(**given["settings"]), stop=threading.Event(), for_s=given["for_s"], deployment=given["deployment"])
"""


@dataclass(frozen=True, slots=True)
class Burst:
    """What became of a burst."""

    runs: Counter[str]
    """Runs that Prefect has recorded of each survey."""
    carried_out: Counter[str]
    """How often the recording flow has run for each."""
    killed_at: tuple[int, ...]
    """How many runs were recorded when a watcher was killed."""
    messages: int
    """Notifications sent, repetitions included."""
    messages_left: int


def burst(inbox: TestInbox, *, uploads: int, kills: int, seed: int) -> Burst:
    """Upload, shuffle and repeat what S3 has told, and watch it by processes that are killed with -9 as they go on.

    A kill comes each time that a further share of the runs is recorded, at a moment drawn at random after it; runs are
    carried out meanwhile.
    """
    rng = random.Random(seed)
    named = f"{inbox.bucket}-"
    for i in range(uploads):
        inbox.upload(f"{named}{i:03d}")
    bodies = [body for body in taken(inbox) for _ in range(rng.randint(1, 3))]
    rng.shuffle(bodies)
    sending = threading.Thread(target=send, args=(inbox, bodies))
    sending.start()
    killed_at = []
    with _carried_out(inbox, named):
        for kill in range(kills):
            with _watcher(inbox) as process:
                due = uploads * (kill + 1) // (kills + 1)
                _wait(lambda due=due: inbox.count_runs(named=named) >= due, process)  # type: ignore[misc]
                time.sleep(rng.uniform(0, 1))
                killed_at.append(inbox.count_runs(named=named))
        sending.join()
        with _watcher(inbox) as process:
            _wait(lambda: not inbox.messages_left(), process, poll_s=_POLL_QUEUE_S)
        _wait(lambda: not inbox.count_runs(named=named, waiting=True))
    return Burst(inbox.runs(), inbox.carried_out(), tuple(killed_at), len(bodies), inbox.messages_left())


@contextmanager
def _watcher(inbox: TestInbox) -> Iterator["subprocess.Popen[str]"]:
    """A watcher in a process of its own, which is about to look at the inbox; killed at the end."""
    settings = {**inbox.settings, "queue_visibility_s": VISIBILITY_S}
    given = json.dumps({"settings": settings, "for_s": _WAIT_S, "deployment": DEPLOYMENT})
    process = subprocess.Popen([sys.executable, "-c", WATCHER, given], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("a watcher must begin, got an end")
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _carried_out(inbox: TestInbox, named: str) -> Iterator[None]:
    """Carry out what is recorded, as a worker does but in this process, until the end of the block."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.2):
            inbox.carry_out(named=named)

    worker = threading.Thread(target=work, name="worker")
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def _wait(what: Callable[[], bool], process: "subprocess.Popen[str] | None" = None, *, poll_s: float = _POLL_S) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not what():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise RuntimeError(f"it must get there while the watcher lives, got {process and process.poll()}")
        time.sleep(poll_s)


def taken(inbox: TestInbox) -> list[str]:
    """The notifications of the uploads, taken out of the queue."""
    bodies: list[str] = []
    queue = {"QueueUrl": inbox.queue_url}
    while found := inbox.sqs.receive_message(**queue, MaxNumberOfMessages=MOST_MESSAGES).get("Messages"):
        entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(found)]
        inbox.sqs.delete_message_batch(**queue, Entries=entries)
        bodies += [m["Body"] for m in found]
    return bodies


def send(inbox: TestInbox, bodies: list[str]) -> None:
    """Tell the queue."""
    for start in range(0, len(bodies), MOST_MESSAGES):
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies[start : start + MOST_MESSAGES])]
        inbox.sqs.send_message_batch(QueueUrl=inbox.queue_url, Entries=entries)
