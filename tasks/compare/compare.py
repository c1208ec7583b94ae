"""Compare two published runs structure by structure, in this process or shared out to several.

Processes and not threads: half of the work holds the interpreter lock, and an open raster is one thread's alone. Where
to look for each structure is planned here; what each process must know of the runs is sent to it once, a structure when
its turn comes, and back come its changes and the defects that they are of.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from threadpoolctl import threadpool_limits

from segmentation.comparison.registration import RegistrationLimits
from segmentation.errors import InputRejected, RunFailed
from tasks.allocator import keep_freed_memory
from tasks.child_process import die_with_parent
from tasks.compare.chain import Chain
from tasks.compare.defects import RunDefects
from tasks.compare.imagery import RunImagery
from tasks.compare.places import paired_structures
from tasks.compare.published import PublishedRun
from tasks.compare.rasters import FoundRasters, ReadingRules, found_rasters
from tasks.compare.structure import PlannedStructure, StructureComparison, SurveySources, compared, planned
from tasks.storage import printable

STRUCTURES_PER_PROCESS = 8
"""Fewer are compared sooner than a process has started."""
_NEIGHBOURS = 4
"""So many at a time go to a process: structures listed one after the other often share what is decoded for them."""


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two published runs, structure by structure."""

    older: PublishedRun
    newer: PublishedRun
    structures: tuple[StructureComparison, ...]
    older_rasters: FoundRasters
    """Those that were looked at."""
    newer_rasters: FoundRasters


@dataclass(frozen=True, slots=True)
class _Context:
    """What a process must know to compare any structure of two runs."""

    older: PublishedRun
    newer: PublishedRun
    older_rasters: FoundRasters
    newer_rasters: FoundRasters
    limits: RegistrationLimits


def compare_runs(
    older: PublishedRun,
    newer: PublishedRun,
    *,
    rules: ReadingRules,
    limits: RegistrationLimits,
    workers: int,
    on_structure: Callable[[int, int], None],
) -> RunComparison:
    """Compare two published runs, the same for any `workers`; `on_structure(done, all)` as structures are done.

    Raises InputRejected E_SAME_RUN for a run and itself, E_NO_COMMON_STRUCTURE where they have none in common,
    RunFailed E_REPORT_PROCESS where a process dies.
    """
    if older.run_key == newer.run_key:
        cause = f"two different runs must be compared, got {older.run_key} twice"
        raise InputRejected("E_SAME_RUN", newer.survey_id, cause, "name an older survey of the same structures")
    pairs = paired_structures(older, newer)
    if not any(pair.older is not None and pair.newer is not None for pair in pairs):
        raise InputRejected(
            "E_NO_COMMON_STRUCTURE",
            f"{printable(older.survey_id)} and {printable(newer.survey_id)}",
            "the surveys must have a structure in common, got none of the same id or name",
            "give the structures the same ids in both structures.geojson",
        )
    chain = Chain(older)
    plans = [planned(pair, older, newer, chain) for pair in pairs]
    works = [plan for plan in plans if isinstance(plan, PlannedStructure)]
    context = _Context(
        older,
        newer,
        found_rasters(older, {raster.name for work in works for raster in work.older_rasters}, rules=rules),
        found_rasters(newer, {raster.name for work in works for raster in work.newer_rasters}, rules=rules),
        limits,
    )
    refused = len(plans) - len(works)
    made = iter(_all_compared(works, context, workers=workers, on_done=lambda n: on_structure(refused + n, len(plans))))
    structures = tuple(next(made) if isinstance(plan, PlannedStructure) else plan for plan in plans)
    return RunComparison(older, newer, structures, context.older_rasters, context.newer_rasters)


def _all_compared(
    works: Sequence[PlannedStructure], context: _Context, *, workers: int, on_done: Callable[[int], None]
) -> list[StructureComparison]:
    """The comparison of each structure, in their order."""
    processes = min(workers, len(works) // STRUCTURES_PER_PROCESS)
    if processes > 1:
        return _in_processes(works, context, processes=processes, on_done=on_done)
    made = []
    with _sources(context) as (before, now):
        for work in works:
            made.append(compared(work, before, now, context.limits))
            on_done(len(made))
    return made


def _in_processes(
    works: Sequence[PlannedStructure], context: _Context, *, processes: int, on_done: Callable[[int], None]
) -> list[StructureComparison]:
    # Spawned: a fork would carry the locks of other threads along.
    pool = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(context, os.getpid())
    )
    try:
        futures: list[Future[list[StructureComparison]]] = [
            pool.submit(_compared_here, works[first : first + _NEIGHBOURS])
            for first in range(0, len(works), _NEIGHBOURS)
        ]
        done = 0
        for future in as_completed(futures):
            done += len(future.result())
            on_done(done)
        return [one for future in futures for one in future.result()]
    except BrokenProcessPool as error:
        raise RunFailed(
            "E_REPORT_PROCESS",
            f"comparison of {printable(context.older.survey_id)} and {printable(context.newer.survey_id)}",
            "a process that compares structures must live until they are compared, got one that was ended, often for "
            "want of memory",
            "free memory or set SPANSCAN_WORKERS=1, and compare again",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _sources(context: _Context) -> Iterator[tuple[SurveySources, SurveySources]]:
    """Both surveys, open for structure after structure."""
    with (
        # Pictures are small: threads of BLAS would wait for each other longer than they work.
        threadpool_limits(limits=1, user_api="blas"),
        RunImagery(context.older, context.older_rasters) as older,
        RunImagery(context.newer, context.newer_rasters) as newer,
    ):
        yield SurveySources(older, RunDefects(context.older)), SurveySources(newer, RunDefects(context.newer))


_OPEN = ExitStack()
_OWN: list[tuple[SurveySources, SurveySources, RegistrationLimits]] = []
"""What this process holds open, where it is one that compares structures."""


def _begin(context: _Context, parent_pid: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    if sys.platform == "linux":
        die_with_parent(parent_pid)()
    keep_freed_memory()  # else a fifth of the time goes into pages for pictures of the same size, again and again
    atexit.register(_OPEN.close)
    _OWN.append((*_OPEN.enter_context(_sources(context)), context.limits))


def _compared_here(works: Sequence[PlannedStructure]) -> list[StructureComparison]:
    return [compared(work, *_OWN[0]) for work in works]
