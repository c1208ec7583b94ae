"""What is deployed is pinned and hashed: every dependency of the project, in a version that the project allows."""

import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deployments.files import DEPLOYMENTS, ROOT, locked

LOCKS = ("requirements.lock", "torch-cpu.lock", "torch-cuda.lock")


def needed() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    yield from map(Requirement, project["project"]["dependencies"])
    yield from map(Requirement, project["project"]["optional-dependencies"]["kubernetes"])
    # The wheel is built without isolation, by what is locked.
    yield from map(Requirement, project["build-system"]["requires"])


@pytest.mark.parametrize("requirement", list(needed()), ids=lambda r: r.name)
def test_a_dependency_is_locked_in_a_version_that_the_project_allows(requirement: Requirement) -> None:
    names = LOCKS[1:] if requirement.name == "torch" else LOCKS[:1]
    for lock in names:
        found = [e for e in locked(lock) if canonicalize_name(e[0]) == canonicalize_name(requirement.name)]
        assert found, f"{requirement.name} must be in {lock}; run deployments/lock.sh"
        for _, version, _, _ in found:
            assert requirement.specifier.contains(Version(version).public, prereleases=True)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_of_a_lock_has_hashes_and_an_exact_version(lock: str) -> None:
    entries = list(locked(lock))
    assert entries
    for package, version, _, hashes in entries:
        assert Version(version)
        assert hashes, package
        assert all(len(one.strip()) == len("sha256:") + 64 and one.startswith("sha256:") for one in hashes)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_to_download_from(lock: str) -> None:
    text = (DEPLOYMENTS / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_both_builds_of_torch_are_the_same_version_and_only_one_brings_cuda() -> None:
    (cpu,) = list(locked("torch-cpu.lock"))
    cuda = {entry[0]: entry[1] for entry in locked("torch-cuda.lock")}
    assert cpu[1] == f"{cuda['torch']}+cpu"
    assert any(name.startswith("nvidia-") for name in cuda)
    common = {entry[0] for entry in locked("requirements.lock")}
    assert not common & set(cuda)
    assert not any(name.startswith(("nvidia-", "cuda-", "triton", "torch")) for name in common)
