"""Grades by published standards, from versioned tables (`standards/*.yaml`).

A table says for which class and which materials it applies, by which figure it grades, its limits, its rule in
words, its edition and its source. Several apply at once. A table is checked when it is loaded.

What is never done: a crack below resolution is never graded by its width; CS4 is never assigned; nothing is
graded where nothing was inspected. Where the ± of a width straddles a limit, the grade names both states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.errors import UsageError
from segmentation.records import Defect, Grade

NOT_GRADED: Final = "not graded"
"""Key of the quantity of cracks that are below resolution."""

T = TypeVar("T")

_METHODS: Final = ("crack_width", "rust_percent")


@dataclass(frozen=True, slots=True)
class State:
    """One condition state, severity or grade of a standard."""

    name: str
    up_to: float
    """Upper limit, included, in the method's unit (mm or percent); infinity for the last."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How rust is spread, by a rule of our own after the words of ASTM D610."""

    pinpoint_diameter_mm: float
    spot_patches: int
    dominant_share: float
    mixed_share: float


@dataclass(frozen=True, slots=True)
class Standard:
    """One grading table."""

    id: str
    """Name of its file without the ending."""
    standard: str
    version: str
    element: str
    pixel_class: PixelClass
    materials: tuple[str, ...]
    """Words of which a structure's material must hold one."""
    except_materials: tuple[str, ...]
    """Words of which it must hold none."""
    method: str
    """``crack_width`` or ``rust_percent``."""
    width: str
    """Which width grades a crack, ``max`` or ``p95``; "" for rust."""
    states: tuple[State, ...]
    """Best first for widths and for percentages alike: limits ascend."""
    unit: str
    """Unit of the quantities, "" where there are none."""
    band_m: float | None
    """Width of the strip that a crack takes of the element's area; None where quantities are lengths."""
    distribution: Distribution | None
    rule: str
    source: str

    def applies_to(self, material: str) -> bool:
        """Whether the standard speaks of structures of this material."""
        told = material.casefold()
        return any(word in told for word in self.materials) and not any(word in told for word in self.except_materials)

    def state_of(self, value: float) -> State:
        """The first state whose limit is not exceeded."""
        return next(state for state in self.states if value <= state.up_to)

    def states_between(self, low: float, high: float) -> tuple[State, ...]:
        """All states that a value between `low` and `high` could have."""
        first, last = self.states.index(self.state_of(low)), self.states.index(self.state_of(high))
        return self.states[first : last + 1]


def shipped_standards() -> tuple[str, ...]:
    """Ids of the tables that come with spanscan, in their order of precedence."""
    names = (entry.name for entry in files("segmentation.measurement.standards").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_standards(names: Sequence[str]) -> tuple[Standard, ...]:
    """The tables of the given names: ids of shipped ones, or paths of ``*.yaml`` files of the user's own.

    Raises UsageError (``E_STANDARD``) where there is none of that name, or a table is not as it must be.
    """
    loaded = []
    for name in names:
        if name in shipped_standards():
            text = (files("segmentation.measurement.standards") / f"{name}.yaml").read_text(encoding="utf-8")
        elif Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
            text = Path(name).read_text(encoding="utf-8")
        else:
            raise UsageError(
                "E_STANDARD",
                name,
                "a standard must be a shipped one or the path of a YAML file",
                f"choose from {', '.join(shipped_standards())}",
            )
        loaded.append(parse_standard(text, name=name))
    return tuple(loaded)


def parse_standard(text: str, *, name: str) -> Standard:
    """A table from YAML; raises UsageError (``E_STANDARD``) that names what is wrong with it."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _bad(name, f"the table must be YAML, got {error}") from error
    if not isinstance(content, dict):
        raise _bad(name, f"the table must be a mapping, got {type(content).__name__}")
    table = _Reader(content, name)
    if table.get("schema", int) != 1:
        raise _bad(name, f"schema must be 1, got {content['schema']}")
    method = table.one_of("method", _METHODS)
    limit = "up_to_mm" if method == "crack_width" else "up_to_percent"
    where = _Reader(table.get("applies_to", dict), name)
    quantity = _Reader(table.get("quantity", dict), name) if "quantity" in content else None
    spread = _Reader(table.get("distribution", dict), name) if "distribution" in content else None
    pixel_class = PixelClass(CLASS_NAMES.index(where.one_of("class", CLASS_NAMES[1:])))
    if (method == "crack_width") != (pixel_class == PixelClass.CRACK):
        raise _bad(name, f"method crack_width must go with class crack, rust_percent with rust, got {method}")
    if method == "crack_width" and quantity is None:
        raise _bad(name, "a table of crack widths must say its quantity, got none")
    unit = quantity.one_of("unit", ("m", "m2")) if quantity else ""
    return Standard(
        id=table.get("id", str),
        standard=table.get("standard", str),
        version=table.get("version", str),
        element=table.get("element", str),
        pixel_class=pixel_class,
        materials=where.words("materials"),
        except_materials=where.words("except_materials"),
        method=method,
        width=table.one_of("width", ("max", "p95")) if method == "crack_width" else "",
        states=_states(table.get("states", list), limit, name),
        unit=unit,
        band_m=quantity.number("band_m") if quantity and unit == "m2" else None,
        distribution=Distribution(
            spread.number("pinpoint_diameter_mm"),
            spread.get("spot_patches", int),
            spread.number("dominant_share"),
            spread.number("mixed_share"),
        )
        if spread
        else None,
        rule=table.get("rule", str),
        source=table.get("source", str),
    )


def grade_cracks(standard: Standard, cracks: Sequence[Defect], *, inspected_area_m2: float, gsd_mm: float) -> Grade:
    """Quantities per state and the worst state of the cracks of one structure.

    Quantities sum to the inspected area (unit m2: a crack takes a band along its length, worst state first,
    the rest is the best state) or to the length of all cracks (unit m).
    """
    lengths = {state.name: 0.0 for state in standard.states}
    unclear_m, straddling = 0.0, []
    for defect in cracks:
        if defect.crack is None:
            raise ValueError(f"a crack must carry its measure, got none for {defect.id!r}")
        if defect.below_resolution:
            unclear_m += defect.crack.length_m
            continue
        possible = _possible_states(standard, defect)
        lengths[_state(standard, defect).name] += defect.crack.length_m
        if len(possible) > 1:
            straddling.append((defect, possible))
    worst = next((state.name for state in reversed(standard.states) if lengths[state.name] > 0), None)
    quantities = _areas(standard, lengths, unclear_m, inspected_area_m2) if standard.band_m else dict(lengths)
    if unclear_m > 0 and not standard.band_m:
        quantities[NOT_GRADED] = unclear_m
    words = [worst if worst is not None else _nothing_graded(standard, unclear_m, gsd_mm)]
    if straddling:
        lowest = min((possible[0] for _, possible in straddling), key=standard.states.index)
        highest = max((possible[-1] for _, possible in straddling), key=standard.states.index)
        count = len(straddling)
        words.append(
            f"the ± of {count} crack{'s' if count > 1 else ''} straddles a limit: "
            f"could be {lowest.name} to {highest.name}"
        )
    if unclear_m > 0:
        words.append(f"{unclear_m:.2f} m of cracks below resolution not graded")
    words.append(f"seen at {gsd_mm:.1f} mm per pixel")
    if gsd_mm > standard.states[0].up_to:
        words.append(f"cracks of {standard.states[0].up_to:.2g} mm are narrower than a pixel and cannot be excluded")
    return _grade(standard, quantities, "; ".join(words))


def condition_state(standard: Standard, defect: Defect) -> str | None:
    """Condition state of one crack (CS1 … CS3); None below resolution or where the standard has no such states."""
    if defect.crack is None or defect.below_resolution or standard.method != "crack_width":
        return None
    name = _state(standard, defect).name
    return name if name.startswith("CS") else None


def grade_rust(standard: Standard, patches: Sequence[Defect], *, inspected_area_m2: float, gsd_mm: float) -> Grade:
    """Grade of one structure by the rusted share of its inspected area.

    The states that half a pixel more or less of every outline would give are named where they differ.
    """
    if inspected_area_m2 <= 0:
        raise ValueError(f"a graded structure must have an inspected area, got {inspected_area_m2} m2")
    area = sum(patch.area_m2 for patch in patches)
    rim = sum(_half_pixel_rim_m2(patch) for patch in patches)
    name = standard.state_of(_percent(area, inspected_area_m2)).name
    possible = standard.states_between(
        _percent(max(area - rim, 0.0), inspected_area_m2), _percent(area + rim, inspected_area_m2)
    )
    spread = distribution(standard, patches)
    words = [f"{name}-{spread[0].upper()}" if spread else name]
    if len(possible) > 1:
        words.append(f"half a pixel of outline straddles a limit: could be {possible[0].name} to {possible[-1].name}")
    words.append(f"seen at {gsd_mm:.1f} mm per pixel")
    return _grade(standard, {}, "; ".join(words))


def rust_state(standard: Standard, patches: Sequence[Defect], *, inspected_area_m2: float) -> str:
    """The bare name of the state by rusted share, for instance ``6`` or ``Ri 2``."""
    return standard.state_of(_percent(sum(patch.area_m2 for patch in patches), inspected_area_m2)).name


def distribution(standard: Standard, patches: Sequence[Defect]) -> str | None:
    """spot, general, pinpoint or hybrid by the standard's rule text; None without rust or without such a rule."""
    rule = standard.distribution
    total = sum(patch.area_m2 for patch in patches)
    if rule is None or total <= 0:
        return None
    speck_m2 = 3.141592653589793 * (rule.pinpoint_diameter_mm / 2e3) ** 2
    areas = sorted((patch.area_m2 for patch in patches), reverse=True)
    specks = sum(area for area in areas if area < speck_m2) / total
    if specks >= rule.dominant_share:
        return "pinpoint"
    if sum(areas[: rule.spot_patches]) / total >= rule.dominant_share:
        return "spot"
    return "hybrid" if specks >= rule.mixed_share else "general"


def _state(standard: Standard, defect: Defect) -> State:
    return standard.state_of(_width_mm(standard, defect))


def _possible_states(standard: Standard, defect: Defect) -> tuple[State, ...]:
    assert defect.crack is not None
    width, spread = _width_mm(standard, defect), defect.crack.width_uncertainty_mm
    return standard.states_between(max(width - spread, 0.0), width + spread)


def _width_mm(standard: Standard, defect: Defect) -> float:
    assert defect.crack is not None
    return defect.crack.max_width_mm if standard.width == "max" else defect.crack.p95_width_mm


def _areas(
    standard: Standard, lengths: Mapping[str, float], unclear_m: float, inspected_area_m2: float
) -> dict[str, float]:
    """Bands of the cracks, worst state first, that together with the rest sum to the inspected area."""
    assert standard.band_m is not None
    left, areas = inspected_area_m2, {}
    claims = [(state.name, lengths[state.name]) for state in reversed(standard.states[1:])] + [(NOT_GRADED, unclear_m)]
    for name, length in claims:
        areas[name] = min(length * standard.band_m, left)
        left -= areas[name]
    best = standard.states[0].name
    ordered = {best: left} | {state.name: areas[state.name] for state in standard.states[1:]}
    return ordered | ({NOT_GRADED: areas[NOT_GRADED]} if unclear_m > 0 else {})


def _nothing_graded(standard: Standard, unclear_m: float, gsd_mm: float) -> str:
    if unclear_m > 0:
        return "no crack wide enough to be graded"
    best = standard.states[0]
    # A raster that cannot show the first limit cannot say that nothing exceeds it.
    return f"{best.name}, no crack found" if gsd_mm <= best.up_to else "no crack found"


def _half_pixel_rim_m2(patch: Defect) -> float:
    shape_px2 = patch.pixel_geometry.area
    return 0.5 * patch.pixel_geometry.length * patch.area_m2 / shape_px2 if shape_px2 > 0 else 0.0


def _percent(area_m2: float, of_m2: float) -> float:
    return 100.0 * area_m2 / of_m2


def _grade(standard: Standard, quantities: dict[str, float], grade: str) -> Grade:
    return Grade(
        standard=standard.standard,
        version=standard.version,
        element=standard.element,
        quantities=quantities,
        unit=standard.unit,
        grade=grade,
        rule=standard.rule,
        source=standard.source,
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
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise _bad(self._name, f"{key} must be a number above 0, got {value!r}")
        return float(value)

    def one_of(self, key: str, allowed: Sequence[str]) -> str:
        value = self.get(key, str)
        if value not in allowed:
            raise _bad(self._name, f"{key} must be one of {', '.join(allowed)}, got {value!r}")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        values = self.get(key, list)
        if not all(isinstance(value, str) and value for value in values):
            raise _bad(self._name, f"{key} must be a list of words, got {values!r}")
        return tuple(str(value).casefold() for value in values)


def _states(entries: list[Any], limit: str, name: str) -> tuple[State, ...]:
    states = []
    for number, entry in enumerate(entries):
        last = number == len(entries) - 1
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise _bad(name, f"each state must have a name in quotes, got {entry!r}")
        up_to = entry.get(limit, float("inf") if last else None)
        if not isinstance(up_to, int | float) or isinstance(up_to, bool) or up_to < 0:
            raise _bad(name, f"state {entry['name']} must have {limit}, a number not below 0, got {up_to!r}")
        if entry["name"] == "CS4":
            raise _bad(name, "CS4 must not be a state: it is an engineer's review, not a width")
        states.append(State(entry["name"], float(up_to)))
    limits = [state.up_to for state in states]
    if len(states) < 2 or any(high <= low for low, high in pairwise(limits)):
        raise _bad(name, f"states must be at least two with ascending {limit}, got {limits}")
    if limits[-1] != float("inf"):
        raise _bad(name, f"the last state must have no {limit}, so that every value has a state, got {limits[-1]}")
    return tuple(states)


def _bad(name: str, cause: str) -> UsageError:
    return UsageError("E_STANDARD", name, cause, "mend the table after the pattern of the shipped ones")
