"""Two surveys of many defects compared: CPU-seconds and peak memory of matching and deciding.

    python -m tests.benchmarks.compare [--defects 20000] [--structures 1]

Both surveys are made as data, the newer one turned, scaled, shifted and partly grown; timed is what follows the
registration, in this process: laying the older survey on the newer one, matching, growth and classes. What is left out
grows with the structures and not with the defects (registration, looking at the masks): the whole command on many
structures is what `tests.benchmarks.compare_structures` times. Exit code 1 beyond a bar.
"""

import argparse
import resource
import sys
import time
from collections import Counter

import numpy as np
from shapely.geometry import LineString, MultiLineString

from segmentation.classes import PixelClass
from segmentation.comparison.changes import changes_between, registered
from segmentation.comparison.grids import Extent
from segmentation.comparison.records import Seen, SurveyDefect, SurveyLimits
from segmentation.comparison.registration import Registration
from segmentation.comparison.sides import Compared
from segmentation.comparison.similarity import Similarity
from tasks.compare.seen import places_along

MOST_S = 60.0
MOST_BYTES = 2_000_000_000
_GSD_M = 0.0015
_CELL_M = 0.6


def main() -> int:
    """Time the comparison and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--defects", type=int, default=20_000)
    parser.add_argument("--structures", type=int, default=1)
    arguments = parser.parse_args()
    error = Similarity(1.01, 0.8, 0.03, -0.02)
    registration = Registration(error, 0.3 * _GSD_M, _GSD_M, 50, 60, "imagery")
    limits = SurveyLimits(_GSD_M, 24.0, 64.0, frozenset({PixelClass.CRACK, PixelClass.RUST}))
    counts: Counter[str] = Counter()
    cpu_s = 0.0
    for number in range(arguments.structures):
        older = _survey(np.random.default_rng(number), arguments.defects // arguments.structures)
        newer = tuple(_grown(defect, error, index) for index, defect in enumerate(older))
        extent = Extent(*(2 * [_CELL_M * len(older) ** 0.5 / 2]))
        started = time.process_time()
        laid = registered(older, registration)
        places_along(laid)
        sides = [
            Compared(key * 16, found, (Seen(1.0, 0.0),) * len(found), limits)
            for key, found in (("a", laid), ("b", newer))
        ]
        counts.update(change.change.value for change in changes_between(sides[0], sides[1], registration, extent))
        cpu_s += time.process_time() - started
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(f"{arguments.defects} defects in each survey, {arguments.structures} structures: {dict(counts)}\n")
    sys.stdout.write(
        f"{cpu_s:.1f} CPU-seconds (bar {MOST_S:g}), peak {peak_bytes / 1e9:.2f} GB (bar {MOST_BYTES / 1e9:g})\n"
    )
    return 0 if cpu_s <= MOST_S and peak_bytes <= MOST_BYTES else 1


def _survey(rng: np.random.Generator, count: int) -> tuple[SurveyDefect, ...]:
    side = int(np.ceil(count**0.5))
    made = []
    for number in range(count):
        row, col = divmod(number, side)
        steps = rng.normal(0, 0.4, 120).cumsum() * 0.05 + rng.uniform(0, 2 * np.pi)
        path = np.column_stack([np.cos(steps), np.sin(steps)]).cumsum(axis=0) * 0.003
        path += (np.array([col, row]) - side / 2) * _CELL_M - path.mean(axis=0)
        line = MultiLineString([LineString(path)])
        made.append(
            SurveyDefect(
                f"C-{number:05}", PixelClass.CRACK, line, 0.004 * line.length, _GSD_M, 0.95, line.length, 4.0, 3.5, 0.4
            )
        )
    return tuple(made)


def _grown(defect: SurveyDefect, error: Similarity, index: int) -> SurveyDefect:
    """The defect as the newer survey states it; every fourth is longer by half."""
    factor = 1.5 if index % 4 == 0 else 1.0
    points = np.asarray(defect.geometry.geoms[0].coords)
    if factor > 1:
        more = points[-1] + (points[-1] - points[-2]) * np.arange(1, len(points) // 2)[:, None]
        points = np.vstack([points, more])
    line = MultiLineString([LineString(error.of(points))])
    return SurveyDefect(
        defect.id, PixelClass.CRACK, line, 0.004 * line.length, _GSD_M, 0.95, line.length, 4.0, 3.5, 0.4
    )


if __name__ == "__main__":
    sys.exit(main())
