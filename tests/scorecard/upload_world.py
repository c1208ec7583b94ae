"""Uploads, their queue, Prefect's runs and inspections of no pixels, in memory and a folder; what decides is real."""

import hashlib
import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from prefect.states import Completed, Crashed, Failed

from flows.record_run import RunRecorder
from flows.settings import Settings
from flows.uploads import inbox_of, results_folder, survey_name
from flows.watch_uploads import _Watcher
from segmentation.errors import InputRejected, RunFailed, SpanscanError
from segmentation.records import SurveyContent
from tasks.crash_points import CrashPoint, reached
from tasks.output_files import OutputFiles, dumped_json
from tasks.publish import MANIFEST
from tasks.publish_pointer import swap_pointer
from tasks.survey_content import present_content
from tasks.uploads.completeness import Upload
from tasks.uploads.ledger import begun_log
from tasks.uploads.queue import Message
from tests.scorecard.readers import published_now

BUCKET = "inbox"
GOOD, BAD, BROKEN = "good", "bad", "broken"
LONG_S = 1_000_000
"""Longer than any lease and any wait before a retry."""
MODULES = ("tasks.uploads.ledger", "tasks.storage_local", "tasks.output_files", "tests.scorecard.upload_world")


class PowerCut(BaseException):
    """What ends a process where it stands."""


@dataclass
class Dying:
    """A process that ends at a passing of a crash point."""

    point: CrashPoint
    passing: int

    def __call__(self, point: CrashPoint) -> None:
        self.passing -= point == self.point
        if self.passing == 0 and point == self.point:
            raise PowerCut(point)


@contextmanager
def dying(at: Dying | None) -> Iterator[None]:
    """Let what runs here end there; nothing happens afterwards, as after a power cut."""
    with ExitStack() as patches:
        for module in MODULES:
            patches.enter_context(patch(f"{module}.reached", at if at is not None else reached))
        with suppress(PowerCut):
            yield


@dataclass
class MemoryQueue:
    """A queue as SQS is one: what is not deleted comes again, three times, then it is a dead letter."""

    waiting: list[Message] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """Bodies of all messages ever."""
    cut_at_delete: bool = False

    def put(self, body: str) -> None:
        self.told.append(body)
        self.waiting.append(Message(uuid.uuid4().hex, body, "", 0))

    def receive(self, *, wait_s: int) -> list[Message]:
        batch, self.waiting = self.waiting[:9], self.waiting[9:]
        batch = [replace(one, received_count=one.received_count + 1) for one in batch]
        self.received += batch
        return batch

    def delete(self, messages: Sequence[Message]) -> None:
        if self.cut_at_delete:
            raise PowerCut("before messages are acknowledged")
        gone = {one.id for one in messages}
        self.received = [one for one in self.received if one.id not in gone]

    def release(self, message: Message) -> None:
        self.received = [one for one in self.received if one.id != message.id]
        self._again(message)

    def come_again(self) -> None:
        """What nobody deleted is visible again."""
        left, self.received = self.received, []
        for one in left:
            self._again(one)

    def _again(self, message: Message) -> None:
        (self.dead if message.received_count >= 3 else self.waiting).append(message)

    def dead_letters_after(self) -> int:
        return 3

    @contextmanager
    def kept(self, messages: Sequence[Message]) -> Iterator[None]:
        yield


@dataclass
class MemoryPrefect:
    """Flow runs, one for each idempotency key, as Prefect's database holds them."""

    runs: dict[str, Any] = field(default_factory=dict)

    def read_deployment_by_name(self, name: str) -> Any:
        return SimpleNamespace(id=name)

    def create_flow_run_from_deployment(self, deployment: str, **asked: Any) -> Any:
        key = asked["idempotency_key"]
        if key not in self.runs:
            state, parameters = asked["state"], asked["parameters"]
            self.runs[key] = SimpleNamespace(
                id=key, idempotency_key=key, name=asked["name"], state=state, parameters=parameters, is_begun=False
            )
        return self.runs[key]

    def read_flow_runs(self, *, flow_run_filter: Any, **_: Any) -> list[Any]:
        return [self.runs[key] for key in flow_run_filter.idempotency_key.any_ if key in self.runs]

    def set_flow_run_state(self, key: str, state: Any, **_: Any) -> None:
        self.runs[key].state = state

    def due(self) -> list[Any]:
        """Runs that no worker has begun."""
        return [run for run in self.runs.values() if not run.is_begun]


class World:
    """An inbox of surveys in a folder, and everything that works at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        chosen = Settings(home=folder / "home", inbox=str(folder / "in"), results=str(folder / "results"))
        self.chosen, self.inbox = chosen, inbox_of(chosen)
        self.queue, self.prefect = MemoryQueue(), MemoryPrefect()
        self.kinds: dict[str, str] = {}
        """By content: what an inspection says of it."""
        self.moves: Counter[str] = Counter()
        """How often somebody was told that he published a run."""
        self._uploads = 0
        self.watcher = self._new_watcher()

    def _new_watcher(self) -> _Watcher:
        recorder = RunRecorder(self.inbox, self.chosen, self.prefect, "inspect")  # type: ignore[arg-type]
        recorder._tell = lambda *_: None  # type: ignore[assignment,method-assign]
        place: Any = SimpleNamespace(bucket=BUCKET, prefix="in/")
        return _Watcher(self.inbox, place, self.queue, recorder, threading.Event())  # type: ignore[arg-type]

    def upload(self, name: str, kind: str, *, is_whole: bool = True) -> None:
        """Put a raster and then survey.json, in place of what lies there; each is told of."""
        self._uploads += 1
        listed = ["deck.tif"] if is_whole else ["deck.tif", "to-come.tif"]
        for file, data in (
            ("deck.tif", f"{kind} {self._uploads}".encode()),
            ("survey.json", json.dumps({"rasters": listed, "operator": str(self._uploads)}).encode()),
        ):
            self.inbox.storage.write(f"{name}/{file}", data, content_type="")
            self._tell(name, file, "ObjectCreated:Put")
        found = self.inbox.upload(name)
        assert found is not None
        self.kinds[found.content] = kind

    def remove(self, name: str) -> None:
        for file in ("deck.tif", "survey.json"):
            self.inbox.storage.delete(f"{name}/{file}")
            self._tell(name, file, "ObjectRemoved:Delete")

    def _tell(self, name: str, file: str, event: str) -> None:
        one = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventTime": "2026-01-01T00:00:00.000Z",
            "eventName": event,
            "s3": {"bucket": {"name": BUCKET}, "object": {"key": f"in/{name}/{file}", "size": 1, "eTag": "e"}},
        }
        self.queue.put(json.dumps({"Records": [one]}))

    def watch(self, *, is_cut: bool) -> None:
        """A turn of the watcher; one that is cut before it acknowledges is begun anew, and its messages come again."""
        self.queue.cut_at_delete = is_cut
        try:
            self.watcher.turn(longest_wait_s=0)
        except PowerCut:
            self.watcher = self._new_watcher()
        finally:
            self.queue.cut_at_delete = False
        self.queue.come_again()

    def sweep(self) -> None:
        self.watcher.reconcile()

    def pass_time(self) -> None:
        """Leases run out, and waits before a retry are over; a watcher begins anew."""
        for path in Path(self.chosen.results).glob("*/uploads/*.json"):
            before = path.stat().st_mtime - LONG_S
            os.utime(path, (before, before))
        self.watcher = self._new_watcher()

    def kind_of(self, run: Any) -> str | None:
        """What a run would inspect now; None where the upload was removed."""
        upload = self.inbox.upload(survey_name(run.parameters["survey"]))
        return None if upload is None else self.kinds[upload.content]

    def inspect(
        self, run: Any, *, dies: Dying | None = None, meanwhile: str | None = None, is_overtaken: bool = False
    ) -> None:
        """Carry out a run, which dies on its way, or during which another upload of that kind arrives or overtakes."""
        run.is_begun = True
        uri = run.parameters["survey"]
        name = survey_name(uri)
        run.state = Crashed()  # as a worker tells of its child's end, unless the flow ends itself
        with dying(dies):
            run.state = self._inspected(uri, name, meanwhile, is_overtaken)

    def _inspected(self, uri: str, name: str, meanwhile: str | None, is_overtaken: bool) -> Any:
        """The state in which Prefect's flow ends."""
        upload = self.inbox.upload(name)
        if upload is None:
            return Completed()
        settings = self.inbox.rules.settings
        log = begun_log(
            self.inbox.results, results_folder(name), survey=uri, content=upload.content, settings=settings,
        )  # fmt: skip
        try:
            kind = self.kinds[upload.content]
            if kind == BAD:
                raise InputRejected("E_NO_CRS", "deck.tif", "a raster must have a CRS, got none", "give it one")
            if kind == BROKEN:
                raise RunFailed("E_DISK_FULL", "/", "the disk must have room, got none", "free some")
            run_key = hashlib.sha256(upload.content.encode()).hexdigest()[:16]
            self._write_run(name, run_key)
            if meanwhile is not None:
                self.upload(name, meanwhile)
                if is_overtaken:
                    self._inspected(uri, name, None, False)
            self._publish(uri, name, upload, run_key)
            log.published(run_key)
        except SpanscanError as error:
            log.ended_by(error)
            return Failed()
        return Completed()

    def _write_run(self, name: str, run_key: str) -> None:
        files = OutputFiles(self.inbox.results_of(name).child(f"runs/{run_key}"))
        for key in ("report.html", "report.json", "mask.tif"):
            files.write(key, f"{key} of {run_key}".encode(), "")
        manifest = {"run_key": run_key, "outputs_sha256": files.sha256}
        self.inbox.results_of(name).child(f"runs/{run_key}").swap(MANIFEST, dumped_json(manifest), expected=None)

    def _publish(self, uri: str, name: str, upload: Upload, run_key: str) -> None:
        reached("before_pointer_swap")
        content = SurveyContent(upload.content, upload.changed_at)
        told = swap_pointer(
            self.inbox.results_of(name),
            run_key,
            content=content,
            present=lambda: present_content(uri, endpoint_url=None, region=None),
        )
        self.moves[run_key] += told.moved
        reached("after_pointer_swap")

    def published(self, name: str) -> str | None:
        """The run that a reader sees; every file of it is there and whole."""
        return published_now(self.inbox.results, results_folder(name))
