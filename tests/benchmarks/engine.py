"""The engine beside its limit and its peers: `python -m tests.benchmarks.engine --size 4096 --net shipped --json FILE`.

Every pattern runs in a child process on the same raster with the same weights; the patterns take turns, forwards and
backwards, and what is stated are medians. Ratios are medians over the turns, each within one turn, so that a machine
that others use as well spoils them less than it spoils seconds.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.child import Outcome, run_in_child
from tests.benchmarks.comparison import differing_share
from tests.benchmarks.product import plan_of, product_settings
from tests.benchmarks.rasters import textured_raster
from tests.benchmarks.workload import Workload

SHOWN = ("limit", "engine", "monai", "map_overlap", "plain_loop")
"""The patterns of a run where none is named."""
ALL = (*SHOWN, "whole")
YARDSTICKS = ("limit", "engine")


def benchmark(work: Workload, patterns: Sequence[str], *, pairs: int) -> list[dict[str, Any]]:
    """One row per pattern: medians over `pairs` turns, ratios to the yardsticks, pixels that differ from the engine."""
    outcomes: dict[str, list[Outcome]] = {pattern: [] for pattern in patterns}
    masks: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for turn in range(pairs):
        for pattern in patterns if turn % 2 == 0 else tuple(reversed(patterns)):
            if pattern in skipped:
                continue
            outcome = _run(work, pattern)
            if outcome.skipped is not None:
                skipped[pattern] = outcome.skipped
                continue
            outcomes[pattern].append(outcome)
            if outcome.mask is not None:
                masks[pattern] = outcome.mask
    return [
        {"pattern": pattern, "size": work.size_px, "skipped": skipped[pattern]}
        if pattern in skipped
        else _row(pattern, work, outcomes, masks)
        for pattern in patterns
    ]


def _run(work: Workload, pattern: str) -> Outcome:
    out = Path(work.out) / pattern
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    sys.stderr.write(f"{pattern} at {work.size_px} px …\n")
    return run_in_child(replace(work, pattern=pattern, out=str(out)))


def _row(pattern: str, work: Workload, outcomes: dict[str, list[Outcome]], masks: dict[str, str]) -> dict[str, Any]:
    mine = outcomes[pattern]
    mpx = work.size_px**2 / 1e6
    row: dict[str, Any] = {
        "pattern": pattern,
        "size": work.size_px,
        "wall_s": round(median(o.wall_s for o in mine), 3),
        "cpu_s": round(median(o.cpu_s for o in mine), 3),
        "peak_rss_bytes": int(median(o.peak_rss_bytes for o in mine)),
        "mpx_per_s": round(mpx / median(o.wall_s for o in mine), 3),
        "cpu_s_per_mpx": round(median(o.cpu_s for o in mine) / mpx, 6),
        "turns": len(mine),
    }
    for yardstick in YARDSTICKS:
        theirs = outcomes.get(yardstick, [])
        if theirs:
            paired = list(zip(theirs, mine, strict=True))
            row[f"speed_to_{yardstick}"] = round(median(t.wall_s / m.wall_s for t, m in paired), 3)
            row[f"cpu_speed_to_{yardstick}"] = round(median(t.cpu_s / m.cpu_s for t, m in paired), 3)
    if pattern in masks and "engine" in masks and pattern != "engine":
        share = differing_share(masks["engine"], masks[pattern], margin_px=work.halo_px)
        row["differs_from_engine"] = share
    for name in ("projected_bytes", "device_peak_bytes"):
        if (value := getattr(mine[-1], name)) is not None:
            row[name] = value
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text; a ratio above 1 is faster than the yardstick."""
    head = f"{'pattern':<12}{'Mpx/s':>9}{'wall s':>9}{'CPU s':>9}{'CPU s/Mpx':>11}{'peak GB':>9}"
    head += "".join(f"{'/ ' + y:>10}{'(CPU)':>8}" for y in YARDSTICKS) + "  differs"
    lines = [head]
    for row in rows:
        if "skipped" in row:
            lines.append(f"{row['pattern']:<12}  skipped: {row['skipped']}")
            continue
        line = f"{row['pattern']:<12}{row['mpx_per_s']:>9.2f}{row['wall_s']:>9.2f}{row['cpu_s']:>9.2f}"
        line += f"{row['cpu_s_per_mpx']:>11.4f}{row['peak_rss_bytes'] / 1e9:>9.2f}"
        for yardstick in YARDSTICKS:
            for kind in ("speed", "cpu_speed"):
                value = row.get(f"{kind}_to_{yardstick}")
                width = 10 if kind == "speed" else 8
                line += f"{'' if value is None else format(value, '.3f'):>{width}}"
        if "differs_from_engine" in row:
            line += f"  {row['differs_from_engine']:.2e}"
        lines.append(line)
    return "\n".join(lines)


def workload(options: argparse.Namespace, out: Path, *, folder: Path | None = None) -> Workload:
    """What the options ask for, with the tile geometry that the product's own plan chooses.

    Without `folder` the raster is the textured one of the size asked for.
    """
    cache: Path = options.cache
    further: dict[str, Any] = dict(pair.split("=", 1) for pair in options.set)
    further |= {"workers": options.workers} if options.workers else {}
    further |= {"tile_core_px": options.core} if options.core else {}
    further |= {"batch": options.batch} if options.batch else {}
    folder = folder or textured_raster(cache, options.size)
    settings = product_settings(
        cache=cache, out=out, net=options.net, device=options.device, precision=options.precision, further=further
    )
    inference = plan_of(folder, settings).inference
    return Workload(
        pattern="",
        folder=str(folder),
        size_px=options.size,
        net=options.net,
        cache=str(cache),
        out=str(out),
        device=inference.engine.device,
        precision=inference.engine.precision,
        workers=inference.engine.workers,
        batch=inference.engine.batch,
        core_px=inference.geometry.core_px,
        alignment_px=inference.geometry.alignment_px,
        halo_px=inference.geometry.halo_px,
        block_px=inference.engine.block_px,
        peer_px=options.peer,
        engine_settings=further,
    )


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that the benchmarks share."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--net", default="shipped", help="shipped, one-conv, or the path of weights")
    made.add_argument("--device", default="cpu", help="cpu or cuda")
    made.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16"])
    made.add_argument("--workers", type=int, help="threads; without: the product's default, one a core")
    made.add_argument("--batch", type=int, help="tiles per forward pass; without: the product's default")
    made.add_argument("--core", type=int, help="side of a tile's core in px; without: what the product's plan chooses")
    made.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a further product setting")
    made.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "spanscan-benchmarks")
    made.add_argument("--json", type=Path, help="file for the rows")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--size", type=int, default=4096, help="side of the raster in px")
    options_parser.add_argument("--patterns", default=",".join(SHOWN), help=f"of {', '.join(ALL)}")
    options_parser.add_argument("--pairs", type=int, default=3, help="turns of all patterns")
    options_parser.add_argument("--peer", type=int, default=512, help="MONAI's window and map_overlap's chunk in px")
    options = options_parser.parse_args(arguments)
    patterns = tuple(options.patterns.split(","))
    if unknown := set(patterns) - set(ALL):
        options_parser.error(f"patterns must be of {', '.join(ALL)}, got {', '.join(sorted(unknown))}")
    options.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.cache) as out:
        work = workload(options, Path(out))
        rows = benchmark(work, patterns, pairs=options.pairs)
    conditions = {name: getattr(work, name) for name in _STATED}
    sys.stdout.write(", ".join(f"{name} {value}" for name, value in conditions.items()) + "\n" + table(rows) + "\n")
    if options.json:
        options.json.write_text(json.dumps({"conditions": conditions, "rows": rows}, indent=1) + "\n")


_STATED = ("net", "device", "precision", "workers", "batch", "core_px", "halo_px", "block_px", "peer_px")


if __name__ == "__main__":
    main()
