"""Rust graded by the tables of `segmentation.measurement.grading`: by its share of a surface, or by its presence.

The share is that of the rust class on the surface named as its denominator. Rust staining has the colour of rust
and is not told from it by the classes of a mask: a grade says at most what coloured so would say.
"""

from collections.abc import Sequence
from math import pi, sqrt

from segmentation.measurement.crack_grades import grade_of, span_text
from segmentation.measurement.grading import Standard
from segmentation.records import Defect, Grade


def grade_rust(
    standard: Standard, patches: Sequence[Defect], *, surface_area_m2: float, gsd_mm: float, min_rust_area_px: int
) -> Grade:
    """Grade of one surface by the rust on it.

    By percentage: the states that half a pixel more or less of every outline would give are named where they differ.
    By presence: quantities are areas that sum to the surface. `min_rust_area_px` is the least patch that is listed.
    Raises ValueError where the surface has no area.
    """
    if surface_area_m2 <= 0:
        raise ValueError(f"a graded surface must have an inspected area, got {surface_area_m2} m2")
    if standard.method == "rust_presence":
        return _by_presence(standard, patches, surface_area_m2=surface_area_m2, gsd_mm=gsd_mm)
    area, rim = _area_m2(patches), sum(_half_pixel_rim_m2(patch) for patch in patches)
    possible = standard.states_between(
        _percent(max(area - rim, 0.0), surface_area_m2), _percent(area + rim, surface_area_m2)
    )
    spread = distribution(standard, patches)
    letter = f"-{spread[0].upper()}" if spread else ""
    words = [span_text(possible[0].name + letter, possible[-1].name + letter, apart=len(possible) - 1)]
    if len(possible) > 1:
        words.append(f"half a pixel of outline straddles a limit: could be {possible[0].name} to {possible[-1].name}")
    least_mm = 2 * sqrt(min_rust_area_px / pi) * gsd_mm
    if standard.distribution is not None and least_mm > standard.distribution.pinpoint_diameter_mm:
        words.append(f"patches below {least_mm:.0f} mm across are not listed, so pinpoint rusting cannot be told")
    words.append(f"seen at {gsd_mm:.1f} mm per pixel")
    return grade_of(standard, {}, "; ".join(words))


def rust_state(standard: Standard, patches: Sequence[Defect], *, surface_area_m2: float) -> str:
    """The bare name of the state by rusted share, for instance ``6`` or ``Ri 2``."""
    return standard.state_of(_percent(_area_m2(patches), surface_area_m2)).name


def distribution(standard: Standard, patches: Sequence[Defect]) -> str | None:
    """spot, general, pinpoint or hybrid by the standard's rule text; None without rust or without such a rule.

    ASTM D610 calls spot rusting what is concentrated in a few localised areas, general what is spread at random in
    spots of various sizes, pinpoint what is spread as very small specks, hybrid what mixes them.
    """
    rule = standard.distribution
    total = _area_m2(patches)
    if rule is None or total <= 0:
        return None
    speck_m2 = pi * (rule.pinpoint_diameter_mm / 2e3) ** 2
    areas = sorted((patch.area_m2 for patch in patches), reverse=True)
    specks = sum(area for area in areas if area < speck_m2) / total
    if specks >= rule.dominant_share:
        return "pinpoint"
    if sum(areas[: rule.spot_patches]) / total >= rule.dominant_share:
        return "spot"
    return "hybrid" if specks >= rule.mixed_share else "general"


def _by_presence(standard: Standard, patches: Sequence[Defect], *, surface_area_m2: float, gsd_mm: float) -> Grade:
    without, rusted = (state.name for state in standard.states)
    area = min(_area_m2(patches), surface_area_m2)
    words = [rusted if area > 0 else f"{without}, no rust found"]
    if standard.never_assigned:
        worse = f"{rusted} or worse: " if area > 0 else ""
        never = " and ".join(standard.never_assigned)
        words.append(f"{worse}{never} take an engineer at the structure and are not assigned")
    words.append(f"seen at {gsd_mm:.1f} mm per pixel")
    return grade_of(standard, {without: surface_area_m2 - area, rusted: area}, "; ".join(words))


def _area_m2(patches: Sequence[Defect]) -> float:
    return sum(patch.area_m2 for patch in patches)


def _half_pixel_rim_m2(patch: Defect) -> float:
    shape_px2 = patch.pixel_geometry.area
    return 0.5 * patch.pixel_geometry.length * patch.area_m2 / shape_px2 if shape_px2 > 0 else 0.0


def _percent(area_m2: float, of_m2: float) -> float:
    return 100.0 * area_m2 / of_m2
