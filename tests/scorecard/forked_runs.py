"""Inspections in processes of their own that need no start: forked from one that has loaded libraries and weights."""

import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

_FORK: Final = multiprocessing.get_context("forkserver")
_LIBRARIES: Final = "tests.scorecard.forked_libraries"
LONGEST_RUN_S: Final = 300


@dataclass(frozen=True)
class Job:
    """One inspection of a small survey."""

    survey: str
    home: Path
    results: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By their names in lower case."""
    environment: Mapping[str, str] = field(default_factory=dict)
    told: Path | None = None
    """Where to write how it ended, and how often each crash point was passed."""


def started(job: Job) -> ForkServerProcess:
    """Begin an inspection; its exit code is that of the command line, or minus the signal that ended it."""
    return forked(partial(inspect, job))


def forked(work: Callable[[], None]) -> ForkServerProcess:
    """Begin some work in a process of its own that has loaded libraries and weights; its exit code is 0 if it ends."""
    _FORK.set_forkserver_preload([_LIBRARIES])
    process = _FORK.Process(target=work, daemon=True)
    process.start()
    return process


def ended(process: ForkServerProcess) -> int:
    """The exit code of a process, which must end."""
    process.join(LONGEST_RUN_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"an inspection must end within {LONGEST_RUN_S} s")
    return process.exitcode


def run(job: Job) -> int:
    """Inspect a survey and wait for the end."""
    return ended(started(job))


def inspect(job: Job) -> None:
    """Inspect a survey in this process, which ends as the command line does."""
    from segmentation.errors import SpanscanError
    from tasks import crash_points
    from tests.scorecard.inputs import inspected_with

    os.environ.update(job.environment)
    tempfile.tempdir = None  # else it is what the environment said before
    outcome: dict[str, Any] = {"code": None}
    try:
        published = inspected_with(job.survey, {"home": str(job.home), "results": job.results, **job.settings})
        outcome |= {
            "run_key": published.run_key,
            "results": published.results,
            "already_published": published.already_published,
        }
    except SpanscanError as error:
        outcome |= {"code": error.code, "message": str(error)}
        sys.exit(error.exit_code)
    finally:
        if job.told is not None:
            job.told.write_text(json.dumps({**outcome, "passed": dict(crash_points.passed)}))
