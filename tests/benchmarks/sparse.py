"""A sparse raster of 100,000 × 100,000 px, nodata but for one tile: `python -m tests.benchmarks.sparse`.

Stated are the seconds from the command to the plan (headers, checksum of the file, blocks) and the nodata that the
segment stage skips per second, the one tile's inference included.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.engine import benchmark, parser, workload
from tests.benchmarks.nets import ONE_CONV
from tests.benchmarks.product import plan_of, product_settings
from tests.benchmarks.rasters import sparse_raster


def measure(options: Any) -> dict[str, Any]:
    """Plan and segment once."""
    folder = sparse_raster(options.cache, options.size)
    with tempfile.TemporaryDirectory(prefix="sparse-", dir=options.cache) as out:
        settings = product_settings(
            cache=options.cache,
            out=Path(out),
            net=options.net,
            device=options.device,
            precision=options.precision,
            further={},
        )
        started = time.perf_counter()
        plan = plan_of(folder, settings)
        plan_s = time.perf_counter() - started
        row = benchmark(workload(options, Path(out), folder=folder), ("engine",), pairs=1)[0]
    return {**row, "plan_s": round(plan_s, 3), "blocks": plan.block_count}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--size", type=int, default=100_000, help="side in px")
    options_parser.set_defaults(net=ONE_CONV, peer=512)
    options = options_parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    row = measure(options)
    sys.stdout.write(
        f"{options.size} px: planned in {row['plan_s']:.2f} s ({row['blocks']} blocks); segmented at "
        f"{row['mpx_per_s']:.0f} Mpx/s wall, {1 / row['cpu_s_per_mpx'] if row['cpu_s_per_mpx'] else 0:.0f} Mpx per "
        f"CPU-second; peak {row['peak_rss_bytes'] / 1e6:.0f} MB\n"
    )
    if options.json:
        options.json.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
