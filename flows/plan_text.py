"""An inspection plan as an operator reads it, and as JSON."""

from dataclasses import asdict
from typing import Any

from tasks.plan import InspectionPlan


def plan_lines(plan: InspectionPlan) -> list[str]:
    """The plan in lines for a terminal."""
    geometry, engine = plan.inference.geometry, plan.inference.engine
    model = plan.inference.model
    lines = [
        f"survey      {plan.survey.id}: {len(plan.rasters)} rasters, {len(plan.survey.structures)} structures, "
        f"{plan.pixels / 1e6:,.1f} Mpx",
        f"model       {model.name} ({model.sha256[:12]}), {engine.precision} on {engine.device} by {engine.runtime}",
        f"tiles       {geometry.method}: core {geometry.core_px} px, halo {geometry.halo_px} px, "
        f"aligned to {geometry.alignment_px} px, {plan.inference.batch} at a time",
        f"blocks      {plan.block_count} of {engine.block_px} px, {plan.inference.consumers} at once, "
        f"{plan.inference.helpers} read ahead of each and {plan.inference.helpers} written behind it",
    ]
    for raster_plan in plan.rasters:
        raster = raster_plan.raster
        least_mm = plan.measure.min_crack_width_px * raster.gsd_m * 1000
        place = raster.georeference
        lines.append(
            f"  {raster.name}: {place.width} × {place.height} px, GSD {raster.gsd_m * 1000:.3g} mm, "
            f"{len(raster_plan.blocks)} blocks; crack widths are stated from {least_mm:.2g} mm up"
        )
    lines.append(
        f"memory      {plan.memory.total_bytes / 1e6:,.0f} MB projected peak, "
        f"limit {engine.memory_limit_bytes / 1e6:,.0f} MB"
    )
    lines += [f"  {name:<16} {count / 1e6:>8,.0f} MB" for name, count in plan.memory.terms.items()]
    lines += [
        f"  on the device: {name:<16} {count / 1e6:>8,.0f} MB" for name, count in plan.memory.device_terms.items()
    ]
    lines += [f"warning     {warning}" for warning in plan.survey.warnings]
    lines.append(f"run key     {plan.run_key}")
    return lines


def plan_record(plan: InspectionPlan) -> dict[str, Any]:
    """The plan as plain data."""
    return {
        "survey": plan.survey.id,
        "run_key": plan.run_key,
        "model": asdict(plan.inference.model),
        "geometry": asdict(plan.inference.geometry),
        "engine": asdict(plan.inference.engine),
        "measure": asdict(plan.measure),
        "memory_bytes": {**plan.memory.terms, "total": plan.memory.total_bytes},
        "device_memory_bytes": {**plan.memory.device_terms, "total": plan.memory.device_total_bytes},
        "rasters": [
            {
                "name": r.raster.name,
                "width": r.raster.georeference.width,
                "height": r.raster.georeference.height,
                "gsd_mm": r.raster.gsd_m * 1000,
                "blocks": [asdict(b) for b in r.blocks],
            }
            for r in plan.rasters
        ],
        "structures": [{"id": s.id, "name": s.name, "problem": s.problem} for s in plan.survey.structures],
        "warnings": list(plan.survey.warnings),
    }
