"""Write a comparison beside the newer run: complete or not there, and never changed once it is there.

`comparison.json` comes last and is put in place only where there is none: what lies in the folder without it is no
comparison. Of two that write at once one wins, and both tell the winner's place.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from tasks.compare.chain import FOLDER, RECORD
from tasks.compare.compare import RunComparison
from tasks.compare.imagery import RunImagery
from tasks.compare.page import comparison_html, comparison_report
from tasks.compare.pdf import comparison_pdf
from tasks.compare.pictures import ChangePictures, change_pictures, pictured_changes
from tasks.compare.published import PublishedRun
from tasks.compare.record import comparison_json
from tasks.compare.table import change_layers, change_table
from tasks.crash_points import reached
from tasks.layers import csv_table, geojson, geopackage
from tasks.layers.dates import UNDATED, capture_time
from tasks.output_files import OutputFiles
from tasks.storage import Storage
from tasks.storage_local import scratch_folder

PAGE, SHEETS = "comparison.html", "comparison.pdf"
TABLE, LAYER, PACKAGE = "comparison.csv", "comparison.geojson", "comparison.gpkg"
_MOST_ROWS, _MOST_PDF_ROWS = 2_000, 1_000
"""Rows of the tables of all structures together; the CSV holds all."""
_PICTURED_PER_STRUCTURE = 8
_PICTURED = 40
"""With two pictures of at most 48 kB each the page stays below 6 MB."""


@dataclass(frozen=True, slots=True)
class WrittenComparison:
    """Where a comparison is, and what it says."""

    uri: str
    """Address of its folder."""
    record: dict[str, Any]
    """`comparison.json`."""
    already_there: bool
    """Whether it was written before."""


def comparison_place(older: PublishedRun, newer: PublishedRun, out: Storage | None) -> Storage:
    """Where the comparison of two runs goes: beside the newer one, or to `out`."""
    return out if out is not None else newer.storage.child(f"{FOLDER}/{older.run_key}")


def written_before(older: PublishedRun, newer: PublishedRun, place: Storage) -> WrittenComparison | None:
    """The comparison of these very runs where it is there and complete."""
    if not place.exists(RECORD):
        return None
    record = json.loads(place.read(RECORD))
    if (record["older"]["run_key"], record["newer"]["run_key"]) != (older.run_key, newer.run_key):
        return None
    return WrittenComparison(place.uri(""), record, True)


def write_comparison(comparison: RunComparison, place: Storage) -> WrittenComparison:
    """Write page, table and layer, and at last the record, which makes them a comparison.

    A comparison of other runs that lies there goes first. Raises RunFailed E_DISK_FULL, E_PDF.
    """
    if place.exists(RECORD) and written_before(comparison.older, comparison.newer, place) is None:
        place.delete(RECORD)  # it would speak of files that are no longer its own
    record = comparison_json(comparison)
    files = OutputFiles(place)
    table = change_table(record)
    with scratch_folder("spanscan-compare-") as folder:
        path = folder / "layer"
        csv_table.write_csv(path, table)
        files.write_file(TABLE, path, csv_table.MEDIA_TYPE)
        geojson.write_geojson(path, table)
        files.write_file(LAYER, path, geojson.MEDIA_TYPE)
        package = folder / PACKAGE
        geopackage.write_geopackage(package, change_layers(table), changed_at=_flown(record))
        files.write_file(PACKAGE, package, geopackage.MEDIA_TYPE)
    pictures = _pictures(comparison)
    sheets = comparison_pdf(comparison_report(record, pictures, most_rows=_MOST_PDF_ROWS))
    files.write(SHEETS, sheets, "application/pdf")
    page = comparison_html(comparison_report(record, pictures, most_rows=_MOST_ROWS))
    files.write(PAGE, page.encode(), "text/html; charset=utf-8")
    record["outputs_sha256"] = dict(sorted(files.sha256.items()))
    reached("before_comparison_record")
    content = dumped_record(record)
    if not place.swap(RECORD, content, expected=None).swapped:
        earlier = written_before(comparison.older, comparison.newer, place)
        if earlier is not None:
            return earlier
        place.write(RECORD, content, content_type="application/json")
    reached("after_comparison_record")
    return WrittenComparison(place.uri(""), record, False)


def dumped_record(record: Mapping[str, Any]) -> bytes:
    """`comparison.json`, a structure a line; raises ValueError for NaN.

    Python writes indented JSON by itself, which takes 20 times as long: most of a minute for 20,000 defects.
    """
    dumped = partial(json.dumps, ensure_ascii=False, allow_nan=False)
    structures = ",\n".join(map(dumped, record["structures"]))
    parts = (
        f"{dumped(key)}: " + (f"[\n{structures}\n]" if key == "structures" else dumped(value))
        for key, value in record.items()
    )
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def _flown(record: dict[str, Any]) -> datetime:
    """When the newer survey was flown, for layers that are the same however often they are written."""
    captured = capture_time(record["newer"]["captured_at"])
    return captured.start if captured is not None else UNDATED


def _pictures(comparison: RunComparison) -> dict[str, tuple[ChangePictures, ...]]:
    pictures: dict[str, tuple[ChangePictures, ...]] = {}
    left = _PICTURED
    with (
        RunImagery(comparison.older, comparison.older_rasters) as older,
        RunImagery(comparison.newer, comparison.newer_rasters) as newer,
    ):
        for one in comparison.structures:
            chosen = pictured_changes(one, most=min(left, _PICTURED_PER_STRUCTURE))
            pictures[one.id] = change_pictures(one, chosen, older, newer)
            left -= len(chosen)
    return pictures
