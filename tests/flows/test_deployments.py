"""The deployments name flows that exist, by module path, with parameters that they take."""

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
    assert set(deployment.get("parameters", {})) <= set(signature(flow.fn).parameters)
