"""The report stage: what is asked for and nothing else, the same bytes by however many processes, failures by name."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from segmentation.errors import RunFailed, SpanscanError
from segmentation.records import StructureResult
from tasks.cluster import dask_client
from tasks.mask_cog import write_cogs
from tasks.mask_pyramid import write_pyramid
from tasks.output_files import OutputFiles
from tasks.report_settings import FORMATS, ReportSettings, ordered_formats
from tasks.report_structures import STRUCTURES_PER_PROCESS, ReportContext, write_structures
from tasks.report_survey import run_identity, write_reports
from tasks.review.kept_results import KEPT_RESULTS
from tests.tasks.given_masks import Run, measured, place_of, write_mask
from tests.tasks.runs import files_of

MANY = 2 * STRUCTURES_PER_PROCESS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One structure with a crack and a patch of rust, measured."""
    folder = tmp_path_factory.mktemp("reported")
    drawn = np.zeros((200, 300), np.uint8)
    drawn[50:56, 30:200] = 1
    drawn[120:160, 60:110] = 2
    with dask_client(scheduler=None, workers=1) as client:
        return measured(folder, client, write_mask(folder / "labels.tif", drawn))


def context_of(run: Run, folder: Path, formats: tuple[str, ...]) -> ReportContext:
    settings = ReportSettings(ordered_formats(formats), worst_count=3)
    # The masks lie where they were measured.
    place = dataclasses.replace(place_of(run.plan, folder), masks=run.place.masks)
    return ReportContext(run_identity(run.plan, run.measured), run.plan.survey.rasters, place, "", settings)


def many(run: Run) -> list[StructureResult]:
    """The result again and again under other names."""
    (result,) = run.measured.results
    return [
        dataclasses.replace(result, structure=dataclasses.replace(result.structure, name=f"Bay {n}", slug=f"bay-{n}"))
        for n in range(MANY)
    ]


@pytest.mark.slow
def test_any_number_of_processes_writes_the_same_bytes(run: Run, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    written = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        context = context_of(run, folder, ("html", "pdf"))
        outcome = write_structures(
            many(run), context, workers=workers, on_structure=lambda done, of: told.append((done, of))
        )
        written.append((files_of(folder), [one.sha256 for one in outcome]))
    assert written[0] == written[1]
    files, checksums = written[0]
    assert len(files) == 3 * MANY
    assert told == [(n, MANY) for n in range(1, MANY + 1)] * 2
    listed = {key: digest for one in checksums for key, digest in one.items()}
    below = f"results/{run.plan.survey.id}/runs/{run.plan.run_key}/"
    assert listed == {key.removeprefix(below): hashlib.sha256(data).hexdigest() for key, data in files.items()}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_report_that_fails_ends_the_run_with_the_name_of_its_structure(
    run: Run, tmp_path: Path, workers: int
) -> None:
    results = many(run)
    broken = dataclasses.replace(results[5].defects[0], raster_name="a raster that is not there")
    results[5] = dataclasses.replace(results[5], defects=(broken,))
    context = context_of(run, tmp_path, ("html",))
    with pytest.raises(SpanscanError, match="report of Bay 5: E_REPORT") as error:
        write_structures(results, context, workers=workers, on_structure=lambda done, of: None)
    assert error.value.exit_code == RunFailed.exit_code


@dataclasses.dataclass(frozen=True)
class Asked:
    id: str
    formats: tuple[str, ...]
    files: set[str]


ASKED = [
    Asked("nothing-but-what-is-always-there", (), {"report.json"}),
    Asked("tables-for-people", ("csv", "index"), {"report.json", "defects.csv", "index.html"}),
    Asked(
        "everything",
        tuple(FORMATS),
        {"report.json", "report.html", "report.pdf", "index.html", "defects.geojson", "defects.csv", "defects.gpkg"}
        | {"defects.parquet", "item.json", "mask.tif", "mask.tif.aux.xml"},
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.id)
def test_what_is_asked_for_is_written_with_its_checksum_and_nothing_else(
    run: Run, tmp_path: Path, asked: Asked
) -> None:
    plan = dataclasses.replace(run.plan, report=ReportSettings(ordered_formats(asked.formats), worst_count=3))
    place = dataclasses.replace(place_of(run.plan, tmp_path), masks=run.place.masks)
    mask_files = OutputFiles(place.storage)
    if plan.report.wants("cog"):
        with dask_client(scheduler=None, workers=1) as client:
            write_pyramid(plan.survey.rasters, place, client)
        write_cogs(plan.survey.rasters, place, mask_files)
    reported = write_reports(
        plan, place, run.measured, None, mask_files=mask_files.sha256, workers=2, on_structure=lambda done, of: None
    )
    below = f"results/{run.plan.survey.id}/runs/{run.plan.run_key}/"
    files = {key.removeprefix(below): data for key, data in files_of(tmp_path).items() if key.startswith(below)}
    assert {Path(key).name for key in files} == {*asked.files, KEPT_RESULTS}
    assert reported.sha256 == {key: hashlib.sha256(data).hexdigest() for key, data in files.items()}
    best = next(name for name in ("report.html", "report.pdf", "report.json") if name in asked.files)
    assert [Path(uri).name for uri in reported.report_uris.values()] == [best]
