"""GeoPackage, read by geopandas through GDAL and by SQLite, with what QGIS looks for."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import pyogrio
import pytest

from segmentation.records import StructureResult
from tasks.layers.qml import STEPS
from tests.tasks.layers.layer_samples import RESULTS, table_of, without_place, written
from tests.tasks.report.samples import RUN, bridge_deck, clean_deck, unseen_pier

LAYERS = {
    "rasters": "MultiPolygon",
    "structures": "MultiPolygon",
    "rust": "MultiPolygon",
    "cracks": "MultiLineString",
}


def package_of(folder: Path, *results: StructureResult) -> Path:
    written(folder, results or RESULTS, formats=["geopackage"])
    return folder / "defects.gpkg"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_of(tmp_path_factory.mktemp("gpkg"))


@pytest.fixture
def database(package: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(package)) as opened:
        opened.row_factory = sqlite3.Row
        yield opened


def layers_of(path: Path) -> dict[str, str | None]:
    return {str(name): kind for name, kind in pyogrio.list_layers(path)}


def test_every_layer_has_its_geometry_type_and_crs(package: Path) -> None:
    assert layers_of(package) == {**LAYERS, "layer_styles": None}
    for name in LAYERS:
        assert pyogrio.read_info(package, layer=name)["crs"] == "EPSG:4326"


def test_cracks_read_back_as_they_were_measured(package: Path) -> None:
    frame = geopandas.read_file(package, layer="cracks")
    cracks = [defect for defect in bridge_deck().defects if defect.crack is not None]
    assert frame["id"].tolist() == [crack.id for crack in cracks]
    assert frame["width_below_resolution"].tolist() == [False, False, True]
    assert frame["width_max_mm"].isna().tolist() == [False, False, True]
    for shape, crack in zip(frame.geometry, cracks, strict=True):
        assert shape.hausdorff_distance(crack.geometry) < 1e-9


def test_structures_say_what_was_not_inspected(package: Path) -> None:
    frame = geopandas.read_file(package, layer="structures").set_index("id")
    assert frame.loc["pier", "not_inspected_reason"] == "no raster covers it"
    assert frame.loc["deck", "worst_state"] == "CS3 poor"
    assert frame["crack_count"].isna().tolist() == [False, True]
    assert frame.loc["deck", "coverage_percent"] == 97.2


def test_columns_are_typed_and_explained(database: sqlite3.Connection) -> None:
    types = {row["name"]: row["type"] for row in database.execute("PRAGMA table_info(cracks)")}
    assert types["width_below_resolution"] == "BOOLEAN"
    assert types["severity_rank"] == "MEDIUMINT"
    assert types["length_m"] == "REAL"
    meanings = {
        row["column_name"]: row["description"]
        for row in database.execute("SELECT * FROM gpkg_data_columns WHERE table_name = 'cracks'")
    }
    assert meanings == {facts.name: facts.meaning for facts in table_of().columns}


def test_every_layer_has_a_default_style_where_qgis_looks(database: sqlite3.Connection) -> None:
    styles = {row["f_table_name"]: row for row in database.execute("SELECT * FROM layer_styles WHERE useAsDefault = 1")}
    geometry_columns = dict(database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall())
    assert styles.keys() == LAYERS.keys()
    for name, row in styles.items():
        assert (row["f_table_catalog"], row["f_table_schema"]) == ("", "")
        assert row["f_geometry_column"] == geometry_columns[name]
        assert ElementTree.fromstring(row["styleQML"]).tag == "qgis"
    (listed,) = database.execute("SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'")
    assert listed["data_type"] == "attributes"


def test_every_row_falls_into_a_category_of_its_style(package: Path, database: sqlite3.Connection) -> None:
    for name in ("cracks", "rust", "structures"):
        (qml,) = database.execute("SELECT styleQML FROM layer_styles WHERE f_table_name = ?", (name,)).fetchone()
        categories = {int(c.attrib["value"]) for c in ElementTree.fromstring(qml).iter("category")}
        assert set(geopandas.read_file(package, layer=name)["severity_rank"]) <= categories
    assert {step.rank for step in STEPS} == set(range(-2, 5))


@pytest.mark.parametrize(
    "results",
    [(unseen_pier(),), (clean_deck(),), (without_place(bridge_deck()),)],
    ids=["nothing-inspected", "nothing-found", "local-frame"],
)
def test_layers_keep_their_schema_where_they_are_empty(results: tuple[StructureResult, ...], tmp_path: Path) -> None:
    path = package_of(tmp_path, *results)
    assert layers_of(path) == {**LAYERS, "layer_styles": None}
    columns = [facts.name for facts in table_of().columns]
    for name in ("cracks", "rust"):
        assert pyogrio.read_info(path, layer=name)["fields"].tolist() == columns
    frame = geopandas.read_file(path, layer="cracks")
    assert frame.geometry.isna().all()
    assert len(frame) == sum(defect.crack is not None for result in results for defect in result.defects)


def test_package_is_sound(database: sqlite3.Connection) -> None:
    assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert database.execute("PRAGMA application_id").fetchone()[0] == int.from_bytes(b"GPKG")
    assert {row["last_change"] for row in database.execute("SELECT last_change FROM gpkg_contents")} == {
        f"{RUN.captured_at}T00:00:00.000Z"
    }


def test_equal_rows_give_equal_bytes_whenever_they_are_written(tmp_path: Path, package: Path) -> None:
    assert package_of(tmp_path).read_bytes() == package.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["defects.gpkg"], "and nothing of SQLite is left beside it"
