"""Figures and names in words: significant digits, units, ± and "<", and text that cannot disturb a page.

One rule, one function: whether a width may be stated is decided in `width_text` (words) and `stated_width_mm`
(data) and nowhere else.
"""

import re
from math import ceil, floor, isfinite, log10
from typing import Final

NOT_MEASURED: Final = "not measured"
_NBSP: Final = "\u00a0"
_GROUP: Final = "\u202f"
_DISTURBING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str, *, most_chars: int = 2000) -> str:
    """`text` on one line, cut at `most_chars`, with control characters and bidirectional overrides as U+FFFD.

    Letters of every script, joiners and plain direction marks survive.

    >>> clean_text("Brücke 橋\\n\u202etxt")
    'Brücke 橋 �txt'
    """
    line = _DISTURBING.sub("\ufffd", re.sub("[\t\r\n\u2028\u2029]+", " ", text)).strip()
    return line if len(line) <= most_chars else line[: most_chars - 1] + "…"


def round_significant(value: float, digits: int) -> float:
    """`value` rounded to `digits` significant digits; 0 stays 0."""
    if value == 0 or not isfinite(value):
        return value
    return round(value, digits - 1 - floor(log10(abs(value))))


def number_text(value: float | None, *, digits: int = 3) -> str:
    """A figure with `digits` significant digits, never fewer before the point; "not measured" for none.

    >>> number_text(0.012345), number_text(3.4), number_text(123456.7)
    ('0.0123', '3.40', '123\u202f457')
    """
    if value is None or not isfinite(value):
        return NOT_MEASURED
    if value == 0:
        return "0"
    rounded = round_significant(value, digits)
    decimals = max(0, digits - 1 - floor(log10(abs(rounded))))
    if decimals == 0:
        rounded = round(value)
    text = f"{rounded:.{decimals}f}"
    return f"{rounded:,.0f}".replace(",", _GROUP) if decimals == 0 and abs(rounded) >= 10_000 else text


def with_unit(value: float | None, unit: str, *, digits: int = 3) -> str:
    """A figure and its unit, which do not part at a line's end; "not measured" for none."""
    text = number_text(value, digits=digits)
    return text if text == NOT_MEASURED else f"{text}{_NBSP}{unit}"


def area_text(area_m2: float | None) -> str:
    """An area in m², or in cm² below 0.01 m².

    >>> area_text(0.00347)
    '34.7\\xa0cm²'
    """
    if area_m2 is not None and 0 < area_m2 < 0.01:
        return with_unit(area_m2 * 1e4, "cm²")
    return with_unit(area_m2, "m²")


def coverage_text(percent: float | None) -> str:
    """Percent of coverage, rounded down: 100 % is said of the whole only, 0 % of nothing only.

    >>> coverage_text(99.97), coverage_text(100.0), coverage_text(0.01)
    ('99.9\\xa0%', '100\\xa0%', '<\\xa00.1\\xa0%')
    """
    if percent is None or not isfinite(percent):
        return NOT_MEASURED
    if 0 < percent < 0.1:
        return f"<{_NBSP}0.1{_NBSP}%"
    if percent >= 100 or percent == 0:
        return f"{percent:.0f}{_NBSP}%"
    return f"{min(floor(percent * 10 + 1e-9) / 10, 99.9):.1f}{_NBSP}%"


def share_text(percent: float | None) -> str:
    """Percent of a damage, two significant digits; a trace is said to be one, never 0.

    >>> share_text(0.0573), share_text(0.00001), share_text(12.34)
    ('0.057\\xa0%', '<\\xa00.001\\xa0%', '12\\xa0%')
    """
    if percent is None or not isfinite(percent):
        return NOT_MEASURED
    if 0 < percent < 0.001:
        return f"<{_NBSP}0.001{_NBSP}%"
    return with_unit(percent, "%", digits=2)


def plus_minus(value: float, uncertainty: float, unit: str) -> str:
    """A value with its ±: the ± rounded up to one significant digit (two below 3), the value to the same decimals.

    >>> plus_minus(3.4567, 0.8, "mm"), plus_minus(3.4567, 0.123, "mm"), plus_minus(134.2, 25.0, "mm")
    ('3.5 ± 0.8\xa0mm', '3.46 ± 0.13\xa0mm', '134 ± 25\xa0mm')
    """
    if not (isfinite(value) and isfinite(uncertainty)) or uncertainty <= 0:
        return NOT_MEASURED
    exponent = floor(log10(uncertainty))
    decimals = (1 if uncertainty / 10.0**exponent < 3 else 0) - exponent
    rounded_up = ceil(uncertainty * 10.0**decimals - 1e-9) / 10.0**decimals
    shown = max(decimals, 0)
    return f"{round(value, decimals):.{shown}f} ± {rounded_up:.{shown}f}{_NBSP}{unit}"


def stated_width_mm(width_mm: float | None, *, resolvable_mm: float, below_resolution: bool) -> float | None:
    """The width where it may be stated at all, else None: measured, and not below what the GSD carries."""
    if width_mm is None or not isfinite(width_mm) or below_resolution or width_mm < resolvable_mm:
        return None
    return width_mm


def width_text(
    width_mm: float | None, *, uncertainty_mm: float, resolvable_mm: float, below_resolution: bool, unit: str = "mm"
) -> str:
    """A crack width as it may be stated: with ±, or "< X mm" below resolution, never bare.

    >>> width_text(1.2, uncertainty_mm=0.8, resolvable_mm=2.96, below_resolution=False)
    '<\\xa03.0\\xa0mm'
    """
    if width_mm is None or not isfinite(width_mm):
        return NOT_MEASURED
    if stated_width_mm(width_mm, resolvable_mm=resolvable_mm, below_resolution=below_resolution) is None:
        return below_text(resolvable_mm, unit=unit)
    return plus_minus(width_mm, uncertainty_mm, unit)


def below_text(resolvable_mm: float, *, unit: str = "mm") -> str:
    """ "< X mm" with X rounded up, so that it never promises more than the GSD carries."""
    return f"<{_NBSP}{limit_text(resolvable_mm, unit=unit)}"


def limit_text(resolvable_mm: float, *, unit: str = "mm") -> str:
    """A limit of measurement, rounded up to two significant digits."""
    if not isfinite(resolvable_mm) or resolvable_mm <= 0:
        return f"an unknown limit ({unit})"
    decimals = 1 - floor(log10(resolvable_mm))
    rounded_up = ceil(resolvable_mm * 10**decimals - 1e-9) / 10**decimals
    return with_unit(rounded_up, unit, digits=2)


def count_text(count: int, singular: str, plural: str) -> str:
    """A count with its noun.

    >>> count_text(1, "crack", "cracks"), count_text(0, "crack", "cracks")
    ('1 crack', 'no crack')
    """
    if count == 0:
        return f"no {singular}"
    return f"{count:,}".replace(",", _GROUP) + f" {singular if count == 1 else plural}"


def position_text(lon: float, lat: float) -> str:
    """WGS 84 latitude and longitude with 7 decimals (11 mm).

    >>> position_text(-8.25, 47.5)
    '47.5000000° N, 8.2500000° W'
    """
    north, east = "N" if lat >= 0 else "S", "E" if lon >= 0 else "W"
    return f"{abs(lat):.7f}° {north}, {abs(lon):.7f}° {east}"


def structure_position_text(along_m: float, across_m: float) -> str:
    """A place on a structure in its own coordinates, to the centimetre; "not measured" where it is not known.

    >>> structure_position_text(12.3456, -0.001)
    '12.35\\xa0m along, 0.00\\xa0m across'
    """
    if not (isfinite(along_m) and isfinite(across_m)):
        return NOT_MEASURED
    along, across = (round(value, 2) + 0.0 for value in (along_m, across_m))
    return f"{along:.2f}{_NBSP}m along, {across:.2f}{_NBSP}m across"
