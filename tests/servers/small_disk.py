"""A small file system of its own, that a test may fill."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

DISK_BYTES = 16 << 20
PAGE_BYTES = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty one; skips where nothing may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def leave_free(disk: Path, free_bytes: int) -> None:
    """Fill a disk but for so many bytes."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    pages = max(0, shutil.disk_usage(disk).free - free_bytes) // PAGE_BYTES
    filler.write_bytes(bytes(pages * PAGE_BYTES))
