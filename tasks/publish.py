"""Publish stage: the manifest, then one conditional swap of the survey's pointer."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from segmentation.errors import SpanscanError
from segmentation.records import GivenMask, StructureResult, Survey, SurveyContent
from tasks.crash_points import reached
from tasks.layers.stac_collection import update_collection
from tasks.measure import Measured
from tasks.output_files import dumped_json
from tasks.plan import RunPlan
from tasks.publish_pointer import MANIFEST, POINTER, pointed_at, swap_pointer
from tasks.report_survey import Reported
from tasks.run_place import RunPlace
from tasks.seam_proof import SeamProof
from tasks.survey_content import present_content

log = logging.getLogger("spanscan.publish")

__all__ = ["MANIFEST", "POINTER", "Published", "RunFigures", "StructureLine", "publish_run", "published_run"]

_STATED_PACKAGES = (
    "spanscan",
    "torch",
    "prefect",
    "dask",
    "zarr",
    "rasterio",
    "numpy",
    "scikit-image",
    "shapely",
    "pyproj",
)

_UNLISTED = {
    "masks.zarr": "each of its chunks carries a CRC-32C, which its readers check",
    "blocks": "records of finished blocks, by which a stopped run goes on; no result",
}
"""Why what lies below a prefix of a run has no checksum in the manifest."""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """How long a run took and how much it held."""

    seconds: Mapping[str, float]
    """Wall seconds by stage."""
    segmented_pixels: int
    """Pixels of all rasters."""
    blocks: int
    """Blocks of the plan."""
    resumed_blocks: int
    """Blocks found finished."""
    projected_peak_bytes: int
    """Projected peak of the process."""
    measured_peak_bytes: Mapping[str, int]
    """Largest resident size of the process from its start to the end of each stage."""


@dataclass(frozen=True, slots=True)
class StructureLine:
    """One structure in the outcome of a run."""

    id: str
    name: str
    report: str
    """Address of its report.html."""
    coverage_percent: float
    crack_length_m: float | None
    """None where nothing was inspected, or it was not looked for."""
    max_crack_width_mm: float | None
    """None where no crack is wide enough to be measured, or none was looked for."""
    rust_area_m2: float | None
    """None where nothing was inspected, or it was not looked for."""
    rust_percent: float | None
    """None where nothing was inspected, or it was not looked for."""
    not_inspected_reason: str | None


@dataclass(frozen=True, slots=True)
class Published:
    """What a run published."""

    run_key: str
    results: str
    """Address of the run's folder."""
    structures: tuple[StructureLine, ...]
    warnings: tuple[str, ...]
    seconds_by_stage: dict[str, float]
    already_published: bool = False
    """Whether another run of the same content stands, and this one had nothing to publish."""
    superseded_by: str | None = None
    """The run of a newer upload that stays published; this one's results are kept beside it."""

    def summary_lines(self) -> list[str]:
        """A line per structure and per warning."""
        lines = [_structure_text(s) for s in self.structures]
        lines += [f"warning: {w}" for w in self.warnings]
        if self.superseded_by is not None:
            lines.append(
                f"a newer upload of this survey is published (run {self.superseded_by}) and stays so; "
                f"the results of this older one are kept in {self.results}"
            )
        elif self.already_published:
            lines.append("the same content was worked before with the same settings; its reports stand")
        return lines


_PUBLISHED = TypeAdapter(Published)


def publish_run(
    plan: RunPlan,
    place: RunPlace,
    measured: Measured,
    reported: Reported,
    seam_proof: SeamProof | None,
    figures: RunFigures,
) -> Published:
    """Write the manifest and point ``latest.json`` at this run; what was published before stays whole until then.

    A run of an older upload leaves the pointer where it is, and so does one whose twin was faster; both say so. Raises
    RunFailed E_POINTER where other runs of the same survey keep overtaking this one.
    """
    outcome = Published(
        run_key=plan.run_key,
        results=place.run_uri,
        structures=tuple(_line(r, reported.report_uris[r.structure.id], plan.given_mask) for r in measured.results),
        warnings=measured.warnings,
        seconds_by_stage=dict(figures.seconds),
    )
    manifest = _manifest(plan, measured, reported, seam_proof, figures, outcome)
    reached("before_manifest")
    # The first of two runs of the same content leaves the manifest: what is published does not change any more.
    place.storage.swap(MANIFEST, dumped_json(manifest), expected=None)
    outcome = _pointed(place, outcome, plan.survey)
    _catalogue(place, manifest)
    return outcome


def published_run(place: RunPlace, survey: Survey | None = None) -> Published | None:
    """The outcome of this very run where it was finished before; the pointer then points at it (again).

    Unless it names the run of an upload newer than `survey`, see `swap_pointer`.
    """
    if not place.storage.exists(MANIFEST):
        return None
    manifest = json.loads(place.storage.read(MANIFEST))
    outcome = _PUBLISHED.validate_python(manifest["outcome"])
    outcome = replace(_pointed(place, outcome, survey), already_published=True)
    _catalogue(place, manifest)
    return outcome


def _pointed(place: RunPlace, outcome: Published, survey: Survey | None) -> Published:
    """The outcome with what became of the pointer."""

    def present() -> SurveyContent | None:
        if survey is None:
            return None
        return present_content(survey.uri, endpoint_url=place.endpoint_url, region=place.region)

    content = survey.content if survey is not None else None
    reached("before_pointer_swap")
    pointer = swap_pointer(place.results, outcome.run_key, content=content, present=present)
    reached("after_pointer_swap")
    if pointer.run_key != outcome.run_key:
        log.warning("a newer upload of this survey is published: run %s", pointer.run_key)
        return replace(outcome, superseded_by=pointer.run_key)
    return outcome if pointer.moved else replace(outcome, already_published=True)


def _catalogue(place: RunPlace, manifest: dict[str, Any]) -> None:
    """Tell the collection of all surveys which run of this one is published: that of the pointer, whoever set it.

    The run is published whatever becomes of the collection.
    """
    if place.root is None:
        return
    try:
        update_collection(
            place.root,
            survey_id=manifest["survey"]["id"],
            published_run=lambda: str(pointed_at(place.results)["run"]),
        )
    except SpanscanError as error:
        log.warning("the run is published, but the collection of all surveys was not changed: %s", error)


def _manifest(
    plan: RunPlan,
    measured: Measured,
    reported: Reported,
    seam_proof: SeamProof | None,
    figures: RunFigures,
    outcome: Published,
) -> dict[str, Any]:
    segment_s = figures.seconds.get("segment", 0.0)
    return {
        "schema": "spanscan/manifest/1",
        "survey": {"id": plan.survey.id, "uri": plan.survey.uri, "content": _content(plan.survey.content)},
        "run_key": plan.run_key,
        "inputs": [{"name": r.name, "gsd_m": r.gsd_m, **asdict(r.source)} for r in plan.survey.rasters],
        "structures": asdict(plan.survey.structures_source) if plan.survey.structures_source else None,
        "rejected": [asdict(r) for r in plan.survey.rejected],
        "model": asdict(plan.model) if plan.model else None,
        "given_mask": asdict(plan.given_mask) if plan.given_mask else None,
        "method": plan.method,
        "settings": plan.settings_that_matter(),
        "engine": asdict(plan.engine) if plan.engine else None,
        "packages": {name: version(name) for name in _STATED_PACKAGES},
        "seconds": dict(figures.seconds),
        "blocks": {"all": figures.blocks, "resumed": figures.resumed_blocks},
        "segment_mpx_per_s": round(figures.segmented_pixels / 1e6 / segment_s, 3) if segment_s else None,
        "memory_bytes": {
            "projected_peak": figures.projected_peak_bytes,
            "measured_peak_after": dict(figures.measured_peak_bytes),
        },
        "seam_proof": asdict(seam_proof) if seam_proof else None,
        "omitted": asdict(measured.omitted),
        "warnings": list(measured.warnings),
        "outputs_sha256": dict(reported.sha256),
        "outputs_without_sha256": _UNLISTED,
        "outcome": asdict(outcome),
    }


def _content(content: SurveyContent | None) -> dict[str, str | None] | None:
    if content is None:
        return None
    return {"name": content.name, "changed_at": content.changed_at.isoformat() if content.changed_at else None}


def _line(result: StructureResult, report_uri: str, given: GivenMask | None) -> StructureLine:
    seen = result.not_inspected_reason is None
    only_class = given.only_class if given is not None else None
    cracks_known, rust_known = (seen and only_class in (None, name) for name in ("crack", "rust"))
    return StructureLine(
        id=result.structure.id,
        name=result.structure.name,
        report=report_uri,
        coverage_percent=round(result.coverage_percent, 2),
        crack_length_m=round(result.cracks.total_length_m, 4) if cracks_known else None,
        max_crack_width_mm=_rounded(result.cracks.max_width_mm) if cracks_known else None,
        rust_area_m2=round(result.rust.area_m2, 5) if rust_known else None,
        rust_percent=round(result.rust.percent_of_inspected, 4) if rust_known else None,
        not_inspected_reason=result.not_inspected_reason,
    )


def _structure_text(line: StructureLine) -> str:
    if line.not_inspected_reason is not None:
        return f"{line.name}: NOT INSPECTED: {line.not_inspected_reason}"
    width = "no width measurable" if line.max_crack_width_mm is None else f"widest {line.max_crack_width_mm:.2g} mm"
    cracks = f"cracks {line.crack_length_m:.2f} m, {width}" if line.crack_length_m else "no crack found"
    if line.crack_length_m is None:
        cracks = "cracks not looked for"
    rust = "rust not looked for" if line.rust_percent is None else f"rust {line.rust_percent:.2g} %"
    return f"{line.name}: {cracks}; {rust}; coverage {line.coverage_percent:.1f} %"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
