"""Rust by its share and by its presence: limits, straddling, distribution, sums."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.measurement.rust_grades import distribution, grade_rust, rust_state
from segmentation.records import Grade
from tests.segmentation.measurement.defect_samples import patch, standard

# Upper limits in percent with the state up to and including each, and the one just above.
D610 = [
    (0.01, "10", "9"), (0.03, "9", "8"), (0.1, "8", "7"), (0.3, "7", "6"), (1.0, "6", "5"), (3.0, "5", "4"),
    (10.0, "4", "3"), (16.0, "3", "2"), (33.0, "2", "1"), (50.0, "1", "0"),
]  # fmt: skip
ISO = [
    (0.0, "Ri 0", "Ri 1"),
    (0.05, "Ri 1", "Ri 2"),
    (0.5, "Ri 2", "Ri 3"),
    (1.0, "Ri 3", "Ri 4"),
    (8.0, "Ri 4", "Ri 5"),
]


def graded(
    name: str, areas_m2: list[float], *, surface_m2: float = 1.0, gsd_mm: float = 0.5, side_px: float = 1e9
) -> Grade:
    patches = [patch(area, side_px) for area in areas_m2]
    return grade_rust(standard(name), patches, surface_area_m2=surface_m2, gsd_mm=gsd_mm, min_rust_area_px=64)


@pytest.mark.parametrize(
    ("name", "percent", "state", "above"),
    [("astm-d610", *row) for row in D610] + [("iso-4628-3", *row) for row in ISO],
)
def test_rust_is_graded_by_its_share(name: str, percent: float, state: str, above: str) -> None:
    # A surface of 100 m2 makes the area in m2 the percentage, to the last digit.
    for value, expected in ((max(percent - 1e-6, 0.0), state), (percent, state), (percent + 1e-6, above)):
        assert rust_state(standard(name), [patch(value)] if value else [], surface_area_m2=100.0) == expected
    assert graded(name, [percent] if percent else [], surface_m2=100.0).quantities == {}


@pytest.mark.parametrize(("name", "worst"), [("astm-d610", "0"), ("iso-4628-3", "Ri 5")])
def test_a_surface_all_rusted_is_of_the_worst_state(name: str, worst: str) -> None:
    assert rust_state(standard(name), [patch(1.0)], surface_area_m2=1.0) == worst


def test_half_a_pixel_of_outline_that_crosses_a_limit_names_both_grades() -> None:
    found = graded("astm-d610", [0.0099], side_px=20.0)
    assert found.grade.startswith("6-S or 5-S; half a pixel of outline straddles a limit: could be 6 to 5")
    assert graded("astm-d610", [0.006]).grade.startswith("6-S; seen at")


@dataclass(frozen=True)
class Spread:
    id: str
    areas_m2: tuple[float, ...]
    word: str | None


SPECK = 2e-5
SPREADS = [
    Spread("no-rust", (), None),
    Spread("only-specks", (SPECK,) * 20, "pinpoint"),
    Spread("one-large-patch", (0.1, SPECK), "spot"),
    Spread("many-patches-of-a-size", (0.01,) * 20, "general"),
    Spread("patches-and-specks", (4e-3,) * 5 + (SPECK,) * 500, "hybrid"),
]


@pytest.mark.parametrize("spread", SPREADS, ids=lambda spread: spread.id)
def test_distribution_follows_its_rule(spread: Spread) -> None:
    assert distribution(standard("astm-d610"), [patch(area) for area in spread.areas_m2]) == spread.word


def test_where_specks_are_not_listed_pinpoint_rusting_is_said_not_to_be_told() -> None:
    assert "pinpoint rusting cannot be told" in graded("astm-d610", [0.01], gsd_mm=2.0).grade
    assert "pinpoint" not in graded("astm-d610", [0.01], gsd_mm=0.5).grade


@given(areas=st.lists(st.floats(1e-6, 2.0), max_size=6), surface_m2=st.floats(0.1, 5.0))
def test_corrosion_areas_sum_to_the_surface_and_only_cs1_and_cs2_are_assigned(
    areas: list[float], surface_m2: float
) -> None:
    found = graded("aashto-mbei-steel-corrosion", areas, surface_m2=surface_m2)
    assert sum(found.quantities.values()) == pytest.approx(surface_m2)
    assert list(found.quantities) == ["CS1", "CS2"]
    assert found.grade.startswith("CS2" if areas else "CS1, no rust found")
    assert "CS3 and CS4 take an engineer" in found.grade


def test_a_surface_without_area_is_refused() -> None:
    with pytest.raises(ValueError, match="must have an inspected area"):
        graded("astm-d610", [], surface_m2=0.0)
