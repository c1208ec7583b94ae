"""Grading tables of published standards (`standards/*.yaml`): what one holds, and how it is read and checked.

A table says for which class, materials and kinds of structure it applies, by which figure it grades, its limits,
its rule in words, its edition and its source. Several apply at once. A table is checked when it is loaded.
`segmentation.measurement.crack_grades` and `rust_grades` apply them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Method:
    """By which figure a table grades."""

    pixel_class: PixelClass
    figure: str
    """The figure in words."""
    unit: str
    """Its unit, "" where the mere presence counts."""
    limit_keys: tuple[str, str]
    """Names of a state's limit, included and excluded."""
    falling: bool = False
    """Whether smaller figures are worse."""


METHODS: Final = {
    "crack_width": Method(PixelClass.CRACK, "crack width", "mm", ("up_to_mm", "below_mm")),
    "crack_spacing": Method(PixelClass.CRACK, "crack spacing", "m", ("from_m", "above_m"), falling=True),
    "crack_limits": Method(PixelClass.CRACK, "crack width", "mm", ("", "")),
    "rust_percent": Method(PixelClass.RUST, "rusted share", "%", ("up_to_percent", "below_percent")),
    "rust_presence": Method(PixelClass.RUST, "presence of rust", "", ("", "")),
}
"""The methods of grading by their names in a table."""

_QUANTITY_UNITS: Final = {
    "crack_width": ("m", "m2"),
    "crack_spacing": ("m2",),
    "rust_presence": ("m2",),
}


@dataclass(frozen=True, slots=True)
class State:
    """One condition state, severity or grade of a standard."""

    name: str
    limit: float
    """Limit on its worse side, in the method's unit; infinite for the worst state."""
    included: bool
    """Whether the limit itself is still of this state."""
    falling: bool = False
    """Whether smaller figures are worse."""

    def holds(self, value: float) -> bool:
        """Whether a figure is no worse than this state."""
        if value == self.limit:
            return self.included
        return value > self.limit if self.falling else value < self.limit


@dataclass(frozen=True, slots=True)
class Distribution:
    """How rust is spread, by a rule of our own after the words of ASTM D610."""

    pinpoint_diameter_mm: float
    spot_patches: int
    dominant_share: float
    mixed_share: float


@dataclass(frozen=True, slots=True)
class WidthLimit:
    """A crack width that a standard calls tolerable under stated conditions."""

    limit_mm: float
    conditions: str
    """For which exposure or use."""


@dataclass(frozen=True, slots=True)
class Standard:
    """One grading table."""

    id: str
    """Name of its file without the ending."""
    standard: str
    version: str
    """Edition."""
    element: str
    pixel_class: PixelClass
    materials: tuple[str, ...]
    """Words of which a structure's material must hold one."""
    except_materials: tuple[str, ...]
    """Words of which it must hold none."""
    except_kinds: tuple[str, ...]
    """Words of which its kind must hold none."""
    method: str
    """One of `METHODS`."""
    width: str
    """Which width grades a crack, ``max`` or ``p95``; "" where none does."""
    states: tuple[State, ...]
    """Best first; none for reference limits."""
    never_assigned: tuple[str, ...]
    """States of the standard that a mask cannot tell."""
    limits: tuple[WidthLimit, ...]
    """Reference limits, ascending; none for a table of states."""
    limits_text: str
    """The limits in words with their unit, from the very figures that are applied."""
    unit: str
    """Unit of the quantities, "" where there are none."""
    band_m: float | None
    """Width of the strip that a crack takes of the element's area; None where quantities are lengths."""
    distribution: Distribution | None
    rule: str
    source: str

    def applies_to(self, material: str, *, kind: str = "") -> bool:
        """Whether the standard speaks of structures of this material and kind."""
        return (
            holds_a_word(material, self.materials)
            and not holds_a_word(material, self.except_materials)
            and not holds_a_word(kind, self.except_kinds)
        )

    def state_of(self, value: float) -> State:
        """The best state that holds a figure; raises ValueError for one that is no number."""
        found = next((state for state in self.states if state.holds(value)), None)
        if found is None:
            raise ValueError(f"a figure to be graded by {self.id} must be a number, got {value}")
        return found

    def states_between(self, low: float, high: float) -> tuple[State, ...]:
        """All states that a figure between `low` and `high` could have, best first."""
        first, last = sorted(self.states.index(self.state_of(value)) for value in (low, high))
        return self.states[first : last + 1]


@lru_cache(maxsize=4096)
def holds_a_word(text: str, words: tuple[str, ...]) -> bool:
    """Whether a text holds one of the words, which are in lower case, anywhere and in any case."""
    told = text.casefold()
    return any(word in told for word in words)


def shipped_standards() -> tuple[str, ...]:
    """Ids of the tables that come with spanscan, in the order of their names."""
    names = (entry.name for entry in files("segmentation.measurement.standards").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_standards(names: Sequence[str]) -> tuple[Standard, ...]:
    """The tables of the given names: ids of shipped ones, or paths of ``*.yaml`` files of the user's own.

    Raises UsageError (``E_STANDARD``) where there is none of that name, two tables have one id, or a table is not
    as it must be.
    """
    loaded: dict[str, Standard] = {}
    for name in names:
        table = parse_standard(_text(name), name=name)
        if table.id in loaded:
            raise UsageError(
                "E_STANDARD", name, f"ids of tables must differ, got {table.id!r} twice", "give it an id of its own"
            )
        loaded[table.id] = table
    return tuple(loaded.values())


def _text(name: str) -> str:
    if name in shipped_standards():
        return (files("segmentation.measurement.standards") / f"{name}.yaml").read_text(encoding="utf-8")
    path = Path(name)
    try:
        if path.suffix in (".yaml", ".yml") and path.is_file():
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(name, f"the table must be readable as UTF-8, got {error}") from error
    raise UsageError(
        "E_STANDARD",
        name,
        "a standard must be a shipped one or the path of a YAML file that is there",
        f"choose from {', '.join(shipped_standards())}, or give the path of a .yaml file",
    )


def parse_standard(text: str, *, name: str) -> Standard:
    """A table from YAML; raises UsageError (``E_STANDARD``) that names what is wrong with it."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _bad(name, f"the table must be YAML, got {error}") from error
    if not isinstance(content, dict):
        raise _bad(name, f"the table must be a mapping, got {type(content).__name__}")
    table = _Reader(content, name)
    if table.get("schema", int) != 1:
        raise _bad(name, f"schema must be 1, got {content['schema']}")
    method = table.one_of("method", tuple(METHODS))
    where = _Reader(table.get("applies_to", dict), name)
    pixel_class = METHODS[method].pixel_class
    if where.one_of("class", CLASS_NAMES[1:]) != CLASS_NAMES[pixel_class]:
        raise _bad(
            name, f"method {method} must go with class {CLASS_NAMES[pixel_class]}, got {where.get('class', str)}"
        )
    unit, band_m = _quantity(table, method, name)
    never = table.words("never_assigned", optional=True, folded=False)
    width = table.one_of("width", ("max", "p95")) if method in ("crack_width", "crack_limits") else ""
    states = () if method == "crack_limits" else _states(table.get("states", list), method, never, name)
    limits = _limits(table.get("limits", list), name) if method == "crack_limits" else ()
    return Standard(
        id=table.get("id", str),
        standard=table.get("standard", str),
        version=table.get("version", str),
        element=table.get("element", str),
        pixel_class=pixel_class,
        materials=where.words("materials"),
        except_materials=where.words("except_materials"),
        except_kinds=where.words("except_kinds", optional=True),
        method=method,
        width=width,
        states=states,
        never_assigned=never,
        limits=limits,
        limits_text=_limits_text(METHODS[method], width, states, limits),
        unit=unit,
        band_m=band_m,
        distribution=_distribution(table, content, name),
        rule=table.get("rule", str),
        source=table.get("source", str),
    )


def _limits_text(method: Method, width: str, states: Sequence[State], limits: Sequence[WidthLimit]) -> str:
    figure = {"max": "largest ", "p95": "95th percentile of "}.get(width, "") + method.figure
    if limits:
        return f"{figure}: " + ", ".join(f"{one.limit_mm:g} mm ({one.conditions})" for one in limits)
    if not method.unit:
        return f"{figure}: " + ", ".join(state.name for state in states)
    bound = ("from", "above") if method.falling else ("up to", "below")
    told = [f"{s.name} {bound[0 if s.included else 1]} {s.limit:g} {method.unit}" for s in states[:-1]]
    return f"{figure}: {', '.join(told)}, {states[-1].name} beyond"


def _quantity(table: "_Reader", method: str, name: str) -> tuple[str, float | None]:
    """Unit of the quantities and width of a crack's band."""
    if method not in _QUANTITY_UNITS:
        return "", None
    quantity = _Reader(table.get("quantity", dict), name)
    unit = quantity.one_of("unit", _QUANTITY_UNITS[method])
    return unit, quantity.number("band_m") if method == "crack_width" and unit == "m2" else None


def _distribution(table: "_Reader", content: Mapping[str, Any], name: str) -> Distribution | None:
    if "distribution" not in content:
        return None
    spread = _Reader(table.get("distribution", dict), name)
    return Distribution(
        spread.number("pinpoint_diameter_mm"),
        spread.get("spot_patches", int),
        spread.number("dominant_share"),
        spread.number("mixed_share"),
    )


class _Reader:
    """Fields of a table, with an error that names the table and the field."""

    def __init__(self, content: Mapping[str, Any], name: str) -> None:
        self._content, self._name = content, name

    def get(self, key: str, kind: type[T]) -> T:
        value = self._content.get(key)
        if not isinstance(value, kind) or value == "" or isinstance(value, bool):
            raise _bad(self._name, f"{key} must be a {kind.__name__}, got {value!r}")
        return value

    def number(self, key: str) -> float:
        value = self._content.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < inf:
            raise _bad(self._name, f"{key} must be a number above 0, got {value!r}")
        return float(value)

    def one_of(self, key: str, allowed: Sequence[str]) -> str:
        value = self.get(key, str)
        if value not in allowed:
            raise _bad(self._name, f"{key} must be one of {', '.join(allowed)}, got {value!r}")
        return value

    def words(self, key: str, *, optional: bool = False, folded: bool = True) -> tuple[str, ...]:
        if optional and key not in self._content:
            return ()
        values = self.get(key, list)
        if not all(isinstance(value, str) and value for value in values):
            raise _bad(self._name, f"{key} must be a list of words, got {values!r}")
        return tuple(str(value).casefold() if folded else str(value) for value in values)


def _states(entries: list[Any], method: str, never: Sequence[str], name: str) -> tuple[State, ...]:
    states = []
    for number, entry in enumerate(entries):
        last = number == len(entries) - 1
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
            raise _bad(name, f"each state must have a name in quotes, got {entry!r}")
        states.append(_state(entry, method, last=last, name=name))
        plain = entry["name"].replace(" ", "").casefold()
        if plain == "cs4":
            raise _bad(name, "CS4 must not be a state: it is an engineer's review, not a width")
        if entry["name"] in never:
            raise _bad(name, f"{entry['name']} must not be a state and never_assigned at once")
    if len({state.name for state in states}) != len(states):
        raise _bad(name, f"names of states must differ, got {[state.name for state in states]}")
    if method == "rust_presence":
        if len(states) != 2:
            raise _bad(name, f"states of rust_presence must be two, without and with rust, got {len(states)}")
        return tuple(states)
    falling = METHODS[method].falling
    limits = [-state.limit if falling else state.limit for state in states]
    if len(states) < 2 or any(high <= low for low, high in pairwise(limits)):
        order = "descending" if falling else "ascending"
        raise _bad(name, f"states must be at least two with {order} limits, got {[state.limit for state in states]}")
    return tuple(states)


def _state(entry: Mapping[str, Any], method: str, *, last: bool, name: str) -> State:
    kind = METHODS[method]
    own, keys = entry["name"], [key for key in kind.limit_keys if key and key in entry]
    worst = -inf if kind.falling else inf
    if last or not kind.unit:
        limited = [key for other in METHODS.values() for key in other.limit_keys if key and key in entry]
        if limited:
            raise _bad(name, f"the last state must have no limit, so that every value has a state, got {limited[0]}")
        return State(own, worst if last else 0.0, included=True, falling=kind.falling)
    if len(keys) != 1:
        raise _bad(name, f"state {own} must have {' or '.join(kind.limit_keys)}, got {', '.join(keys) or 'none'}")
    value = entry[keys[0]]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < inf:
        raise _bad(name, f"state {own} must have {keys[0]}, a number not below 0, got {value!r}")
    return State(own, float(value), included=keys[0] == kind.limit_keys[0], falling=kind.falling)


def _limits(entries: list[Any], name: str) -> tuple[WidthLimit, ...]:
    limits = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise _bad(name, f"each limit must have width_mm and conditions, got {entry!r}")
        one = _Reader(entry, name)
        limits.append(WidthLimit(one.number("width_mm"), one.get("conditions", str)))
    if not limits or any(high.limit_mm <= low.limit_mm for low, high in pairwise(limits)):
        raise _bad(name, f"limits must be at least one with ascending width_mm, got {[one.limit_mm for one in limits]}")
    return tuple(limits)


def _bad(name: str, cause: str) -> UsageError:
    return UsageError("E_STANDARD", name, cause, "mend the table after the pattern of the shipped ones")
