"""Components: each graded by its own material, summed into its structure, nothing counted twice."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from segmentation.measurement.grading import load_standards, shipped_standards
from segmentation.measurement.rust import OF_FOOTPRINT, OF_REST, OF_STEEL, STAINING_BESIDE_STEEL
from segmentation.measurement.summary import summarise_survey
from segmentation.records import Defect, Grade, Structure, StructureResult
from tests.segmentation.measurement.defect_samples import crack, patch

STANDARDS = load_standards(shipped_standards())
REINFORCED, PRESTRESSED = "Reinforced concrete, cracking (defect 1130)", "Prestressed concrete, cracking (defect 1110)"


def structure(name: str, material: str, whole: str | None = None, problem: str | None = None) -> Structure:
    footprint = None if problem else box(0, 0, 1, 1)
    return Structure(name, name, name.lower(), "bridge", material, footprint, problem, component_of=whole)


def survey(structures: Sequence[Structure], areas_m2: Sequence[float], *defects: Defect) -> tuple[StructureResult, ...]:
    return summarise_survey(
        structures,
        defects=defects,
        inspected_area_m2=np.array(areas_m2),
        gsd_mm=np.full(len(structures), 1.0),
        footprint_area_m2=lambda _: 20.0,
        standards=STANDARDS,
        min_rust_area_px=64,
    )


def grade(result: StructureResult, element: str) -> Grade:
    return next(one for one in result.grades if one.element == element)


def test_a_structure_holds_what_its_components_and_its_rest_hold() -> None:
    bridge, other = survey(
        [structure("B", "concrete"), structure("G", "prestressed concrete", "B"), structure("O", "concrete")],
        [6.0, 4.0, 3.0],
        crack(0.5, 2.0, structure_id="B"),
        crack(0.2, 3.0, structure_id="G"),
        crack(9.0, 1.0, structure_id="O"),
    )
    (girder,) = bridge.components
    assert (bridge.inspected_area_m2, bridge.coverage_percent, bridge.cracks.total_length_m) == (10.0, 50.0, 5.0)
    assert (girder.inspected_area_m2, girder.coverage_percent, girder.cracks.total_length_m) == (4.0, 20.0, 3.0)
    assert {(d.structure_id, d.component_id) for d in bridge.defects} == {("B", None), ("B", "G")}
    assert (other.structure.id, other.components, other.cracks.count) == ("O", (), 1)


def test_each_part_is_graded_by_the_table_of_its_own_material() -> None:
    (bridge,) = survey(
        [structure("B", "concrete"), structure("G", "prestressed concrete", "B")],
        [6.0, 4.0],
        crack(0.2, 2.0, structure_id="B"),
        crack(0.2, 3.0, structure_id="G"),
    )
    assert grade(bridge, REINFORCED).grade.startswith("CS1")
    assert sum(grade(bridge, REINFORCED).quantities.values()) == pytest.approx(6.0)
    assert grade(bridge, PRESTRESSED).grade.startswith("CS2")
    assert sum(grade(bridge, PRESTRESSED).quantities.values()) == pytest.approx(4.0)
    states = {d.component_id: d.condition_state for d in bridge.defects}
    assert states == {None: "CS1", "G": "CS2"}


def test_rust_is_a_share_of_the_steel_components_where_there_are_any() -> None:
    (bridge,) = survey(
        [structure("B", "concrete"), structure("G", "steel", "B"), structure("D", "concrete", "B")],
        [5.0, 4.0, 1.0],
        patch(0.04, structure_id="G"),
        patch(0.5, structure_id="B"),
    )
    rust = bridge.rust
    assert (rust.denominator, rust.denominator_area_m2) == (OF_STEEL, 4.0)
    assert (rust.percent_of_inspected, rust.astm_d610_grade, rust.iso_4628_3_ri) == (pytest.approx(1.0), 6, "Ri 3")
    assert (rust.area_m2, rust.beside_denominator_m2) == (pytest.approx(0.54), pytest.approx(0.5))
    assert rust.staining == STAINING_BESIDE_STEEL
    corrosion = grade(bridge, "Steel, corrosion (defect 1000)")
    assert corrosion.quantities == {"CS1": pytest.approx(3.96), "CS2": pytest.approx(0.04)}


@pytest.mark.parametrize(
    ("materials", "areas_m2", "denominator", "of_m2"),
    [
        (("steel", "concrete"), (5.0, 4.0), OF_REST, 5.0),
        (("steel", "steel"), (5.0, 4.0), OF_STEEL, 4.0),
        (("concrete", "steel"), (5.0, 0.0), OF_FOOTPRINT, 5.0),
        (("concrete", "masonry"), (5.0, 4.0), OF_FOOTPRINT, 9.0),
    ],
    ids=["steel-with-a-concrete-part", "steel-with-a-steel-part", "a-steel-part-nobody-saw", "no-steel"],
)
def test_the_denominator_is_named_and_stated(
    materials: tuple[str, str], areas_m2: tuple[float, float], denominator: str, of_m2: float
) -> None:
    (found,) = survey([structure("B", materials[0]), structure("G", materials[1], "B")], areas_m2)
    assert (found.rust.denominator, found.rust.denominator_area_m2) == (denominator, of_m2)


def test_a_component_that_was_not_seen_says_so_and_the_others_go_on() -> None:
    (bridge,) = survey(
        [
            structure("B", "concrete"),
            structure("G", "concrete", "B"),
            structure("H", "concrete", "B", problem="a bow tie"),
        ],
        [5.0, 0.0, 0.0],
    )
    assert bridge.not_inspected_reason is None
    assert [one.not_inspected_reason for one in bridge.components] == [
        "no inspected pixel lies inside the footprint",
        "a bow tie",
    ]
    assert all(one.grades == () for one in bridge.components)


def test_a_structure_seen_only_in_its_component_is_inspected_there() -> None:
    (bridge,) = survey(
        [structure("B", "concrete"), structure("G", "concrete", "B")], [0.0, 4.0], crack(0.5, structure_id="G")
    )
    assert (bridge.not_inspected_reason, bridge.inspected_area_m2, bridge.gsd_mm) == (None, 4.0, 1.0)
    assert bridge.cracks.count == 1
    with pytest.raises(ValueError, match="outside its components"):
        survey([structure("B", "concrete"), structure("G", "concrete", "B")], [0.0, 4.0], crack(0.5, structure_id="B"))


MATERIALS = st.sampled_from(["concrete", "prestressed concrete", "steel", "masonry"])


@given(
    parts=st.lists(st.tuples(MATERIALS, st.floats(0.5, 9.0), st.floats(0.1, 3.0)), min_size=1, max_size=5),
)
def test_whatever_the_materials_each_crack_table_sums_to_its_elements(parts: list[tuple[str, float, float]]) -> None:
    structures = [
        structure("S0", parts[0][0]),
        *(structure(f"S{n}", m, "S0") for n, (m, _, _) in enumerate(parts) if n),
    ]
    defects = [crack(0.5, length, structure_id=f"S{n}") for n, (_, _, length) in enumerate(parts)]
    (result,) = survey(structures, [area for _, area, _ in parts], *defects)
    assert result.inspected_area_m2 == pytest.approx(sum(area for _, area, _ in parts))
    assert result.cracks.total_length_m == pytest.approx(sum(length for _, _, length in parts))
    for element, material in ((REINFORCED, "concrete"), (PRESTRESSED, "prestressed concrete")):
        area = sum(a for m, a, _ in parts if m == material)
        found = [sum(one.quantities.values()) for one in result.grades if one.element == element]
        assert found == ([pytest.approx(area)] if area else [])
