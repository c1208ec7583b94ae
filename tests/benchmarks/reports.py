"""All reports of a survey with many structures: seconds of each part, peak memory, sizes, and how soon the map answers.

    python -m tests.benchmarks.reports [--structures 200] [--defects 100] [--workers 2] [--json FILE]

The survey is painted and measured once and kept; timed is what comes after the measurement, in a process of its own:
pyramid and COG of the mask, HTML, PDF and JSON of each structure, layers, overview. Peak memory is the sum of the
proportional set sizes of that process and all it starts. Exit code 1 where a bar is missed; wall seconds count only
where nothing else runs (`--cpu` counts CPU seconds over the workers instead).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.report_survey import large_survey

MOST_S = 180.0
MOST_BYTES = 2_000_000_000
MOST_INDEX_BYTES = 15_000_000
MOST_HTML_BYTES = 5_000_000
MOST_READY_S = 3.0
_SAMPLE_S = 0.25


class PeakOfTree(threading.Thread):
    """The most that a process and all it starts hold together, by proportional set sizes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.peak_bytes = 0

    def run(self) -> None:
        """Look again and again until the process has ended."""
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            try:
                tree = [self._process, *self._process.children(recursive=True)]
                self.peak_bytes = max(self.peak_bytes, sum(_held_bytes(one) for one in tree))
            except psutil.NoSuchProcess:
                return
            time.sleep(_SAMPLE_S)


def _held_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def measured(cache: Path, *, structures: int, defects: int, workers: int) -> dict[str, Any]:
    """One run of all that comes after the measurement."""
    survey = large_survey(cache, structures=structures, defects=defects)
    run = Path(survey.place.run_uri)
    for name in ("structures", "stac"):
        shutil.rmtree(run / name, ignore_errors=True)
    module = "tests.benchmarks.report_parts"
    command = [sys.executable, "-m", module, str(cache), *map(str, (structures, defects, workers))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        watch = PeakOfTree(child.pid)
        watch.start()
        told, _ = child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"the report stage must end well, got exit code {child.returncode}")
    watch.join()
    return {
        "parts": [json.loads(line) for line in told.splitlines()],
        "peak_bytes": watch.peak_bytes,
        "sizes": sizes_of(run),
        "index_ready_s": index_ready_s(run / "index.html"),
    }


def sizes_of(run: Path) -> dict[str, int]:
    """Bytes of each file beside the masks; of the structures' files the largest of each kind."""
    sizes = {path.name: path.stat().st_size for path in sorted(run.iterdir()) if path.is_file()}
    for kind in ("html", "pdf", "json"):
        found = [path.stat().st_size for path in run.glob(f"structures/*/report.{kind}")]
        if found:
            sizes[f"largest report.{kind} of {len(found)}"] = max(found)
    return sizes


def index_ready_s(path: Path) -> float | None:
    """Seconds from opening the overview until it answers, the middle of three; None without a browser."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS, path_of_chromium

    browser_path = path_of_chromium()
    if browser_path is None:
        return None
    took = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        for _ in range(3):
            page = browser.new_page()
            started = time.perf_counter()
            page.goto(path.as_uri(), wait_until="commit")
            page.wait_for_selector("html[data-ready='true']", state="attached")
            took.append(time.perf_counter() - started)
            page.close()
        browser.close()
    return round(sorted(took)[1], 3)


def verdicts(row: dict[str, Any], *, workers: int, by_cpu: bool) -> list[str]:
    """What does not hold, one sentence each; empty where all does."""
    everything = next(part for part in row["parts"] if part["part"] == "all")
    took_s = everything["cpu_s"] / workers if by_cpu else everything["wall_s"]
    html = [size for name, size in row["sizes"].items() if name.startswith("largest report.html")]
    bars = (
        ("all reports", took_s, MOST_S, "s"),
        ("memory", row["peak_bytes"] / 1e9, MOST_BYTES / 1e9, "GB"),
        ("index.html", row["sizes"]["index.html"] / 1e6, MOST_INDEX_BYTES / 1e6, "MB"),
        ("a report.html", max(html) / 1e6, MOST_HTML_BYTES / 1e6, "MB"),
        ("the overview's answer", row["index_ready_s"] or 0.0, MOST_READY_S, "s"),
    )
    return [f"{what} must stay below {most:g} {unit}, got {got:.2f}" for what, got, most, unit in bars if got >= most]


def table(row: dict[str, Any]) -> str:
    """Parts, memory and sizes in lines."""
    lines = [f"{p['part']:12} {p['wall_s']:8.1f} s {p['cpu_s']:8.1f} CPU-s" for p in row["parts"]]
    lines.append(f"{'peak':12} {row['peak_bytes'] / 1e6:8.0f} MB, all processes together")
    lines += [f"{size / 1e6:10.2f} MB {name}" for name, size in row["sizes"].items()]
    ready = "no browser" if row["index_ready_s"] is None else f"{row['index_ready_s']:.2f} s"
    return "\n".join([*lines, f"index.html answers after: {ready}"]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure once, print, and say whether the bars held."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reports", description=__doc__)
    parser.add_argument("--structures", type=int, default=200)
    parser.add_argument("--defects", type=int, default=100, help="of each structure")
    parser.add_argument("--workers", type=int, default=2, help="processes that write reports")
    parser.add_argument("--cpu", action="store_true", help="hold CPU seconds over the workers against the bar of time")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "spanscan-benchmarks")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args(arguments)
    row = measured(asked.cache, structures=asked.structures, defects=asked.defects, workers=asked.workers)
    failed = verdicts(row, workers=asked.workers, by_cpu=asked.cpu)
    sys.stdout.write(table(row))
    sys.stdout.write("".join(f"FAILED: {sentence}\n" for sentence in failed) or "held\n")
    if asked.json:
        asked.json.write_text(json.dumps({**row, "failed": failed}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
