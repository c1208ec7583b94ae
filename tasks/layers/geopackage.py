"""Layers in one GeoPackage, each with the style in which QGIS shows it, and with the meanings of its columns.

Written through GDAL; styles lie in the table ``layer_styles``, as QGIS itself saves them into a GeoPackage, and
meanings in ``gpkg_data_columns`` (OGC 12-128r18, F.9). The bytes are the same for the same rows and library versions:
the times at which layers changed, and SQLite's counters of changes, are set to given ones.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import pyogrio
import shapely

from tasks.layers.columns import GEOMETRY_COLUMN, LayerTable, arrow_table
from tasks.layers.dates import utc_text

MEDIA_TYPE = "application/geopackage+sqlite3"
_CHANGE_COUNTERS = (24, 92)
"""Offsets in a SQLite file."""
_OGR_COMMENT: Final = "GDAL:OGR:comment"
"""Field metadata in which GDAL looks for a column's meaning."""
_GEOMETRY_NAME: Final = "geom"
_STYLES: Final = "layer_styles"
_CREATE_STYLES: Final = f"""
CREATE TABLE {_STYLES} (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
  styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN,
  description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)"""


@dataclass(frozen=True, slots=True)
class StyledLayer:
    """A table with its geometry type and the style it is shown in."""

    table: LayerTable
    geometry_type: str
    """``MultiLineString`` or ``MultiPolygon``, declared even where there is no row."""
    qml: str
    """Style document of QGIS."""


def write_geopackage(path: Path, layers: Sequence[StyledLayer], *, changed_at: datetime) -> None:
    """Write the layers into a new file at `path`, in their order; `changed_at` is their time of last change."""
    # A crash leaves no file that counts: SQLite need not wait for the disk. pyogrio has a GDAL of its own.
    pyogrio.set_gdal_config_options({"OGR_SQLITE_SYNCHRONOUS": "OFF"})
    for number, layer in enumerate(layers):
        geometries = shapely.to_wkb(layer.table.geometries).tolist()
        pyogrio.write_arrow(
            arrow_table(layer.table, geometries, comment_key=_OGR_COMMENT),
            path,
            layer=layer.table.name,
            driver="GPKG",
            geometry_name=GEOMETRY_COLUMN,
            geometry_type=layer.geometry_type,
            crs="EPSG:4326",
            append=number > 0,
            layer_options={"DESCRIPTION": layer.table.description, "GEOMETRY_NAME": _GEOMETRY_NAME},
        )
    stamp = utc_text(changed_at).replace("Z", ".000Z")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")
        with database:
            _save_styles(database, layers, stamp=stamp)
            database.execute("UPDATE gpkg_contents SET last_change = ?", (stamp,))
        database.execute("VACUUM")
    _forget_transactions(path)


def _forget_transactions(path: Path) -> None:
    """Set SQLite's counters of changes to one value: GDAL's number of transactions differs from time to time.

    They are the file change counter and the version-valid-for number of the SQLite file format, section 1.3, which must
    be equal, and are for connections that are open at the same time.
    """
    with path.open("r+b") as file:
        for offset in _CHANGE_COUNTERS:
            file.seek(offset)
            file.write((1).to_bytes(4, "big"))


def _save_styles(database: sqlite3.Connection, layers: Sequence[StyledLayer], *, stamp: str) -> None:
    database.execute(_CREATE_STYLES)
    # QGIS finds the table where the GeoPackage lists it.
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change) "
        "VALUES (?, ?, ?, ?, ?)",
        (_STYLES, "attributes", _STYLES, "Styles in which QGIS shows the layers", stamp),
    )
    database.execute("INSERT INTO gpkg_ogr_contents (table_name, feature_count) VALUES (?, ?)", (_STYLES, len(layers)))
    database.executemany(
        f"INSERT INTO {_STYLES} (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
        "styleQML, styleSLD, useAsDefault, description, owner, ui, update_time) "
        "VALUES ('', '', ?, ?, ?, ?, '', 1, ?, '', NULL, ?)",
        [
            (layer.table.name, _GEOMETRY_NAME, layer.table.name, layer.qml, layer.table.description, stamp)
            for layer in layers
        ],
    )
