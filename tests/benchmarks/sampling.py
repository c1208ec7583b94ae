"""How fast crops are counted and chosen: ``python -m tests.benchmarks.sampling [--size 10000] [--json FILE]``.

CPU seconds of one thread, the best of several runs. Next to each figure stands its bar. OpenCV is timed beside it
where it is installed, since machines differ: its integral image is what the field uses.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segmentation.training.content_tables import BlockTable, ContentTable
from segmentation.training.crop_positions import CountLimits, CropPositions

CROP_PX, CROPS, NAIVE_CROPS, DRAWS = 572, 10_000, 500, 1000
BLOCK_PX = 16


def best_s(run: Callable[[], Any], *, times: int) -> float:
    """CPU seconds of the fastest of several runs."""
    seconds = []
    for _ in range(times):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return min(seconds)


def measured(size: int) -> dict[str, float]:
    """All figures for a mask of `size` × `size` with 2 % damage in specks."""
    rng = np.random.default_rng(0)
    mask = (rng.random((size, size), np.float32) < 0.02).astype(np.uint8)
    ContentTable.of(mask[:8, :8], values=(1,)).counts(np.array([[0, 2, 0, 2]]))  # compiles
    BlockTable.of(mask[:64, :64], values=(1,), block_px=BLOCK_PX).counts(np.array([[0, 20, 0, 20]]))
    mpx = mask.size / 1e6
    figures = {"table_mpx_per_s": mpx / best_s(lambda: ContentTable.of(mask, values=(1,)), times=5)}
    figures["block_table_mpx_per_s"] = mpx / best_s(
        lambda: BlockTable.of(mask, values=(1,), block_px=BLOCK_PX), times=3
    )
    figures |= _other_tables(mask)
    table, blocks = (
        ContentTable.of(mask, values=(1,)),
        BlockTable.of(mask, values=(1,), block_px=BLOCK_PX),
    )
    figures["table_bytes_per_px"] = table.sums.nbytes / mask.size
    figures["block_table_bytes_per_px"] = blocks.sums.nbytes / mask.size
    starts = rng.integers(0, size - CROP_PX + 1, (CROPS, 2))
    windows = np.stack([starts[:, 0], starts[:, 0] + CROP_PX, starts[:, 1], starts[:, 1] + CROP_PX], 1)
    query_s = best_s(lambda: table.counts(windows), times=9)
    naive_s = best_s(lambda: _naive(mask, windows[:NAIVE_CROPS]), times=2) * CROPS / NAIVE_CROPS
    if not (table.counts(windows[:NAIVE_CROPS])[:, 0] == _naive(mask, windows[:NAIVE_CROPS])).all():
        raise SystemExit("the table counts otherwise than the naive way")
    figures["query_us"] = query_s / CROPS * 1e6
    figures["block_query_us"] = best_s(lambda: blocks.counts(windows), times=3) / CROPS * 1e6
    figures["times_naive"] = naive_s / query_s
    figures["times_naive_with_building"] = naive_s / (query_s + mpx / figures["table_mpx_per_s"])
    return figures | _positions(table, mpx, rng)


def _positions(table: ContentTable, mpx: float, rng: np.random.Generator) -> dict[str, float]:
    limits = [CountLimits((1,), round(0.02 * CROP_PX**2), CROP_PX**2)]

    def judge() -> CropPositions:
        return CropPositions(table, shape=(CROP_PX, CROP_PX), limits=limits, border_px=0)

    places = judge()
    return {
        "positions_mpx_per_s": mpx / best_s(judge, times=3),
        "draw_us": best_s(lambda: places.draw(rng, DRAWS), times=3) / DRAWS * 1e6,
    }


def _naive(mask: np.ndarray[Any, Any], windows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array([np.count_nonzero(mask[r0:r1, c0:c1] == 1) for r0, r1, c0, c1 in windows])


def _other_tables(mask: np.ndarray[Any, Any]) -> dict[str, float]:
    mpx = mask.size / 1e6
    others = {"numpy_mpx_per_s": mpx / best_s(lambda: mask.cumsum(0, np.int64).cumsum(1), times=1)}
    try:
        import cv2
    except ImportError:
        return others
    cv2.setNumThreads(1)
    return others | {"opencv_mpx_per_s": mpx / best_s(lambda: cv2.integral(mask), times=5)}


BARS = {"table_mpx_per_s": ">= 1000", "query_us": "< 1", "times_naive": ">= 500"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="side of the mask, pixels")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    options = parser.parse_args()
    figures = measured(options.size)
    for name, value in figures.items():
        sys.stdout.write(f"{name:28s} {value:12.3f}   {BARS.get(name, '')}\n")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
