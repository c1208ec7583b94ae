"""What a report says of one structure: sums, coverage, grades, and its defects worst first."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from segmentation.classes import PixelClass
from segmentation.measurement.grading import (
    Standard,
    condition_state,
    distribution,
    grade_cracks,
    grade_rust,
    rust_state,
)
from segmentation.records import CrackSummary, Defect, Grade, RustSummary, Structure, StructureResult

DENOMINATOR = "inspected area of the footprint, as seen in the raster"
"""What a rust percentage is of."""

_PREFIX = {PixelClass.CRACK: "C", PixelClass.RUST: "R"}
_UNGRADED_RUST_RANK = 2
"""Rust without a condition state stands beside CS2: neither above a wide crack nor below a hairline."""


def number_defects(defects: Iterable[Defect]) -> tuple[Defect, ...]:
    """The defects with ids ``C-0001`` …, ``R-0001`` …, by class, raster and position: the same for any order given."""
    ordered = sorted(defects, key=_position)
    counts = dict.fromkeys(_PREFIX, 0)
    numbered = []
    for defect in ordered:
        counts[defect.pixel_class] += 1
        numbered.append(replace(defect, id=f"{_PREFIX[defect.pixel_class]}-{counts[defect.pixel_class]:04d}"))
    return tuple(numbered)


def summarise(
    structure: Structure,
    *,
    defects: Sequence[Defect],
    inspected_area_m2: float,
    footprint_area_m2: float | None,
    gsd_mm: float | None,
    standards: Sequence[Standard],
    not_inspected_reason: str | None = None,
) -> StructureResult:
    """The result of one structure from its defects.

    `inspected_area_m2` counts each place once; `gsd_mm` is its area-weighted GSD. Where nothing was inspected
    the result has a reason and no grades. Raises ValueError where a defect is not this structure's, or defects
    are given where nothing was inspected.
    """
    strangers = [defect.id for defect in defects if defect.structure_id != structure.id]
    if strangers:
        raise ValueError(f"defects must lie on structure {structure.id!r}, got others: {strangers[:3]}")
    reason = not_inspected_reason
    if reason is None and inspected_area_m2 <= 0:
        reason = structure.problem or "no inspected pixel lies inside the footprint"
    if reason is not None and defects:
        raise ValueError(
            f"structure {structure.id!r} was not inspected ({reason}), but {len(defects)} defects were given"
        )
    if reason is None and gsd_mm is None:
        raise ValueError(f"structure {structure.id!r} was inspected, so its GSD must be given, got none")
    applying = [standard for standard in standards if standard.applies_to(structure.material)] if reason is None else []
    stated = [_with_state(defect, applying) for defect in defects]
    cracks = [defect for defect in stated if defect.pixel_class == PixelClass.CRACK]
    rust = [defect for defect in stated if defect.pixel_class == PixelClass.RUST]
    return StructureResult(
        structure=structure,
        footprint_area_m2=footprint_area_m2,
        inspected_area_m2=inspected_area_m2,
        coverage_percent=_coverage_percent(inspected_area_m2, footprint_area_m2),
        gsd_mm=gsd_mm,
        cracks=_crack_summary(cracks, inspected_area_m2),
        rust=_rust_summary(rust, inspected_area_m2, applying),
        defects=worst_first(stated),
        grades=tuple(_grades(applying, cracks, rust, inspected_area_m2, gsd_mm)),
        not_inspected_reason=reason,
    )


def worst_first(defects: Iterable[Defect]) -> tuple[Defect, ...]:
    """Defects by condition state, worst first; inside a state cracks by width then length and rust by area in turn."""
    groups: dict[tuple[int, PixelClass], list[Defect]] = {}
    for defect in defects:
        groups.setdefault((_rank(defect), defect.pixel_class), []).append(defect)
    keyed = [
        ((-rank, place, pixel_class), defect)
        for (rank, pixel_class), group in groups.items()
        for place, defect in enumerate(sorted(group, key=_severity))
    ]
    return tuple(defect for _, defect in sorted(keyed, key=lambda pair: pair[0]))


def _rank(defect: Defect) -> int:
    if defect.condition_state is not None:
        return int(defect.condition_state.removeprefix("CS"))
    return _UNGRADED_RUST_RANK if defect.pixel_class == PixelClass.RUST else 0


def _severity(defect: Defect) -> tuple[object, ...]:
    if defect.crack is None:
        return (-defect.area_m2, defect.id, _position(defect))
    width = 0.0 if defect.below_resolution else defect.crack.max_width_mm
    return (-width, -defect.crack.length_m, defect.id, _position(defect))


def _position(defect: Defect) -> tuple[object, ...]:
    return (
        defect.pixel_class,
        defect.raster_name,
        defect.window,
        defect.structure_id,
        defect.area_m2,
        defect.pixel_geometry.bounds,
    )


def _with_state(defect: Defect, standards: Sequence[Standard]) -> Defect:
    states = (condition_state(standard, defect) for standard in standards)
    return replace(defect, condition_state=next((state for state in states if state is not None), None))


def _coverage_percent(inspected_area_m2: float, footprint_area_m2: float | None) -> float:
    """Inspected share; pixels at the rim may sum to a little more than the polygon, which is no more than all of it."""
    if footprint_area_m2 is None or footprint_area_m2 <= 0:
        return 0.0
    return min(100.0, 100.0 * inspected_area_m2 / footprint_area_m2)


def _crack_summary(cracks: Sequence[Defect], inspected_area_m2: float) -> CrackSummary:
    measures = [defect.crack for defect in cracks if defect.crack is not None]
    wide = [defect.crack for defect in cracks if defect.crack is not None and not defect.below_resolution]
    total = float(sum(measure.length_m for measure in measures))
    weights = np.array([measure.length_m for measure in wide])
    return CrackSummary(
        count=len(cracks),
        total_length_m=total,
        density_m_per_m2=total / inspected_area_m2 if inspected_area_m2 > 0 else 0.0,
        max_width_mm=max((measure.max_width_mm for measure in wide), default=None),
        p95_width_mm=max((measure.p95_width_mm for measure in wide), default=None),
        mean_width_mm=float(np.average([m.mean_width_mm for m in wide], weights=weights)) if wide else None,
        below_resolution_count=sum(defect.below_resolution for defect in cracks),
    )


def _rust_summary(rust: Sequence[Defect], inspected_area_m2: float, standards: Sequence[Standard]) -> RustSummary:
    area = float(sum(defect.area_m2 for defect in rust))
    by_id = {standard.id: standard for standard in standards}
    d610, iso = by_id.get("astm-d610"), by_id.get("iso-4628-3")
    return RustSummary(
        patch_count=len(rust),
        area_m2=area,
        percent_of_inspected=100.0 * area / inspected_area_m2 if inspected_area_m2 > 0 else 0.0,
        denominator=DENOMINATOR,
        astm_d610_grade=int(rust_state(d610, rust, inspected_area_m2=inspected_area_m2)) if d610 else None,
        astm_d610_distribution=distribution(d610, rust) if d610 else None,
        iso_4628_3_ri=rust_state(iso, rust, inspected_area_m2=inspected_area_m2) if iso else None,
    )


def _grades(
    standards: Sequence[Standard],
    cracks: Sequence[Defect],
    rust: Sequence[Defect],
    inspected_area_m2: float,
    gsd_mm: float | None,
) -> Iterable[Grade]:
    for standard in standards:
        if gsd_mm is None:
            raise ValueError("a graded structure must have a GSD, got none")
        grade, found = (grade_cracks, cracks) if standard.pixel_class == PixelClass.CRACK else (grade_rust, rust)
        yield grade(standard, found, inspected_area_m2=inspected_area_m2, gsd_mm=gsd_mm)
