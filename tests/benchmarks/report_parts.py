"""The report stage of a large measured survey, in a process of its own: seconds of each part, as JSON lines.

    python -m tests.benchmarks.report_parts CACHE STRUCTURES DEFECTS WORKERS

A part's CPU seconds hold those of the processes it started and that have ended with it.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from flows.settings import Settings
from flows.stages import report_settings
from tasks import report_survey
from tasks.cluster import dask_client
from tasks.mask_cog import write_cogs
from tasks.mask_pyramid import write_pyramid
from tasks.output_files import OutputFiles
from tests.benchmarks.report_survey import large_survey
from tests.benchmarks.workload import Clock

PARTS: Final = {"structures": "write_structures", "layers": "write_run_layers", "index": "write_index"}
"""Parts of the report stage by their functions."""


def tell(name: str, clock: Clock) -> None:
    """One line for the parent."""
    line = {"part": name, "wall_s": round(clock.wall_s, 3), "cpu_s": round(clock.cpu_s, 3)}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which tells what each call of it took."""

    def run(*args: Any, **kwargs: Any) -> Any:
        clock = Clock()
        try:
            with clock:
                return work(*args, **kwargs)
        finally:
            tell(name, clock)

    return run


def main(arguments: list[str]) -> None:
    """Write the masks' files and the reports once, each part timed."""
    cache, (structures, defects, workers) = Path(arguments[0]), map(int, arguments[1:])
    survey = large_survey(cache, structures=structures, defects=defects)
    plan = replace(survey.plan, report=report_settings(Settings()))
    place, files = survey.place, OutputFiles(survey.place.storage)
    rasters = plan.survey.rasters
    for name, function in PARTS.items():
        setattr(report_survey, function, timed(name, getattr(report_survey, function)))

    def everything() -> None:
        with dask_client(scheduler=None, workers=workers) as client:
            timed("pyramid", write_pyramid)(rasters, place, client)
        timed("cog", write_cogs)(rasters, place, files)
        report_survey.write_reports(
            plan,
            place,
            survey.measured,
            None,
            mask_files=files.sha256,
            workers=workers,
            on_structure=lambda done, of: None,
        )

    timed("all", everything)()


if __name__ == "__main__":
    main(sys.argv[1:])
