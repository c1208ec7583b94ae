"""What Prefect's dashboard and Prometheus are told of a run: from a thread of its own, which never holds the run up.

Progress is told at intervals, however fast blocks come. What cannot be told is said once in the log and no more; the
end waits `_CLOSE_S` seconds for what is still to be told.
"""

import contextvars
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from flows.log_survey import log_of_survey
from flows.run_metrics import write_metrics
from flows.run_summary import RunSummary, counted
from flows.settings import Settings
from flows.stage_progress import StageProgress
from flows.uploads import survey_name
from segmentation.inference.devices import held_device_bytes
from tasks.allocator import peak_rss_bytes
from tasks.report.pictures import Picture
from tasks.slugs import survey_folder

log = logging.getLogger("spanscan.inspect")

_CLOSE_S = 10.0
Job = Callable[[], None]


class RunBoard:
    """Where a run is told of; made by `run_board`."""

    def __init__(self, survey: str, *, every_s: float, metrics_file: Path | None) -> None:
        self.survey = survey
        self.in_prefect = FlowRunContext.get() is not None
        self._key = survey_folder(survey)
        self._every_s = every_s
        self._metrics_file = metrics_file
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._count: Callable[..., StageProgress] | None = None
        self._artifact: uuid.UUID | None = None
        self._picture: Picture | None = None
        self._silent: set[str] = set()
        # Prefect knows the run of a thread by its context.
        context = contextvars.copy_context()
        self._teller = threading.Thread(target=context.run, args=(self._tell,), name="spanscan-board", daemon=True)
        self._teller.start()

    def counter(self, stage: str, *, unit: str, pixels: int | None) -> Callable[[int, int], None]:
        """What a stage calls with (done, all) as it goes on; cheap, whoever waits to be told."""
        began = time.monotonic()
        found_done: list[int] = []

        def count(done: int, total: int) -> None:
            if not found_done:
                found_done.append(done)
            self._count = partial(
                StageProgress, stage=stage, unit=unit, done=done, total=total, found_done=found_done[0],
                elapsed_s=time.monotonic() - began, pixels=pixels,
            )  # fmt: skip

        return count

    def structures_known(self, count: int) -> None:
        """Name the run in Prefect by its survey and its structures."""
        self._jobs.put(partial(self._once, "Prefect", partial(self._rename, count)))

    def picture(self, make: Callable[[], Picture | None]) -> None:
        """Make the picture that is shown once the run is published, while its rasters are at hand."""

        def keep() -> None:
            self._picture = make()

        if self.in_prefect:
            self._once("the picture", keep)

    def published(self, summary: Callable[[Picture | None], RunSummary]) -> None:
        """Show what was found: a table, the way to the report, and the picture."""
        self._jobs.put(partial(self._once, "Prefect", lambda: self._show(summary(self._picture))))

    def close(self) -> None:
        """Tell the last and end, within bounded time."""
        self._jobs.put(self._tick)
        self._jobs.put(None)
        self._teller.join(_CLOSE_S)

    def _tell(self) -> None:
        due = time.monotonic()
        while True:
            try:
                job = self._jobs.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                job = self._tick
                due = time.monotonic() + self._every_s
            if job is None:
                return
            job()

    def _tick(self) -> None:
        count, self._count = self._count, None
        if count is None:
            return
        progress = count(peak_bytes=peak_rss_bytes(), device_bytes=held_device_bytes())
        self._once("Prefect", partial(self._show_progress, progress))
        if self._metrics_file is not None:
            self._once("Prometheus", partial(write_metrics, self._metrics_file, self.survey, progress))

    def _once(self, whom: str, job: Job) -> None:
        """Do it, unless it failed before; a run never fails for what is told of it."""
        if whom in self._silent or (whom == "Prefect" and not self.in_prefect):
            return
        try:
            job()
        except Exception as error:
            self._silent.add(whom)
            told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            log.warning("the run goes on, but %s is left out of it: %s", whom, told)

    def _rename(self, count: int) -> None:
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None:
            with get_client(sync_client=True) as client:
                client.update_flow_run(context.flow_run.id, name=f"{self.survey}: {counted(count)}")

    def _show_progress(self, progress: StageProgress) -> None:
        if self._artifact is None:
            self._artifact = create_progress_artifact(  # type: ignore[assignment]
                progress.percent, key=f"{self._key}-progress", description=progress.sentence()
            )
        else:
            update_progress_artifact(self._artifact, progress.percent, description=progress.sentence())

    def _show(self, summary: RunSummary) -> None:
        create_table_artifact(list(summary.rows), key=f"{self._key}-summary", description=summary.sentence)
        create_link_artifact(summary.link, link_text="report", key=f"{self._key}-report", description=summary.link)
        if summary.picture_url is not None:
            create_image_artifact(summary.picture_url, key=f"{self._key}-overview", description=summary.sentence)


@contextmanager
def run_board(survey: str, chosen: Settings) -> Iterator[RunBoard]:
    """The board of a run of the survey at this address, closed at its end; the log names the survey meanwhile."""
    name = survey_name(survey)
    with log_of_survey(name):
        board = RunBoard(name, every_s=chosen.progress_every_s, metrics_file=chosen.metrics_file)
        try:
            yield board
        finally:
            board.close()
