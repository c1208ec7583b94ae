"""A layer as GeoParquet 1.1: WKB, OGC:CRS84, a bounding box per row, meanings of the columns in the schema.

Specification: https://geoparquet.org/releases/v1.1.0/. The bytes are the same for the same rows and library versions:
Parquet names the version of the library that wrote it.
"""

import json
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import CRS

from tasks.layers.columns import GEOMETRY_COLUMN, Geometries, LayerTable, arrow_table
from tasks.layers.geometry import bounds_of

MEDIA_TYPE = "application/vnd.apache.parquet"
BBOX_COLUMN: Final = "bbox"
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_ROW_GROUP_ROWS: Final = 50_000
"""Small enough that a reader of one place skips groups, large enough to compress well."""


def write_geoparquet(path: Path, table: LayerTable) -> None:
    """Write the table; a row without a place on the earth has a null geometry and a null box."""
    arrow = arrow_table(table, shapely.to_wkb(table.geometries).tolist(), comment_key="description")
    arrow = arrow.append_column(
        pa.field(BBOX_COLUMN, _box_type(), metadata={"description": "Bounds of the geometry"}), _boxes(table)
    )
    metadata = {"geo": json.dumps(_geo_metadata(table), allow_nan=False), "description": table.description}
    pq.write_table(arrow.replace_schema_metadata(metadata), path, compression="zstd", row_group_size=_ROW_GROUP_ROWS)


def _geo_metadata(table: LayerTable) -> dict[str, Any]:
    bounds = bounds_of(table.geometries)
    return {
        "version": "1.1.0",
        "primary_column": GEOMETRY_COLUMN,
        "columns": {
            GEOMETRY_COLUMN: {
                "encoding": "WKB",
                "geometry_types": _type_names(table.geometries),
                "crs": CRS.from_user_input("OGC:CRS84").to_json_dict(),
                "orientation": "counterclockwise",
                "edges": "planar",
                **({"bbox": list(bounds)} if bounds else {}),
                "covering": {"bbox": {corner: [BBOX_COLUMN, corner] for corner in _CORNERS}},
            }
        },
    }


def _type_names(geometries: Geometries) -> list[str]:
    return sorted({geometry.geom_type for geometry in geometries if geometry is not None})


def _box_type() -> pa.DataType:
    return pa.struct([(corner, pa.float64()) for corner in _CORNERS])


def _boxes(table: LayerTable) -> pa.Array:
    bounds = shapely.bounds(table.geometries)
    mask = pa.array(shapely.is_missing(table.geometries))
    return pa.StructArray.from_arrays([pa.array(side) for side in bounds.T], fields=list(_box_type()), mask=mask)
