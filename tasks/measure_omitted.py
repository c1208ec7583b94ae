"""What the measure stage found and stands in no report, and what it says of that."""

from collections.abc import Iterable
from dataclasses import dataclass

from segmentation.classes import PixelClass
from segmentation.measurement.components import Component
from segmentation.measurement.cuts import MeasuredComponent
from segmentation.records import Defect
from tasks.plan import MeasureSettings


@dataclass(frozen=True, slots=True)
class Omitted:
    """What was found and stands in no report, so that it is never silently lost."""

    crack_specks: int
    """Cracks shorter than the least length."""
    crack_speck_length_m: float
    rust_specks: int
    """Rust patches smaller than the least area."""
    speck_area_m2: float
    outside_crack_length_m: float
    """Cracks on no structure."""
    outside_rust_area_m2: float
    """Rust on no structure."""


def omitted_of(pieces: Iterable[tuple[Component, MeasuredComponent]]) -> Omitted:
    """The sum over all components."""
    found = list(pieces)
    return Omitted(
        crack_specks=sum(m.omitted_cracks for _, m in found),
        crack_speck_length_m=sum(m.omitted_length_m for _, m in found),
        rust_specks=sum(m.omitted_rust for _, m in found),
        speck_area_m2=sum(m.omitted_area_m2 for _, m in found),
        outside_crack_length_m=sum(m.outside_length_m for _, m in found),
        outside_rust_area_m2=sum(m.outside_area_m2 for c, m in found if c.pixel_class == PixelClass.RUST),
    )


def told_of_omitted(omitted: Omitted, settings: MeasureSettings) -> Iterable[str]:
    """What the report says of it, a sentence each."""
    if omitted.outside_crack_length_m > 0 or omitted.outside_rust_area_m2 > 0:
        yield (
            f"{omitted.outside_crack_length_m:.2f} m of cracks and {omitted.outside_rust_area_m2:.4f} m² of rust were "
            "found outside every structure's footprint and stand in no report"
        )
    if omitted.crack_specks:
        yield (
            f"{omitted.crack_specks} crack specks shorter than {settings.min_crack_length_px:g} px "
            f"({omitted.crack_speck_length_m:.2f} m in all) are left out"
        )
    if omitted.rust_specks:
        yield f"{omitted.rust_specks} rust specks smaller than {settings.min_rust_area_px} px are left out"


def told_of_bridged(defects: Iterable[Defect], settings: MeasureSettings) -> Iterable[str]:
    """What the report says of the gaps that count as crack."""
    measures = [defect.crack for defect in defects if defect.crack is not None and defect.crack.bridged_gaps]
    if measures:
        yield (
            f"{sum(m.bridged_gaps for m in measures)} gaps of at most {settings.crack_gap_px:g} px in {len(measures)} "
            f"cracks that go on in line are counted as crack: {sum(m.bridged_m for m in measures):.2f} m in all"
        )
