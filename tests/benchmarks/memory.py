"""Measured peak against the projected one at three raster sizes: `python -m tests.benchmarks.memory`.

Exit code 1 where a measured peak exceeds its projection, or where the peak at the largest raster is more than
`MOST_GROWTH` above that at the smallest.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.engine import benchmark, parser, workload

MOST_GROWTH = 0.15


def measure(size_px: int, options: Any) -> dict[str, Any]:
    """One run of the engine at one size, with what its plan foretold."""
    options.size, options.peer = size_px, 512
    with tempfile.TemporaryDirectory(prefix="memory-", dir=options.cache) as out:
        return benchmark(workload(options, Path(out)), ("engine",), pairs=1)[0]


def verdicts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What does not hold, one sentence each; empty where all does."""
    found = [
        f"at {row['size']} px the peak must stay below the projected {row['projected_bytes'] / 1e6:.0f} MB, "
        f"got {row['peak_rss_bytes'] / 1e6:.0f} MB"
        for row in rows
        if row["peak_rss_bytes"] > row["projected_bytes"]
    ]
    growth = rows[-1]["peak_rss_bytes"] / rows[0]["peak_rss_bytes"] - 1
    if growth > MOST_GROWTH:
        found.append(
            f"from {rows[0]['size']} to {rows[-1]['size']} px the peak must grow by at most {MOST_GROWTH:.0%}, "
            f"got {growth:.0%}"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure at each size, print, and say whether it held."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 8192, 16384], help="sides in px")
    options = options_parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = [measure(size_px, options) for size_px in sorted(options.sizes)]
    for row in rows:
        sys.stdout.write(
            f"{row['size']:>7} px: measured {row['peak_rss_bytes'] / 1e6:>7.0f} MB of projected "
            f"{row['projected_bytes'] / 1e6:.0f} MB, {row['cpu_s_per_mpx']:.4f} CPU-s/Mpx\n"
        )
    failed = verdicts(rows)
    sys.stdout.write("".join(f"FAILED: {sentence}\n" for sentence in failed) or "held\n")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "failed": failed}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
