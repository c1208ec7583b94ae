"""The elements of a structure that its standards speak of: named parts and the rest, each with its own material.

A standard grades what is of its material: a prestressed girder of a concrete bridge by the table of prestressed
concrete, its deck by that of reinforced concrete. Rust is graded on the steel components where there are any, else
on the whole footprint.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segmentation.classes import PixelClass
from segmentation.measurement.crack_grades import compare_with_limits, condition_states, grade_cracks, grade_spacing
from segmentation.measurement.grading import Standard
from segmentation.measurement.patterns import crack_pattern
from segmentation.measurement.rust import OF_FOOTPRINT, OF_REST, OF_STEEL, is_steel
from segmentation.measurement.rust_grades import grade_rust
from segmentation.records import Defect, Grade, LimitComparison, Structure


@dataclass(frozen=True, slots=True)
class Element:
    """What was inspected of one component, or of a structure outside its components."""

    structure: Structure
    """The component, or the structure itself for the rest of it."""
    kinds: str
    """Kind of the structure and of the component."""
    defects: tuple[Defect, ...]
    inspected_area_m2: float
    gsd_mm: float

    @property
    def cracks(self) -> tuple[Defect, ...]:
        """Its cracks."""
        return tuple(defect for defect in self.defects if defect.pixel_class == PixelClass.CRACK)

    @property
    def rust(self) -> tuple[Defect, ...]:
        """Its rust patches."""
        return tuple(defect for defect in self.defects if defect.pixel_class == PixelClass.RUST)


def gsd_mm_of(elements: Sequence[Element]) -> float:
    """Area-weighted GSD."""
    return sum(e.gsd_mm * e.inspected_area_m2 for e in elements) / area_m2_of(elements)


def area_m2_of(elements: Sequence[Element]) -> float:
    """Their inspected area."""
    return sum(element.inspected_area_m2 for element in elements)


def rust_surface(elements: Sequence[Element]) -> tuple[tuple[Element, ...], str]:
    """The elements that a percentage of rust is of, and the surface in words.

    The components of steel; without any, what is of steel; without that, all.
    """
    steel = tuple(e for e in elements if is_steel(e.structure.material))
    parts = tuple(e for e in steel if e.structure.component_of is not None)
    if parts:
        return parts, OF_STEEL
    return (steel, OF_REST) if steel and len(steel) < len(elements) else (tuple(elements), OF_FOOTPRINT)


def elements_of(standard: Standard, elements: Sequence[Element]) -> tuple[Element, ...]:
    """The elements that a standard speaks of: those of its materials, for rust on `rust_surface` alone."""
    chosen = rust_surface(elements)[0] if standard.pixel_class == PixelClass.RUST else elements
    return tuple(e for e in chosen if standard.applies_to(e.structure.material, kind=e.kinds))


def grades(standards: Sequence[Standard], elements: Sequence[Element], *, min_rust_area_px: int) -> Iterator[Grade]:
    """The grade by each standard that speaks of an element, in their order."""
    for standard in standards:
        own = elements_of(standard, elements)
        if not own or standard.method == "crack_limits":
            continue
        area_m2, gsd_mm = area_m2_of(own), gsd_mm_of(own)
        if standard.pixel_class == PixelClass.RUST:
            patches = [defect for element in own for defect in element.rust]
            yield grade_rust(
                standard, patches, surface_area_m2=area_m2, gsd_mm=gsd_mm, min_rust_area_px=min_rust_area_px
            )
            continue
        cracks = [defect for element in own for defect in element.cracks]
        if standard.method == "crack_spacing":
            spacing_m = crack_pattern(cracks, gsd_m=gsd_mm / 1000).spacing_m
            yield grade_spacing(standard, cracks, spacing_m=spacing_m, inspected_area_m2=area_m2, gsd_mm=gsd_mm)
        else:
            yield grade_cracks(standard, cracks, inspected_area_m2=area_m2, gsd_mm=gsd_mm)


def limit_comparisons(standards: Sequence[Standard], elements: Sequence[Element]) -> Iterator[LimitComparison]:
    """The cracks beside the reference limits of each standard that speaks of an element."""
    for standard in standards:
        own = elements_of(standard, elements) if standard.method == "crack_limits" else ()
        if own:
            cracks = [defect for element in own for defect in element.cracks]
            yield compare_with_limits(standard, cracks, gsd_mm=gsd_mm_of(own))


def states_of(
    standards: Sequence[Standard], structure: Structure, kinds: str, defect: Defect
) -> tuple[str | None, tuple[str, ...]]:
    """Condition state of one defect by the first standard that gives one, and all that its ± allows."""
    for standard in standards:
        if standard.pixel_class == defect.pixel_class and standard.applies_to(structure.material, kind=kinds):
            state, possible = condition_states(standard, defect)
            if state is not None:
                return state, possible
    return None, ()
