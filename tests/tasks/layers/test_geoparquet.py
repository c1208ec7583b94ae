"""GeoParquet, read by geopandas and pyarrow."""

import json
from pathlib import Path
from typing import Any

import geopandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyproj import CRS

from segmentation.records import StructureResult
from tasks.layers.defect_table import DEFECT_COLUMNS
from tasks.layers.geoparquet import write_geoparquet
from tests.tasks.layers.layer_samples import table_of, without_place, written
from tests.tasks.report.samples import bridge_deck, unseen_pier


def file_of(folder: Path, *results: StructureResult) -> Path:
    write_geoparquet(folder / "x.parquet", table_of(*results))
    return folder / "x.parquet"


def geo_of(path: Path) -> dict[str, Any]:
    geo: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"geo"])
    return geo


def test_geopandas_reads_rows_places_and_types(tmp_path: Path) -> None:
    frame = geopandas.read_parquet(file_of(tmp_path))
    assert frame.crs == CRS("OGC:CRS84")
    assert frame["id"].tolist() == ["C-0001", "R-0001", "C-0002", "C-0003"]
    assert frame.geom_type.tolist() == ["MultiLineString", "MultiPolygon", "MultiLineString", "MultiLineString"]
    assert frame["width_below_resolution"].tolist() == [False, False, False, True]
    assert frame["width_max_mm"].isna().tolist() == [False, True, False, True]
    for shape, defect in zip(frame.geometry, bridge_deck().defects, strict=True):
        assert shape.hausdorff_distance(defect.geometry) < 1e-9


def test_reader_of_one_place_gets_its_rows_alone(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    west, south, east, north = geopandas.read_parquet(path).geometry.iloc[1].bounds
    assert geopandas.read_parquet(path, bbox=(west, south, east, north))["id"].tolist() == ["R-0001"]


def test_schema_says_what_each_column_means(tmp_path: Path) -> None:
    schema = pq.read_schema(file_of(tmp_path))
    for column in DEFECT_COLUMNS:
        metadata = schema.field(column.name).metadata
        assert metadata[b"description"].decode().startswith(column.description)
        assert metadata.get(b"unit", b"").decode() == (column.unit or "")
    assert schema.field("severity_rank").type == pa.int32()
    assert schema.field("width_max_mm").type == pa.float64()


def test_metadata_are_those_of_version_1_1(tmp_path: Path) -> None:
    geo = geo_of(file_of(tmp_path))
    column = geo["columns"]["geometry"]
    assert (geo["version"], geo["primary_column"], column["encoding"]) == ("1.1.0", "geometry", "WKB")
    assert column["geometry_types"] == ["MultiLineString", "MultiPolygon"]
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert column["bbox"] == pytest.approx(geopandas.read_parquet(tmp_path / "x.parquet").total_bounds.tolist())


def test_local_frame_has_null_geometries(tmp_path: Path) -> None:
    path = file_of(tmp_path, without_place(bridge_deck()))
    frame = geopandas.read_parquet(path)
    assert frame.geometry.isna().all()
    assert len(frame) == 4
    assert pq.read_table(path)["bbox"].null_count == 4
    assert "bbox" not in geo_of(path)["columns"]["geometry"]


def test_survey_without_a_defect_keeps_its_columns(tmp_path: Path) -> None:
    frame = geopandas.read_parquet(file_of(tmp_path, unseen_pier()))
    assert len(frame) == 0
    assert [name for name in frame.columns if name not in ("geometry", "bbox")] == [c.name for c in DEFECT_COLUMNS]


def test_item_names_the_columns_of_the_file(tmp_path: Path) -> None:
    written(tmp_path, formats=["geoparquet", "stac"])
    item = json.loads((tmp_path / "stac/item.json").read_text(encoding="utf-8"))
    stated = [column["name"] for column in item["assets"]["defects-parquet"]["table:columns"]]
    assert stated == pq.read_schema(tmp_path / "defects.parquet").names


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    first = file_of(tmp_path).read_bytes()
    assert file_of(tmp_path).read_bytes() == first
    assert pq.read_metadata(tmp_path / "x.parquet").row_group(0).column(0).compression == "ZSTD"
