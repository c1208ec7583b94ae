"""Publish stage: the manifest, then one conditional swap of the survey's pointer."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from segmentation.errors import RunFailed
from segmentation.records import StructureResult
from tasks.measure import Measured
from tasks.output_files import dumped_json
from tasks.plan import InspectionPlan, settings_that_matter
from tasks.report_survey import Reported
from tasks.segment import RunPlace
from tasks.stitch import SeamProof
from tasks.storage import Storage

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
    """None where nothing was inspected."""
    max_crack_width_mm: float | None
    """None where no crack is wide enough to be measured, or nothing was inspected."""
    rust_area_m2: float | None
    """None where nothing was inspected."""
    rust_percent: float | None
    """None where nothing was inspected."""
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
            lines.append("this content was inspected before with the same model and settings; its reports stand")
        return lines


_PUBLISHED = TypeAdapter(Published)


def publish_run(
    plan: InspectionPlan,
    place: RunPlace,
    measured: Measured,
    reported: Reported,
    seam_proof: SeamProof,
    figures: RunFigures,
) -> Published:
    """Write the manifest and point ``latest.json`` at this run; what was published before stays whole until then.

    Raises RunFailed E_POINTER where other runs of the same survey keep overtaking this one.
    """
    outcome = Published(
        run_key=plan.run_key,
        results=place.run_uri,
        structures=tuple(_line(r, reported.report_uris[r.structure.id]) for r in measured.results),
        warnings=measured.warnings,
        seconds_by_stage=dict(figures.seconds),
    )
    manifest = _manifest(plan, measured, reported, seam_proof, figures, outcome)
    place.storage.write(MANIFEST, dumped_json(manifest), content_type="application/json")
    swap_pointer(place.results, plan.run_key)
    return outcome


def published_run(place: RunPlace) -> Published | None:
    """The outcome of this very run where it was finished before; the pointer then points at it (again)."""
    if not place.storage.exists(MANIFEST):
        return None
    outcome = _PUBLISHED.validate_python(json.loads(place.storage.read(MANIFEST))["outcome"])
    pointer = json.loads(place.results.read(POINTER)) if place.results.exists(POINTER) else {}
    if pointer.get("run_key") != outcome.run_key:
        swap_pointer(place.results, outcome.run_key)
    return replace(outcome, already_published=True)


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
    plan: InspectionPlan,
    measured: Measured,
    reported: Reported,
    seam_proof: SeamProof,
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
        "model": asdict(plan.inference.model),
        "settings": settings_that_matter(plan),
        "engine": asdict(plan.inference.engine),
        "packages": {name: version(name) for name in _STATED_PACKAGES},
        "seconds": dict(figures.seconds),
        "blocks": {"all": figures.blocks, "resumed": figures.resumed_blocks},
        "segment_mpx_per_s": round(figures.segmented_pixels / 1e6 / segment_s, 3) if segment_s else None,
        "memory_bytes": {
            "projected_peak": figures.projected_peak_bytes,
            "measured_peak_after": dict(figures.measured_peak_bytes),
        },
        "seam_proof": asdict(seam_proof),
        "omitted": asdict(measured.omitted),
        "warnings": list(measured.warnings),
        "outputs_sha256": dict(reported.sha256),
        "outcome": asdict(outcome),
    }


def _line(result: StructureResult, report_uri: str) -> StructureLine:
    seen = result.not_inspected_reason is None
    return StructureLine(
        id=result.structure.id,
        name=result.structure.name,
        report=report_uri,
        coverage_percent=round(result.coverage_percent, 2),
        crack_length_m=round(result.cracks.total_length_m, 4) if seen else None,
        max_crack_width_mm=_rounded(result.cracks.max_width_mm) if seen else None,
        rust_area_m2=round(result.rust.area_m2, 5) if seen else None,
        rust_percent=round(result.rust.percent_of_inspected, 4) if seen else None,
        not_inspected_reason=result.not_inspected_reason,
    )


def _structure_text(line: StructureLine) -> str:
    if line.not_inspected_reason is not None:
        return f"{line.name}: NOT INSPECTED: {line.not_inspected_reason}"
    width = "no width measurable" if line.max_crack_width_mm is None else f"widest {line.max_crack_width_mm:.2g} mm"
    cracks = f"cracks {line.crack_length_m:.2f} m, {width}" if line.crack_length_m else "no crack found"
    return f"{line.name}: {cracks}; rust {line.rust_percent:.2g} %; coverage {line.coverage_percent:.1f} %"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
