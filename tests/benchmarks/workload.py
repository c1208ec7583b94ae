"""What one pattern is asked to do, as data that goes to a child process, and the clock it is measured with."""

import json
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Workload:
    """One run of one pattern."""

    pattern: str
    """Which way the raster is worked."""
    folder: str
    """The survey: a folder with one raster, ``ortho.tif``."""
    size_px: int
    """Side of the raster."""
    net: str
    """``shipped``, ``one-conv`` or a path of weights."""
    cache: str
    """Folder of what is kept between runs."""
    out: str
    """Empty folder for what this run writes."""
    device: str
    """cpu or cuda."""
    precision: str
    """float32 or bfloat16."""
    workers: int
    """Threads that run the model, each with one thread of its own."""
    batch: int
    """Tiles per forward pass."""
    core_px: int
    """Side of the core of the engine's tiles, taken by `limit` and `plain_loop` as well."""
    alignment_px: int
    """Multiples at which tiles start and end."""
    halo_px: int
    """Context of each side that the net needs."""
    block_px: int
    """Side of the engine's blocks."""
    peer_px: int
    """Side of MONAI's window and of map_overlap's chunk."""
    engine_settings: dict[str, Any]
    """Further settings of the product, by name."""

    @property
    def raster(self) -> Path:
        """The raster's file."""
        return Path(self.folder) / "ortho.tif"

    def to_json(self) -> str:
        """As one line for a child's argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Workload":
        """What `to_json` gave."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Done:
    """What a pattern hands back when it is through."""

    mask: str | None
    """Path of the Zarr array of class ids it wrote; None where it writes none."""
    projected_bytes: int | None = None
    """Peak that the plan foretold; the engine only."""


class Clock:
    """Measures what happens between its entry and its exit: wall and CPU seconds of this process and its children."""

    def __init__(self) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def __enter__(self) -> Self:
        self._cpu_at = _cpu_s()
        self._wall_at = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall_s = time.perf_counter() - self._wall_at
        self.cpu_s = _cpu_s() - self._cpu_at


def peak_rss_bytes() -> int:
    """The most that this process has held, or one of its finished children where that held more."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss starts at the parent's peak: a process inherits it when it is forked
        lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        own = int(lines[0].split()[1]) * 1024
    else:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
