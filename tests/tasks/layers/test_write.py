"""The entry point: what was asked for is written, checksummed and told, and nothing else."""

import hashlib
from collections.abc import Collection
from pathlib import Path

import pytest

from tasks.layers.write import LAYER_FILES
from tasks.report_settings import FORMATS
from tests.tasks.layers.layer_samples import ALL_FORMATS, written
from tests.tasks.runs import files_of


@pytest.mark.parametrize(
    ("formats", "expected"),
    [
        ((), set()),
        (("html", "cog"), set()),
        (("csv",), {"defects.csv"}),
        (("geoparquet", "html"), {"defects.parquet"}),
        (("stac",), {"stac/item.json", "stac/model.json"}),
        (
            ALL_FORMATS,
            {"defects.csv", "defects.geojson", "defects.parquet", "defects.gpkg", "stac/item.json", "stac/model.json"},
        ),
    ],
    ids=["nothing", "no-layer", "csv", "geoparquet-beside-a-report", "stac", "all"],
)
def test_what_is_asked_for_is_written(formats: Collection[str], expected: set[str], tmp_path: Path) -> None:
    told = written(tmp_path, formats=formats)
    assert set(files_of(tmp_path)) == expected
    assert {one.path for one in told} == expected - {"stac/model.json"}


def test_every_layer_is_a_format_that_can_be_asked_for() -> None:
    assert set(ALL_FORMATS) <= set(FORMATS)
    for one in LAYER_FILES:
        assert one.label
        assert one.description


def test_equal_runs_give_equal_files(tmp_path: Path) -> None:
    """Of one machine: Parquet, SQLite and PROJ write their versions, or what depends on them."""
    made = []
    for name in ("one", "other"):
        written(tmp_path / name)
        made.append({key: hashlib.sha256(data).hexdigest() for key, data in files_of(tmp_path / name).items()})
    assert made[0] == made[1]
