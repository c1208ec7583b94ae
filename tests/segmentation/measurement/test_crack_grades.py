"""Cracks by width and spacing: limits, straddling, sums that hold, and what is never graded."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.measurement.crack_grades import (
    NOT_GRADED,
    compare_with_limits,
    condition_states,
    grade_cracks,
    grade_spacing,
)
from segmentation.records import Defect
from tests.segmentation.measurement.defect_samples import crack, patch, standard

CONCRETE = "aashto-mbei-concrete-cracking"
PRESTRESSED = "aashto-mbei-prestressed-cracking"
ASPHALT = "astm-d6433-cracking"
SPACING = "aashto-mbei-crack-spacing"
INCH_MM, FOOT_M = 25.4, 0.3048


@dataclass(frozen=True)
class Limit:
    """The state just below, at and just above a limit of a standard, in the standard's own unit."""

    standard: str
    limit: float
    below: str
    at: str
    above: str


WIDTHS = [
    Limit(CONCRETE, 0.012 * INCH_MM, "CS1", "CS2", "CS2"),
    Limit(CONCRETE, 0.05 * INCH_MM, "CS2", "CS2", "CS3"),
    Limit(PRESTRESSED, 0.004 * INCH_MM, "CS1", "CS2", "CS2"),
    Limit(PRESTRESSED, 0.009 * INCH_MM, "CS2", "CS2", "CS3"),
    Limit(ASPHALT, 10.0, "low", "medium", "medium"),
    Limit(ASPHALT, 75.0, "medium", "medium", "high"),
]
SPACINGS = [
    Limit(SPACING, 1 * FOOT_M, "CS3", "CS2", "CS2"),
    Limit(SPACING, 3 * FOOT_M, "CS2", "CS2", "CS1"),
]


@pytest.mark.parametrize("limit", WIDTHS, ids=lambda v: f"{v.standard}-{v.limit:.4g}-mm")
def test_a_crack_gets_the_state_of_its_width(limit: Limit) -> None:
    for width_mm, state in (
        (limit.limit - 1e-4, limit.below),
        (limit.limit, limit.at),
        (limit.limit + 1e-4, limit.above),
    ):
        # The limits in the table and inches in a test may differ in the last binary digit.
        found = grade_cracks(standard(limit.standard), [crack(round(width_mm, 9))], inspected_area_m2=10.0, gsd_mm=1.0)
        assert found.grade.split(";")[0] == state, width_mm
        assert [name for name, quantity in found.quantities.items() if quantity > 0][-1] == state


@pytest.mark.parametrize("limit", SPACINGS, ids=lambda v: f"{v.standard}-{v.limit:.4g}-m")
def test_cracks_get_the_state_of_their_spacing(limit: Limit) -> None:
    cracks = [crack(1.0), crack(1.0)]
    for spacing_m, state in (
        (limit.limit - 1e-6, limit.below),
        (limit.limit, limit.at),
        (limit.limit + 1e-6, limit.above),
    ):
        found = grade_spacing(
            standard(SPACING), cracks, spacing_m=round(spacing_m, 9), inspected_area_m2=10.0, gsd_mm=1e-6
        )
        taken = 10.0 if state == "CS1" else 2 * spacing_m
        assert found.quantities[state] == pytest.approx(taken), spacing_m
        assert state in found.grade.split(";")[0]


CRACKS = st.lists(
    st.builds(
        crack,
        st.floats(0.0, 100.0),
        st.floats(0.0, 50.0),
        spread_mm=st.floats(0.0, 5.0),
        below=st.booleans(),
    ),
    max_size=8,
)


@given(cracks=CRACKS, area_m2=st.floats(0.01, 100.0), name=st.sampled_from([CONCRETE, PRESTRESSED]))
def test_areas_per_state_sum_to_the_inspected_area(cracks: list[Defect], area_m2: float, name: str) -> None:
    found = grade_cracks(standard(name), cracks, inspected_area_m2=area_m2, gsd_mm=1.0)
    assert found.unit == "m2"
    assert sum(found.quantities.values()) == pytest.approx(area_m2)
    assert min(found.quantities.values()) >= 0
    assert set(found.quantities) <= {"CS1", "CS2", "CS3", NOT_GRADED}
    assert "CS4" not in found.grade


@given(cracks=CRACKS, area_m2=st.floats(0.01, 100.0), spacing_m=st.none() | st.floats(0.0, 5.0))
def test_areas_by_spacing_sum_to_the_inspected_area(
    cracks: list[Defect], area_m2: float, spacing_m: float | None
) -> None:
    found = grade_spacing(standard(SPACING), cracks, spacing_m=spacing_m, inspected_area_m2=area_m2, gsd_mm=1.0)
    assert sum(found.quantities.values()) == pytest.approx(area_m2)
    assert min(found.quantities.values()) >= 0
    assert list(found.quantities) == ["CS1", "CS2", "CS3"]


@given(cracks=CRACKS)
def test_lengths_per_severity_sum_to_the_length_of_all_cracks(cracks: list[Defect]) -> None:
    found = grade_cracks(standard(ASPHALT), cracks, inspected_area_m2=10.0, gsd_mm=1.0)
    assert found.unit == "m"
    assert sum(found.quantities.values()) == pytest.approx(sum(one.crack.length_m for one in cracks if one.crack))


def test_a_crack_takes_a_band_of_a_foot_and_those_below_resolution_are_apart() -> None:
    cracks = [crack(0.2, 3), crack(0.5, 2), crack(2.0, 4), crack(0.1, 5, below=True)]
    found = grade_cracks(standard(CONCRETE), cracks, inspected_area_m2=10.0, gsd_mm=1.0).quantities
    assert found["CS3"] == pytest.approx(4 * FOOT_M)
    assert found["CS2"] == pytest.approx(2 * FOOT_M)
    assert found[NOT_GRADED] == pytest.approx(5 * FOOT_M)


def test_more_crack_than_area_takes_all_of_it_worst_state_first() -> None:
    found = grade_cracks(standard(CONCRETE), [crack(0.5, 30), crack(2.0, 20)], inspected_area_m2=10.0, gsd_mm=1.0)
    assert found.quantities["CS3"] == pytest.approx(20 * FOOT_M)
    assert found.quantities["CS2"] == pytest.approx(10 - 20 * FOOT_M)
    assert found.quantities["CS1"] == 0


def test_closely_spaced_cracks_take_their_length_times_their_spacing() -> None:
    found = grade_spacing(
        standard(SPACING), [crack(1.0, 4), crack(1.0, 6)], spacing_m=0.2, inspected_area_m2=10.0, gsd_mm=1.0
    )
    assert found.quantities == {"CS1": pytest.approx(8.0), "CS2": 0.0, "CS3": pytest.approx(2.0)}
    alone = grade_spacing(standard(SPACING), [crack(1.0)], spacing_m=None, inspected_area_m2=10.0, gsd_mm=1.0)
    assert alone.grade.startswith("CS1, a single crack")
    none = grade_spacing(standard(SPACING), [], spacing_m=None, inspected_area_m2=10.0, gsd_mm=1.0)
    assert none.grade.startswith("no crack found")


def test_a_crack_below_resolution_is_never_graded_by_its_width() -> None:
    below = crack(5.0, below=True)
    found = grade_cracks(standard(CONCRETE), [below], inspected_area_m2=10.0, gsd_mm=1.0)
    assert found.grade.startswith("no crack wide enough to be graded")
    assert "1.00 m of cracks below resolution not graded" in found.grade
    assert condition_states(standard(CONCRETE), below) == (None, ())
    compared = compare_with_limits(standard("aci-224r-crack-width"), [below], gsd_mm=1.0)
    assert all(line.over_count == line.unclear_count == 0 for line in compared.lines)
    assert (compared.not_compared_count, compared.not_compared_length_m) == (1, 1.0)


def test_a_raster_too_coarse_for_the_first_limit_never_says_cs1() -> None:
    coarse = grade_cracks(standard(CONCRETE), [], inspected_area_m2=10.0, gsd_mm=1.5)
    assert coarse.grade.startswith("no crack found")
    assert "0.3 mm are narrower than a pixel and cannot be excluded" in coarse.grade
    fine = grade_cracks(standard(CONCRETE), [], inspected_area_m2=10.0, gsd_mm=0.1)
    assert fine.grade == "CS1, no crack found; seen at 0.1 mm per pixel"


@dataclass(frozen=True)
class Straddle:
    id: str
    widths_mm: tuple[tuple[float, float], ...]
    """(width, ±) of each crack."""
    grade: str


STRADDLES = [
    Straddle("clear-of-every-limit", ((0.8, 0.2),), "CS2"),
    Straddle("over-one-limit", ((1.2, 0.2),), "CS2 or CS3"),
    Straddle("over-both-limits", ((0.8, 0.7),), "CS1 to CS3"),
    Straddle("a-sure-worse-crack-decides", ((0.3, 0.2), (5.0, 0.1)), "CS3"),
    Straddle("a-sure-better-crack-does-not", ((1.2, 0.2), (0.1, 0.01)), "CS2 or CS3"),
    Straddle("two-cracks-leave-one-question", ((0.3, 0.2), (1.2, 0.2)), "CS2 or CS3"),
]


@pytest.mark.parametrize("case", STRADDLES, ids=lambda case: case.id)
def test_an_uncertainty_that_straddles_a_limit_names_both_states(case: Straddle) -> None:
    cracks = [crack(width, spread_mm=spread) for width, spread in case.widths_mm]
    found = grade_cracks(standard(CONCRETE), cracks, inspected_area_m2=10.0, gsd_mm=1.0).grade
    assert found.split(";")[0] == case.grade
    straddling = sum(len(condition_states(standard(CONCRETE), one)[1]) > 1 for one in cracks)
    assert ("straddles a limit" in found) == (straddling > 0)


def test_a_spacing_within_two_pixels_of_a_limit_names_both_states() -> None:
    found = grade_spacing(standard(SPACING), [crack(1), crack(1)], spacing_m=0.304, inspected_area_m2=10.0, gsd_mm=1.0)
    assert found.grade.startswith("CS2 or CS3; the ± of the spacing straddles a limit")


def test_condition_states_are_those_of_the_bridge_standard_alone() -> None:
    assert condition_states(standard(CONCRETE), crack(0.5)) == ("CS2", ("CS2",))
    assert condition_states(standard(CONCRETE), crack(1.2, spread_mm=0.2)) == ("CS2", ("CS2", "CS3"))
    assert condition_states(standard(ASPHALT), crack(20)) == (None, ())
    assert condition_states(standard("astm-d610"), patch(0.1)) == (None, ())
    assert condition_states(standard("aashto-mbei-steel-corrosion"), patch(0.1)) == ("CS2", ("CS2",))


def test_cracks_stand_beside_reference_widths_with_their_uncertainty() -> None:
    cracks = [crack(0.10, 1), crack(0.29, 2, spread_mm=0.02), crack(0.5, 4, spread_mm=0.05)]
    found = compare_with_limits(standard("en-1992-1-1-crack-width"), cracks, gsd_mm=0.25)
    told = [
        (one.limit_mm, one.over_count, one.over_length_m, one.unclear_count, one.below_a_pixel) for one in found.lines
    ]
    assert told == [(0.2, 2, 6, 0, True), (0.3, 1, 4, 1, False), (0.4, 1, 4, 0, False)]
    assert found.lines[1].unclear_length_m == 2


def test_a_crack_without_measure_cannot_be_graded() -> None:
    with pytest.raises(ValueError, match="carry its measure"):
        grade_cracks(standard(CONCRETE), [replace(crack(1.0), crack=None)], inspected_area_m2=1.0, gsd_mm=1.0)
