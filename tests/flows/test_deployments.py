"""The deployments name flows that exist, by module path, with parameters that they take and rules that Prefect has."""

import json
import os
import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.time_limits import spread_s

DEPLOYMENTS = Path(__file__).parents[2] / "deployments" / "prefect.yaml"
KUBERNETES = DEPLOYMENTS.parent / "kubernetes"


def deployments() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(DEPLOYMENTS.read_text())["deployments"]
    return found


def loaded(deployment: dict[str, Any]) -> Any:
    """The flow that a deployment names."""
    module, _, name = deployment["entrypoint"].rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.slow
@pytest.mark.parametrize("deployment", deployments(), ids=lambda d: d["name"])
def test_a_deployment_can_be_loaded_from_any_folder(
    deployment: dict[str, Any], prefect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flow = loaded(deployment)
    assert flow.name == deployment["name"]
    taken = signature(flow.fn).parameters
    assert set(deployment["parameters"]) <= set(taken)
    required = {name for name, parameter in taken.items() if parameter.default is parameter.empty}
    # What a schedule starts gets no parameters but those written here.
    assert not deployment.get("schedules") or required <= set(deployment["parameters"])


def test_each_flow_of_the_inbox_is_deployed_under_a_limit_and_a_tag() -> None:
    found = {d["name"]: d for d in deployments()}
    assert set(found) == {"inspect-survey", "sweep-uploads", "watch-uploads", "compare-surveys", "train-model"}
    for deployment in found.values():
        assert deployment["concurrency_limit"]["limit"] == 1
        # What the clock starts again and again is not piled up; what somebody asked for is.
        strategy = "CANCEL_NEW" if deployment.get("schedules") else "ENQUEUE"
        assert deployment["concurrency_limit"]["collision_strategy"] == strategy
        assert "spanscan" in deployment["tags"]
        assert deployment["work_pool"]["name"] == "spanscan"


def test_no_deployment_binds_its_runs_to_the_folder_of_whoever_deployed_it() -> None:
    """Symptom to guard against: workers on other machines fail, since Prefect has written that folder by default."""
    (step,) = yaml.safe_load(DEPLOYMENTS.read_text())["pull"]
    assert step == {"prefect.deployments.steps.set_working_directory": {"directory": "."}}


@pytest.mark.slow
def test_who_offers_the_inspection_loads_neither_torch_nor_gdal() -> None:
    """They take seconds and 400 MB: of a server for as long as it serves, and of each run before it has started."""
    command = "import sys, flows.inspect_survey; print(sorted({'torch', 'rasterio', 'distributed'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LONG_RETRY_S = 600


@pytest.mark.slow
@pytest.mark.parametrize("deployment", deployments(), ids=lambda d: d["name"])
def test_a_flow_ends_by_itself_before_its_pool_ends_it(deployment: dict[str, Any], prefect: str) -> None:
    """Ended by Prefect it writes down why; a container that is taken away cannot."""
    flow = loaded(deployment)
    assert flow.timeout_seconds is not None
    for_s = deployment["parameters"].get("for_s", 0)
    assert for_s < flow.timeout_seconds, "what ends in order must do so before it is cut short"
    for pool in KUBERNETES.glob("*/work-pool.json"):
        limit_s = json.loads(pool.read_text())["variables"]["properties"]["timeout_s"]["default"]
        assert 60 <= flow.timeout_seconds < limit_s, pool


@pytest.mark.slow
@pytest.mark.parametrize("deployment", deployments(), ids=lambda d: d["name"])
def test_what_is_not_begun_again_by_another_is_retried_at_a_moment_of_its_own(
    deployment: dict[str, Any], prefect: str
) -> None:
    """Watchers begin each minute, inspections are recorded anew by sweeps, with a spread of their own."""
    flow = loaded(deployment)
    if deployment["name"] in ("watch-uploads", "inspect-survey"):
        assert flow.retries == 0
        return
    assert flow.retries == 2
    assert 30 <= flow.retry_delay_seconds <= LONG_RETRY_S


def test_a_delay_is_spread_by_up_to_half() -> None:
    drawn = {spread_s(30) for _ in range(500)}
    assert (min(drawn), max(drawn)) == (30, 45)


@pytest.mark.slow
def test_prefect_takes_the_file_as_it_is(prefect: str, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client

    environment = {
        **os.environ,
        "SPANSCAN_INBOX": "s3://surveys/in",
        "SPANSCAN_RESULTS": "s3://surveys/out",
        "SPANSCAN_QUEUE_URL": "http://127.0.0.1:1/queue",
    }

    def run(*arguments: str) -> None:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run("work-pool", "create", "spanscan", "--type", "process", "--overwrite")
    run("deploy", "--all", "--prefect-file", str(DEPLOYMENTS))
    with get_client(sync_client=True) as client:
        for deployment in deployments():
            made = client.read_deployment_by_name(f"{deployment['name']}/{deployment['name']}")
            assert made.entrypoint == deployment["entrypoint"]
            assert made.work_pool_name == "spanscan"
            assert made.global_concurrency_limit is not None
            assert made.global_concurrency_limit.limit == 1
            assert len(made.schedules) == len(deployment.get("schedules", []))
            assert made.job_variables["env"]["SPANSCAN_INBOX"] == "s3://surveys/in"
            client.delete_deployment(made.id)  # its schedules are of no use to the other tests
