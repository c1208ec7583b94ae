"""The deployments name flows that exist, by module path, with parameters that they take and rules that Prefect has."""

import os
import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOYMENTS = Path(__file__).parents[2] / "deployments" / "prefect.yaml"


def deployments() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(DEPLOYMENTS.read_text())["deployments"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("deployment", deployments(), ids=lambda d: d["name"])
def test_a_deployment_can_be_loaded_from_any_folder(
    deployment: dict[str, Any], prefect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(import_module(module), name)
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
