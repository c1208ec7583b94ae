"""The reports of many structures at once: each from its own result, in this process or shared out to several.

Processes and not threads: drawing, templates and layout hold the interpreter lock. What each process must know of the
run is sent to it once; a result is sent when its turn comes; only checksums come back.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context

from segmentation.errors import RunFailed, SpanscanError
from segmentation.records import RasterInput, RunIdentity, StructureResult
from tasks.child_process import die_with_parent
from tasks.output_files import OutputFiles
from tasks.report.document import structure_report
from tasks.report.record import report_json
from tasks.report.review import StructureReview
from tasks.report.structure_html import structure_html
from tasks.report.structure_pdf import structure_pdf
from tasks.report_settings import ReportSettings
from tasks.run_place import RunPlace
from tasks.storage import printable
from tasks.stored_pictures import StoredPictures

MAX_HTML_BYTES = 5_000_000
"""One report must open at once on any machine, also from a mail."""
STRUCTURES_PER_PROCESS = 6
"""Fewer are written sooner than a process has started."""


@dataclass(frozen=True, slots=True)
class ReportContext:
    """What the report of every structure of a run needs to know."""

    run: RunIdentity
    rasters: tuple[RasterInput, ...]
    place: RunPlace
    seam_proof: str
    """The seam proof in a sentence."""
    settings: ReportSettings
    reviews: Mapping[str, StructureReview] = field(default_factory=dict)
    """What a person decided, by the structure's id, where the report is issued anew; the results are reviewed ones."""


@dataclass(frozen=True, slots=True)
class StructureFiles:
    """What was written for one structure."""

    structure_id: str
    report_uri: str
    """Address of the report for people: of report.html, else of report.pdf, else of report.json."""
    sha256: dict[str, str]
    """Checksum of each file, by its key in the run."""


def write_structures(
    results: Sequence[StructureResult],
    context: ReportContext,
    *,
    workers: int,
    on_structure: Callable[[int, int], None],
) -> tuple[StructureFiles, ...]:
    """Write the files of each structure; outcomes in the order of the results, the same bytes for any `workers`.

    `on_structure(done, all)` is called as they are done. Raises SpanscanError naming the first structure whose report
    fails (RunFailed E_REPORT where the cause has no code of its own), RunFailed E_REPORT_PROCESS where a process dies.
    """
    processes = min(workers, len(results) // STRUCTURES_PER_PROCESS)
    if processes > 1:
        return _in_processes(results, context, processes=processes, on_structure=on_structure)
    pictures = StoredPictures(context.rasters, context.place)
    written = []
    for result in results:
        written.append(write_structure(result, context, pictures))
        on_structure(len(written), len(results))
    return tuple(written)


def write_structure(result: StructureResult, context: ReportContext, pictures: StoredPictures) -> StructureFiles:
    """Write the files of one structure; raises SpanscanError that names it."""
    name = printable(result.structure.name or result.structure.id)
    try:
        return _write(result, context, pictures)
    except SpanscanError as error:
        raise type(error)(error.code, f"report of {name}: {error.subject}", error.cause, error.remedy) from error
    except Exception as error:
        raise RunFailed(
            "E_REPORT",
            f"report of {name}",
            f"it must be written, got {type(error).__name__}: {error}",
            "run again, the finished masks are kept; if it persists, leave the format out of SPANSCAN_REPORT_FORMATS",
        ) from error


def _write(result: StructureResult, context: ReportContext, pictures: StoredPictures) -> StructureFiles:
    files = OutputFiles(context.place.storage)
    folder = f"structures/{result.structure.slug}"
    georeferences = {raster.name: raster.georeference for raster in context.rasters}
    review = context.reviews.get(result.structure.id)
    data = report_json(result, run=context.run, georeferences=georeferences, review=review)
    uri = files.write_json(f"{folder}/report.json", data)
    settings = context.settings
    if settings.wants("html") or settings.wants("pdf"):
        document = structure_report(
            result,
            run=context.run,
            georeferences=georeferences,
            pictures=pictures,
            seam_proof=context.seam_proof,
            worst_count=settings.worst_count,
            max_html_bytes=MAX_HTML_BYTES,
            review=review,
        )
        if settings.wants("pdf"):
            uri = files.write(f"{folder}/report.pdf", structure_pdf(document), "application/pdf")
        if settings.wants("html"):
            uri = files.write(f"{folder}/report.html", structure_html(document).encode(), "text/html; charset=utf-8")
    return StructureFiles(result.structure.id, uri, files.sha256)


def _in_processes(
    results: Sequence[StructureResult],
    context: ReportContext,
    *,
    processes: int,
    on_structure: Callable[[int, int], None],
) -> tuple[StructureFiles, ...]:
    # Spawned: a fork would carry the weights and the locks of other threads along.
    pool = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(context, os.getpid())
    )
    try:
        futures: list[Future[StructureFiles]] = [pool.submit(_write_here, result) for result in results]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            on_structure(done, len(results))
        return tuple(future.result() for future in futures)
    except BrokenProcessPool as error:
        raise RunFailed(
            "E_REPORT_PROCESS",
            context.run.survey_id,
            "a process that writes reports must live until they are written, got one that was ended, often for want "
            "of memory",
            "free memory or set SPANSCAN_WORKERS=1, and run again; the finished masks are kept",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_OWN: list[tuple[ReportContext, StoredPictures]] = []
"""What this process was given to know, where it is one that writes reports."""


def _begin(context: ReportContext, parent_pid: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    if sys.platform == "linux":
        die_with_parent(parent_pid)()
    _OWN.append((context, StoredPictures(context.rasters, context.place)))


def _write_here(result: StructureResult) -> StructureFiles:
    return write_structure(result, *_OWN[0])
