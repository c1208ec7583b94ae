"""structures.geojson: what is understood, what is refused as a whole, and what spoils one structure only."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from segmentation.errors import InputRejected
from segmentation.records import Structure
from tasks.slugs import unique_slugs
from tasks.structures_file import overlap_warnings, read_structures
from tests.tasks.surveys import LIMITS

SQUARE = [[-92.0, 46.0], [-91.9, 46.0], [-91.9, 46.1], [-92.0, 46.1], [-92.0, 46.0]]
HOLE = [[-91.98, 46.02], [-91.96, 46.02], [-91.96, 46.04], [-91.98, 46.02]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(*features: Any, **members: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features), **members}


def read(document: Any) -> tuple[Structure, ...]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_structures(data, name="structures.geojson", limits=LIMITS)


def test_a_structure_has_what_the_file_says_of_it() -> None:
    (found,) = read(
        collection(feature(polygon(SQUARE, HOLE), id="P 7", name="Pier 7", kind="pier", material="Concrete"))
    )
    assert (found.id, found.name, found.slug) == ("P 7", "Pier 7", "p-7-pier-7")
    assert (found.kind, found.material, found.problem, found.raster_name) == ("pier", "concrete", None, None)
    assert found.footprint is not None
    assert found.footprint.area == pytest.approx(0.01 - 0.0002)


def test_what_the_file_does_not_say_has_a_default() -> None:
    first, second = read(
        collection(feature(polygon(SQUARE)), {"type": "Feature", "id": 2, "geometry": polygon(SQUARE)})
    )
    assert (first.id, first.name, first.kind, first.material) == ("S1", "S1", "structure", "unknown")
    assert (second.id, second.name) == ("2", "2")


@pytest.mark.parametrize("given_id", ["S2", "s2 ", 2.0])
def test_a_default_id_never_meets_a_given_one(given_id: Any) -> None:
    found = read(collection(feature(polygon(SQUARE), id=given_id), feature(polygon(SQUARE))))
    assert len({one.id for one in found}) == 2


@pytest.mark.parametrize("document", [feature(polygon(SQUARE)), polygon(SQUARE)], ids=["feature", "geometry"])
def test_a_lone_feature_or_polygon_is_one_structure(document: Any) -> None:
    assert [one.problem for one in read(document)] == [None]


def test_a_byte_order_mark_is_no_harm() -> None:
    assert len(read(b"\xef\xbb\xbf" + json.dumps(polygon(SQUARE)).encode())) == 1


@pytest.mark.parametrize("name", ["EPSG:32615", "urn:ogc:def:crs:EPSG::32615", "urn:ogc:def:crs:EPSG:6.9:32615"])
def test_an_old_crs_member_with_a_known_code_is_honoured(name: str) -> None:
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32615", always_xy=True)
    ring = [list(to_utm.transform(*position)) for position in SQUARE]
    (found,) = read(collection(feature(polygon(ring)), crs={"type": "name", "properties": {"name": name}}))
    assert found.footprint is not None
    assert found.footprint.bounds == pytest.approx((-92.0, 46.0, -91.9, 46.1), abs=1e-9)


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:OGC::CRS84", "EPSG:4326"])
def test_a_crs_member_that_names_wgs84_changes_nothing(name: str) -> None:
    (found,) = read(collection(feature(polygon(SQUARE)), crs={"type": "name", "properties": {"name": name}}))
    assert found.footprint is not None
    assert found.footprint.bounds == (-92.0, 46.0, -91.9, 46.1)


def named_crs(name: str) -> dict[str, Any]:
    return collection(feature(polygon(SQUARE)), crs={"type": "name", "properties": {"name": name}})


LINK = {"type": "link", "properties": {"href": "http://127.0.0.1:9/crs", "type": "proj4"}}
REFUSED: dict[str, tuple[str, Any]] = {
    "not-json": ("E_GEOJSON", b"{]"),
    "not-utf8": ("E_GEOJSON", b'{"type": "\xff\xfe"}'),
    "empty": ("E_GEOJSON", b""),
    "nested-100000-deep": ("E_GEOJSON", b"[" * 100_000),
    "coordinates-nested-100000-deep": (
        "E_GEOJSON",
        b'{"type":"Polygon","coordinates":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ),
    "a-list": ("E_GEOJSON", [1]),
    "another-type": ("E_GEOJSON", {"type": "Topology"}),
    "a-type-that-is-no-text": ("E_GEOJSON", {"type": ["Polygon"]}),
    "no-features": ("E_GEOJSON", collection()),
    "features-is-no-list": ("E_GEOJSON", {"type": "FeatureCollection", "features": {}}),
    "a-feature-is-null": ("E_GEOJSON", collection(None)),
    "crs-link": ("E_GEOJSON", collection(feature(polygon(SQUARE)), crs=LINK)),
    "crs-unknown-code": ("E_GEOJSON", named_crs("EPSG:999999")),
    "crs-of-heights": ("E_GEOJSON", named_crs("EPSG:5773")),
    "crs-as-a-url": ("E_GEOJSON", named_crs("http://127.0.0.1:9/")),
    "crs-is-text": ("E_GEOJSON", collection(feature(polygon(SQUARE)), crs="EPSG:4326")),
    "same-id-twice": ("E_DUP_ID", collection(feature(polygon(SQUARE), id="a"), feature(polygon(SQUARE), id="a"))),
    "ids-1-and-text-1": ("E_DUP_ID", collection(feature(polygon(SQUARE), id=1), feature(polygon(SQUARE), id="1"))),
    "nfc-nfd-twins": (
        "E_DUP_ID",
        collection(feature(polygon(SQUARE), id="\u00e9"), feature(polygon(SQUARE), id="e\u0301")),
    ),
    "too-many-structures": ("E_LIMIT", collection(*[feature(None)] * 1001)),
    "too-many-vertices": ("E_LIMIT", collection(feature(polygon([SQUARE[0]] * 200_001)))),
    "too-large": ("E_LIMIT", b" " * (LIMITS.max_document_bytes + 1)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_understood_is_refused_as_a_whole(case: str) -> None:
    code, document = REFUSED[case]
    with pytest.raises(InputRejected) as refused:
        read(document)
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


@dataclass(frozen=True)
class Unusable:
    """A footprint that spoils its own structure."""

    id: str
    geometry: Any
    words: str


UNUSABLE = [
    Unusable("null", None, "no geometry"),
    Unusable("text", "POLYGON", "no geometry"),
    Unusable("line", {"type": "LineString", "coordinates": SQUARE}, "LineString"),
    Unusable("collection", {"type": "GeometryCollection", "geometries": [polygon(SQUARE)]}, "GeometryCollection"),
    Unusable("empty", polygon(), "empty"),
    Unusable("empty-multi", {"type": "MultiPolygon", "coordinates": []}, "empty"),
    Unusable("no-coordinates", {"type": "Polygon"}, "empty"),
    Unusable("self-intersecting", polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]), "Self-intersection"),
    Unusable("nan", polygon([[float("nan"), 0], *SQUARE]), "finite"),
    Unusable("infinite", polygon([[0, 0], [0, 1e400], [1, 1], [0, 0]]), "finite"),
    Unusable("huge-integer", polygon([[0, 0], [0, 10**400], [1, 1], [0, 0]]), "numbers"),
    Unusable("unclosed", polygon(SQUARE[:-1]), "not closed"),
    Unusable("two-positions", polygon(SQUARE[:2]), "fewer than 4"),
    Unusable("no-area", polygon([[0, 0], [0, 0], [0, 0], [0, 0]]), ""),
    Unusable("text-positions", polygon([["0", "0"], ["1", "0"], ["1", "1"], ["0", "0"]]), "numbers"),
    Unusable("one-number-positions", polygon([[0], [1], [2], [0]]), "numbers"),
    Unusable("nested-positions", polygon([[[0], [1]]] * 4), "numbers"),
    Unusable("metres", polygon([[576650, 5188198], [576660, 5188198], [576660, 5188190], [576650, 5188198]]), "576650"),
]


@pytest.mark.parametrize("case", UNUSABLE, ids=lambda case: case.id)
def test_an_unusable_footprint_is_a_problem_of_its_own_structure_only(case: Unusable) -> None:
    good = feature(polygon(SQUARE), id="good")
    bad, other = read(collection(feature(case.geometry, id="bad"), good))
    assert bad.problem is not None
    assert case.words in bad.problem
    assert bad.footprint is None
    assert other == replace(read(collection(good))[0])
    assert other.problem is None


def test_footprints_under_others_are_told_of_and_neighbours_are_not() -> None:
    def shifted(own_id: str, by_deg: float) -> dict[str, Any]:
        return feature(polygon([[lon + by_deg, lat] for lon, lat in SQUARE]), id=own_id)

    apart = [shifted("A", 0.0), shifted("B", 0.1), shifted("C", 0.1995)]
    assert overlap_warnings(read(collection(*apart))) == ()
    (said,) = overlap_warnings(read(collection(*apart, *(shifted(f"D{k}", 0.01 * k) for k in range(5)))))
    assert said.startswith("footprints overlap: 100% of D0, 100% of D1, 100% of D2, part of 2 more under structures")


def test_a_component_names_its_structure_and_takes_its_material_where_it_has_none() -> None:
    bridge, girder, deck = read(
        collection(
            feature(polygon(SQUARE), id="7", material="Concrete", kind="bridge"),
            feature(polygon(SQUARE), id="g", component_of=7, material="Steel", kind="girder"),
            feature(polygon(SQUARE), id="d", component_of="7 ", name="Deck"),
        )
    )
    assert (bridge.component_of, girder.component_of, deck.component_of) == (None, "7", "7")
    assert (bridge.material, girder.material, deck.material) == ("concrete", "steel", "concrete")
    assert all(one.problem is None for one in (bridge, girder, deck))


@pytest.mark.parametrize("whole", ["nobody", "self", "part", "", [1], {"id": "b"}], ids=str)
def test_a_component_of_what_is_no_structure_stands_alone_and_says_why(whole: Any) -> None:
    found = read(
        collection(
            feature(polygon(SQUARE), id="b"),
            feature(polygon(SQUARE), id="part", component_of="b"),
            feature(polygon(SQUARE), id="self", component_of=whole),
        )
    )
    assert [one.component_of for one in found] == [None, "b", None]
    assert found[0].problem is found[1].problem is None
    assert found[2].problem is not None
    assert "component_of must be the id of a structure" in found[2].problem
    assert found[2].footprint is None


def test_a_component_of_a_structure_that_cannot_be_inspected_shares_its_problem() -> None:
    bow_tie = polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]])
    bad, part = read(collection(feature(bow_tie, id="b"), feature(polygon(SQUARE), id="p", component_of="b")))
    assert bad.problem is not None
    assert part.component_of == "b"
    assert part.problem == f"the structure it is part of cannot be inspected: {bad.problem}"


def test_a_polygon_of_many_vertices_is_read() -> None:
    side = [[i / 1e6, 0.0] for i in range(100_000)]
    (found,) = read(polygon([*side, [0.1, 1.0], [0.0, 1.0], [0.0, 0.0]]))
    assert found.problem is None


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "=cmd()", "../../etc/passwd", "\u6a4b", "a\0b\nc", "\ud800", "x" * 9999]
)
def test_a_hostile_name_has_a_harmless_slug_and_can_be_written(text: str) -> None:
    (found,) = read(collection(feature(polygon(SQUARE), id=text, name=text)))
    assert found.slug
    assert set(found.slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(found.slug) <= 60
    assert found.name.encode().decode() == found.name
    assert "\0" not in found.name + found.id
    assert "\n" not in found.name + found.id


@given(st.lists(st.text(max_size=70), max_size=30))
def test_slugs_are_safe_and_differ_also_where_case_does_not_count(texts: list[str]) -> None:
    slugs = unique_slugs(texts, fallback="structure")
    assert len({slug.lower() for slug in slugs}) == len(texts)
    assert all(slug and set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for slug in slugs)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=25,
)
_GEOMETRY = st.fixed_dictionaries({"type": st.sampled_from(["Polygon", "MultiPolygon", "Point"]), "coordinates": _ANY})
_FEATURE = st.fixed_dictionaries(
    {"type": st.just("Feature"), "properties": _ANY, "geometry": _ANY | _GEOMETRY, "id": _ANY}
)


@settings(max_examples=80, deadline=None)
@given(
    _ANY
    | st.fixed_dictionaries(
        {"type": st.just("FeatureCollection"), "features": st.lists(_FEATURE, max_size=4), "crs": st.none() | _ANY}
    )
)
def test_any_json_is_read_or_refused(document: Any) -> None:
    try:
        found = read(document)
    except InputRejected:
        return
    assert all((one.footprint is None) == (one.problem is not None) for one in found)
