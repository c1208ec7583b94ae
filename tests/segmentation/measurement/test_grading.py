"""Grading tables: what the shipped ones say and apply to, users' own, and those that are refused."""

from math import nan
from pathlib import Path

import pytest
import yaml

from segmentation.errors import UsageError
from segmentation.measurement.crack_grades import grade_cracks
from segmentation.measurement.grading import load_standards, parse_standard, shipped_standards
from segmentation.measurement.rust import is_steel
from tests.segmentation.measurement.defect_samples import crack, standard

CONCRETE = {"aashto-mbei-concrete-cracking", "aashto-mbei-crack-spacing", "en-1992-1-1-crack-width"}
REINFORCED = CONCRETE | {"aci-224r-crack-width"}
PRESTRESSED = {"aashto-mbei-prestressed-cracking", "aashto-mbei-crack-spacing", "en-1992-1-1-crack-width"}
STEEL = {"aashto-mbei-steel-corrosion", "astm-d610", "iso-4628-3"}
NO_BRIDGE = {"en-1992-1-1-crack-width", "aci-224r-crack-width"}


@pytest.mark.parametrize(
    ("material", "kind", "expected"),
    [
        ("concrete", "bridge", REINFORCED),
        ("Reinforced Concrete", "pier", REINFORCED),
        ("steel-reinforced concrete", "pier", REINFORCED),
        ("stahlbeton", "brücke", REINFORCED),
        ("concrete", "Pavement", NO_BRIDGE),
        ("prestressed concrete", "girder", PRESTRESSED),
        ("post-tensioned concrete", "girder", PRESTRESSED),
        ("prestressed", "girder", PRESTRESSED),
        ("spannbeton", "brücke", PRESTRESSED),
        ("steel", "tower", STEEL),
        ("painted steel", "girder", STEEL),
        ("stainless steel", "tank", set()),
        ("asphalt", "pavement", {"astm-d6433-cracking"}),
        ("asphalt concrete", "road", {"astm-d6433-cracking"}),
        ("bituminous concrete", "road", {"astm-d6433-cracking"}),
        ("masonry", "façade", set()),
        ("", "", set()),
    ],
)
def test_material_and_kind_say_which_standards_apply(material: str, kind: str, expected: set[str]) -> None:
    shipped = load_standards(shipped_standards())
    assert {s.id for s in shipped if s.applies_to(material, kind=kind)} == expected
    # What rust is graded on and what its percentage is of follow one idea of steel.
    assert is_steel(material) == (expected == STEEL)


def test_every_shipped_table_names_its_edition_its_limits_and_warns_that_it_is_indicative() -> None:
    for one in load_standards(shipped_standards()):
        assert any(letter.isdigit() for letter in one.version)
        assert "indicative, verify against the licensed standard" in " ".join(one.source.split())
        assert one.rule
        assert one.limits_text
        assert all("4" not in state.name for state in one.states if state.name.startswith("CS"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aashto-mbei-concrete-cracking", "largest crack width: CS1 below 0.3048 mm, CS2 up to 1.27 mm, CS3 beyond"),
        ("aashto-mbei-crack-spacing", "crack spacing: CS1 above 0.9144 m, CS2 from 0.3048 m, CS3 beyond"),
        ("iso-4628-3", "rusted share: Ri 0 up to 0 %, Ri 1 up to 0.05 %, Ri 2 up to 0.5 %"),
        ("aashto-mbei-steel-corrosion", "presence of rust: CS1, CS2"),
        ("aci-224r-crack-width", "0.41 mm (dry air or protective membrane, 0.016 in)"),
    ],
)
def test_limits_are_told_from_the_figures_that_are_applied(name: str, words: str) -> None:
    assert words in standard(name).limits_text


def test_the_reference_widths_are_those_of_their_standards() -> None:
    assert [one.limit_mm for one in standard("en-1992-1-1-crack-width").limits] == [0.2, 0.3, 0.4]
    assert [one.limit_mm for one in standard("aci-224r-crack-width").limits] == [0.10, 0.15, 0.18, 0.30, 0.41]


def test_a_figure_that_is_no_number_has_no_state() -> None:
    with pytest.raises(ValueError, match="must be a number"):
        standard("astm-d610").state_of(nan)


def table(**changes: object) -> str:
    content = {
        "schema": 1, "id": "own", "standard": "Own", "version": "1", "element": "x",
        "method": "crack_width", "width": "max",
        "applies_to": {"class": "crack", "materials": ["concrete"], "except_materials": []},
        "states": [{"name": "good", "up_to_mm": 1}, {"name": "bad"}],
        "quantity": {"unit": "m"}, "rule": "r", "source": "s",
    }  # fmt: skip
    return yaml.safe_dump({key: value for key, value in (content | changes).items() if value is not None})


ON_RUST = {"class": "rust", "materials": ["steel"], "except_materials": []}
A_B_C = [{"name": "a", "up_to_mm": 2}, {"name": "b", "up_to_mm": 1}, {"name": "c"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "must be YAML"),
        ("[" * 100_000, "must be YAML"),
        ("a: 2000-99-99", "must be YAML"),
        ("- 1", "must be a mapping"),
        (table(schema=2), "schema must be 1"),
        (table(source=None), "source must be a str"),
        (table(method="guess"), "method must be one of"),
        (table(width="widest"), "width must be one of max, p95"),
        (table(quantity=None), "quantity must be a dict"),
        (table(quantity={"unit": "m2"}), "band_m must be a number above 0"),
        (table(quantity={"unit": "m2", "band_m": float("inf")}), "band_m must be a number above 0"),
        (table(states=A_B_C), "ascending limits"),
        (table(states=[{"name": "a", "up_to_mm": 2}, {"name": "b", "up_to_mm": 3}]), "last state must have no limit"),
        (table(states=[{"name": "a"}, {"name": "b"}]), "state a must have up_to_mm or below_mm, got none"),
        (table(states=[{"name": "a", "up_to_mm": 1, "below_mm": 1}, {"name": "b"}]), "got up_to_mm, below_mm"),
        (table(states=[{"name": "a", "up_to_mm": float("nan")}, {"name": "b"}]), "a number not below 0, got nan"),
        (table(states=[{"name": "a", "up_to_mm": 1}, {"name": "a"}]), "names of states must differ"),
        (table(states=[{"name": "CS3", "up_to_mm": 2}, {"name": "CS4"}]), "engineer's review"),
        (table(states=[{"name": "a", "up_to_mm": 2}, {"name": "cs 4"}]), "engineer's review"),
        (table(states=[{"name": "a", "up_to_mm": 2}, {"name": "b"}], never_assigned=["b"]), "never_assigned at once"),
        (table(applies_to=ON_RUST), "must go with class crack"),
        (table(applies_to={"class": "crack", "materials": "all", "except_materials": []}), "materials must be a list"),
        (table(method="rust_presence", applies_to=ON_RUST, quantity={"unit": "m2"}, states=A_B_C), "no limit"),
        (
            table(
                method="rust_presence", applies_to=ON_RUST, quantity={"unit": "m2"}, states=[{"name": n} for n in "abc"]
            ),
            "must be two",
        ),
        (
            table(
                method="crack_spacing",
                quantity={"unit": "m2"},
                states=[{"name": "a", "above_m": 1}, {"name": "b", "above_m": 2}, {"name": "c"}],
            ),
            "descending limits",
        ),
        (table(method="crack_limits", limits=[]), "limits must be at least one"),
        (table(method="crack_limits", limits=[{"width_mm": 0.2}]), "conditions must be a str"),
        (table(method="crack_limits", limits=[0.2]), "each limit must have width_mm"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_standard(text, name="own.yaml")
    assert caught.value.code == "E_STANDARD"
    assert "own.yaml" in str(caught.value)


def test_a_users_own_table_is_read_from_its_path_beside_shipped_ones(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(table(), encoding="utf-8")
    shipped, own = load_standards(["astm-d610", str(path)])
    assert (shipped.id, own.id) == ("astm-d610", "own")
    assert grade_cracks(own, [crack(2.0)], inspected_area_m2=1.0, gsd_mm=1.0).grade.startswith("bad")


def test_a_table_that_is_not_there_or_not_text_or_twice_the_same_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose from"):
        load_standards(["nonesuch"])
    with pytest.raises(UsageError, match="a YAML file that is there"):
        load_standards([str(tmp_path / "none.yaml")])
    with pytest.raises(UsageError, match="ids of tables must differ, got 'astm-d610' twice"):
        load_standards(["astm-d610", "astm-d610"])
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="readable as UTF-8"):
        load_standards([str(tmp_path / "bytes.yaml")])
