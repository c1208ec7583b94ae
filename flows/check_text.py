"""The verdicts of `spanscan check` as an operator reads them, and as JSON."""

from typing import Any

from tasks.discover import CheckReport


def check_lines(report: CheckReport) -> list[str]:
    """A line per raster, structure with a problem, refused file and warning."""
    lines = [f"{r.verdict}  {r.message if r.code else f'{r.name}: {r.message}'}" for r in report.rasters]
    lines += [f"REJECT  {f.message}" for f in report.refused_files]
    sound = [s for s in report.structures if s.problem is None]
    lines.append(f"{len(sound)} of {len(report.structures)} structures can be inspected")
    lines += [f"  {s.name} ({s.id}): not inspected: {s.problem}" for s in report.structures if s.problem is not None]
    lines += [f"warning: {w}" for w in report.warnings]
    lines.append("accepted" if report.accepted else "rejected")
    return lines


def check_record(report: CheckReport) -> dict[str, Any]:
    """The verdicts as plain data."""
    return {
        "accepted": report.accepted,
        "rasters": [
            {"name": r.name, "verdict": r.verdict, "code": r.code, "message": r.message} for r in report.rasters
        ],
        "refused_files": [{"name": f.name, "code": f.code, "message": f.message} for f in report.refused_files],
        "structures": [
            {"id": s.id, "name": s.name, "kind": s.kind, "material": s.material, "problem": s.problem}
            for s in report.structures
        ],
        "warnings": list(report.warnings),
    }
