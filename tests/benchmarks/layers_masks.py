"""Pyramid and COG of a large mask: `python -m tests.benchmarks.layers_masks --height 20000 --width 30000`.

The mask holds cracks and rust on 1 % of its pixels, spread so that next to no chunk is without; with `--sparse` it is
nodata but for one block. It is written once and kept; pyramid and COG are then made in a process of their own. Exit
code 1 where a limit does not hold.
"""

import argparse
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from segmentation.georeference import Georeference
from segmentation.inference.geometry import blocks
from segmentation.records import RasterInput, SourceObject
from tasks.cluster import dask_client
from tasks.mask_cog import write_cogs
from tasks.mask_pyramid import write_pyramid
from tasks.mask_store import MaskStore
from tasks.output_files import OutputFiles
from tasks.run_place import RunPlace
from tasks.storage import open_storage
from tests.benchmarks.workload import Clock, peak_rss_bytes

Mask = npt.NDArray[np.uint8]

BLOCK_PX = 2048
LEAST_MPX_PER_CPU_S = 150.0
MOST_BYTES = 500_000_000
SHARE = 0.01
"""Of the pixels that are damage."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage cost."""

    name: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    """The most that the process held up to its end."""


@dataclass(frozen=True, slots=True)
class _Painted:
    """What `MaskStore.write_block` takes, without the engine that makes it in a run."""

    mask: Mask
    probability: npt.NDArray[np.uint8]


def stored(cache: Path, height: int, width: int, *, sparse: bool) -> tuple[RasterInput, RunPlace]:
    """The raster and its run, whose mask is written where `cache` does not hold it."""
    folder = cache / f"mask-{height}-{width}{'-sparse' * sparse}"
    georeference = Georeference(
        height, width, (0.0015, 0.0, 691_600.0, 0.0, -0.0015, 5_334_800.0), CRS.from_epsg(32632).to_wkt()
    )
    source = SourceObject("/nowhere/ortho.tif", 1, "e", None, "0" * 64)
    raster = RasterInput("ortho.tif", "ortho", source, georeference, 0.0015, "uint8", (1, 2, 3), (0.0, 255.0))
    place = _place(folder / "run")
    if not (folder / "complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        _write(raster, place, sparse=sparse)
        (folder / "complete").touch()
    return raster, place


def _write(raster: RasterInput, place: RunPlace, *, sparse: bool) -> None:
    georeference = raster.georeference
    place.masks.create(raster, block_px=BLOCK_PX)
    written = blocks(georeference.height, georeference.width, block_px=BLOCK_PX)
    patches = [_patch(seed) for seed in range(1 if sparse else 12)]
    for number, block in enumerate(written):
        if sparse and number != len(written) // 2:
            place.masks.write_nodata(raster.slug, block.window)
            continue
        rows, cols = block.window.shape
        mask = np.rot90(patches[number % len(patches)], number // len(patches))[:rows, :cols]
        painted: Any = _Painted(np.ascontiguousarray(mask), np.zeros((2, rows, cols), np.uint8))
        place.masks.write_block(raster.slug, block.window, painted)


def _patch(seed: int) -> Mask:
    """A block of cracks 2 to 6 px wide that wander across it, and of rust patches, until `SHARE` of it is damage."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((BLOCK_PX, BLOCK_PX), np.uint8)
    rows, cols = np.ogrid[:BLOCK_PX, :BLOCK_PX]
    while np.count_nonzero(mask) < SHARE * mask.size:
        row, col, radius_px = rng.integers(0, BLOCK_PX), rng.integers(0, BLOCK_PX), rng.integers(5, 40)
        mask[(rows - row) ** 2 + (cols - col) ** 2 < radius_px**2] = 2
        walk = np.cumsum(rng.integers(-1, 2, BLOCK_PX)) + rng.integers(0, BLOCK_PX)
        for offset in range(rng.integers(2, 7)):
            mask[np.clip(walk + offset, 0, BLOCK_PX - 1), np.arange(BLOCK_PX)] = 1
    return mask


def _place(folder: Path) -> RunPlace:
    results = open_storage(str(folder), endpoint_url=None, region=None)
    masks = MaskStore(results.uri("masks.zarr"), None, None)
    return RunPlace(results, results, results.uri(""), masks, folder.parent / "staging", None, None)


def both_stages(given: Path) -> list[Stage]:
    """Pyramid and COG of the raster and run that `given` holds."""
    raster, place = pickle.loads(given.read_bytes())
    stages = []
    with dask_client(scheduler=None, workers=2) as client:
        stages.append(_timed("pyramid", lambda: write_pyramid((raster,), place, client)))
        stages.append(_timed("COG", lambda: write_cogs((raster,), place, OutputFiles(place.storage))))
    return stages


def _timed(name: str, work: Any) -> Stage:
    with Clock() as clock:
        work()
    return Stage(name, clock.wall_s, clock.cpu_s, peak_rss_bytes())


def failures(stages: Sequence[Stage], *, pixels: int) -> list[str]:
    """What does not hold, one sentence each; empty where all does."""
    found = []
    speed = pixels / 1e6 / sum(stage.cpu_s for stage in stages)
    if speed < LEAST_MPX_PER_CPU_S:
        found.append(f"a CPU second must do {LEAST_MPX_PER_CPU_S:g} Mpx of both together, got {speed:.0f}")
    peak = max(stage.peak_rss_bytes for stage in stages)
    if peak > MOST_BYTES:
        found.append(f"the process must hold at most {MOST_BYTES / 1e6:g} MB, got {peak / 1e6:.0f}")
    return found


def measure(asked: argparse.Namespace) -> list[Stage]:
    """Both stages in a process of their own, on a copy of the run."""
    raster, place = stored(asked.cache, asked.height, asked.width, sparse=asked.sparse)
    with tempfile.TemporaryDirectory(dir=asked.cache) as folder:
        copy = _place(Path(folder) / "run")
        shutil.copytree(place.run_uri, copy.run_uri)
        given = Path(folder) / "given.pickle"
        given.write_bytes(pickle.dumps((raster, replace(copy, staging_dir=Path(folder) / "staging"))))
        command = [sys.executable, "-m", "tests.benchmarks.layers_masks", "--child", str(given)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [Stage(**stage) for stage in told]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the stages; 0 where the limits hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.layers_masks", description=__doc__)
    parser.add_argument("--height", type=int, default=20_000, help="rows of the mask")
    parser.add_argument("--width", type=int, default=30_000, help="columns of the mask")
    parser.add_argument("--sparse", action="store_true", help="nodata but for one block")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "spanscan-benchmarks")
    parser.add_argument("--json", type=Path, help="file for the stages")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.child:
        sys.stdout.write(json.dumps([asdict(stage) for stage in both_stages(asked.child)]))
        return 0
    asked.cache.mkdir(parents=True, exist_ok=True)
    stages = measure(asked)
    pixels = asked.height * asked.width
    for stage in stages:
        sys.stdout.write(
            f"{stage.name:8} {stage.wall_s:7.2f} s {stage.cpu_s:7.2f} CPU-s, {1e9 * stage.cpu_s / pixels:6.2f} "
            f"CPU-s/Gpx, peak {stage.peak_rss_bytes / 1e6:5.0f} MB\n"
        )
    failed = failures(stages, pixels=pixels)
    sys.stdout.write("".join(f"FAILED: {sentence}\n" for sentence in failed) or "held\n")
    if asked.json:
        told = {"pixels": pixels, "stages": [asdict(stage) for stage in stages], "failed": failed}
        asked.json.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
