"""GeoJSON: opened again, it says what the records say, as RFC 7946 asks."""

import json
from pathlib import Path
from typing import Any

import pyogrio
from shapely.geometry import shape

from tasks.layers.geojson import write_geojson
from tests.tasks.layers.layer_samples import table_of, without_place
from tests.tasks.report.samples import bridge_deck, unseen_pier


def collection_of(folder: Path, *results: Any) -> dict[str, Any]:
    write_geojson(folder / "x.geojson", table_of(*results))
    collection: dict[str, Any] = json.loads((folder / "x.geojson").read_text(encoding="utf-8"))
    return collection


def test_features_lie_where_the_defects_lie(tmp_path: Path) -> None:
    collection = collection_of(tmp_path)
    assert "crs" not in collection, "RFC 7946 is WGS 84 alone"
    names = [facts.name for facts in table_of().columns]
    for feature, defect in zip(collection["features"], bridge_deck().defects, strict=True):
        assert feature["id"] == defect.id
        assert defect.geometry is not None
        assert shape(feature["geometry"]).hausdorff_distance(defect.geometry) < 1e-9
        assert list(feature["properties"]) == names


def test_outer_rings_run_counter_clockwise(tmp_path: Path) -> None:
    patch = next(f for f in collection_of(tmp_path)["features"] if f["properties"]["class"] == "rust")
    (part,) = shape(patch["geometry"]).geoms
    assert part.exterior.is_ccw


def test_local_frame_has_no_geometry(tmp_path: Path) -> None:
    collection = collection_of(tmp_path, without_place(bridge_deck()))
    assert [f["geometry"] for f in collection["features"]] == [None] * 4
    assert {f["properties"]["lon_deg"] for f in collection["features"]} == {None}


def test_survey_without_a_defect_is_an_empty_collection(tmp_path: Path) -> None:
    assert collection_of(tmp_path, unseen_pier()) == {"type": "FeatureCollection", "features": []}


def test_gdal_reads_the_types(tmp_path: Path) -> None:
    collection_of(tmp_path)
    frame = pyogrio.read_dataframe(tmp_path / "x.geojson")
    assert str(frame.crs.to_authority()) == "('EPSG', '4326')"
    assert frame["severity_rank"].tolist() == [3, 3, 2, -1]
    assert frame["width_below_resolution"].tolist() == [False, False, False, True]
    assert frame["width_max_mm"].isna().tolist() == [False, True, False, True]
