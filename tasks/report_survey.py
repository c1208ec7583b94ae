"""Report stage: the structures' reports, the layers, and at last the survey's overview, which links what is there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from segmentation.records import RunIdentity
from tasks.layers.write import write_layers
from tasks.mask_cog import cog_name
from tasks.measure import Measured
from tasks.output_files import OutputFiles
from tasks.plan import RunPlan
from tasks.report.index import FileLink, render_index_html
from tasks.report_structures import ReportContext, write_structures
from tasks.review.kept_results import KeptRun, standards_content, write_kept_results
from tasks.run_place import RunPlace
from tasks.seam_proof import SeamProof
from tasks.stored_pictures import StoredPictures


@dataclass(frozen=True, slots=True)
class Reported:
    """What the report stage wrote."""

    report_uris: Mapping[str, str]
    """Address of each structure's report, by its id: report.html where it is written, else report.pdf or .json."""
    sha256: Mapping[str, str]
    """Checksum of each file written, by its key in the run."""


def write_reports(
    plan: RunPlan,
    place: RunPlace,
    measured: Measured,
    seam_proof: SeamProof | None,
    *,
    mask_files: Mapping[str, str],
    workers: int,
    on_structure: Callable[[int, int], None],
) -> Reported:
    """Write the files that `plan.report` asks for; the overview comes last, so that it links what is there.

    `mask_files` holds the checksums of the mask's own files, by key, that were written before; `on_structure(done,
    all)` is called as structures are done. Raises SpanscanError that names the structure whose report fails.
    """
    run = run_identity(plan, measured)
    rasters = plan.survey.rasters
    context = ReportContext(run, rasters, place, seam_sentence(seam_proof), plan.report)
    structures = write_structures(measured.results, context, workers=workers, on_structure=on_structure)
    files = OutputFiles(place.storage)
    files.sha256.update(mask_files)
    for written in structures:
        files.sha256.update(written.sha256)
    kept = KeptRun(run, rasters, context.seam_proof, plan.measure, plan.report, standards_content(plan.measure))
    write_kept_results(files, kept, measured.results)
    links = write_run_layers(files, plan, place, measured, run)
    if plan.report.wants("index"):
        links = (*links, *_mask_links(plan, files), _MANIFEST)
        write_index(files, plan, place, measured, run, links=links)
    return Reported(
        report_uris={written.structure_id: written.report_uri for written in structures},
        sha256=dict(sorted(files.sha256.items())),
    )


def run_identity(plan: RunPlan, measured: Measured) -> RunIdentity:
    """The run as its reports state it."""
    return RunIdentity(
        run_key=plan.run_key,
        survey_id=plan.survey.id,
        model=plan.model,
        settings=plan.settings_that_matter(),
        spanscan_version=version("spanscan"),
        captured_at=plan.survey.captured_at,
        operator=plan.survey.operator,
        warnings=(*plan.model_limits, *measured.warnings),
        given_mask=plan.given_mask,
    )


def seam_sentence(proof: SeamProof | None) -> str:
    """The seam proof in words, with the method by which the tiles were joined."""
    if proof is None:
        return "Seam proof: none, because the mask was given and nothing was inferred."
    if proof.windows == 0:
        return f"Seam proof ({proof.method}): none, because no pixel beside a border or an edge was inspected."
    share = proof.differing_pixels / proof.pixels if proof.pixels else 0.0
    return (
        f"Seam proof ({proof.method}): {proof.windows} windows ({proof.block_borders} across block borders, "
        f"{proof.tile_borders} across tile borders, {proof.raster_edges} at the raster's edges) were inferred again in "
        f"one piece; {proof.differing_pixels:,} of {proof.pixels:,} pixels differ in class ({share:.4%}), "
        f"{proof.beyond_rounding_pixels:,} of them beyond rounding; the largest difference of a probability is "
        f"{proof.largest_probability_difference:.3f}. {_SEAMS_EXPECTED[proof.method]}"
    )


_SEAMS_EXPECTED: Final = {
    "exact": "A run with a difference beyond rounding is not published.",
    "overlap-tile": "The tiles do not start on the model's pooling grid, so a difference is expected.",
    "blended": "The model looks farther than any tile reaches and its tiles are blended, so a difference is expected.",
}

LATER: Final = ("index.html", "manifest.json")
"""Files that are written after the layers, in whose catalogue they stand without a checksum."""
_MOST_MASK_LINKS: Final = 20
_MANIFEST: Final = FileLink("Manifest", "manifest.json", "inputs, model, settings, timings and checksums of this run")


def write_run_layers(
    files: OutputFiles, plan: RunPlan, place: RunPlace, measured: Measured, run: RunIdentity
) -> tuple[FileLink, ...]:
    """Write the layers and tables that `plan.report` asks for; links to them."""
    written = write_layers(
        files,
        place.storage,
        measured.results,
        run=run,
        rasters=plan.survey.rasters,
        formats=plan.report.formats,
        card=plan.card,
        later=LATER if plan.report.wants("index") else LATER[1:],
    )
    return tuple(FileLink(layer.label, layer.path, layer.description) for layer in written)


def write_index(
    files: OutputFiles,
    plan: RunPlan,
    place: RunPlace,
    measured: Measured,
    run: RunIdentity,
    *,
    links: Sequence[FileLink],
) -> None:
    """Write the survey's overview with `links` to the files of the whole survey, all of which are there by then."""
    rasters = plan.survey.rasters
    html = render_index_html(
        measured.results,
        run=run,
        georeferences={raster.name: raster.georeference for raster in rasters},
        files=links,
        pictures=StoredPictures(rasters, place),
        formats=tuple(name for name in ("html", "pdf", "json") if plan.report.wants(name)),
        pictured_count=plan.report.worst_count,
    )
    files.write("index.html", html.encode(), "text/html; charset=utf-8")


def _mask_links(plan: RunPlan, files: OutputFiles) -> list[FileLink]:
    """Links to the masks' GeoTIFFs, where there are few."""
    rasters = plan.survey.rasters
    keys = {cog_name(raster, rasters): raster.name for raster in rasters}
    written = {key: name for key, name in keys.items() if key in files.sha256}
    if len(written) > _MOST_MASK_LINKS:
        return []
    return [FileLink("Mask, GeoTIFF", key, f"class of every pixel of {name}, for GIS") for key, name in written.items()]
