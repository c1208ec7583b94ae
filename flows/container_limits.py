"""What the container of this process may use: Linux control groups, version 2, where it sees its own at their root."""

import math
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def memory_left_bytes(group: Path = _GROUP) -> float:
    """Bytes that may still be taken, infinity without a limit; cached files count as free, since they give way."""
    limit = _read(group / "memory.max")
    if not limit.isdigit():
        return math.inf
    held = dict(line.split() for line in _read(group / "memory.stat").splitlines())
    return max(0.0, float(limit) - float(held.get("anon", 0)))


def cores(group: Path = _GROUP) -> float:
    """Cores' worth of time that may be taken, infinity without a limit."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    return float(quota) / float(period) if quota.isdigit() and period.isdigit() else math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
