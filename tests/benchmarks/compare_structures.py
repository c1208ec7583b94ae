"""The whole of `spanscan compare` on two surveys of many structures: CPU-seconds, wall seconds and peak memory.

    python -m tests.benchmarks.compare_structures [--structures 200] [--defects 100] [--workers 2]

Of the surveys of `tests.benchmarks.report_survey` one is the older. The newer one is painted over the same ground, in
other light and noise, with every tenth piece of damage gone and every tenth larger by `GROWN_PX` all around; it is
stated `SHIFT_PX` away. Both are painted, measured and published once and kept. Timed is the command as an operator
gives it: registration, matching, growth, page, PDF and layers; memory is the sum of the proportional set sizes of all
its processes. Exit code 1 beyond a bar; wall seconds count only where nothing else runs.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.windows import Window as RasterioWindow
from scipy import ndimage

from segmentation.classes import PixelClass
from tasks.mask_store import MaskStore
from tasks.publish import RunFigures, publish_run
from tasks.report_settings import ReportSettings
from tasks.report_survey import write_reports
from tasks.storage import open_storage
from tests.benchmarks.report_survey import (
    CELL_PX,
    CRS,
    GSD_M,
    ORIGIN,
    Bytes,
    LargeSurvey,
    footprints,
    grid_of,
    large_survey,
    measured_folder,
    painted_cell,
    pictured,
)
from tests.benchmarks.reports import PeakOfTree

MOST_S = 60.0
MOST_BYTES = 2_000_000_000
SHIFT_PX = (9.4, -6.2)
"""To the east and to the south."""
GROWN_PX = 3
SURVEYS = {"big-2024": "2024-05-01", "big-2025": "2025-05-01"}
_EVERY, _GONE, _LARGER = 10, 3, 7


def altered(cell: Bytes) -> tuple[Bytes, Counter[str]]:
    """Class ids of a cell a year later, and how many pieces of damage are gone and larger."""
    later, counts = np.zeros_like(cell), Counter[str]()
    for pixel_class in (PixelClass.CRACK, PixelClass.RUST):
        pieces, _ = ndimage.label(cell == pixel_class, np.ones((3, 3)))
        for number, where in enumerate(ndimage.find_objects(pieces), start=1):
            turn = number % _EVERY
            counts.update({"all": 1, "REPAIRED": turn == _GONE, "GROWN": turn == _LARGER})
            if turn == _GONE:
                continue
            rows, cols = (slice(max(0, one.start - GROWN_PX), one.stop + GROWN_PX) for one in where)
            piece = pieces[rows, cols] == number
            if turn == _LARGER:
                piece = ndimage.binary_dilation(piece, iterations=GROWN_PX)
            later[rows, cols][piece] = pixel_class
    return later, counts


def published_pair(cache: Path, *, structures: int, defects: int) -> tuple[Path, dict[str, int]]:
    """The results of both surveys, made where `cache` does not hold them, and how much of each kind was painted."""
    folder = cache / f"compare-{structures}-{defects}"
    told = folder / "painted.json"
    if not told.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        older = large_survey(cache, structures=structures, defects=defects)
        painted = _write_newer(folder / "newer", structures, defects)
        for survey, (name, captured_at) in zip(
            (older, measured_folder(folder / "newer")), SURVEYS.items(), strict=True
        ):
            _publish(survey, folder / "results", name, captured_at)
        told.write_text(json.dumps(painted))
    return folder / "results", json.loads(told.read_text())


def _write_newer(folder: Path, structures: int, defects: int) -> dict[str, int]:
    folder.mkdir(parents=True)
    rows, columns = grid_of(structures)
    east, south = (GSD_M * side for side in SHIFT_PX)
    place: dict[str, Any] = {
        "driver": "GTiff",
        "height": rows * CELL_PX,
        "width": columns * CELL_PX,
        "dtype": "uint8",
        "crs": CRS,
        "transform": Affine(GSD_M, 0, ORIGIN[0] + east, 0, -GSD_M, ORIGIN[1] - south),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
    }
    rng, own = np.random.default_rng(5), np.random.default_rng(6)  # the first repeats the older survey
    ground: npt.NDArray[np.float64] = rng.normal(150, 12, (CELL_PX, CELL_PX)) + 8 * np.sin(np.arange(CELL_PX) / 90)
    counts = Counter[str]()
    with (
        rasterio.open(folder / "ortho.tif", "w", count=3, photometric="ycbcr", compress="jpeg", **place) as image,
        rasterio.open(folder / "painted.tif", "w", count=1, compress="deflate", **place) as mask,
    ):
        for row, column in product(range(rows), range(columns)):
            window = RasterioWindow(column * CELL_PX, row * CELL_PX, CELL_PX, CELL_PX)
            cell, own_counts = altered(painted_cell(rng, defects if row * columns + column < structures else 0))
            counts.update(own_counts)
            image.write(pictured(0.85 * ground + own.normal(0, 4, ground.shape), cell), window=window)
            mask.write(cell[None], window=window)
    (folder / "structures.geojson").write_text(json.dumps(footprints(structures)))
    return dict(counts)


def _publish(survey: LargeSurvey, results: Path, name: str, captured_at: str) -> None:
    plan = replace(
        survey.plan,
        survey=replace(survey.plan.survey, id=name, captured_at=captured_at),
        report=ReportSettings(("json", "geoparquet"), 4),
        run_key=name[-4:] * 4,
    )
    storage = open_storage(str(results / name), endpoint_url=None, region=None)
    run = storage.child(f"runs/{plan.run_key}")
    shutil.copytree(Path(survey.place.masks.uri), results / name / "runs" / plan.run_key / "masks.zarr")
    masks = MaskStore(run.uri("masks.zarr"), None, None)
    place = replace(survey.place, results=storage, storage=run, run_uri=run.uri(""), masks=masks, root=None)
    made = write_reports(
        plan, place, survey.measured, None, mask_files={}, workers=2, on_structure=lambda done, of: None
    )
    figures = RunFigures({}, plan.pixels, plan.block_count, 0, 1, {})
    publish_run(plan, place, survey.measured, made, None, figures)


def measured_command(results: Path, *, workers: int) -> dict[str, Any]:
    """One `spanscan compare` of both surveys in processes of its own."""
    older, newer = SURVEYS
    with tempfile.TemporaryDirectory(prefix="compare-structures-") as out:
        command = [sys.executable, "-m", "flows", "compare", older, newer, "--json", "--out", f"{out}/made"]
        environment = {"SPANSCAN_HOME": f"{out}/home", "SPANSCAN_RESULTS": str(results)}
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment, "SPANSCAN_WORKERS": str(workers)},
        ) as child:
            watch = PeakOfTree(child.pid)
            watch.start()
            said, _ = child.communicate()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        watch.join()
        wall_s = time.monotonic() - started
        if child.returncode != 0:
            raise RuntimeError(f"the comparison must end well, got exit code {child.returncode}")
        sizes = {path.name: path.stat().st_size for path in Path(out, "made").iterdir()}
    counts = Counter[str]()
    for one in json.loads(said)["structures"]:
        counts.update(one["counts"] or {"not compared": 1})
    return {
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall_s": wall_s,
        "peak_bytes": watch.peak_bytes,
        "counts": dict(counts),
        "sizes": sizes,
        "load": os.getloadavg()[0],
    }


def main() -> int:
    """Print what the command took and said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, default=200)
    parser.add_argument("--defects", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "spanscan-benchmarks")
    arguments = parser.parse_args()
    results, painted = published_pair(arguments.cache, structures=arguments.structures, defects=arguments.defects)
    made = measured_command(results, workers=arguments.workers)
    sys.stdout.write(
        f"{arguments.structures} structures, {painted['all']} pieces of damage, {painted['REPAIRED']} gone and "
        f"{painted['GROWN']} larger: {made['counts']}\n"
        f"{made['wall_s']:.1f} s wall (bar {MOST_S:g}, load {made['load']:.1f}), {made['cpu_s']:.1f} CPU-s in "
        f"{arguments.workers} workers, peak {made['peak_bytes'] / 1e9:.2f} GB (bar {MOST_BYTES / 1e9:g})\n"
        f"bytes: {made['sizes']}\n"
    )
    return 0 if made["wall_s"] <= MOST_S and made["peak_bytes"] <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
