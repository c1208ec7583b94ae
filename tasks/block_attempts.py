"""Which blocks were begun on this machine by processes that were killed: one of them may be what kills its process.

A line per begun block is appended to a file in the staging folder, which outlives the process and no power cut; so it
costs microseconds. A run that ends by itself, well or with an error, leaves no such file.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segmentation.errors import RunFailed

MOST_DEATHS: Final = 3
"""Processes that end with a block before it is not tried any more."""


@dataclass(frozen=True, slots=True)
class BlockAttempts:
    """The begun blocks of a run; cheap to send to a worker on this machine."""

    path: Path

    def begin(self, key: str) -> None:
        """Write down that a block is begun."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{key}\n".encode())
        finally:
            os.close(handle)

    def deaths(self, finished: Iterable[str]) -> Counter[str]:
        """How often each block was begun that is not among the `finished` ones."""
        try:
            begun = Counter(self.path.read_text(encoding="utf-8").splitlines())
        except FileNotFoundError:
            return Counter()
        for key in finished:
            begun.pop(key, None)
        return begun

    def forget(self) -> None:
        """Count from 0 again."""
        self.path.unlink(missing_ok=True)


def attempts_of(run_uri: str, staging_dir: Path) -> BlockAttempts:
    """The begun blocks of a run on this machine."""
    staging_dir.mkdir(parents=True, exist_ok=True)
    return BlockAttempts(staging_dir / f"begun-{hashlib.sha256(run_uri.encode()).hexdigest()[:16]}.log")


def deadly_blocks(names: Iterable[str]) -> RunFailed:
    """The failure of a run in which all but some blocks are done."""
    return RunFailed(
        "E_BLOCK",
        "; ".join(names),
        f"an item must leave its process alive, got: {MOST_DEATHS} processes ended with it; all others are done",
        "give the machine more memory, or take a smaller SPANSCAN_BLOCK_PX or fewer SPANSCAN_WORKERS, and run it again",
    )
