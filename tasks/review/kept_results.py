"""What a run keeps of its measurement, so that its report can be issued anew without measuring: ``results.jsonl.gz``.

`report.json` rounds, and leaves out what may not be stated; grades that are computed again must not differ from the
first ones by that. The first line tells of the run, each further one of a structure.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from segmentation.errors import InputRejected
from segmentation.records import RasterInput, RunIdentity, StructureResult
from tasks.output_files import OutputFiles
from tasks.plan import MeasureSettings, measure_content
from tasks.report_settings import ReportSettings
from tasks.review.plain_records import from_plain, to_plain
from tasks.storage import Storage
from tasks.storage_local import scratch_folder

KEPT_RESULTS: Final = "results.jsonl.gz"
_SCHEMA: Final = "spanscan/results/1"
_GZIP_LEVEL: Final = 4
"""Half the size of level 1; what is above costs more time than it saves bytes."""


@dataclass(frozen=True, slots=True)
class KeptRun:
    """What the reports of a run need besides the results of its structures."""

    run: RunIdentity
    rasters: tuple[RasterInput, ...]
    seam_proof: str
    """The seam proof in a sentence."""
    measure: MeasureSettings
    report: ReportSettings
    standards: tuple[str, ...]
    """The grading tables by what is in them: ids of shipped ones, checksums of one's own."""


@dataclass(frozen=True, slots=True)
class KeptResults:
    """A run's results as they were when it was published."""

    of: KeptRun
    structures: tuple[StructureResult, ...]
    """In the order of the survey."""


def write_kept_results(files: OutputFiles, kept: KeptRun, results: Sequence[StructureResult]) -> None:
    """Write the file into the run, one structure at a time; the same results give the same bytes."""
    with scratch_folder("spanscan-results-") as folder:
        path = folder / KEPT_RESULTS
        with path.open("wb") as raw, gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed:
            packed.write(_line({"schema": _SCHEMA, **to_plain(kept)}))
            for result in results:
                packed.write(_line(to_plain(result)))
        files.write_file(KEPT_RESULTS, path, "application/gzip")


def read_kept_results(storage: Storage) -> KeptResults:
    """The results that a run keeps; raises InputRejected E_NO_RESULTS for a run of an older spanscan, or damage."""
    if not storage.exists(KEPT_RESULTS):
        cause = f"a run must hold {KEPT_RESULTS}, which older versions did not write, got none"
        raise InputRejected("E_NO_RESULTS", storage.uri(""), cause, _measure_again(storage))
    try:
        lines = _lines(storage.read(KEPT_RESULTS))
        kept = from_plain(KeptRun, next(lines))
        return KeptResults(kept, tuple(from_plain(StructureResult, line) for line in lines))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, StopIteration) as error:
        cause = f"the results that a run keeps must be readable, got {type(error).__name__}: {error}"
        raise InputRejected("E_NO_RESULTS", storage.uri(KEPT_RESULTS), cause, "copy the run again") from error


def _measure_again(storage: Storage) -> str:
    """How a run without its results can be reviewed all the same: its masks measured anew, without the model."""
    again = "inspect the survey again with --results OTHER, and review that run"
    if not storage.exists("mask.tif"):
        return again
    return (
        f"measure its mask again, which needs no model: `spanscan measure {storage.uri('mask.tif')} --image RASTER "
        f"--structures structures.geojson --results OTHER`, and review that run; or {again}"
    )


def standards_content(measure: MeasureSettings) -> tuple[str, ...]:
    """What names the grading tables: see `KeptRun.standards`."""
    return tuple(measure_content(measure)["standards"])


def _line(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _lines(data: bytes) -> Iterator[Any]:
    with gzip.GzipFile(fileobj=BytesIO(data)) as packed:
        for line in packed:
            yield json.loads(line)
