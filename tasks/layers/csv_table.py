"""A layer's attributes as CSV (RFC 4180): units in the headings, and no cell that a spreadsheet would run."""

import csv
from pathlib import Path
from typing import IO, Final

from tasks.layers.columns import Cell, LayerTable

MEDIA_TYPE = "text/csv; charset=utf-8"
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""Characters that make a spreadsheet take a cell for a formula, full-width forms included."""


def write_csv(path: Path, table: LayerTable) -> None:
    """Write the table in UTF-8 with a header; what is not known is an empty cell.

    Text that a spreadsheet would run as a formula gets a leading apostrophe; figures stay figures.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        csv_rows(file, table)


def csv_rows(file: IO[str], table: LayerTable) -> None:
    """`write_csv` into an open file."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([facts.name for facts in table.columns])
    writer.writerows([_cell(value) for value in row] for row in zip(*table.values, strict=True))


def inert(text: str) -> str:
    """Text that no spreadsheet runs: a leading apostrophe where it looks like a formula.

    >>> inert("=1+1"), inert("Pier 3")
    ("'=1+1", 'Pier 3')
    """
    return "'" + text if text.startswith(_FORMULA_STARTS) or text.lstrip().startswith(_FORMULA_STARTS) else text


def _cell(value: Cell) -> Cell:
    if isinstance(value, bool):
        return "true" if value else "false"
    return inert(value) if isinstance(value, str) else value
