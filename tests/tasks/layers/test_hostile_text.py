"""Text of strangers goes through every format and every reader as the same text, and does nothing on its way."""

import csv
import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas
import pyogrio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.records import StructureResult
from tasks.layers.csv_table import inert
from tasks.report.wording import clean_text
from tests.tasks.layers.layer_samples import written
from tests.tasks.report.samples import HOSTILE_NAME, bridge_deck

NAMES = {
    "markup-bidi-and-nul": HOSTILE_NAME,
    "formula": '=HYPERLINK("http://evil.example","x")',
    "sql": "'); DROP TABLE layer_styles; --",
    "new-lines": "a\r\nb\u2028c\nd",
    "nul": "a\0b",
    "lone-surrogate": "a\ud800b",
    "a-megabyte": "x" * 2**20,
    "composed": unicodedata.normalize("NFC", "Brücke Ångström"),
    "decomposed": unicodedata.normalize("NFD", "Brücke Ångström"),
    "beyond-the-basic-plane": "🌉 𝔅𝔯ü𝔠𝔨𝔢",
    "looks-like-nothing": "null",
    "looks-like-a-figure": "1e5",
    "empty": "",
}


def survey_of(names: Sequence[str]) -> list[StructureResult]:
    """A structure of each name, with one crack."""
    deck = bridge_deck()
    return [
        replace(
            deck,
            structure=replace(deck.structure, id=name, name=name, slug=f"s-{number}"),
            defects=(replace(deck.defects[0], id=f"C-{number}", structure_id=name),),
        )
        for number, name in enumerate(names)
    ]


def of_csv(folder: Path) -> list[str]:
    with (folder / "defects.csv").open(encoding="utf-8", newline="") as file:
        return [row["structure_name"] for row in csv.DictReader(file)]


def of_geojson(folder: Path) -> list[str]:
    text = (folder / "defects.geojson").read_text(encoding="utf-8")
    return [feature["properties"]["structure_name"] for feature in json.loads(text)["features"]]


def of_geojson_by_gdal(folder: Path) -> list[str]:
    return [str(name) for name in pyogrio.read_dataframe(folder / "defects.geojson")["structure_name"]]


def of_geoparquet(folder: Path) -> list[str]:
    return [str(name) for name in geopandas.read_parquet(folder / "defects.parquet")["structure_name"]]


def of_cracks(folder: Path) -> list[str]:
    return [str(name) for name in geopandas.read_file(folder / "defects.gpkg", layer="cracks")["structure_name"]]


def of_structures(folder: Path) -> list[str]:
    return [str(name) for name in geopandas.read_file(folder / "defects.gpkg", layer="structures")["name"]]


READERS: dict[str, Callable[[Path], list[str]]] = {
    "geojson": of_geojson,
    "geojson-by-gdal": of_geojson_by_gdal,
    "geoparquet": of_geoparquet,
    "geopackage-cracks": of_cracks,
    "geopackage-structures": of_structures,
}
TABLES = ("csv", "geojson", "geoparquet", "geopackage")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    written(made, survey_of(list(NAMES.values())), formats=TABLES)
    return made


@pytest.mark.parametrize("reader", READERS)
def test_name_reads_back_as_the_cleaned_text(reader: str, folder: Path) -> None:
    for name, found in zip(NAMES, READERS[reader](folder), strict=True):
        assert found == clean_text(NAMES[name]), name


def test_cell_of_a_spreadsheet_is_the_cleaned_text_made_inert(folder: Path) -> None:
    assert of_csv(folder) == [inert(clean_text(name)) for name in NAMES.values()]


def test_no_text_is_longer_than_a_page_or_holds_what_no_file_can(folder: Path) -> None:
    for found in of_cracks(folder):
        assert len(found) <= 2000
        assert not set(found) & set("\0\r\n\u202e")
    assert (folder / "defects.gpkg").stat().st_size < 10**6


def test_ids_that_look_like_figures_stay_text_and_apart(tmp_path: Path) -> None:
    ids = ["1", "01", "1.0", "true"]
    written(tmp_path, survey_of(ids), formats=TABLES)
    for frame in (
        pyogrio.read_dataframe(tmp_path / "defects.geojson"),
        geopandas.read_parquet(tmp_path / "defects.parquet"),
        geopandas.read_file(tmp_path / "defects.gpkg", layer="cracks"),
    ):
        assert frame["structure_id"].tolist() == ids


@settings(max_examples=5)
@given(st.lists(st.text(max_size=20), min_size=10, max_size=60))
def test_any_text_reads_back_from_every_format(names: list[str]) -> None:
    with TemporaryDirectory() as made:
        written(Path(made), survey_of(names), formats=TABLES)
        for reader in READERS.values():
            assert reader(Path(made)) == [clean_text(name) for name in names]
        assert of_csv(Path(made)) == [inert(clean_text(name)) for name in names]
