"""± of the sizes that a survey states, about 95 %, for a comparison: one rule each.

The reports state a ± for widths alone. That of a length comes from where a crack's ends are seen, which is the less
certain the less sure the detector is, and from what was bridged; that of an area from where its outline is seen.
"""

from collections.abc import Iterable
from math import hypot, sqrt
from typing import Final

import shapely
from shapely.geometry.base import BaseGeometry

from segmentation.comparison.records import SurveyDefect

END_PX: Final = 2.5
"""± of the place of an open end for a sure detector, pixels."""
END_DOUBT_PX: Final = 40.0
"""What a detector adds to it for each unit of (1 - confidence): ends fade."""
OUTLINE_PX: Final = 0.25
"""± of the place of an outline for a sure detector, pixels."""
OUTLINE_DOUBT_PX: Final = 8.0
"""What a detector adds to it for each unit of (1 - confidence)."""
CURVE_SHARE: Final = 0.01
"""Relative ± of a length by how finely its curves are drawn."""
WIDTH_PX: Final = 0.1
"""Systematic ± of widths between surveys of other blur, light and GSD, pixels."""


def length_uncertainty_m(defect: SurveyDefect) -> float:
    """± of a crack's length."""
    end_m = (END_PX + END_DOUBT_PX * (1 - defect.confidence)) * defect.gsd_m
    length_m = defect.length_m or 0.0
    return hypot(end_m * sqrt(open_ends(defect.geometry)), CURVE_SHARE * length_m, defect.bridged_m)


def area_uncertainty_m2(defect: SurveyDefect) -> float:
    """± of a patch's area."""
    outline_px = OUTLINE_PX + OUTLINE_DOUBT_PX * (1 - defect.confidence)
    return float(defect.geometry.length) * outline_px * defect.gsd_m


def width_uncertainty_mm(defect: SurveyDefect) -> float:
    """± of a crack's largest width beside that of another survey."""
    return hypot(defect.width_uncertainty_mm or 0.0, WIDTH_PX * defect.gsd_m * 1000)


def mean_width_uncertainty_mm(defect: SurveyDefect) -> float:
    """± of a crack's mean width beside that of another survey."""
    own = defect.mean_width_uncertainty_mm
    return hypot(own if own is not None else defect.width_uncertainty_mm or 0.0, WIDTH_PX * defect.gsd_m * 1000)


def open_ends(lines: BaseGeometry) -> int:
    """Ends of a crack's lines at which no other of its lines begins."""
    parts = shapely.get_parts(lines)
    ends: dict[tuple[float, float], int] = {}
    for part in parts:
        coords = shapely.get_coordinates(part)
        for x, y in (coords[0], coords[-1]):
            key = (round(float(x), 4), round(float(y), 4))
            ends[key] = ends.get(key, 0) + 1
    return sum(1 for count in ends.values() if count == 1)


def combined(values: Iterable[float]) -> float:
    """Independent ± added in squares."""
    return sqrt(sum(value * value for value in values))
