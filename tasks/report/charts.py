"""Small charts as plain numbers and path data; the templates draw them as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, isfinite, log10

from segmentation.records import CrackMeasure
from tasks.report.wording import limit_text

WIDTH_PX = 460
HEIGHT_PX = 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 36
_BAR_TOP, _BAR_SPAN, _BAR_BOTTOM, _SLANTED_BOTTOM = 22, 142, 40, 66
_APART_PX = 16.0
"""Gap between the bars that have a figure and those that have none."""
_WIDEST_SLOT_PX = 74.0
_CHARACTER_PX = 6.2
"""Width of a character of the labels."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One labelled mark of an axis."""

    at: float
    """Place along the axis in chart pixels."""
    label: str


@dataclass(frozen=True, slots=True)
class ProfileChart:
    """Crack width against distance along the crack, with its ± and the limit of measurement."""

    line: str
    """SVG path of the width; interrupted wherever the width is below the limit."""
    band: str
    """SVG path of the width ± its uncertainty."""
    limit_y: float
    """Height of the limit of measurement."""
    limit_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float = _LEFT
    right: float = WIDTH_PX - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT_PX - _BOTTOM
    width: float = WIDTH_PX
    height: float = HEIGHT_PX


def profile_chart(measure: CrackMeasure) -> ProfileChart | None:
    """The width profile of one crack; None where it has fewer than two finite points or no width above the limit.

    Widths below the resolvable width are not drawn, since the GSD does not carry their figure.
    """
    points = [(s, w) for s, w in measure.profile if isfinite(s) and isfinite(w)]
    limit = measure.resolvable_width_mm
    if len(points) < 2 or points[-1][0] <= points[0][0] or max(w for _, w in points) < limit:
        return None
    plus = measure.width_uncertainty_mm if isfinite(measure.width_uncertainty_mm) else 0.0
    start, length = points[0][0], points[-1][0] - points[0][0]
    top_mm = max(max(w for _, w in points) + plus, limit * 1.25)

    def x(s: float) -> float:
        return _LEFT + (s - start) / length * (WIDTH_PX - _LEFT - _RIGHT)

    def y(width_mm: float) -> float:
        return HEIGHT_PX - _BOTTOM - min(max(width_mm, 0.0), top_mm) / top_mm * (HEIGHT_PX - _TOP - _BOTTOM)

    runs = stated_runs(points, limit)
    bands = (
        [(x(s), y(w + plus)) for s, w in run] + [(x(s), y(max(w - plus, 0.0))) for s, w in reversed(run)]
        for run in runs
    )
    return ProfileChart(
        line="".join(path_data([(x(s), y(w)) for s, w in run]) for run in runs),
        band="".join(path_data(band) + "Z" for band in bands),
        limit_y=round(y(limit), 1),
        limit_label=f"below {limit_text(limit)}: not measurable",
        x_ticks=tuple(Tick(round(x(start + s), 1), f"{s:g}") for s in nice_steps(length)),
        y_ticks=tuple(Tick(round(y(w), 1), f"{w:g}") for w in nice_steps(top_mm)),
    )


def stated_runs(points: Sequence[tuple[float, float]], limit: float) -> list[list[tuple[float, float]]]:
    """The stretches of a profile at or above the limit, cut where it crosses the limit.

    >>> stated_runs([(0.0, 2.0), (1.0, 4.0), (2.0, 4.0), (3.0, 1.0)], 3.0)
    [[(0.5, 3.0), (1.0, 4.0), (2.0, 4.0), (2.3333333333333335, 3.0)]]
    """
    runs: list[list[tuple[float, float]]] = []
    run: list[tuple[float, float]] = [points[0]] if points and points[0][1] >= limit else []
    for (s0, w0), (s1, w1) in pairwise(points):
        crossing = (s0 + (limit - w0) / (w1 - w0) * (s1 - s0), limit) if (w0 >= limit) != (w1 >= limit) else None
        if crossing is not None and w0 < limit:
            run = [crossing]
        if w1 >= limit:
            run.append((s1, w1))
        elif crossing is not None:
            runs.append([*run, crossing])
            run = []
    return [*runs, run] if run else runs


def path_data(points: Sequence[tuple[float, float]]) -> str:
    """SVG path data of a polyline, a tenth of a pixel fine."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def nice_steps(stop: float) -> list[float]:
    """Round figures from 0 to `stop`, three to six of them.

    >>> nice_steps(7.3)
    [0.0, 2.0, 4.0, 6.0]
    """
    if not (isfinite(stop) and stop > 0):
        raise ValueError(f"an axis must end above 0, got {stop}")
    exponent = floor(log10(stop / 5))
    step = next(float(f"{s}e{exponent}") for s in (1, 2, 5, 10) if stop / float(f"{s}e{exponent}") <= 5.5)
    return [float(f"{i * step:.12g}") for i in range(floor(stop / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a bar chart."""

    x: float
    y: float
    width: float
    height: float
    label: str
    """What stands below it."""
    value: str
    """What stands on top of it."""
    measured: bool
    """False: hatched, since no figure places it on the axis."""

    @property
    def middle(self) -> float:
        """Its middle along the axis."""
        return round(self.x + self.width / 2, 1)


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars of one row of figures, in chart pixels."""

    bars: tuple[Bar, ...]
    y_ticks: tuple[Tick, ...]
    slanted: bool
    """Whether the labels below the bars are slanted for want of room."""
    left: float = _LEFT
    right: float = WIDTH_PX - _RIGHT
    top: float = _BAR_TOP
    bottom: float = _BAR_TOP + _BAR_SPAN
    width: float = WIDTH_PX

    @property
    def height(self) -> float:
        """Height with the labels and the axis' name."""
        return self.bottom + (_SLANTED_BOTTOM if self.slanted else _BAR_BOTTOM)


def bar_chart(
    values: Sequence[float], labels: Sequence[str], captions: Sequence[str], apart: Sequence[bool]
) -> BarChart:
    """Bars for `values` with `labels` below and `captions` on top; those `apart` stand first, beyond a gap.

    A value that is not finite has no height. Raises ValueError where there are no values.
    """
    if not values:
        raise ValueError("a bar chart needs at least one value")
    gap = _APART_PX if any(apart) and not all(apart) else 0.0
    slot = min((WIDTH_PX - _LEFT - _RIGHT - gap) / len(values), _WIDEST_SLOT_PX)
    base = _BAR_TOP + _BAR_SPAN
    heights = [value if isfinite(value) and value > 0 else 0.0 for value in values]
    top = max(heights) or 1.0

    def bar(index: int) -> Bar:
        x = _LEFT + (index + 0.09) * slot + (0.0 if apart[index] else gap)
        height = round(heights[index] / top * _BAR_SPAN, 1)
        y, width = round(base - height, 1), round(0.82 * slot, 1)
        return Bar(round(x, 1), y, width, height, labels[index], captions[index], not apart[index])

    steps = nice_steps(top)
    if all(isinstance(value, int) for value in values):
        steps = [step for step in steps if step.is_integer()]
    return BarChart(
        bars=tuple(bar(index) for index in range(len(values))),
        y_ticks=tuple(Tick(round(base - step / top * _BAR_SPAN, 1), f"{step:g}") for step in steps),
        slanted=max(len(label) for label in labels) * _CHARACTER_PX > slot,
    )
