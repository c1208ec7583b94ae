"""Components of a mask, block by block and joined, beside whole-image labelling: Mpx per CPU-second, added memory.

    python -m tests.benchmarks.components --size 32768 [--whole-size 8192] [--repeats 3] [--json FILE]

Timed is the whole way from mask blocks in memory to the joined table of components with windows; making the blocks
is not. Added memory is the peak resident size during it, less the resident size before; tables and labels count,
the mask of one block at a time does too (of the whole, for `whole`, it does not: the raster is there before).
Each row is measured in a process of its own; the ratios are medians of alternating pairs at `--whole-size`.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from segmentation.classes import NODATA
from segmentation.inference.geometry import blocks
from segmentation.measurement.components import join_blocks, label_block
from segmentation.windows import Window

Mask = npt.NDArray[np.uint8]
BLOCK_PX = 2048
PERIOD_PX = 4099
"""Side of the picture that is repeated over the raster: a prime, so that every block shows another part."""
MASKS = ("damage", "specks", "sparse")


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    pattern: str
    """`blocks` (this project) or `whole` (cc3d on the whole image, with its statistics)."""
    mask: str
    """`damage`: 1 % in cracks and patches; `specks`: 20 % in squares of 3 px; `sparse`: `damage`, half of it nodata."""
    size: int
    """Side of the raster in pixels."""
    cpu_s: float
    """CPU seconds of the way from blocks to table."""
    mpx_per_cpu_s: float
    """Megapixels per CPU-second."""
    added_bytes: int
    """Peak resident size less that before."""
    components: int
    """Found."""


def picture(kind: str, side_px: int) -> Mask:
    """A mask ``(side_px, side_px)`` uint8 of the kind, the same at each call."""
    rng = np.random.default_rng(11)
    if kind == "specks":
        cells = rng.choice(np.array([0, 1, 2], np.uint8), (-(-side_px // 3),) * 2, p=[0.8, 0.1, 0.1])
        return np.kron(cells, np.ones((3, 3), np.uint8))[:side_px, :side_px].copy()
    mask = np.zeros((side_px, side_px), np.uint8)
    while np.count_nonzero(mask) < 0.005 * mask.size:
        _draw_crack(mask, rng)
    while np.count_nonzero(mask) < 0.01 * mask.size:
        _draw_patch(mask, rng)
    if kind == "sparse":
        mask[: side_px // 2] = NODATA
    return mask


def _draw_crack(mask: Mask, rng: np.random.Generator) -> None:
    """A random walk, two to six pixels wide, that runs on around the edges."""
    steps = int(rng.integers(200, 2500))
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.08, steps))
    row, col = (rng.integers(0, mask.shape[0]) + np.cumsum(f(heading)) for f in (np.sin, np.cos))
    width = int(rng.integers(2, 7))
    for dy in range(width):
        for dx in range(width):
            mask[(row + dy).astype(int) % mask.shape[0], (col + dx).astype(int) % mask.shape[1]] = 1


def _draw_patch(mask: Mask, rng: np.random.Generator) -> None:
    """A lobed patch of 4 to 40 px radius."""
    radius = int(rng.integers(4, 41))
    row, col = rng.integers(radius, np.array(mask.shape) - radius)
    y, x = np.mgrid[-radius:radius, -radius:radius]
    reach = radius * (0.6 + 0.4 * np.sin(3 * np.arctan2(y, x) + rng.uniform(0, 6)))
    mask[row - radius : row + radius, col - radius : col + radius][y * y + x * x <= reach * reach] = 2


def cut(tile: Mask, window: Window) -> Mask:
    """The pixels of a window of the raster that repeats `tile`."""
    rows = np.arange(window.row_start, window.row_stop) % tile.shape[0]
    cols = np.arange(window.col_start, window.col_stop) % tile.shape[1]
    return np.take(np.take(tile, rows, axis=0), cols, axis=1)


def measure(pattern: str, kind: str, size: int) -> Row:
    """Measure one row in this process."""
    tile = picture(kind, PERIOD_PX)
    label_block(tile[:64, :64].copy(), window=Window(0, 64, 0, 64))  # imports and first calls
    if pattern == "whole":
        raster = cut(tile, Window(0, size, 0, size))
        raster[raster > 2] = 0
        before = _resident_after_reset()
        started = time.process_time()
        found = cc3d.statistics(cc3d.connected_components(raster, connectivity=8))
        cpu_s, count = time.process_time() - started, len(found["voxel_counts"]) - 1
    else:
        before = _resident_after_reset()
        cpu_s, count = _by_blocks(tile, size)
    return Row(pattern, kind, size, cpu_s, size * size / 1e6 / cpu_s, _peak_bytes() - before, count)


def _by_blocks(tile: Mask, size: int) -> tuple[float, int]:
    cpu_s = 0.0
    tables = []
    for block in blocks(size, size, block_px=BLOCK_PX):
        mask = cut(tile, block.window)
        started = time.process_time()
        tables.append(label_block(mask, window=block.window))
        cpu_s += time.process_time() - started
    started = time.process_time()
    components = join_blocks(tables)
    return cpu_s + time.process_time() - started, len(components)


def _resident_after_reset() -> int:
    """Resident bytes now; the peak starts anew where the system can do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return _status_bytes("VmRSS")


def _peak_bytes() -> int:
    try:
        return _status_bytes("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _in_child(pattern: str, kind: str, size: int) -> Row:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, pattern, kind, size).result()


def main() -> None:
    """Print the rows and the ratios; write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.components", description=__doc__)
    parser.add_argument("--size", type=int, default=32768, help="side of the raster labelled by blocks")
    parser.add_argument("--whole-size", type=int, default=8192, help="side of the raster that is also labelled whole")
    parser.add_argument("--repeats", type=int, default=3, help="alternating pairs")
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=MASKS)
    parser.add_argument("--json", type=Path, help="file for the rows and the ratios")
    asked = parser.parse_args()
    rows: list[Row] = []
    ratios: dict[str, Any] = {}
    say = sys.stdout.write
    say(f"{'pattern':8} {'mask':8} {'size':>6} {'Mpx/CPU-s':>10} {'added MB':>9} {'components':>11}\n")
    for kind in asked.masks:
        pairs = [
            [_in_child(pattern, kind, asked.whole_size) for pattern in ("blocks", "whole")]
            for _ in range(asked.repeats)
        ]
        own = [_in_child("blocks", kind, asked.size), *(row for pair in pairs for row in pair)]
        for row in own:
            say(f"{row.pattern:8} {row.mask:8} {row.size:6} {row.mpx_per_cpu_s:10.0f} {row.added_bytes / 1e6:9.1f} ")
            say(f"{row.components:11,}\n")
        rows += own
        ratios[kind] = {
            "size": asked.whole_size,
            "speed": statistics.median(b.mpx_per_cpu_s / w.mpx_per_cpu_s for b, w in pairs),
            "added_memory": statistics.median(b.added_bytes / max(w.added_bytes, 1) for b, w in pairs),
            "same_count": all(b.components == w.components for b, w in pairs),
        }
        say(f"blocks against whole, {kind}: {ratios[kind]}\n")
    if asked.json:
        asked.json.write_text(json.dumps({"rows": [asdict(row) for row in rows], "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
