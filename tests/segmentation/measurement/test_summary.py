"""What is said of one structure: sums, coverage, order, numbers; and nothing said of what was not inspected."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from segmentation.measurement.grading import load_standards, shipped_standards
from segmentation.measurement.rust import OF_FOOTPRINT, STAINING_ELSEWHERE, STAINING_ON_STEEL
from segmentation.measurement.summary import number_defects, summarise, worst_first
from segmentation.records import Defect, Structure, StructureResult
from tests.segmentation.measurement.defect_samples import crack as even_crack
from tests.segmentation.measurement.defect_samples import patch

STANDARDS = load_standards(shipped_standards())


def crack(width_mm: float, length_m: float = 1.0, **more: Any) -> Defect:
    return even_crack(width_mm, length_m, spread_mm=0.05, p95_share=0.9, mean_share=0.5, **more)


def rust(area_m2: float, *, row: int = 0) -> Defect:
    return patch(area_m2, 5.0, row=row)


def structure(material: str = "concrete", problem: str | None = None) -> Structure:
    return Structure("S", "Pier", "pier", "bridge", material, box(0, 0, 1, 1), problem)


def summary(*defects: Defect, material: str = "concrete", inspected_m2: float = 10.0) -> StructureResult:
    return summarise(
        structure(material),
        defects=defects,
        inspected_area_m2=inspected_m2,
        footprint_area_m2=20.0,
        gsd_mm=1.5 if inspected_m2 else None,
        standards=STANDARDS,
        min_rust_area_px=64,
    )


def test_cracks_are_summed_and_those_below_resolution_counted_apart() -> None:
    cracks = summary(crack(2.0, 3.0), crack(0.5, 1.0), crack(0.1, 2.0, below=True)).cracks
    assert (cracks.count, cracks.total_length_m, cracks.below_resolution_count) == (3, 6.0, 1)
    assert cracks.density_m_per_m2 == pytest.approx(0.6)
    assert cracks.max_width_mm == 2.0
    assert cracks.p95_width_mm == pytest.approx(1.8)
    assert cracks.mean_width_mm == pytest.approx((2.0 * 3 + 0.5 * 1) / 4 / 2)


def test_without_a_crack_wide_enough_there_is_no_width() -> None:
    cracks = summary(crack(0.1, below=True)).cracks
    assert cracks.max_width_mm is cracks.p95_width_mm is cracks.mean_width_mm is None


def test_rust_of_a_steel_structure_is_graded() -> None:
    result = summary(rust(0.04), rust(0.01), material="steel")
    assert result.rust.patch_count == 2
    assert result.rust.percent_of_inspected == pytest.approx(0.5)
    assert (result.rust.astm_d610_grade, result.rust.astm_d610_distribution) == (6, "spot")
    assert result.rust.iso_4628_3_ri == "Ri 2"
    assert {grade.standard for grade in result.grades} == {
        "AASHTO Manual for Bridge Element Inspection",
        "ASTM D610",
        "ISO 4628-3",
    }
    assert result.rust.denominator == OF_FOOTPRINT
    assert (result.rust.denominator_area_m2, result.rust.largest_patch_m2) == (10.0, 0.04)
    assert result.rust.staining == STAINING_ON_STEEL
    assert {defect.condition_state for defect in result.defects} == {"CS2"}


def test_rust_on_concrete_is_measured_and_not_graded_as_steel() -> None:
    found = summary(rust(0.04)).rust
    assert found.area_m2 == pytest.approx(0.04)
    assert found.astm_d610_grade is found.astm_d610_distribution is found.iso_4628_3_ri is None
    assert found.staining == STAINING_ELSEWHERE


def test_coverage_is_the_inspected_share_of_the_footprint() -> None:
    assert summary(inspected_m2=5.0).coverage_percent == 25.0
    assert summary(inspected_m2=20.001).coverage_percent == 100.0


def test_nothing_inspected_has_a_reason_and_no_grade() -> None:
    result = summary(inspected_m2=0.0, material="steel")
    assert result.not_inspected_reason == "no inspected pixel lies inside the footprint"
    assert result.grades == ()
    assert result.rust.astm_d610_grade is None
    bad = summarise(
        structure(problem="self-intersection"),
        defects=(),
        inspected_area_m2=0.0,
        footprint_area_m2=None,
        gsd_mm=None,
        standards=STANDARDS,
        min_rust_area_px=64,
    )
    assert bad.not_inspected_reason == "self-intersection"
    assert bad.coverage_percent == 0.0


def test_defects_of_another_structure_or_of_nothing_inspected_are_refused() -> None:
    with pytest.raises(ValueError, match="must lie on structure 'S'"):
        summary(replace(crack(1.0), structure_id="T"))
    with pytest.raises(ValueError, match="was not inspected"):
        summary(crack(1.0), inspected_m2=0.0)


def test_the_worst_comes_first_and_cracks_and_rust_take_turns() -> None:
    result = summary(
        rust(0.1), crack(0.2), rust(0.3), crack(2.0, 1.0), crack(2.0, 5.0), crack(0.1, 9.0, below=True), crack(0.9)
    )
    seen = [
        (defect.condition_state, defect.crack.max_width_mm if defect.crack else defect.area_m2)
        for defect in result.defects
    ]
    assert seen == [
        ("CS3", 2.0),
        ("CS3", 2.0),
        ("CS2", 0.9),
        (None, 0.3),
        (None, 0.1),
        ("CS1", 0.2),
        (None, 0.1),
    ]
    assert result.defects[0].crack is not None
    assert result.defects[0].crack.length_m == 5.0


def test_numbers_follow_class_raster_and_position() -> None:
    numbered = number_defects([crack(1, row=9), rust(1, row=3), crack(1, row=2, raster="b.tif"), crack(1, row=4)])
    assert [(d.id, d.raster_name, d.window.row_start) for d in numbered] == [
        ("C-0001", "a.tif", 4),
        ("C-0002", "a.tif", 9),
        ("C-0003", "b.tif", 2),
        ("R-0001", "a.tif", 3),
    ]


@given(order=st.permutations([crack(w, row=r) for w, r in ((1, 1), (2, 2), (3, 2), (4, 5))] + [rust(1, row=1)]))
def test_numbers_and_order_do_not_depend_on_the_order_given(order: list[Defect]) -> None:
    reference = number_defects([crack(w, row=r) for w, r in ((1, 1), (2, 2), (3, 2), (4, 5))] + [rust(1, row=1)])
    assert sorted(d.id for d in number_defects(order)) == sorted(d.id for d in reference)
    assert worst_first(number_defects(order))[0].crack == worst_first(reference)[0].crack
