"""What a report says of one structure: sums, coverage, grades, and its defects worst first."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from segmentation.classes import PixelClass
from segmentation.measurement.elements import (
    Element,
    area_m2_of,
    elements_of,
    grades,
    gsd_mm_of,
    limit_comparisons,
    rust_surface,
    states_of,
)
from segmentation.measurement.grading import Standard
from segmentation.measurement.patterns import crack_pattern
from segmentation.measurement.rust import (
    OF_STEEL,
    STAINING_BESIDE_STEEL,
    STAINING_ELSEWHERE,
    STAINING_ON_STEEL,
    is_steel,
)
from segmentation.measurement.rust_grades import distribution, rust_state
from segmentation.records import CrackSummary, Defect, RustSummary, Structure, StructureResult

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


def summarise_survey(
    structures: Sequence[Structure],
    *,
    defects: Iterable[Defect],
    inspected_area_m2: npt.NDArray[np.float64],
    gsd_mm: npt.NDArray[np.float64],
    footprint_area_m2: Callable[[Structure], float | None],
    standards: Sequence[Standard],
    min_rust_area_px: int,
) -> tuple[StructureResult, ...]:
    """The results of all structures in their order, components inside the structure that they are part of.

    `inspected_area_m2` and `gsd_mm` ``(N,)`` are those of the places of each structure or component alone, as
    `segmentation.measurement.structures` parts them; each place counts once.
    """
    own_defects: dict[str, list[Defect]] = {one.id: [] for one in structures}
    for defect in defects:
        own_defects[defect.structure_id].append(defect)
    parts: dict[str, list[int]] = {}
    for number, one in enumerate(structures):
        if one.component_of is not None:
            parts.setdefault(one.component_of, []).append(number)

    def result(number: int, kinds: str, components: Sequence[StructureResult]) -> StructureResult:
        one, area_m2 = structures[number], float(inspected_area_m2[number])
        return summarise(
            one,
            defects=own_defects[one.id],
            inspected_area_m2=area_m2,
            footprint_area_m2=footprint_area_m2(one),
            gsd_mm=float(gsd_mm[number]) if area_m2 > 0 else None,
            standards=standards,
            min_rust_area_px=min_rust_area_px,
            components=components,
            kinds=kinds,
        )

    return tuple(
        result(number, one.kind, [result(n, f"{one.kind} {structures[n].kind}", ()) for n in parts.get(one.id, ())])
        for number, one in enumerate(structures)
        if one.component_of is None
    )


def summarise(
    structure: Structure,
    *,
    defects: Sequence[Defect],
    inspected_area_m2: float,
    footprint_area_m2: float | None,
    gsd_mm: float | None,
    standards: Sequence[Standard],
    min_rust_area_px: int,
    components: Sequence[StructureResult] = (),
    kinds: str | None = None,
    not_inspected_reason: str | None = None,
) -> StructureResult:
    """The result of one structure from its defects and from the results of its components.

    `defects`, `inspected_area_m2` (each place once) and the area-weighted `gsd_mm` are those of its places outside
    its components; the result holds both. `kinds` is its kind, for a component after that of its structure. Where
    nothing was inspected the result has a reason and no grades. Raises ValueError where a defect is not this
    structure's, or defects are given where nothing was inspected.
    """
    strangers = [defect.id for defect in defects if defect.structure_id != structure.id]
    if strangers:
        raise ValueError(f"defects must lie on structure {structure.id!r}, got others: {strangers[:3]}")
    if inspected_area_m2 > 0 and gsd_mm is None:
        raise ValueError(f"structure {structure.id!r} was inspected, so its GSD must be given, got none")
    told = structure.kind if kinds is None else kinds
    stated = [_with_state(defect, standards, structure, told) for defect in defects]
    own = [Element(structure, told, tuple(stated), inspected_area_m2, gsd_mm)] if gsd_mm and inspected_area_m2 else []
    elements = [*own, *(_element(component, structure) for component in components if component.gsd_mm is not None)]
    area_m2 = area_m2_of(elements)
    reason = not_inspected_reason
    if reason is None and area_m2 <= 0:
        reason = structure.problem or "no inspected pixel lies inside the footprint"
    listed = [*stated, *(defect for element in elements[len(own) :] for defect in element.defects)]
    if listed and (reason is not None or (stated and not own)):
        cause = reason or "outside its components"
        raise ValueError(
            f"structure {structure.id!r} was not inspected ({cause}), but {len(listed)} defects were given"
        )
    graded = elements if reason is None else []
    return StructureResult(
        structure=structure,
        footprint_area_m2=footprint_area_m2,
        inspected_area_m2=area_m2,
        coverage_percent=_coverage_percent(area_m2, footprint_area_m2),
        gsd_mm=gsd_mm_of(elements) if elements else None,
        cracks=_crack_summary([d for d in listed if d.pixel_class == PixelClass.CRACK], elements),
        rust=_rust_summary(structure, elements, standards if reason is None else ()),
        defects=worst_first(listed),
        grades=tuple(grades(standards, graded, min_rust_area_px=min_rust_area_px)),
        not_inspected_reason=reason,
        limit_comparisons=tuple(limit_comparisons(standards, graded)),
        components=tuple(components),
    )


def _element(component: StructureResult, whole: Structure) -> Element:
    """A component as part of its structure: its defects are the structure's, and name the component."""
    own = component.structure
    if own.component_of != whole.id:
        raise ValueError(f"a component must be of structure {whole.id!r}, got one of {own.component_of!r}")
    assert component.gsd_mm is not None
    defects = tuple(replace(d, structure_id=whole.id, component_id=own.id) for d in component.defects)
    return Element(own, f"{whole.kind} {own.kind}", defects, component.inspected_area_m2, component.gsd_mm)


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


def _with_state(defect: Defect, standards: Sequence[Standard], structure: Structure, kinds: str) -> Defect:
    state, possible = states_of(standards, structure, kinds, defect)
    return replace(defect, condition_state=state, possible_states=possible)


def _coverage_percent(inspected_area_m2: float, footprint_area_m2: float | None) -> float:
    """Inspected share; pixels at the rim may sum to a little more than the polygon, which is no more than all of it."""
    if footprint_area_m2 is None or footprint_area_m2 <= 0:
        return 0.0
    return min(100.0, 100.0 * inspected_area_m2 / footprint_area_m2)


def _crack_summary(cracks: Sequence[Defect], elements: Sequence[Element]) -> CrackSummary:
    inspected_area_m2 = area_m2_of(elements)
    measures = [defect.crack for defect in cracks if defect.crack is not None]
    wide = [defect.crack for defect in cracks if defect.crack is not None and not defect.below_resolution]
    total = float(sum(measure.length_m for measure in measures))
    weights = np.array([measure.length_m for measure in wide])
    below_m = sum(defect.crack.length_m for defect in cracks if defect.crack is not None and defect.below_resolution)
    pattern = crack_pattern(cracks, gsd_m=gsd_mm_of(elements) / 1000 if elements else 0.0)
    return CrackSummary(
        count=len(cracks),
        total_length_m=total,
        density_m_per_m2=total / inspected_area_m2 if inspected_area_m2 > 0 else 0.0,
        max_width_mm=max((measure.max_width_mm for measure in wide), default=None),
        p95_width_mm=max((measure.p95_width_mm for measure in wide), default=None),
        mean_width_mm=float(np.average([m.mean_width_mm for m in wide], weights=weights)) if wide else None,
        below_resolution_count=sum(defect.below_resolution for defect in cracks),
        below_resolution_share=below_m / total if total > 0 else 0.0,
        bridged_length_m=float(sum(measure.bridged_m for measure in measures)),
        spacing_m=pattern.spacing_m,
        pattern=pattern.pattern,
    )


def _rust_summary(structure: Structure, elements: Sequence[Element], standards: Sequence[Standard]) -> RustSummary:
    surface, denominator = rust_surface(elements)
    apart = denominator == OF_STEEL
    every = [patch for element in elements for patch in element.rust]
    on_surface = [patch for element in surface for patch in element.rust]
    area_m2, surface_m2 = _area_m2(on_surface), area_m2_of(surface)
    d610, iso = (_rust_table(standards, elements, name) for name in ("astm-d610", "iso-4628-3"))
    staining = STAINING_ON_STEEL if is_steel(structure.material) else STAINING_ELSEWHERE
    return RustSummary(
        patch_count=len(every),
        area_m2=_area_m2(every),
        percent_of_inspected=100.0 * area_m2 / surface_m2 if surface_m2 > 0 else 0.0,
        denominator=denominator,
        astm_d610_grade=int(rust_state(d610, on_surface, surface_area_m2=surface_m2)) if d610 else None,
        astm_d610_distribution=distribution(d610, on_surface) if d610 else None,
        iso_4628_3_ri=rust_state(iso, on_surface, surface_area_m2=surface_m2) if iso else None,
        denominator_area_m2=surface_m2,
        largest_patch_m2=max((patch.area_m2 for patch in every), default=None),
        beside_denominator_m2=_area_m2(every) - area_m2,
        staining=STAINING_BESIDE_STEEL if apart else staining,
    )


def _rust_table(standards: Sequence[Standard], elements: Sequence[Element], name: str) -> Standard | None:
    """The standard of that name where it speaks of the surface."""
    return next((s for s in standards if s.id == name and elements_of(s, elements)), None)


def _area_m2(patches: Sequence[Defect]) -> float:
    return float(sum(patch.area_m2 for patch in patches))
