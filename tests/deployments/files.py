"""The files of `deployments/` as plain data."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = ROOT / "deployments"
KUBERNETES = DEPLOYMENTS / "kubernetes"
WORK_POOLS = tuple(sorted(KUBERNETES.rglob("work-pool.json")))


def policy(name: str) -> dict[str, Any]:
    """An IAM policy document."""
    found: dict[str, Any] = json.loads((DEPLOYMENTS / "iam" / f"{name}.json").read_text())
    return found


def manifests() -> list[dict[str, Any]]:
    """Every document of the Kubernetes manifests."""
    files = [path for path in sorted(KUBERNETES.rglob("*.yaml")) if path.name != "kustomization.yaml"]
    return [document for path in files for document in yaml.safe_load_all(path.read_text())]


@dataclass(frozen=True)
class Pod:
    """What a manifest or a work pool starts."""

    name: str
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def component(self) -> str:
        """By which services, policies and budgets choose it."""
        return self.labels["app.kubernetes.io/component"]

    @property
    def container(self) -> dict[str, Any]:
        """Its one container."""
        (only,) = self.spec["containers"]
        return dict(only)


def pods() -> list[Pod]:
    """Every pod that the manifests and the work pools start."""
    found = []
    for document in manifests():
        spec = document.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template is not None:
            found.append(Pod(document["metadata"]["name"], template["metadata"]["labels"], template["spec"]))
    for path in WORK_POOLS:
        document = json.loads(path.read_text())
        template = document["job_configuration"]["job_manifest"]["spec"]["template"]
        values = {name: one.get("default") for name, one in document["variables"]["properties"].items()}
        name = f"{path.parent.name}/{path.name}"
        found.append(Pod(name, template["metadata"]["labels"], filled(template["spec"], values)))
    return found


def filled(template: Any, values: dict[str, Any]) -> Any:
    """A work pool's template with the defaults of its variables."""
    if isinstance(template, dict):
        return {name: filled(one, values) for name, one in template.items()}
    if isinstance(template, list):
        return [filled(one, values) for one in template]
    found = re.fullmatch(r"\{\{ (\w+) \}\}", template) if isinstance(template, str) else None
    return values[found[1]] if found else template


def locked(name: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """(package, version, marker, hashes) of each entry of a lock."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOYMENTS / name).read_text(), flags=re.MULTILINE)
    for entry in re.split(r"\n(?=\S)", text.strip()):
        pinned, *hashes = re.split(r"\s*\\\n\s*--hash=", entry)
        requirement, _, marker = pinned.partition(" ; ")
        package, _, version = requirement.partition("==")
        yield package.partition("[")[0], version.strip(), marker.strip(), hashes
