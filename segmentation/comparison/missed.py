"""Growth that is the measurement's and not the damage's: what one survey missed, though its picture shows it, and
what one place alone says of a width.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import shapely

from segmentation.comparison.matching import Group
from segmentation.comparison.records import Growth
from segmentation.comparison.sides import Compared
from segmentation.comparison.uncertainty import combined

_BESIDE_PX: Final = 4.0
"""What is farther than this from the other survey's line was not found there."""
_MISSED_SHARE: Final = 0.5
"""± of a length that was seen in the picture alone, relative: texture may pass for the rest of a crack."""
_LEAST_STEP_PX: Final = 3.0
"""Mean distance between two outlines from which the picture can tell them apart."""
_OUTLINE_SHARE: Final = 0.5
"""Of an outline, what the older picture must show for the patch to have been that large before."""


def with_missed_length(growth: Growth, group: Group, older: Compared, newer: Compared) -> tuple[Growth, list[str]]:
    """The growth of a crack with what each survey missed of it counted as its length; remarks that say so."""
    before = _missed_m(newer, group.newer, older, group.older)
    now = _missed_m(older, group.older, newer, group.newer)
    if before == now == 0:
        return growth, []
    uncertainty = combined([growth.uncertainty, _MISSED_SHARE * (before + now), 4 * newer.limits.gsd_m])
    mended = Growth(growth.older + before, growth.newer + now, uncertainty)
    parts = [(before, "older"), (now, "newer")]
    remarks = [
        f"{length_m:.2f} m of it were not found in the {which} survey, whose picture shows them, and count as there"
        for length_m, which in parts
        if length_m > 0
    ]
    return mended, remarks


def with_missed_area(growth: Growth, group: Group, older: Compared, newer: Compared) -> tuple[Growth, list[str]]:
    """The growth of a patch of rust; its ± covers all of it where the older picture shows the outline of today, or
    the patch itself where it was not found then.
    """
    before = [older.defects[index] for index in group.older]
    now = [newer.defects[index] for index in group.newer]
    if newer.look_at_gain is not None and newer.look_at_gain(before, now):
        told = "the older survey's picture shows it where it was not found then"
        return replace(growth, uncertainty=max(growth.uncertainty, abs(growth.difference))), [told]
    outline_m = sum(float(newer.defects[index].geometry.length) for index in group.newer)
    if growth.difference < _LEAST_STEP_PX * newer.limits.gsd_m * outline_m:
        return growth, []  # both outlines lie within what one look across them covers
    shown = [visible for visible in map(newer.shown, group.newer) if visible is not None]
    total = sum(float(visible.samples.weights.sum()) for visible in shown)
    share = sum(visible.share * float(visible.samples.weights.sum()) for visible in shown) / total if total else 0.0
    if share < _OUTLINE_SHARE:
        return growth, []
    told = "the older survey's picture shows today's outline, of which less was found then"
    return replace(growth, uncertainty=max(growth.uncertainty, abs(growth.difference))), [told]


def with_mean_width(largest: Growth, mean: Growth | None) -> tuple[Growth, list[str]]:
    """The growth of a largest width; its ± covers all of it where the mean width of the crack does not bear it out.

    The largest width is that of one place, where a joint, a shadow or a spall beside the crack may pass for its edge; a
    crack that opens does so over some of its length.
    """
    if mean is not None and mean.is_significant:
        return largest, []
    told = "its largest width is larger at one place, which its mean width does not bear out: look at the pictures"
    return replace(largest, uncertainty=max(largest.uncertainty, abs(largest.difference))), [told]


def _missed_m(own: Compared, own_parts: Sequence[int], other: Compared, other_parts: Sequence[int]) -> float:
    """Length of what one survey found, the other did not, and the other's picture shows."""
    lines = shapely.union_all([other.defects[index].geometry for index in other_parts])
    shapely.prepare(lines)
    missed_m = 0.0
    for index in own_parts:
        visible = own.shown(index)
        if visible is None:
            continue
        reach_m = _BESIDE_PX * own.limits.gsd_m
        beyond = ~np.asarray(shapely.dwithin(lines, shapely.points(visible.samples.points), reach_m))
        missed_m += visible.shown_m(beyond)
    return missed_m
