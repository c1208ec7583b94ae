"""Publish stage: the manifest, then one conditional swap of the survey's pointer."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from segmentation.errors import RunFailed, SpanscanError
from segmentation.records import GivenMask, StructureResult
from tasks.layers.stac_collection import update_collection
from tasks.measure import Measured
from tasks.output_files import dumped_json
from tasks.plan import RunPlan
from tasks.report_survey import Reported
from tasks.run_place import RunPlace
from tasks.seam_proof import SeamProof
from tasks.storage import Storage

log = logging.getLogger("spanscan.publish")

MANIFEST = "manifest.json"
POINTER = "latest.json"
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
    """Whether an earlier run of the same content stands, and this one had nothing to do."""

    def summary_lines(self) -> list[str]:
        """A line per structure and per warning."""
        lines = [_structure_text(s) for s in self.structures]
        lines += [f"warning: {w}" for w in self.warnings]
        if self.already_published:
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

    Raises RunFailed E_POINTER where other runs of the same survey keep overtaking this one.
    """
    outcome = Published(
        run_key=plan.run_key,
        results=place.run_uri,
        structures=tuple(_line(r, reported.report_uris[r.structure.id], plan.given_mask) for r in measured.results),
        warnings=measured.warnings,
        seconds_by_stage=dict(figures.seconds),
    )
    manifest = _manifest(plan, measured, reported, seam_proof, figures, outcome)
    place.storage.write(MANIFEST, dumped_json(manifest), content_type="application/json")
    swap_pointer(place.results, plan.run_key)
    _catalogue(place, manifest)
    return outcome


def published_run(place: RunPlace) -> Published | None:
    """The outcome of this very run where it was finished before; the pointer then points at it (again)."""
    if not place.storage.exists(MANIFEST):
        return None
    manifest = json.loads(place.storage.read(MANIFEST))
    outcome = _PUBLISHED.validate_python(manifest["outcome"])
    pointer = json.loads(place.results.read(POINTER)) if place.results.exists(POINTER) else {}
    if pointer.get("run_key") != outcome.run_key:
        swap_pointer(place.results, outcome.run_key)
    _catalogue(place, manifest)
    return replace(outcome, already_published=True)


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
            published_run=lambda: str(json.loads(place.results.read(POINTER))["run"]),
        )
    except SpanscanError as error:
        log.warning("the run is published, but the collection of all surveys was not changed: %s", error)


def swap_pointer(results: Storage, run_key: str) -> None:
    """Point ``latest.json`` of a survey at a run; raises RunFailed E_POINTER where others keep overtaking."""
    pointer = {
        "run_key": run_key,
        "run": f"runs/{run_key}",
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for _ in range(5):
        before = results.head(POINTER).etag if results.exists(POINTER) else None
        if results.swap(POINTER, dumped_json(pointer), expected=before).swapped:
            return
    raise RunFailed(
        "E_POINTER",
        results.uri(POINTER),
        "the pointer must stay in place while it is swapped, got 5 changes by other runs in a row",
        "wait for the other runs of this survey to end and run again; the finished results are kept",
    )


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
        "survey": {"id": plan.survey.id, "uri": plan.survey.uri},
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
