"""Cracks graded by the tables of `segmentation.measurement.grading`: by width, by spacing, beside reference limits.

What is never done: a crack below resolution is never graded by its width; CS4 is never assigned; nothing is
graded where nothing was inspected. Where the ± of a width straddles a limit, the grade names both states.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from segmentation.classes import PixelClass
from segmentation.measurement.grading import Standard, State
from segmentation.records import CrackMeasure, Defect, Grade, LimitComparison, LimitLine

NOT_GRADED: Final = "not graded"
"""Key of the quantity of cracks that are below resolution."""

_SPACING_PX: Final = 2.0
"""± of a spacing: either centre line may lie a pixel off."""


def grade_cracks(standard: Standard, cracks: Sequence[Defect], *, inspected_area_m2: float, gsd_mm: float) -> Grade:
    """Quantities per state and the worst state of the cracks of one element, by their widths.

    Quantities sum to the inspected area (unit m2: a crack takes a band along its length, worst state first,
    the rest is the best state) or to the length of all cracks (unit m).
    """
    lengths = {state.name: 0.0 for state in standard.states}
    unclear_m, ranges = 0.0, []
    for defect in cracks:
        measure = _measure(defect)
        if defect.below_resolution:
            unclear_m += measure.length_m
            continue
        lengths[_state(standard, measure).name] += measure.length_m
        ranges.append(_possible(standard, measure))
    quantities = _areas(standard, lengths, unclear_m, inspected_area_m2) if standard.band_m else dict(lengths)
    if unclear_m > 0 and not standard.band_m:
        quantities[NOT_GRADED] = unclear_m
    words = [_worst(standard, ranges) if ranges else _nothing_graded(standard, unclear_m, gsd_mm)]
    straddling = [possible for possible in ranges if len(possible) > 1]
    if straddling:
        lowest = min((possible[0] for possible in straddling), key=standard.states.index)
        highest = max((possible[-1] for possible in straddling), key=standard.states.index)
        count = f"{len(straddling)} crack{'s' if len(straddling) > 1 else ''}"
        words.append(
            f"the ± of {count} straddles a limit: could be {lowest.name} to {highest.name}, counted as measured"
        )
    if unclear_m > 0:
        words.append(f"{unclear_m:.2f} m of cracks below resolution not graded")
    words.append(f"seen at {gsd_mm:.1f} mm per pixel")
    if gsd_mm > standard.states[0].limit:
        words.append(f"cracks of {standard.states[0].limit:.2g} mm are narrower than a pixel and cannot be excluded")
    return grade_of(standard, quantities, "; ".join(words))


def grade_spacing(
    standard: Standard,
    cracks: Sequence[Defect],
    *,
    spacing_m: float | None,
    inspected_area_m2: float,
    gsd_mm: float,
) -> Grade:
    """Quantities per state by the spacing of the cracks of one element, whatever their widths.

    Cracks of total length L at spacing s take L · s of the inspected area, at most all of it; the rest is the
    best state. `spacing_m` is that of `patterns.crack_pattern`; None for a single crack that is no net.
    """
    best = standard.states[0]
    quantities = {state.name: 0.0 for state in standard.states}
    length_m = sum(_measure(defect).length_m for defect in cracks)
    if not cracks or spacing_m is None:
        quantities[best.name] = inspected_area_m2
        words = ["no crack found" if not cracks else f"{best.name}, a single crack"]
    else:
        error_m = _SPACING_PX * gsd_mm / 1e3
        possible = standard.states_between(max(spacing_m - error_m, 0.0), spacing_m + error_m)
        taken = min(length_m * spacing_m, inspected_area_m2)
        quantities[standard.state_of(spacing_m).name] = taken
        quantities[best.name] += inspected_area_m2 - taken
        words = [_span(possible)]
        if len(possible) > 1:
            words.append(f"the ± of the spacing straddles a limit: could be {possible[0].name} to {possible[-1].name}")
        words.append(f"median spacing {spacing_m:.2g} m")
    words.append(f"seen at {gsd_mm:.1f} mm per pixel; cracks too thin to be seen may lie between")
    return grade_of(standard, quantities, "; ".join(words))


def compare_with_limits(standard: Standard, cracks: Sequence[Defect], *, gsd_mm: float) -> LimitComparison:
    """The cracks of one element beside the reference limits of a standard: a comparison, not a grade."""
    measures = [_measure(defect) for defect in cracks if not defect.below_resolution]
    thin = [_measure(defect).length_m for defect in cracks if defect.below_resolution]
    return LimitComparison(
        standard=standard.standard,
        version=standard.version,
        element=standard.element,
        lines=tuple(
            _line(standard, measures, limit.limit_mm, limit.conditions, gsd_mm=gsd_mm) for limit in standard.limits
        ),
        not_compared_count=len(thin),
        not_compared_length_m=sum(thin),
        limits=standard.limits_text,
        rule=standard.rule,
        source=standard.source,
    )


def condition_states(standard: Standard, defect: Defect) -> tuple[str | None, tuple[str, ...]]:
    """Condition state of one defect (CS1 … CS3), and all that its ± allows.

    (None, ()) for a crack below resolution, and where the standard has no such states.
    """
    if standard.method == "rust_presence" and defect.pixel_class == PixelClass.RUST:
        name = standard.states[-1].name
        return (name, (name,)) if name.startswith("CS") else (None, ())
    if defect.crack is None or defect.below_resolution or standard.method != "crack_width":
        return None, ()
    name = _state(standard, defect.crack).name
    if not name.startswith("CS"):
        return None, ()
    return name, tuple(state.name for state in _possible(standard, defect.crack))


def grade_of(standard: Standard, quantities: Mapping[str, float], grade: str) -> Grade:
    """A grade in the words of its table."""
    return Grade(
        standard=standard.standard,
        version=standard.version,
        element=standard.element,
        quantities=dict(quantities),
        unit=standard.unit,
        grade=grade,
        rule=standard.rule,
        source=standard.source,
        limits=standard.limits_text,
    )


def span_text(first: str, last: str, *, apart: int) -> str:
    """One state, two neighbours, or a range of states `apart` steps wide.

    >>> span_text("CS1", "CS1", apart=0), span_text("CS1", "CS2", apart=1), span_text("CS1", "CS3", apart=2)
    ('CS1', 'CS1 or CS2', 'CS1 to CS3')
    """
    return first if apart == 0 else f"{first} or {last}" if apart == 1 else f"{first} to {last}"


def _span(possible: Sequence[State]) -> str:
    return span_text(possible[0].name, possible[-1].name, apart=len(possible) - 1)


def _worst(standard: Standard, ranges: Sequence[Sequence[State]]) -> str:
    """The worst state of all cracks: at least the worst of the best that each can have, at most that of the worst."""
    least = max(standard.states.index(possible[0]) for possible in ranges)
    most = max(standard.states.index(possible[-1]) for possible in ranges)
    return _span(standard.states[least : most + 1])


def _measure(defect: Defect) -> CrackMeasure:
    if defect.crack is None:
        raise ValueError(f"a crack must carry its measure, got none for {defect.id!r}")
    return defect.crack


def _state(standard: Standard, measure: CrackMeasure) -> State:
    return standard.state_of(_width_mm(standard, measure))


def _possible(standard: Standard, measure: CrackMeasure) -> tuple[State, ...]:
    width, spread = _width_mm(standard, measure), measure.width_uncertainty_mm
    return standard.states_between(max(width - spread, 0.0), width + spread)


def _width_mm(standard: Standard, measure: CrackMeasure) -> float:
    return measure.max_width_mm if standard.width == "max" else measure.p95_width_mm


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
    return f"{best.name}, no crack found" if gsd_mm <= best.limit else "no crack found"


def _line(
    standard: Standard, measures: Sequence[CrackMeasure], limit_mm: float, conditions: str, *, gsd_mm: float
) -> LimitLine:
    over = [m for m in measures if _width_mm(standard, m) - m.width_uncertainty_mm > limit_mm]
    reach = [m for m in measures if _width_mm(standard, m) + m.width_uncertainty_mm > limit_mm]
    over_m, reach_m = sum(m.length_m for m in over), sum(m.length_m for m in reach)
    return LimitLine(
        limit_mm=limit_mm,
        conditions=conditions,
        over_count=len(over),
        over_length_m=over_m,
        unclear_count=len(reach) - len(over),
        unclear_length_m=max(reach_m - over_m, 0.0) if len(reach) > len(over) else 0.0,
        below_a_pixel=gsd_mm > limit_mm,
    )
