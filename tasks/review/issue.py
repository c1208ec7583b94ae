"""The report issued anew with what a person decided: an immutable revision beside the run, which stays as it is."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from segmentation.errors import RunFailed, UsageError
from segmentation.mask_pooling import level_factors
from segmentation.measurement.grading import load_standards
from segmentation.records import RasterInput, StructureResult
from tasks.crash_points import reached
from tasks.layers.write import write_layers
from tasks.mask_cog import write_cogs
from tasks.output_files import OutputFiles, dumped_json
from tasks.publish import MANIFEST, POINTER
from tasks.report.index import FileLink, render_index_html
from tasks.report.review import StructureReview
from tasks.report_structures import ReportContext, write_structures
from tasks.review.catalogue import write_reviewed_item
from tasks.review.decisions import Decision, DecisionLog
from tasks.review.kept_results import KeptResults, KeptRun, standards_content
from tasks.review.pictures import ReviewPictures, with_masks_for_gone
from tasks.review.place import ReviewPlace
from tasks.review.reviewed import Grading, reviewed_result, structure_review
from tasks.review.reviewed_masks import reviewed_masks
from tasks.run_place import RunPlace
from tasks.storage import Storage, open_storage
from tasks.stored_pictures import StoredPictures

_TRIES: Final = 50
_MOST_MASK_LINKS: Final = 20


@dataclass(frozen=True, slots=True)
class Revision:
    """A report that was issued anew."""

    number: int
    uri: str
    """Address of its folder."""
    issued_at: str
    decisions: int
    """Defects that were decided on."""
    defects: int
    """Defects of the machine."""
    reviewers: tuple[str, ...]


def run_place_of(place: ReviewPlace, staging_dir: Path) -> RunPlace:
    """The run as the pictures of its reports read it."""
    return RunPlace(
        results=place.run,
        storage=place.run,
        run_uri=place.run.uri(""),
        masks=place.masks,
        staging_dir=staging_dir,
        endpoint_url=place.endpoint_url,
        region=place.region,
    )


def issue_revision(
    place: ReviewPlace,
    kept: KeptResults,
    log: DecisionLog,
    *,
    staging_dir: Path,
    workers: int,
    on_structure: Callable[[int, int], None],
) -> Revision:
    """Write the reports with both figures as the next revision and point the review's ``latest.json`` at it.

    Raises UsageError E_STANDARD where a grading table of one's own is no longer what it was, RunFailed E_REVISION
    where others keep issuing at the same time, SpanscanError that names the structure whose report fails.
    """
    _same_standards(kept.of)
    log.refresh()
    latest, issued_at = log.latest(), datetime.now(UTC).isoformat(timespec="seconds")
    number = _claimed(place.review, issued_at)
    storage, of_run = place.review.child(f"revisions/{number}"), run_place_of(place, staging_dir)
    rasters, gone = with_masks_for_gone(kept.of.rasters, of_run)
    results = _reviewed(kept, latest, of_run)
    defects = [defect for one in kept.structures for defect in one.defects]
    shown = replace(of_run, masks=reviewed_masks(place.masks, rasters, defects, latest))
    reviews = {
        one.structure.id: structure_review(one, latest, revision=number, issued_at=issued_at) for one in kept.structures
    }
    run = replace(kept.of.run, warnings=(*_warnings(gone, kept.of), *kept.of.run.warnings))
    context = ReportContext(run, rasters, replace(shown, storage=storage), kept.of.seam_proof, kept.of.report, reviews)
    files = OutputFiles(storage)
    for written in write_structures(results, context, workers=workers, on_structure=on_structure):
        files.sha256.update(written.sha256)
    files.write_json("review.json", _record(place, log.all(), number, issued_at, reviews))
    revision = _revision(number, storage, issued_at, reviews)
    links = _write_layers(files, place, context, results, revision)
    if kept.of.report.wants("index"):
        _write_index(files, place, context, results, revision, (*links, _ALL_DECISIONS), StoredPictures(rasters, shown))
    _publish(place, storage, files, revision)
    return revision


def _reviewed(kept: KeptResults, latest: Mapping[str, Decision], of_run: RunPlace) -> tuple[StructureResult, ...]:
    pictures = ReviewPictures(kept.of.rasters, of_run, [d for one in kept.structures for d in one.defects])
    grading = Grading(load_standards(kept.of.measure.standards), kept.of.measure.min_rust_area_px)
    return tuple(reviewed_result(r, latest, grading=grading, as_rust=pictures.as_rust) for r in kept.structures)


def _write_layers(
    files: OutputFiles,
    place: ReviewPlace,
    context: ReportContext,
    results: Sequence[StructureResult],
    revision: Revision,
) -> list[FileLink]:
    """Write the masks, layers and catalogue entry that the run has, as reviewed; links to them."""
    rasters, formats, storage = context.rasters, context.settings.formats, context.place.storage
    masks: dict[str, str] = {}
    if "cog" in formats and all(context.place.masks.levels(one.slug) == _levels_of(one) for one in rasters):
        masks = dict(zip(write_cogs(rasters, context.place, files), (one.name for one in rasters), strict=True))
    layers = write_layers(
        files, storage, results, run=context.run, rasters=rasters, formats=formats, card=None, later=_LATER
    )
    write_reviewed_item(
        files, storage, place, number=revision.number, issued_at=revision.issued_at, words=revision_words(revision)
    )
    links = [FileLink(layer.label, layer.path, f"{layer.description}, as reviewed") for layer in layers]
    if len(masks) <= _MOST_MASK_LINKS:
        links += [
            FileLink("Mask, GeoTIFF", key, f"class of every pixel of {name}, as reviewed, for GIS")
            for key, name in masks.items()
        ]
    return links


def _levels_of(raster: RasterInput) -> tuple[int, ...]:
    return level_factors(raster.georeference.height, raster.georeference.width)


_LATER: Final = ("index.html", MANIFEST)
"""Files that are written after the catalogue entry."""
_ALL_DECISIONS: Final = FileLink("Decisions", "review.json", "every decision, the earlier ones too: who, when, what")


def _write_index(
    files: OutputFiles,
    place: ReviewPlace,
    context: ReportContext,
    results: Sequence[StructureResult],
    revision: Revision,
    links: Sequence[FileLink],
    pictures: StoredPictures,
) -> None:
    settings = context.settings
    html = render_index_html(
        results,
        run=context.run,
        georeferences={raster.name: raster.georeference for raster in context.rasters},
        files=links,
        pictures=pictures,
        formats=tuple(name for name in ("html", "pdf", "json") if settings.wants(name)),
        pictured_count=settings.worst_count,
        review=revision_words(revision),
        machine_index=f"{place.run_from_revision}/index.html",
    )
    files.write("index.html", html.encode(), "text/html; charset=utf-8")


def revision_words(revision: Revision) -> str:
    """What stands on top of the survey's overview."""
    people = ", ".join(revision.reviewers) or "nobody yet"
    rest = revision.defects - revision.decisions
    left = f" The {rest} that were not looked at stand as the machine found them." if rest else ""
    return (
        f"Revision {revision.number}, issued on {revision.issued_at[:10]}: reviewed by {people}, "
        f"{revision.decisions} of {revision.defects} defects decided on.{left} Each report holds the machine's figures "
        "beside the reviewed ones."
    )


def _claimed(review: Storage, issued_at: str) -> int:
    """The number of a revision that is this caller's alone, by whoever puts its first object in place."""
    taken = [int(name) for info in review.list("revisions/", recursive=True)
             if (name := info.key.split("/")[1]).isdecimal()]  # fmt: skip
    first = max(taken, default=0) + 1
    for number in range(first, first + _TRIES):
        claim = dumped_json({"issued_at": issued_at, "spanscan_version": version("spanscan")})
        if review.swap(f"revisions/{number}/claim.json", claim, expected=None).swapped:
            reached("after_revision_claim")
            return number
    cause = f"a revision must get a number of its own, got {_TRIES} taken by others in a row"
    raise RunFailed("E_REVISION", review.uri(""), cause, "wait for the others and issue again")


def _publish(place: ReviewPlace, storage: Storage, files: OutputFiles, revision: Revision) -> None:
    manifest = {
        "schema": "spanscan/revision/1",
        "run_key": place.run_key,
        "survey_id": place.survey_id,
        "spanscan_version": version("spanscan"),
        **asdict(revision),
        "outputs_sha256": dict(sorted(files.sha256.items())),
    }
    reached("before_revision_manifest")
    storage.write(MANIFEST, dumped_json(manifest), content_type="application/json")
    reached("before_revision_pointer")
    pointer = {"revision": revision.number, "path": f"revisions/{revision.number}", "published_at": revision.issued_at}
    for _ in range(_TRIES):
        before = place.review.head(POINTER).etag if place.review.exists(POINTER) else None
        if before is not None and json.loads(place.review.read(POINTER))["revision"] > revision.number:
            return  # a newer one was issued meanwhile, and stands
        if place.review.swap(POINTER, dumped_json(pointer), expected=before).swapped:
            reached("after_revision_pointer")
            return
    cause = f"the pointer must stay in place while it is swapped, got {_TRIES} changes by others in a row"
    raise RunFailed("E_REVISION", place.review.uri(POINTER), cause, "wait for the others and issue again")


def published_revision(review: Storage, *, endpoint_url: str | None, region: str | None) -> Storage | None:
    """The folder of the revision that is published; None before the first."""
    if not review.exists(POINTER):
        return None
    path = json.loads(review.read(POINTER))["path"]
    return open_storage(review.uri(path), endpoint_url=endpoint_url, region=region)


def _revision(number: int, storage: Storage, issued_at: str, reviews: Mapping[str, StructureReview]) -> Revision:
    people: dict[str, int] = {}
    for review in reviews.values():
        for name, count in review.reviewers.items():
            people[name] = people.get(name, 0) + count
    return Revision(
        number=number,
        uri=storage.uri(""),
        issued_at=issued_at,
        decisions=sum(len(review.decided) for review in reviews.values()),
        defects=sum(len(review.machine.defects) for review in reviews.values()),
        reviewers=tuple(sorted(people, key=lambda name: (-people[name], name))),
    )


def _record(
    place: ReviewPlace, decisions: Sequence[Decision], number: int, issued_at: str, reviews: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "schema": "spanscan/review/1",
        "run_key": place.run_key,
        "survey_id": place.survey_id,
        "revision": number,
        "issued_at": issued_at,
        "counts": {structure_id: review.counts() for structure_id, review in reviews.items()},
        "decisions": [asdict(decision) for decision in decisions],
    }


def _same_standards(kept: KeptRun) -> None:
    now = standards_content(kept.measure)
    changed = [name for name, old, new in zip(kept.measure.standards, kept.standards, now, strict=True) if old != new]
    if changed:
        cause = "a grading table must be the one that the run was graded by, got another content"
        raise UsageError("E_STANDARD", changed[0], cause, "restore the file, or inspect the survey again")


def _warnings(gone: Mapping[str, str], kept: KeptRun) -> list[str]:
    told = [f"{name} is no longer there: the pictures of this revision show its mask alone" for name in gone]
    own = version("spanscan")
    if kept.run.spanscan_version != own:
        told.append(
            f"the machine's figures are those of spanscan {kept.run.spanscan_version}, the reviewed ones were computed "
            f"by {own}: a change of grade may come from the tables of the newer version"
        )
    return told
