"""Frozen records as plain JSON data and back, without loss: every figure to its last bit, geometries as WKB."""

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import shapely
from shapely.geometry.base import BaseGeometry

_SCALARS = (str, int, float, bool)


def to_plain(value: Any) -> Any:
    """The value as what JSON holds; a figure that is not finite is the text ``nan``, ``inf`` or ``-inf``.

    Raises TypeError for what has no plain form.

    >>> to_plain((1, float("inf"), None))
    [1, 'inf', None]
    """
    kind = type(value)
    if kind is float:
        return value if isfinite(value) else str(value)
    if value is None or kind is str or kind is int or kind is bool:
        return value
    if kind is tuple or kind is list:
        return [to_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseGeometry):
        return shapely.to_wkb(value, hex=True)
    if is_dataclass(kind):
        return {name: to_plain(getattr(value, name)) for name in _names(kind)}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if hasattr(value, "item"):  # a figure of numpy's
        return to_plain(value.item())
    raise TypeError(f"a record must hold plain values, geometries and records, got {kind.__name__}")


def from_plain(kind: Any, data: Any) -> Any:
    """The record of type `kind` that `to_plain` gave this data for; keys that it does not know are passed over.

    Raises KeyError, TypeError or ValueError where the data is not of that type.
    """
    return _reader(kind)(data)


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union_reader(tuple(one for one in inner if one is not types.NoneType))
    if origin is tuple:
        return _tuple_reader(inner)
    if origin is dict:
        of_value = _reader(inner[1])
        return lambda data: {key: of_value(item) for key, item in data.items()}
    if origin is Literal or kind in (str, int, bool):
        return lambda data: data
    if kind is float:
        return float
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if isinstance(kind, type) and issubclass(kind, BaseGeometry):
        return lambda data: shapely.from_wkb(data)
    if isinstance(kind, type) and is_dataclass(kind):
        return _record_reader(kind)
    raise TypeError(f"a record must hold plain values, geometries and records, got a field of {kind}")


def _union_reader(kinds: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(kinds) > 1:
        if not all(kind in _SCALARS for kind in kinds):
            raise TypeError(f"a union must be of plain values or of one type and None, got {kinds}")
        return lambda data: data
    read = _reader(kinds[0])
    return lambda data: None if data is None else read(data)


def _tuple_reader(kinds: tuple[Any, ...]) -> Callable[[Any], Any]:
    if kinds[-1] is Ellipsis:
        read = _reader(kinds[0])
        return lambda data: tuple(read(item) for item in data)
    readers = tuple(_reader(kind) for kind in kinds)
    return lambda data: tuple(read(item) for read, item in zip(readers, data, strict=True))


def _record_reader(kind: type) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)

    @cache
    def readers() -> dict[str, Callable[[Any], Any]]:  # late, since a record may hold records of its own type
        return {name: _reader(hints[name]) for name in _names(kind)}

    def read(data: Any) -> Any:
        return kind(**{name: reader(data[name]) for name, reader in readers().items() if name in data})

    return read
