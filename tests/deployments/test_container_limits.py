"""In a container the limits that count are the container's."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.container_limits import cores, memory_left_bytes
from flows.settings import Settings


@dataclass(frozen=True)
class Group:
    name: str
    files: dict[str, str]
    left_bytes: float
    cores: float


GROUPS = [
    Group("no-control-groups", {}, math.inf, math.inf),
    Group("no-limits", {"memory.max": "max\n", "cpu.max": "max 100000\n"}, math.inf, math.inf),
    Group("half-a-core", {"cpu.max": "50000 100000\n"}, math.inf, 0.5),
    Group("cached-files-are-free", {"memory.max": "1100\n", "memory.stat": "anon 300\nfile 700\n"}, 800, math.inf),
    Group("limit-without-statistics", {"memory.max": "1100\n"}, 1100, math.inf),
    Group("more-held-than-allowed", {"memory.max": "100\n", "memory.stat": "anon 300\n"}, 0, math.inf),
]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_what_a_group_leaves(group: Group, tmp_path: Path) -> None:
    for name, text in group.files.items():
        (tmp_path / name).write_text(text)
    assert memory_left_bytes(tmp_path) == group.left_bytes
    assert cores(tmp_path) == group.cores


def test_the_settings_stay_within_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPANSCAN_MEMORY_LIMIT_BYTES", "SPANSCAN_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("flows.settings.memory_left_bytes", lambda: 5e8)
    monkeypatch.setattr("flows.settings.cores", lambda: 1.5)
    chosen = Settings()
    assert chosen.memory_limit_bytes == 4e8
    assert chosen.workers == 1
