"""A run that hangs ends when its time is over, says why, and counts as a failure that is tried again."""

import threading
from pathlib import Path
from typing import Any

import pytest

from flows.settings import Settings
from flows.time_limits import told_when_out_of_time
from segmentation.errors import RunFailed
from segmentation.inference.devices import gpu_count
from tasks.uploads.ledger import TIMED_OUT
from tests.flows.test_sweep_uploads import put

HANG_S = 20.0
LIMIT_S = 5.0


began = threading.Event()


def hang(_item: int, _shared: int) -> int:
    """A block whose file server does not answer."""
    began.set()
    threading.Event().wait(HANG_S)
    return 0


@pytest.fixture
def chosen(prefect: str, tmp_path: Path) -> Settings:
    gpu_count()  # imports torch, whose import must not be what is cut short
    return Settings(inbox=str(tmp_path / "in"), results=str(tmp_path / "out"))


def hanging_flow(chosen: Settings) -> Any:
    """A flow that keeps a record, and whose blocks hang."""
    from prefect import flow

    from flows.stopwatch import Stopwatch
    from flows.uploads import recorded_run
    from tasks.cluster import dask_client, run_each

    @flow(timeout_seconds=LIMIT_S, persist_result=False)
    def inspect(survey: str) -> None:
        with recorded_run(survey, chosen), dask_client(scheduler=None, workers=1) as client:
            Stopwatch().run("segment", run_each, client, hang, [1, 2], shared=0)

    return inspect


@pytest.mark.slow
def test_a_run_whose_blocks_hang_ends_in_time_as_a_failure_that_is_told(chosen: Settings) -> None:
    """Symptom: it would have counted as stopped by somebody, and so begun again at once, without end.

    Dask waits for the threads of its worker, half a minute at most: here until the block hangs no more.
    """
    from flows.status_uploads import status_of

    put(chosen, "bridge", "a.tif", "survey.json")
    state = hanging_flow(chosen)(f"{chosen.inbox}/bridge", return_state=True)
    assert began.is_set(), "it must be a block that hung"
    assert state.name == "TimedOut"
    (told,) = status_of(chosen)
    assert (told.state, told.code, told.resumable) == ("failed", TIMED_OUT, True)
    record = next((Path(chosen.results) / "bridge" / "uploads").iterdir())
    assert '"state": "failed"' in record.read_text()


def test_who_gave_the_command_is_told_the_limit_and_the_setting(prefect: str) -> None:
    from prefect import flow

    @flow(timeout_seconds=0.5, persist_result=False)
    def inspect() -> None:
        threading.Event().wait(HANG_S)

    with (
        pytest.raises(RunFailed, match=r"bridge: E_TIMEOUT: .* within 0.5 s.*SPANSCAN_RUN_TIMEOUT_S"),
        told_when_out_of_time("bridge", limit_s=0.5, setting="SPANSCAN_RUN_TIMEOUT_S"),
    ):
        inspect()
