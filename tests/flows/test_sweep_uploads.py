"""A sweep finds by listing what no event told, in S3 and in a folder, and leaves alone what is done."""

import time
from pathlib import Path
from typing import Any

import pytest

from flows.settings import Settings
from segmentation.errors import UsageError
from tasks.s3_server import EmbeddedS3
from tests.flows.inboxes import DEPLOYMENT, apply_recording_deployment, make_inbox

Runs = list[dict[str, Any]]


@pytest.fixture(params=["s3", "folder"])
def chosen(request: pytest.FixtureRequest, prefect: str, s3_server: EmbeddedS3, tmp_path: Path) -> Settings:
    apply_recording_deployment()
    if request.param == "folder":
        return Settings(inbox=str(tmp_path / "in"), results=str(tmp_path / "results"))
    return make_inbox(s3_server, f"sweep-{abs(hash(request.node.nodeid)) % 10**12}").chosen(queue_url=None)


def put(chosen: Settings, survey: str, *names: str, data: bytes = b"raster") -> None:
    from flows.uploads import inbox_of

    for name in names:
        content = b"{}" if name == "survey.json" else data
        inbox_of(chosen).storage.write(f"{survey}/{name}", content, content_type="image/tiff")


def sweep(chosen: Settings, **options: Any) -> Any:
    from flows.sweep_uploads import sweep as sweep_inbox

    return sweep_inbox(chosen, deployment=DEPLOYMENT, **options)


def run_recorded(chosen: Settings) -> int:
    """Do what a worker does with the runs of this inbox that wait; how many."""
    from prefect.client.orchestration import get_client
    from prefect.states import Completed, Failed

    from tests.flows.recording import record_survey

    done = 0
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(limit=200):
            place = run.parameters.get("survey", "")
            if not place.startswith(f"{chosen.inbox}/") or run.state is None or not run.state.is_scheduled():
                continue
            settings = {"s3_endpoint_url": chosen.s3_endpoint_url, **run.parameters["settings"]}
            try:
                record_survey.fn(place, settings=settings)
                state = Completed()
            except Exception:  # what the flow says of it is in its record
                state = Failed()
            client.set_flow_run_state(run.id, state, force=True)
            done += 1
    return done


def states(chosen: Settings) -> dict[str, str]:
    from flows.status_uploads import status_of

    return {one.survey: one.state for one in status_of(chosen)}


def test_what_is_whole_is_run_once_and_what_is_done_is_left_alone(chosen: Settings) -> None:
    put(chosen, "whole", "a.tif", "survey.json")
    put(chosen, "bad", "a.tif", "survey.json")
    put(chosen, "still coming", "a.tif")
    first = sweep(chosen)
    assert (first.surveys, first.recorded) == (3, 2)
    assert first.states == {"complete": 2, "waiting": 1}
    assert sweep(chosen).recorded == 0
    assert run_recorded(chosen) == 2
    assert states(chosen) == {"whole": "published", "bad": "rejected", "still coming": "waiting"}
    assert sweep(chosen).recorded == 0
    assert run_recorded(chosen) == 0


def test_new_content_of_a_published_survey_is_run(chosen: Settings) -> None:
    put(chosen, "bridge", "a.tif", "survey.json")
    sweep(chosen)
    run_recorded(chosen)
    put(chosen, "bridge", "a.tif", "survey.json", data=b"flown again")
    assert sweep(chosen).recorded == 1
    assert run_recorded(chosen) == 1


def test_other_settings_run_published_content_only_when_asked_again(chosen: Settings) -> None:
    put(chosen, "bridge", "a.tif", "survey.json")
    sweep(chosen)
    run_recorded(chosen)
    other = chosen.model_copy(update={"min_crack_width_px": 3.0})
    assert sweep(other).recorded == 0
    assert sweep(other, again=True).recorded == 1
    assert run_recorded(other) == 1
    assert sweep(other, again=True).recorded == 0


def test_a_failed_run_is_tried_again_later_and_given_up_after_three(chosen: Settings) -> None:
    soon = chosen.model_copy(update={"run_retry_after_s": 1e-6})
    put(soon, "broken", "a.tif", "survey.json")
    tried = 0
    for _ in range(5):
        sweep(soon)
        tried += run_recorded(soon)
        time.sleep(0 if chosen.s3_endpoint_url is None else 1.1)  # the dates of S3 are whole seconds
    assert tried == 3
    assert states(soon) == {"broken": "failed"}
    put(chosen, "broken too", "a.tif", "survey.json")
    sweep(chosen)
    run_recorded(chosen)
    assert sweep(chosen).recorded == 0  # it waits for ten minutes at least


def test_a_sweep_needs_an_inbox(prefect: str) -> None:
    with pytest.raises(UsageError, match="SPANSCAN_INBOX"):
        sweep(Settings(inbox=None))


def test_the_flow_is_the_sweep(chosen: Settings) -> None:
    from flows.sweep_uploads import sweep_uploads

    put(chosen, "bridge", "a.tif", "survey.json")
    asked = {"inbox": chosen.inbox, "results": chosen.results, "s3_endpoint_url": chosen.s3_endpoint_url}
    assert sweep_uploads(asked, deployment=DEPLOYMENT).recorded == 1
