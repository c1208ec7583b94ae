"""Open ends of a crack cut back to where the image shows them, where its mask is drawn fat.

A mask that is wider than the crack by f on each side is too long by about f at each end. There the end is looked for in
the image: where the darkness along the centre line falls to half of what it is before, but no farther back than f and
half a pixel; a line that stays dark to the end of its mask is not cut.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmentation.georeference import Floats
from segmentation.measurement.profiles import linear_between, luminance
from segmentation.measurement.skeletons import GroundFrame
from segmentation.measurement.views import ComponentView, window_about

_STEP_PX = 0.25
_BEFORE_PX = (4.0, 12.0)
"""Of the line before what may be cut: how dark it is inside."""
_BEYOND_PX = (2.5, 7.0)
"""Beyond the mask's end: the ground."""
_LEAST_FAT_PX = 0.3
"""A mask that is less fat than this is as long as it is."""
_MOST_FAT_PX = 4.0
_MOST_SHARE = 0.1
"""No more of a line than this is cut off one end."""
_STROKE: Floats = np.linspace(-0.25, 0.25, 3)
"""Places across the line, in widths, at which the darkness is read."""
_DOUBT_PX = 0.5


@dataclass(frozen=True, slots=True)
class End:
    """An open end of a centre line."""

    points: Floats
    """``(N, 2)`` of the line in ground pixels, the end last."""
    width_px: float
    """Width of the crack there."""


def overlong_px(ends: list[End], *, fat_px: float, view: ComponentView, frame: GroundFrame) -> list[float]:
    """How far in ground pixels each end of a crack lies beyond what the image shows.

    `fat_px` is what the crack's mask is wider by on each side.
    """
    if fat_px < _LEAST_FAT_PX or not ends:
        return [0.0] * len(ends)
    most_px = min(fat_px, _MOST_FAT_PX) + _DOUBT_PX
    at = np.arange(-_BEFORE_PX[1] - most_px, _BEYOND_PX[1], _STEP_PX)
    found = []
    for end in ends:
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(end.points, axis=0).T))])
        bound = min(most_px, _MOST_SHARE * float(along[-1]))
        dark = -_light_along(end, along - along[-1], at, view, frame).mean(axis=1)
        inside = dark[(at >= -_BEFORE_PX[1] - most_px) & (at <= -_BEFORE_PX[0] - most_px)].mean()
        ground = dark[at >= _BEYOND_PX[0]].mean()
        shown = dark >= (inside + ground) / 2
        # The bound is a place itself most often: rounding must not decide whether it counts.
        near = np.flatnonzero((at >= -bound - _STEP_PX / 2) & (at <= 0.0) & ~shown)
        is_clear = inside - ground > 0 and bool(near.size)
        found.append(min(float(-at[near[0]]), bound) if is_clear else 0.0)
    return found


def _light_along(
    end: End, along: Floats, at: Floats, view: ComponentView, frame: GroundFrame
) -> npt.NDArray[np.float32]:
    """Grey values ``(M, 3)`` at so many pixels `at` ``(M,)`` past the end, in a stroke across the line."""
    way = end.points[-1] - end.points[max(0, int(np.searchsorted(along, -6.0)) - 1)]
    way = way / max(float(np.hypot(*way)), 1e-9)
    line = np.stack([np.interp(at, along, end.points[:, axis]) for axis in (0, 1)], axis=1)
    line += np.maximum(at, 0.0)[:, None] * way
    across = np.array([-way[1], way[0]]) * end.width_px
    places = frame.pixel(line[:, None] + _STROKE[:, None] * across)
    window = window_about(places, view.shape)
    near = np.moveaxis(places - [window.row_start, window.col_start], -1, 0).astype(np.float32)
    return linear_between(luminance(view.image(window)), near)
