"""Grades by the shipped tables: limits, straddling, what is never graded, and tables that are refused."""

from dataclasses import dataclass, replace

import pytest
import yaml
from shapely.geometry import LineString, MultiLineString, MultiPolygon, box

from segmentation.classes import PixelClass
from segmentation.errors import UsageError
from segmentation.measurement.grading import (
    NOT_GRADED,
    Standard,
    condition_state,
    distribution,
    grade_cracks,
    grade_rust,
    load_standards,
    parse_standard,
    shipped_standards,
)
from segmentation.records import CrackMeasure, Defect
from segmentation.windows import Window


def standard(name: str) -> Standard:
    return load_standards([name])[0]


def crack(width_mm: float, *, length_m: float = 1.0, spread_mm: float = 0.0, below: bool = False) -> Defect:
    measure = CrackMeasure(length_m, width_mm, width_mm, width_mm, spread_mm, "profile", (0.0, 0.0), 0.2)
    line = MultiLineString([LineString([(0, 0), (10, 0)])])
    return Defect("", PixelClass.CRACK, "S", "a.tif", Window(0, 1, 0, 10), line, None, 0.1, 0.9, measure, below)


def patch(area_m2: float, side_px: float = 1000.0) -> Defect:
    outline = MultiPolygon([box(0, 0, side_px, side_px)])
    return Defect("", PixelClass.RUST, "S", "a.tif", Window(0, 9, 0, 9), outline, None, area_m2, 0.9, None, False)


CONCRETE = "aashto-mbei-concrete-cracking"


@dataclass(frozen=True)
class Limit:
    standard: str
    width_mm: float
    state: str


LIMITS = [
    Limit(CONCRETE, 0.30, "CS1"),
    Limit(CONCRETE, 0.31, "CS2"),
    Limit(CONCRETE, 1.27, "CS2"),
    Limit(CONCRETE, 1.28, "CS3"),
    Limit(CONCRETE, 500.0, "CS3"),
    Limit("aashto-mbei-prestressed-cracking", 0.10, "CS1"),
    Limit("aashto-mbei-prestressed-cracking", 0.22, "CS2"),
    Limit("aashto-mbei-prestressed-cracking", 0.23, "CS3"),
    Limit("astm-d6433-cracking", 9.9, "low"),
    Limit("astm-d6433-cracking", 10.1, "medium"),
    Limit("astm-d6433-cracking", 75.1, "high"),
]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda v: f"{v.standard}-{v.width_mm}-mm-is-{v.state}")
def test_a_crack_gets_the_state_of_its_width(limit: Limit) -> None:
    grade = grade_cracks(standard(limit.standard), [crack(limit.width_mm)], inspected_area_m2=10.0, gsd_mm=1.0)
    assert grade.grade.split(";")[0] == limit.state


def test_areas_per_state_sum_to_the_inspected_area() -> None:
    cracks = [
        crack(0.2, length_m=3),
        crack(0.5, length_m=2),
        crack(2.0, length_m=4),
        crack(0.1, length_m=5, below=True),
    ]
    grade = grade_cracks(standard(CONCRETE), cracks, inspected_area_m2=10.0, gsd_mm=1.0)
    assert grade.unit == "m2"
    assert sum(grade.quantities.values()) == pytest.approx(10.0)
    assert grade.quantities["CS3"] == pytest.approx(4 * 0.3048)
    assert grade.quantities["CS2"] == pytest.approx(2 * 0.3048)
    assert grade.quantities[NOT_GRADED] == pytest.approx(5 * 0.3048)
    assert "CS4" not in grade.quantities


def test_more_crack_than_area_takes_all_of_it_worst_state_first() -> None:
    cracks = [crack(0.5, length_m=30), crack(2.0, length_m=20)]
    grade = grade_cracks(standard(CONCRETE), cracks, inspected_area_m2=10.0, gsd_mm=1.0)
    assert grade.quantities["CS3"] == pytest.approx(20 * 0.3048)
    assert grade.quantities["CS2"] == pytest.approx(10 - 20 * 0.3048)
    assert grade.quantities["CS1"] == 0
    assert sum(grade.quantities.values()) == pytest.approx(10.0)


def test_lengths_per_severity_sum_to_the_length_of_all_cracks() -> None:
    cracks = [crack(5, length_m=3), crack(30, length_m=2), crack(4, length_m=7, below=True)]
    grade = grade_cracks(standard("astm-d6433-cracking"), cracks, inspected_area_m2=10.0, gsd_mm=1.0)
    assert grade.quantities == {"low": 3, "medium": 2, "high": 0, NOT_GRADED: 7}
    assert grade.unit == "m"


def test_a_crack_below_resolution_is_never_graded() -> None:
    grade = grade_cracks(standard(CONCRETE), [crack(0.1, below=True)], inspected_area_m2=10.0, gsd_mm=1.0)
    assert grade.grade.startswith("no crack wide enough to be graded")
    assert "1.00 m of cracks below resolution not graded" in grade.grade
    assert condition_state(standard(CONCRETE), crack(5.0, below=True)) is None


def test_a_raster_too_coarse_for_the_first_limit_never_says_cs1() -> None:
    coarse = grade_cracks(standard(CONCRETE), [], inspected_area_m2=10.0, gsd_mm=1.5)
    assert coarse.grade.startswith("no crack found")
    assert "0.3 mm are narrower than a pixel and cannot be excluded" in coarse.grade
    fine = grade_cracks(standard(CONCRETE), [], inspected_area_m2=10.0, gsd_mm=0.1)
    assert fine.grade == "CS1, no crack found; seen at 0.1 mm per pixel"


def test_an_uncertainty_that_straddles_a_limit_names_both_states() -> None:
    grade = grade_cracks(standard(CONCRETE), [crack(1.2, spread_mm=0.2)], inspected_area_m2=10.0, gsd_mm=1.0)
    assert grade.grade.startswith("CS2; the ± of 1 crack straddles a limit: could be CS2 to CS3")
    clear = grade_cracks(standard(CONCRETE), [crack(0.8, spread_mm=0.2)], inspected_area_m2=10.0, gsd_mm=1.0)
    assert "straddles" not in clear.grade


def test_condition_states_are_those_of_the_bridge_standard_alone() -> None:
    assert condition_state(standard(CONCRETE), crack(0.5)) == "CS2"
    assert condition_state(standard("astm-d6433-cracking"), crack(20)) is None
    assert condition_state(standard("astm-d610"), patch(0.1)) is None


D610 = [
    (0.0, "10"), (0.01, "10"), (0.011, "9"), (0.03, "9"), (0.1, "8"), (0.3, "7"), (1.0, "6"), (3.0, "5"),
    (10.0, "4"), (16.0, "3"), (33.0, "2"), (50.0, "1"), (50.1, "0"), (100.0, "0"),
]  # fmt: skip
ISO = [
    (0.0, "Ri 0"), (0.001, "Ri 1"), (0.05, "Ri 1"), (0.051, "Ri 2"), (0.5, "Ri 2"), (1.0, "Ri 3"), (8.0, "Ri 4"),
    (8.1, "Ri 5"), (60.0, "Ri 5"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "percent", "state"),
    [("astm-d610", *row) for row in D610] + [("iso-4628-3", *row) for row in ISO],
)
def test_rust_is_graded_by_its_share(name: str, percent: float, state: str) -> None:
    patches = [patch(percent / 100 * 4.0)] if percent else []
    grade = grade_rust(standard(name), patches, inspected_area_m2=4.0, gsd_mm=1.0)
    assert grade.grade.split(";")[0].split("-")[0] == state
    assert grade.quantities == {}


def test_half_a_pixel_of_outline_that_crosses_a_limit_is_told() -> None:
    grade = grade_rust(standard("astm-d610"), [patch(0.0099, side_px=20.0)], inspected_area_m2=1.0, gsd_mm=1.0)
    assert "could be 6 to 5" in grade.grade


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


@pytest.mark.parametrize(
    ("material", "expected"),
    [
        ("concrete", {CONCRETE}),
        ("Reinforced Concrete", {CONCRETE}),
        ("prestressed concrete", {"aashto-mbei-prestressed-cracking"}),
        ("steel", {"astm-d610", "iso-4628-3"}),
        ("painted steel", {"astm-d610", "iso-4628-3"}),
        ("stainless steel", set()),
        ("asphalt", {"astm-d6433-cracking"}),
        ("asphalt concrete", {"astm-d6433-cracking"}),
        ("masonry", set()),
        ("", set()),
    ],
)
def test_the_material_says_which_standards_apply(material: str, expected: set[str]) -> None:
    assert {s.id for s in load_standards(shipped_standards()) if s.applies_to(material)} == expected


def test_every_shipped_table_names_its_edition_and_warns_that_it_is_indicative() -> None:
    for one in load_standards(shipped_standards()):
        assert one.version
        assert "indicative, verify against the licensed standard" in " ".join(one.source.split())
        assert one.rule


def table(**changes: object) -> str:
    content = {
        "schema": 1, "id": "own", "standard": "Own", "version": "1", "element": "x",
        "method": "crack_width", "width": "max",
        "applies_to": {"class": "crack", "materials": ["concrete"], "except_materials": []},
        "states": [{"name": "good", "up_to_mm": 1}, {"name": "bad"}],
        "quantity": {"unit": "m"}, "rule": "r", "source": "s",
    }  # fmt: skip
    return yaml.safe_dump({key: value for key, value in (content | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "must be YAML"),
        ("- 1", "must be a mapping"),
        (table(schema=2), "schema must be 1"),
        (table(source=None), "source must be a str"),
        (table(method="guess"), "method must be one of"),
        (table(width="widest"), "width must be one of max, p95"),
        (table(quantity=None), "must say its quantity"),
        (table(quantity={"unit": "m2"}), "band_m must be a number above 0"),
        (table(states=[{"name": "a", "up_to_mm": 2}, {"name": "b", "up_to_mm": 1}, {"name": "c"}]), "ascending"),
        (table(states=[{"name": "a", "up_to_mm": 2}, {"name": "b", "up_to_mm": 3}]), "last state must have no"),
        (table(states=[{"name": "a"}, {"name": "b"}]), "state a must have up_to_mm"),
        (table(states=[{"name": "CS3", "up_to_mm": 2}, {"name": "CS4"}]), "engineer's review"),
        (table(applies_to={"class": "rust", "materials": [], "except_materials": []}), "must go with class crack"),
        (table(applies_to={"class": "crack", "materials": "all", "except_materials": []}), "materials must be a list"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_standard(text, name="own.yaml")
    assert caught.value.code == "E_STANDARD"
    assert "own.yaml" in str(caught.value)


def test_a_users_own_table_is_read_from_its_path(tmp_path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(table(), encoding="utf-8")
    (own,) = load_standards([str(path)])
    assert grade_cracks(own, [crack(2.0)], inspected_area_m2=1.0, gsd_mm=1.0).grade.startswith("bad")
    with pytest.raises(UsageError, match="choose from"):
        load_standards(["nonesuch"])


def test_a_crack_without_measure_cannot_be_graded() -> None:
    with pytest.raises(ValueError, match="carry its measure"):
        grade_cracks(standard(CONCRETE), [replace(crack(1.0), crack=None)], inspected_area_m2=1.0, gsd_mm=1.0)
