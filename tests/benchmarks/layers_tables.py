"""Layers of a survey with many structures and defects: CPU seconds and size of each format, and memory that they add.

    python -m tests.benchmarks.layers_tables [--structures 200] [--defects 100] [--vertices 100]

Cracks have as many vertices as asked, rust patches as well; every other defect is a rust patch. Exit code 1 where all
formats together take more than 15 CPU seconds, or add more than 500 MB to what the results hold.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry import MultiLineString, MultiPolygon
from shapely.geometry.base import BaseGeometry

from segmentation.records import Defect, StructureResult
from tests.benchmarks.workload import Clock, peak_rss_bytes
from tests.tasks.layers.layer_samples import ALL_FORMATS, written
from tests.tasks.report.samples import bridge_deck

MOST_CPU_S = 15.0
MOST_BYTES = 500 * 10**6
_GRID_DEG = 2e-4
"""Spacing of the structures, some 20 m."""


def survey(structures: int, defects: int, vertices: int) -> list[StructureResult]:
    """Structures on a grid, each with its defects in places of their own."""
    rng = np.random.default_rng(3)
    return [_structure(rng, number, defects, vertices) for number in range(structures)]


def _structure(rng: np.random.Generator, number: int, defects: int, vertices: int) -> StructureResult:
    deck = bridge_deck()
    crack, rust = deck.defects[0], deck.defects[1]
    west, south = 8.5 + _GRID_DEG * (number % 20), 47.4 + _GRID_DEG * (number // 20)
    found: list[Defect] = []
    for place in range(defects):
        x, y = west + rng.uniform(0, _GRID_DEG / 2), south + rng.uniform(0, _GRID_DEG / 2)
        pattern, shape = (rust, _patch(rng, x, y, vertices)) if place % 2 else (crack, _line(rng, x, y, vertices))
        found.append(replace(pattern, id=f"D-{number}-{place}", structure_id=str(number), geometry=shape))
    footprint = shapely.box(west, south, west + _GRID_DEG / 2, south + _GRID_DEG / 2)
    named = replace(deck.structure, id=str(number), name=f"Pier {number}", slug=f"pier-{number}", footprint=footprint)
    return replace(deck, structure=named, defects=tuple(found))


def _line(rng: np.random.Generator, x: float, y: float, vertices: int) -> BaseGeometry:
    steps = rng.normal((2e-8, 0), 1e-8, (vertices, 2))
    steps[0] += x, y
    return MultiLineString([np.cumsum(steps, axis=0)])


def _patch(rng: np.random.Generator, x: float, y: float, vertices: int) -> BaseGeometry:
    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = 5e-7 * rng.uniform(0.8, 1.2, vertices)
    ring = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
    return MultiPolygon([(ring, [])])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per format; 0 where the limits hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.layers_tables", description=__doc__)
    parser.add_argument("--structures", type=int, default=200)
    parser.add_argument("--defects", type=int, default=100, help="of each structure")
    parser.add_argument("--vertices", type=int, default=100, help="of each defect")
    asked = parser.parse_args(arguments)
    say = sys.stdout.write
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder) / "warm", formats=ALL_FORMATS)
        results = survey(asked.structures, asked.defects, asked.vertices)
        before_bytes, cpu_s = peak_rss_bytes(), 0.0
        for formats in (("geopackage",), ("geoparquet",), ("geojson",), ("csv",), ("stac",), ALL_FORMATS):
            clock, place = Clock(), Path(folder) / "-".join(formats)
            with clock:
                files = written(place, results, formats=formats)
            cpu_s = clock.cpu_s
            size = sum((place / file.path).stat().st_size for file in files)
            say(f"{' '.join(formats):45} {cpu_s:6.2f} CPU-s {size / 1e6:7.1f} MB\n")
        added_bytes = peak_rss_bytes() - before_bytes
    say(f"added to the peak: {added_bytes / 1e6:.0f} MB, over {before_bytes / 1e6:.0f} MB with the results alone\n")
    held = cpu_s <= MOST_CPU_S and added_bytes <= MOST_BYTES
    say("held\n" if held else f"FAILED: at most {MOST_CPU_S:g} CPU-s and {MOST_BYTES / 1e6:g} MB are allowed\n")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
