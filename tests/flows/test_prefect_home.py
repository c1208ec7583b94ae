"""Whose Prefect API is used, and that nobody's profile is touched."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.prefect_home import configured_api_url
from tasks.child_process import free_port

PROFILES = """
active = "office"
[profiles.office]
PREFECT_API_URL = "http://prefect.office:4200/api"
[profiles.laptop]
PREFECT_LOGGING_LEVEL = "DEBUG"
"""


@dataclass(frozen=True)
class Case:
    id: str
    environ: dict[str, str]
    profiles: str | None
    expected: str | None


CASES = [
    Case("nothing-configured-none-is-used", {}, None, None),
    Case("the-environment-is-taken", {"PREFECT_API_URL": "http://a/api"}, None, "http://a/api"),
    Case("the-environment-goes-before-the-profile", {"PREFECT_API_URL": "http://a/api"}, PROFILES, "http://a/api"),
    Case("the-active-profile-is-taken", {}, PROFILES, "http://prefect.office:4200/api"),
    Case(
        "a-profile-named-in-the-environment-goes-before-the-active-one", {"PREFECT_PROFILE": "laptop"}, PROFILES, None
    ),
    Case("a-profile-that-does-not-exist-configures-nothing", {"PREFECT_PROFILE": "nobody"}, PROFILES, None),
    Case("a-profile-file-that-is-not-toml-configures-nothing", {}, "= broken", None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_the_configured_api_is_found(case: Case, tmp_path: Path) -> None:
    if case.profiles is not None:
        (tmp_path / "profiles.toml").write_text(case.profiles)
    assert configured_api_url({"PREFECT_HOME": str(tmp_path), **case.environ}) == case.expected


def test_looking_for_it_leaves_the_profile_as_it_was(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(PROFILES)
    configured_api_url({"PREFECT_HOME": str(tmp_path)})
    assert profiles.read_text() == PROFILES
    assert [p.name for p in tmp_path.iterdir()] == ["profiles.toml"]


def test_a_server_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    nobody = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    command = [sys.executable, "-m", "flows", "inspect", str(tmp_path), "--results", str(tmp_path / "out")]
    environment = {**os.environ, **nobody, "SPANSCAN_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 4, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("spanscan:")]
    assert "Prefect server: E_PREFECT: " in line
    assert nobody["PREFECT_API_URL"] in line
    assert "Remedy: mend PREFECT_API_URL or bring the server back" in line
