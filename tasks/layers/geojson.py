"""A layer as GeoJSON (RFC 7946): WGS 84, longitude first, one feature a line."""

import json
from pathlib import Path

import shapely

from tasks.layers.columns import LayerTable

MEDIA_TYPE = "application/geo+json"


def write_geojson(path: Path, table: LayerTable) -> None:
    """Write the table as a feature collection in UTF-8; a row without a place on the earth has a null geometry.

    A feature's id is the value of the column ``id``.
    """
    names = [facts.name for facts in table.columns]
    ids = table.column("id")
    dumped = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type":"FeatureCollection","features":[')
        # Written row by row: the coordinates of a survey as Python lists would be ten times the file.
        for number, values in enumerate(zip(*table.values, strict=True)):
            properties = dumped(dict(zip(names, values, strict=True)))
            geometry = shapely.to_geojson(table.geometries[number]) or "null"
            file.write(",\n" if number else "\n")
            file.write(
                f'{{"type":"Feature","id":{dumped(ids[number])},"geometry":{geometry},"properties":{properties}}}'
            )
        file.write("\n]}\n")
