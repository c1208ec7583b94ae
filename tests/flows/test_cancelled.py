"""What a person has cancelled stays cancelled: until its content changes, or somebody asks for it by its name."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from flows.settings import Settings
from segmentation.errors import UsageError
from tasks.s3_server import EmbeddedS3
from tests.flows.inboxes import DEPLOYMENT, apply_recording_deployment, make_inbox
from tests.flows.test_sweep_uploads import put, run_recorded, states, sweep


@pytest.fixture
def chosen(prefect: str, tmp_path: Path) -> Settings:
    apply_recording_deployment()
    return Settings(inbox=str(tmp_path / "in"), results=str(tmp_path / "results"))


def runs(chosen: Settings) -> list[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(limit=200)
    return [run for run in found if run.parameters.get("survey", "").startswith(f"{chosen.inbox}/")]


def cancel(chosen: Settings) -> None:
    """Do what the button does with each run that has not ended."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    with get_client(sync_client=True) as client:
        for run in runs(chosen):
            if not run.state.is_final():
                client.set_flow_run_state(run.id, Cancelled(), force=True)


def interrupt(chosen: Settings, survey: str) -> None:
    """Leave the record of a run that was told to end while it was under way."""
    from flows.uploads import recorded_run

    with pytest.raises(SystemExit), recorded_run(f"{chosen.inbox}/{survey}/", chosen):
        raise SystemExit


def test_a_run_cancelled_before_it_began_is_not_recorded_anew(chosen: Settings) -> None:
    """Symptom: it was told as due for ever, and no state told why nothing came of it."""
    put(chosen, "bridge", "a.tif", "survey.json")
    assert sweep(chosen).recorded == 1
    cancel(chosen)
    for _ in range(2):
        assert sweep(chosen).recorded == 0
    assert states(chosen) == {"bridge": "cancelled"}
    assert len(runs(chosen)) == 1


def test_a_run_cancelled_under_way_is_not_taken_up_by_the_next_sweep(chosen: Settings) -> None:
    """Symptom: its record said "interrupted", which is due at once, so that cancelling it began it again."""
    put(chosen, "bridge", "a.tif", "survey.json")
    sweep(chosen)
    cancel(chosen)
    interrupt(chosen, "bridge")
    assert states(chosen) == {"bridge": "failed"}
    assert sweep(chosen).recorded == 0
    assert states(chosen) == {"bridge": "cancelled"}


def test_a_run_that_was_interrupted_and_not_cancelled_goes_on(chosen: Settings) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    put(chosen, "bridge", "a.tif", "survey.json")
    sweep(chosen)
    interrupt(chosen, "bridge")
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(runs(chosen)[0].id, Crashed(), force=True)
    assert sweep(chosen).recorded == 1


def test_a_machine_that_died_with_a_run_that_was_being_cancelled_ends_it(chosen: Settings) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    put(chosen, "bridge", "a.tif", "survey.json")
    sweep(chosen)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(runs(chosen)[0].id, Cancelling(), force=True)
    interrupt(chosen, "bridge")
    (record,) = (Path(chosen.results) / "bridge" / "uploads").iterdir()
    record.write_text(record.read_text().replace('"failed"', '"running"').replace('"E_INTERRUPTED"', "null"))
    os.utime(record, (0, 0))
    assert sweep(chosen).recorded == 0
    assert [run.state.type.value for run in runs(chosen)] == ["CANCELLED"]
    assert states(chosen) == {"bridge": "cancelled"}


def test_new_content_is_run_and_other_settings_are_not(chosen: Settings) -> None:
    put(chosen, "bridge", "a.tif", "survey.json")
    sweep(chosen)
    cancel(chosen)
    sweep(chosen)
    assert sweep(chosen.model_copy(update={"min_crack_width_px": 3.0})).recorded == 0
    put(chosen, "bridge", "a.tif", "survey.json", data=b"flown again")
    assert sweep(chosen).recorded == 1


def test_it_is_run_when_it_is_asked_for_as_often_as_it_is_cancelled(chosen: Settings) -> None:
    chosen = chosen.model_copy(update={"run_failures": 1})
    put(chosen, "bridge", "a.tif", "survey.json")
    sweep(chosen)
    for _ in range(chosen.run_failures + 1):
        cancel(chosen)
        sweep(chosen)
        assert sweep(chosen, resume=["bridge"]).recorded == 1
        assert sweep(chosen).recorded == 0  # the run that was asked for waits for a worker
        assert states(chosen) == {"bridge": "complete"}
    assert run_recorded(chosen) == 1
    assert states(chosen) == {"bridge": "published"}


@pytest.mark.parametrize("name", ["published", "absent"])
def test_only_what_was_cancelled_is_resumed(chosen: Settings, name: str) -> None:
    put(chosen, "published", "a.tif", "survey.json")
    sweep(chosen)
    run_recorded(chosen)
    with pytest.raises(UsageError, match=f"{name}: E_NOT_CANCELLED"):
        sweep(chosen, resume=[name])


def test_a_watcher_leaves_alone_what_was_cancelled(prefect: str, s3_server: EmbeddedS3) -> None:
    from flows.watch_uploads import watch

    apply_recording_deployment()
    inbox = make_inbox(s3_server, "cancelled")
    settings = inbox.chosen()

    def watched() -> int:
        return watch(settings, stop=threading.Event(), for_s=0.1, deployment=DEPLOYMENT).recorded

    inbox.upload("bridge")
    assert watched() == 1
    cancel(settings)
    inbox.upload("bridge", {"survey.json": b"{}"})  # the same content told again
    assert watched() == 0
    assert states(settings) == {"bridge": "cancelled"}
    inbox.upload("bridge", {"survey.json": b"{}"})
    assert watched() == 0
    assert inbox.runs() == {"bridge": 1}
