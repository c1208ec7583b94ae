"""The flow `watch-uploads`: notifications of the inbox become runs within seconds, each upload once.

A notification is a hint to look: what is there decides, by one listing of its survey. So order and repetition do not
matter, and a message is deleted once Prefect has recorded the run, or once there is nothing to record. What is not
whole yet is looked at again in time; what a killed watcher had in mind is found by the sweep with which each begins.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import httpx
from prefect import flow

from flows.record_run import DEPLOYMENT, RunRecorder, is_away, pause_until_back, prefect_client
from flows.settings import Settings
from flows.status_uploads import standings
from flows.uploads import Inbox, inbox_of
from segmentation.errors import RunFailed, SpanscanError, UsageError
from tasks.output_files import dumped_json
from tasks.storage_s3 import S3Storage
from tasks.uploads.completeness import Upload
from tasks.uploads.intake import Intake, understand
from tasks.uploads.queue import Message, UploadQueue
from tasks.uploads.standing import Standing

log = logging.getLogger("spanscan.uploads")

MOST_RECEIPTS = 3
"""Of a message that cannot be worked, where the queue has no limit of its own; then it is set aside."""
_LONGEST_WAIT_S = 20
_BATCHES_AT_ONCE = 5
_LOOK_AGAIN_S = 2.0
"""Behind one device that is busy, hundreds of runs may wait, whose uploads are all due to be looked at again."""


@dataclass
class Watched:
    """What a watcher saw and did."""

    messages: int = 0
    surveys_looked_at: int = 0
    recorded: int = 0
    """Runs that were recorded."""
    ignored: int = 0
    """Records about something else, test events among them."""
    foreign: int = 0
    """Changes of objects that belong to no survey of the inbox."""
    malformed: int = 0
    """Receipts of messages that are no notification."""
    dead_letters: int = 0
    """Messages that were set aside below ``.dead-letters/`` in the results."""


@flow(name="watch-uploads", validate_parameters=True, persist_result=False, timeout_seconds=Settings().watch_timeout_s)
def watch_uploads(
    settings: dict[str, Any] | None = None, for_s: float | None = None, deployment: str = DEPLOYMENT
) -> Watched:
    """Watch the queue of the inbox and record runs, until it is stopped or for `for_s` seconds after its first look.

    Raises UsageError E_INBOX, E_QUEUE; RunFailed E_DEPLOYMENT. Servers that are away are waited for.
    """
    return watch(Settings(**(settings or {})), stop=threading.Event(), for_s=for_s, deployment=deployment)


def watch(
    chosen: Settings, *, stop: threading.Event, for_s: float | None = None, deployment: str = DEPLOYMENT
) -> Watched:
    """Watch until `stop` is set or `for_s` seconds are over, as the flow and `spanscan serve` do."""
    inbox = inbox_of(chosen)
    if chosen.queue_url is None or not isinstance(inbox.storage, S3Storage):
        cause = "an inbox in S3 and the queue of its notifications must be named"
        remedy = "set SPANSCAN_INBOX=s3://… and SPANSCAN_QUEUE_URL, or use `spanscan sweep`, which needs no queue"
        raise UsageError("E_QUEUE", "SPANSCAN_QUEUE_URL", cause, remedy)
    queue = UploadQueue(chosen.queue_url, chosen.s3_region, chosen.queue_visibility_s)
    with prefect_client() as client:
        recorder = RunRecorder(inbox, chosen, client, deployment)
        watcher = _Watcher(inbox, inbox.storage, queue, recorder, stop)
        watcher.patiently(watcher.reconcile)
        deadline = None if for_s is None else time.monotonic() + for_s
        left_s = float(_LONGEST_WAIT_S) if for_s is None else for_s
        while not stop.is_set():
            watcher.patiently(partial(watcher.turn, longest_wait_s=left_s))
            if deadline is not None and (left_s := deadline - time.monotonic()) <= 0:
                break
        return watcher.watched


@dataclass
class _Watcher:
    inbox: Inbox
    storage: S3Storage
    queue: UploadQueue
    recorder: RunRecorder
    stop: threading.Event
    watched: Watched = field(default_factory=Watched)
    pending: dict[str, float] = field(default_factory=dict)
    """Uploads to look at again, by name, and when by this process's monotonic clock: whole by then, or dead."""

    def reconcile(self) -> None:
        """Look at the whole inbox: record what is due, remember what will be."""
        for upload, where in standings(self.inbox):
            self._act(upload, where)
            if self.stop.is_set():
                return

    def turn(self, *, longest_wait_s: float) -> None:
        """Receive what there is, settle what it names, then what has become due meanwhile."""
        next_due_s = min(self.pending.values(), default=float("inf")) - time.monotonic()
        messages = self.queue.receive(wait_s=max(0, min(_LONGEST_WAIT_S, int(min(longest_wait_s, next_due_s)))))
        batches = 1
        while messages and len(messages) % 10 == 0 and batches < _BATCHES_AT_ONCE:
            more = self.queue.receive(wait_s=0)
            if not more:
                break
            messages += more
            batches += 1
        if messages:
            with self.queue.kept(messages):
                self._work(messages)
        self._look_again(until=time.monotonic() + _LOOK_AGAIN_S)

    def _look_again(self, *, until: float) -> None:
        """Settle what is due, not for so long that a new upload waits for it."""
        for due, name in sorted((due, name) for name, due in self.pending.items()):
            if due > time.monotonic():
                return
            self._settle(name, None)
            if time.monotonic() > until:
                return

    def patiently(self, work: Callable[[], None]) -> None:
        """Do some work again until the servers that it needs have answered."""
        failures = 0
        while not self.stop.is_set():
            try:
                work()
                return
            except (RunFailed, httpx.HTTPError) as error:
                if isinstance(error, RunFailed) and error.code == "E_DEPLOYMENT":
                    raise
                if isinstance(error, httpx.HTTPError) and not is_away(error):
                    raise
                failures += 1
                log.warning("waiting: %s", " ".join(f"{type(error).__name__}: {error}".split())[:300])
                pause_until_back(failures)

    def _work(self, messages: list[Message]) -> None:
        self.watched.messages += len(messages)
        intake = understand(messages, bucket=self.storage.bucket, prefix=self.storage.prefix)
        self.watched.ignored += intake.ignored
        self.watched.foreign += intake.foreign
        failed: set[str] = set()
        for name, heard_at in intake.surveys.items():
            try:
                # In here, so that messages are kept, not received again and again, while a server is away.
                self.patiently(partial(self._settle, name, heard_at))
            except (UsageError, RunFailed):
                raise
            except SpanscanError as error:
                log.error("%s: %s", name, error)
                failed.add(name)
        if self.stop.is_set():
            return
        self.queue.delete([m for m in messages if m.id in intake.asks and not intake.asks[m.id] & failed])
        poison = [m for m in messages if m.id in intake.asks and intake.asks[m.id] & failed]
        self._set_aside(intake, poison)

    def _set_aside(self, intake: Intake, poison: list[Message]) -> None:
        """Leave what cannot be worked to the queue's dead-letter rule, or follow that rule where it has none."""
        bad = [*intake.malformed, *((message, "its survey cannot be looked at") for message in poison)]
        self.watched.malformed += len(intake.malformed)
        if not bad:
            return
        by_queue = self.queue.dead_letters_after()
        for message, why in bad:
            log.warning("message %s: %s (receipt %d)", message.id, why, message.received_count)
            if by_queue is None and message.received_count >= MOST_RECEIPTS:
                letter = {"message": message.id, "why": why, "body": message.body}
                self.inbox.results.write(
                    f".dead-letters/{message.id}.json", dumped_json(letter), content_type="application/json"
                )
                self.queue.delete([message])
                self.watched.dead_letters += 1
            else:
                self.queue.release(message)

    def _settle(self, name: str, heard_at: datetime | None) -> None:
        self.watched.surveys_looked_at += 1
        self.pending.pop(name, None)
        upload = self.inbox.upload(name)
        if upload is not None and (until := self.recorder.remembered_until(upload)) is not None:
            self.pending[name] = until  # told again
        elif upload is not None:
            self._act(upload, self.inbox.standing(upload, heard_at=heard_at))

    def _act(self, upload: Upload, where: Standing) -> None:
        if where.attempt is not None:
            outcome = self.recorder.record(upload, where)
            self.watched.recorded += outcome == "recorded"
            if outcome not in ("exhausted", "cancelled"):  # a run may die without a word
                self.pending[upload.name] = time.monotonic() + self.inbox.rules.lease_s
        elif where.due_at is not None:
            wait_s = max(0.5, (where.due_at - upload.seen_at).total_seconds())
            self.pending[upload.name] = time.monotonic() + wait_s
