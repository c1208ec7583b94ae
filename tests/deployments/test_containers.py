"""The image and the compose file: what goes in, who runs it, what it may write, which ports are open to whom."""

import fnmatch
import re
from typing import Any

import pytest
import yaml

from flows.cli import app
from flows.settings import Settings
from tests.deployments.files import DEPLOYMENTS, ROOT

CONTAINERFILE = (DEPLOYMENTS / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, flags=re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_what_the_image_copies_is_let_through_and_nothing_else_is() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied())
    assert all((ROOT / source).exists() for source in copied())
    for secret in (".env", "deployments/compose.env", ".git", "tests", "segmentation/.cache"):
        let_through = [rule[1:] for rule in rules if rule.startswith("!") and secret.startswith(rule[1:])]
        assert not let_through or any(fnmatch.fnmatch(secret, rule) for rule in rules if rule.startswith("**/."))


def test_nothing_is_installed_without_its_hash() -> None:
    installs = re.findall(r"pip install ([^\n&|]+)", CONTAINERFILE.replace("\\\n", " "))
    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)
    assert all("--no-deps" in one for one in installs)
    assert "://" not in re.sub(r"^#.*$", "", CONTAINERFILE, flags=re.MULTILINE)


def test_the_image_runs_without_privileges_and_writes_to_its_volume_and_tmp() -> None:
    last = CONTAINERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, flags=re.MULTILINE)
    variables = dict(re.findall(r"(\w+)=(\S+)", last))
    for name in ("HOME", "SPANSCAN_HOME", "PREFECT_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        assert variables[name].startswith(("/var/lib/spanscan", "/tmp/"))
    assert "VOLUME /var/lib/spanscan" in last
    assert "HEALTHCHECK" in last
    assert last.index("USER ") < last.index("ENTRYPOINT")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_write_and_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(one.startswith("/tmp") for one in service["tmpfs"])
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)
    assert all(one.startswith("127.0.0.1:") for one in service.get("ports", ()))
    assert all(one.partition(":")[0] in COMPOSE["volumes"] for one in service.get("volumes", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_settings_that_exist_and_secrets_of_its_own_alone(name: str) -> None:
    given = SERVICES[name].get("environment", {})
    ours = {key.removeprefix("SPANSCAN_").lower() for key in given if key.startswith("SPANSCAN_")}
    assert ours <= set(Settings.model_fields)
    text = " ".join(str(value) for value in given.values())
    assert ("POSTGRES_PASSWORD" in text) == (name in ("postgres", "prefect-server"))
    assert ("INSPECTOR_SECRET" in text) == (name == "worker")
    assert ("WATCHER_SECRET" in text) == (name == "watcher")
    known = {line.partition("=")[0] for line in (DEPLOYMENTS / "compose.env.example").read_text().splitlines()}
    assert set(re.findall(r"\$\{(\w+)", text)) <= known


def test_only_the_server_reaches_the_database() -> None:
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert {name for name, one in SERVICES.items() if "database" in one["networks"]} == {"postgres", "prefect-server"}


def test_what_the_services_start_exists() -> None:
    commands = {found.callback.__name__ for found in app.registered_commands if found.callback is not None}
    for service in SERVICES.values():
        command = service.get("command", ["prefect"])
        assert command[0] in ("prefect", "sh", "moto_server") or command[1] in commands
    deployed = set(re.findall(r"--name (\S+)", SERVICES["set-up"]["command"][2]))
    known = {d["name"] for d in yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())["deployments"]}
    assert deployed <= known


def test_secrets_are_kept_out_of_the_repository() -> None:
    assert "/deployments/compose.env" in (ROOT / ".gitignore").read_text().splitlines()
    for line in (DEPLOYMENTS / "compose.env.example").read_text().splitlines():
        if "PASSWORD" in line or "SECRET" in line or "KEY_ID" in line:
            assert line.startswith("#") or line.endswith("=")
