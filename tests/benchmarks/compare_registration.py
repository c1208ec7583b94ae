"""Registration of painted pairs: how far it is off, and whether pairs of two different surfaces are refused.

    python -m tests.benchmarks.compare_registration [--kinds slabs brick ...] [--seeds 8] [--first 700]

For each kind of `tests.benchmarks.compare_kinds`: the largest distance over the surface by which the found map misses
the true one, in pixels of the common GSD; the stated residual; how many were refused. Then each older survey beside
the newer survey of the next seed, which shows another surface: `trusted` counts those that were not refused and lie
farther than 3 px from the truth. Exit code 1 where a map that is farther off than 1 px was trusted.
"""

import argparse
import sys
import time

import numpy as np
import numpy.typing as npt

from segmentation.comparison.grids import Extent, GridToPlane, ReadPlane, resampled
from segmentation.comparison.registration import Registration, RegistrationLimits, register
from segmentation.comparison.similarity import Similarity
from segmentation.errors import InputRejected
from segmentation.synthetic.survey_pairs import PaintedSurvey
from tests.benchmarks.compare_kinds import KINDS, Kind, drawn_pair

LIMITS = RegistrationLimits(0.25, 5.0, 0.06, 3.0)
MOST_MISS_PX = 1.0


def reader(painted: PaintedSurvey) -> ReadPlane:
    """A painted survey as the registration reads it, means over whole pixels where it asks for less than all."""
    grey = painted.image.mean(axis=2).astype(np.float32)
    grey[painted.mask == 254] = np.nan
    corner_x, corner_y = painted.corner_m
    per_m = 1 / painted.gsd_m
    to_picture = np.array([[per_m, 0, -corner_x * per_m], [0, -per_m, corner_y * per_m], [0, 0, 1.0]])

    def read(grid: GridToPlane, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        matrix = to_picture @ grid
        step = max(1, int(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))) + 1e-6))
        rows, cols = (side // step for side in grey.shape)
        small = grey[: rows * step, : cols * step].reshape(rows, step, cols, step).mean(axis=(1, 3))
        return resampled(small, np.diag([1 / step, 1 / step, 1.0]) @ matrix, shape)

    return read


def found(older: PaintedSurvey, newer: PaintedSurvey, extent: Extent) -> Registration | str:
    """The registration, or the code of its refusal."""
    gsd_m = max(older.gsd_m, newer.gsd_m)
    try:
        return register(reader(older), reader(newer), extent, gsd_m=gsd_m, of="imagery", subject="deck", limits=LIMITS)
    except InputRejected as error:
        return error.code


def miss_px(made: Registration, true: Similarity, extent: Extent) -> float:
    """The largest distance between the found and the true map over the surface."""
    axes = [np.linspace(-half, half, 5) for half in (extent.half_width_m, extent.half_height_m)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    return float(np.hypot(*(made.older_to_newer.of(points) - true.of(points)).T).max()) / made.gsd_m


def row(name: str, kind: Kind, seeds: range) -> tuple[str, bool]:
    """The line of a kind, and whether no wrong map was trusted."""
    pairs = [drawn_pair(kind, seed) for seed in seeds]
    extent = Extent(pairs[0].half_width_m, pairs[0].half_height_m)
    started = time.process_time()
    own = [found(pair.older, pair.newer, extent) for pair in pairs]
    cpu_s = (time.process_time() - started) / len(pairs)
    misses = [
        miss_px(made, pair.newer.stated_from_true, extent)
        for made, pair in zip(own, pairs, strict=True)
        if isinstance(made, Registration)
    ]
    residuals = [made.residual_px for made in own if isinstance(made, Registration)]
    trusted = 0
    for pair, other in zip(pairs, pairs[1:] + pairs[:1], strict=True):
        made = found(pair.older, other.newer, extent)
        trusted += isinstance(made, Registration)
    told = f"{np.median(misses):6.3f} {max(misses):6.3f} {max(residuals):6.3f}" if misses else f"{'-':>6} " * 3
    line = f"{name:>12} {told} {len(own) - len(misses):7d} of {len(own)} {trusted:8d} of {len(own)} {cpu_s:6.1f}\n"
    return line, trusted == 0 and all(one <= MOST_MISS_PX for one in misses)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=700)
    arguments = parser.parse_args()
    sys.stdout.write(f"{'kind':>12} {'median':>6} {'worst':>6} {'stated':>6} {'refused':>12} {'trusted':>13} CPU-s\n")
    is_right = True
    for name in arguments.kinds:
        line, is_one_right = row(name, KINDS[name], range(arguments.first, arguments.first + arguments.seeds))
        sys.stdout.write(line)
        sys.stdout.flush()
        is_right &= is_one_right
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
