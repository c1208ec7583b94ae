"""Many structures and many defects: seconds and peak memory of reading, placing, cutting, counting and summing.

    python -m tests.benchmarks.structures [--structures 100000] [--defects 10000] [--patch-px 24] [--json FILE]

A grid of touching footprints, one in twenty of them a component of its neighbour, covers a rotated raster; rust
patches lie over their borders at random. Timed is the way from the bytes of structures.geojson to the graded results;
making the input is not. Tracing of cracks and writing of reports are no part of it: their cost does not depend on how
many structures there are. Exit code 1 where 60 CPU seconds or 2 GB are exceeded, or something is counted twice.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import ceil, cos, radians, sin, sqrt
from pathlib import Path
from typing import TypeVar

import numpy as np
import rasterio
from pyproj import CRS

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.inference.geometry import blocks
from segmentation.measurement.components import Component, join_blocks, label_block
from segmentation.measurement.cuts import MeasuredComponent
from segmentation.measurement.defects import cut_and_measure
from segmentation.measurement.grading import load_standards, shipped_standards
from segmentation.measurement.structures import StructureIndex, count_inspected, footprint_area_m2
from segmentation.measurement.summary import number_defects, summarise_survey
from segmentation.records import Structure, StructureResult
from segmentation.windows import Window
from tasks.input_limits import InputLimits
from tasks.structures_file import read_structures

MOST_S, MOST_BYTES = 60.0, 2e9
CELL_PX = 64
PATCH_PX = 24
GSD_M = 0.01
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way."""

    name: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    """The most that the process held up to its end, imports and input included."""


def raster_of(count: int) -> Georeference:
    """A raster turned by 30° that a square grid of `count` cells covers."""
    side = ceil(sqrt(count)) * CELL_PX
    c, s = cos(radians(30)) * GSD_M, sin(radians(30)) * GSD_M
    return Georeference(side, side, (c, s, 576600.0, s, -c, 5188100.0), CRS.from_epsg(32615).to_wkt())


def document_of(count: int, raster: Georeference) -> bytes:
    """structures.geojson with `count` touching footprints."""
    per_row = raster.width // CELL_PX
    rows, cols = np.divmod(np.arange(count), per_row)
    ring = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]])
    corner_rows = (rows[:, None] + ring[:, 0]) * CELL_PX
    corner_cols = (cols[:, None] + ring[:, 1]) * CELL_PX
    lons, lats = raster.lonlat_from_pixel(corner_rows.astype(float), corner_cols.astype(float))
    positions = np.stack([lons, lats], axis=-1).round(10).tolist()
    materials = ("concrete", "steel", "asphalt", "prestressed concrete")
    features = []
    for number, line in enumerate(positions):
        own = {"id": f"S{number}", "kind": "bridge", "material": materials[number % 4]}
        if number % 20 == 1:
            # A part of its neighbour: most of that cell.
            own["component_of"] = f"S{number - 1}"
            line = positions[number - 1]
        features.append({"type": "Feature", "properties": own, "geometry": {"type": "Polygon", "coordinates": [line]}})
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def patches_of(count: int, raster: Georeference, patch_px: int) -> list[tuple[Component, np.ndarray]]:
    """`count` rust patches at random places, each with its mask ``(patch_px, patch_px)``."""
    rng = np.random.default_rng(3)
    y, x = np.indices((patch_px, patch_px)) - patch_px / 2
    mask = np.where(np.hypot(y, x * 0.8) < patch_px / 2 - 2, PixelClass.RUST, 0).astype(np.uint8)
    found = []
    for row, col in rng.integers(0, raster.height - patch_px, (count, 2)).tolist():
        window = Window(row, row + patch_px, col, col + patch_px)
        found.append((join_blocks([label_block(mask, window=window)])[0], mask))
    return found


def cut(patch: tuple[Component, np.ndarray], index: StructureIndex, raster: Georeference) -> MeasuredComponent:
    """One patch cut by structure and measured."""
    component, mask = patch
    row, col = component.window.row_start, component.window.col_start
    top = row - int(np.flatnonzero(mask.any(axis=1))[0])
    left = col - int(np.flatnonzero(mask.any(axis=0))[0])
    window = Window(top, top + mask.shape[0], left, left + mask.shape[1])
    return cut_and_measure(
        component,
        mask=mask,
        probability=np.full((2, *window.shape), 200, np.uint8),
        image=np.broadcast_to(np.uint8(0), (*window.shape, 3)),
        window=window,
        index=index,
        owned=np.ones(window.shape, np.bool_),
        georeference=raster,
        raster_name="a.tif",
        min_width_px=2.0,
        min_crack_length_px=24.0,
        min_rust_area_px=64,
    )


def inspected_px(raster: Georeference, index: StructureIndex) -> np.ndarray:
    """Inspected pixels of each structure, int64 ``(N,)``, block by block over the whole raster."""
    total = np.zeros(len(index.structures), np.int64)
    for block in blocks(raster.height, raster.width, block_px=2048):
        shape = block.window.shape
        mask, owned = np.zeros(shape, np.uint8), np.ones(shape, np.bool_)
        total += count_inspected(mask, indices=index.indices(block.window), owned=owned, structures=total.size)
    return total


def way(count: int, defect_count: int, patch_px: int) -> tuple[list[Stage], list[str]]:
    """The stages, and what does not hold."""
    raster = raster_of(count)
    document, patches = document_of(count, raster), patches_of(defect_count, raster, patch_px)
    limits = InputLimits(10**11, 1 << 26, 30.0, 5000.0, 10, count, 10 * count, 10 * len(document))
    stages: list[Stage] = []

    def timed(name: str, work: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        done = work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        stages.append(Stage(name, time.perf_counter() - wall, time.process_time() - cpu, peak))
        return done

    structures = timed("read the file", lambda: read_structures(document, name="structures.geojson", limits=limits))
    index = timed("place in the raster", lambda: StructureIndex(structures, raster, raster_name="a.tif"))
    pieces = timed("cut and measure defects", lambda: [cut(patch, index, raster) for patch in patches])
    sys.stdout.write(f"{len(patches)} defects in {sum(len(piece.defects) for piece in pieces)} parts\n")
    pixels = timed("count inspected pixels", lambda: inspected_px(raster, index))
    results = timed("sum and grade", lambda: summed(structures, pieces, pixels, raster))
    return stages, wrong(results, pieces, pixels, patches, raster)


def summed(
    structures: Sequence[Structure], pieces: Sequence[MeasuredComponent], pixels: np.ndarray, raster: Georeference
) -> tuple[StructureResult, ...]:
    """The graded results."""
    return summarise_survey(
        structures,
        defects=number_defects(defect for piece in pieces for defect in piece.defects),
        inspected_area_m2=pixels * raster.centre_scale().pixel_area_m2,
        gsd_mm=np.full(len(structures), GSD_M * 1000),
        footprint_area_m2=lambda one: footprint_area_m2(one, georeference=None),
        standards=load_standards(shipped_standards()),
        min_rust_area_px=64,
    )


def wrong(
    results: Sequence[StructureResult],
    pieces: Sequence[MeasuredComponent],
    pixels: np.ndarray,
    patches: Sequence[tuple[Component, np.ndarray]],
    raster: Georeference,
) -> list[str]:
    """What is lost or counted twice, one sentence each."""
    pixel_m2 = raster.centre_scale().pixel_area_m2
    listed = sum(result.rust.area_m2 for result in results) + sum(piece.outside_area_m2 for piece in pieces)
    painted = sum(component.area_px for component, _ in patches) * pixel_m2
    inspected = sum(result.inspected_area_m2 for result in results)
    found = []
    if abs(listed / painted - 1) > 1e-4:
        found.append(f"rust on and off structures must sum to the {painted:.3f} m² painted, got {listed:.3f}")
    if abs(inspected / (pixels.sum() * pixel_m2) - 1) > 1e-9:
        found.append(f"inspected areas must sum to {pixels.sum() * pixel_m2:.3f} m², got {inspected:.3f}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the stages; 0 where the limits hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.structures", description=__doc__)
    parser.add_argument("--structures", type=int, default=100_000, help="footprints, components among them")
    parser.add_argument("--defects", type=int, default=10_000, help="rust patches")
    parser.add_argument("--patch-px", type=int, default=PATCH_PX, help="side of a patch")
    parser.add_argument("--json", type=Path, help="file for the stages")
    asked = parser.parse_args(arguments)
    with rasterio.Env():  # as where rasters are open
        stages, failed = way(asked.structures, asked.defects, asked.patch_px)
    say = sys.stdout.write
    for stage in stages:
        say(f"{stage.name:26} {stage.wall_s:7.1f} s {stage.cpu_s:7.1f} CPU-s {stage.peak_rss_bytes / 1e6:7.0f} MB\n")
    wall_s, cpu_s = sum(stage.wall_s for stage in stages), sum(stage.cpu_s for stage in stages)
    peak = max(stage.peak_rss_bytes for stage in stages)
    say(f"{'all':26} {wall_s:7.1f} s {cpu_s:7.1f} CPU-s {peak / 1e6:7.0f} MB\n")
    if cpu_s > MOST_S:
        failed.append(f"it must take at most {MOST_S:g} CPU seconds, got {cpu_s:.1f}")
    if peak > MOST_BYTES:
        failed.append(f"it must hold at most {MOST_BYTES / 1e9:g} GB, got {peak / 1e9:.2f}")
    say("".join(f"FAILED: {sentence}\n" for sentence in failed) or "held\n")
    if asked.json:
        told = {"stages": [asdict(stage) for stage in stages], "failed": failed}
        asked.json.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
