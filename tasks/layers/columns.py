"""Tables whose columns are declared once: name, type, unit and meaning, from which every format takes its own form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from shapely.geometry.base import BaseGeometry

from tasks.report.wording import clean_text

Cell = str | int | float | bool | None
Kind = Literal["text", "integer", "real", "boolean"]
Geometries = npt.NDArray[np.object_]
Row = TypeVar("Row")

GEOMETRY_COLUMN: Final = "geometry"
_ARROW_TYPES: Final = {"text": pa.string(), "integer": pa.int32(), "real": pa.float64(), "boolean": pa.bool_()}
_PYTHON_TYPES: Final[dict[str, type]] = {"text": str, "integer": int, "real": float, "boolean": bool}


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column of a table."""

    name: str
    """Lower case, with its unit."""
    kind: Kind
    unit: str | None
    """UCUM or plain words; None where it has none."""
    description: str
    """What a value says, in one sentence; an empty value is said too where it has a meaning."""
    of: Callable[[Row], Cell]
    """The value of a row; None where it is not known."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What is told of a column, whatever the table's rows are."""

    name: str
    kind: Kind
    unit: str | None
    description: str

    @property
    def meaning(self) -> str:
        """Description and unit in one text."""
        return f"{self.description} [{self.unit}]" if self.unit else self.description


@dataclass(frozen=True, slots=True)
class LayerTable:
    """Rows with their geometry, by column; all values are of the column's kind or None, and none is NaN."""

    name: str
    """Name of the layer."""
    description: str
    columns: tuple[ColumnFacts, ...]
    values: tuple[tuple[Cell, ...], ...]
    """One tuple per column, each as long as the table."""
    geometries: Geometries
    """Shapely geometries in WGS 84 (lon, lat), multi-part, ``(N,)``; None where a row has no place on the earth."""

    def __len__(self) -> int:
        return len(self.geometries)

    def column(self, name: str) -> tuple[Cell, ...]:
        """The values of one column; raises KeyError for an unknown one."""
        for facts, values in zip(self.columns, self.values, strict=True):
            if facts.name == name:
                return values
        raise KeyError(name)

    def taken(self, rows: npt.NDArray[np.bool_], *, name: str, description: str) -> "LayerTable":
        """The rows marked True, as a layer of its own."""
        numbers = np.flatnonzero(rows).tolist()
        values = tuple(tuple(column[n] for n in numbers) for column in self.values)
        return LayerTable(name, description, self.columns, values, self.geometries[rows])


def make_table(
    name: str, description: str, columns: Sequence[Column[Row]], rows: Sequence[Row], geometries: Geometries
) -> LayerTable:
    """The table of `rows`; text in it is made safe by `clean_text`, a figure that is no number is None.

    Raises ValueError for a value that is not of its column's kind.
    """
    return LayerTable(
        name=name,
        description=clean_text(description),
        columns=tuple(ColumnFacts(c.name, c.kind, c.unit, c.description) for c in columns),
        values=tuple(tuple(_checked(column, column.of(row)) for row in rows) for column in columns),
        geometries=geometries,
    )


def arrow_table(table: LayerTable, geometries: Sequence[bytes | None], *, comment_key: str) -> pa.Table:
    """The table in Arrow's form; each field carries its meaning in its metadata under `comment_key`, and its unit.

    `geometries` are well-known binary, in the last column.
    """
    fields = [
        pa.field(
            facts.name,
            _ARROW_TYPES[facts.kind],
            metadata={comment_key: facts.meaning, **({"unit": facts.unit} if facts.unit else {})},
        )
        for facts in table.columns
    ]
    arrays = [
        pa.array(values, type=_ARROW_TYPES[f.kind]) for f, values in zip(table.columns, table.values, strict=True)
    ]
    fields.append(pa.field(GEOMETRY_COLUMN, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"}))
    arrays.append(pa.array(geometries, type=pa.binary()))
    return pa.table(arrays, schema=pa.schema(fields))


def geometry_list(geometries: Sequence[BaseGeometry | None]) -> Geometries:
    """Geometries as an array of objects ``(N,)``, which numpy would else take for sequences."""
    array = np.empty(len(geometries), dtype=object)
    array[:] = geometries
    return array


def _checked(column: Column[Row], value: Cell) -> Cell:
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return None
    if type(value) is not _PYTHON_TYPES[column.kind]:
        raise ValueError(f"column {column.name} must hold values of kind {column.kind}, got {type(value).__name__}")
    return clean_text(value) if isinstance(value, str) else value
