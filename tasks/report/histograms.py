"""How the cracks' widths and the patches' areas are spread: classes with counts, before any layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, isfinite, log10
from typing import Final

from segmentation.classes import PixelClass
from segmentation.records import CrackMeasure, Defect
from tasks.report.charts import BarChart, bar_chart, nice_steps
from tasks.report.wording import NOT_MEASURED, area_text, below_text, limit_text, number_text, stated_width_mm

_TAIL_SHARE: Final = 0.95
"""Widths beyond twice this quantile share one open class, so that one outlier does not flatten all others."""
_HALF_DECADES: Final = (1.0, 3.0)


@dataclass(frozen=True, slots=True)
class HistogramBin:
    """One class of a histogram, half-open: `low` <= size < `high`."""

    label: str
    """The class as it stands below its bar, without the unit of the axis."""
    low: float | None
    """Lower bound in the histogram's unit; None where no figure may be stated."""
    high: float | None
    """Upper bound; None where it is open, or no figure may be stated."""
    count: int
    """Defects in it."""
    amount: float
    """Their summed length in m (cracks) or area in m² (rust)."""
    amount_label: str
    """The same in words."""
    measured: bool = True
    """False for defects that are seen but have no figure: their bar stands apart, on no place of the axis."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many defects, and how much of them, lie in each class of size."""

    key: str
    """``crack-width`` or ``patch-area``."""
    title: str
    axis: str
    """What is classed, with its unit."""
    counted: str
    """What is counted."""
    amount: str
    """What is summed, with its unit."""
    unit: str
    """Unit of the classes' bounds."""
    bins: tuple[HistogramBin, ...]
    """Ascending; those without a figure first."""
    note: str
    """What limits it, a sentence or two."""


def histograms_of(defects: Sequence[Defect]) -> tuple[Histogram, ...]:
    """The histograms that there is something to show in: crack width, patch area."""
    cracks = [(defect, defect.crack) for defect in defects if defect.crack is not None]
    patches = [defect for defect in defects if defect.pixel_class is PixelClass.RUST]
    found = (_crack_widths(cracks) if cracks else None, _patch_areas(patches) if patches else None)
    return tuple(histogram for histogram in found if histogram is not None)


def charts_of(histogram: Histogram) -> tuple[BarChart, BarChart]:
    """The bars of a histogram's counts, and those of its amounts."""
    labels = [one.label for one in histogram.bins]
    apart = [not one.measured for one in histogram.bins]
    counts = bar_chart([one.count for one in histogram.bins], labels, [str(one.count) for one in histogram.bins], apart)
    amounts = [one.amount for one in histogram.bins]
    return counts, bar_chart(amounts, labels, [one.amount_label for one in histogram.bins], apart)


def _crack_widths(cracks: Sequence[tuple[Defect, CrackMeasure]]) -> Histogram:
    """Cracks by their largest width; one that may not be stated is counted apart and never placed by a figure."""
    stated: list[tuple[float, CrackMeasure]] = []
    below: list[CrackMeasure] = []
    unknown: list[CrackMeasure] = []
    for defect, measure in cracks:
        width_mm = stated_width_mm(
            measure.max_width_mm,
            resolvable_mm=measure.resolvable_width_mm,
            below_resolution=defect.below_resolution,
        )
        if not isfinite(measure.max_width_mm) or (width_mm is not None and not _has_uncertainty(measure)):
            unknown.append(measure)
        elif width_mm is None:
            below.append(measure)
        else:
            stated.append((width_mm, measure))
    bins = []
    if unknown:
        bins.append(_crack_bin(NOT_MEASURED, None, None, unknown, measured=False))
    if below:
        limit_mm = max(measure.resolvable_width_mm for measure in below)
        bins.append(_crack_bin(below_text(limit_mm), None, None, below, measured=False))
    least_mm = min((measure.resolvable_width_mm for _, measure in stated), default=0.0)
    for low, high in _width_classes([width for width, _ in stated]):
        inside = [measure for width, measure in stated if low <= width and (high is None or width < high)]
        from_mm = max(low, least_mm)  # no width below the limit is stated, so no class claims one
        label = f"≥\u00a0{low:g}" if high is None else f"{float(f'{from_mm:.2g}'):g}–{high:g}"
        bins.append(_crack_bin(label, from_mm, high, inside))
    notes = ["Each crack is counted once, by its largest width."]
    if stated:
        plus_mm = max(measure.width_uncertainty_mm for _, measure in stated)
        notes.append(f"A width is known to ± {limit_text(plus_mm)} or better, so a crack may belong to the next class.")
    if below:
        notes.append("The hatched bar holds cracks too thin to be measured; where they would lie is not known.")
        if least_mm and limit_text(least_mm) != limit_text(limit_mm):
            notes.append(f"The limit differs between cracks, from {limit_text(least_mm)} on; the highest is stated.")
    return Histogram(
        "crack-width", "Cracks by largest width", "largest width, mm", "cracks", "length, m", "mm", tuple(bins),
        " ".join(notes),
    )  # fmt: skip


def _has_uncertainty(measure: CrackMeasure) -> bool:
    return isfinite(measure.width_uncertainty_mm) and measure.width_uncertainty_mm > 0


def _crack_bin(
    label: str, low: float | None, high: float | None, measures: Sequence[CrackMeasure], *, measured: bool = True
) -> HistogramBin:
    length_m = float(sum(measure.length_m for measure in measures))
    return HistogramBin(label, low, high, len(measures), length_m, f"{number_text(length_m)}\u00a0m", measured)


def _width_classes(widths_mm: Sequence[float]) -> list[tuple[float, float | None]]:
    """Equal classes of a round width from the least to the largest, the last one open where few lie far beyond.

    >>> _width_classes([3.1, 4.2, 5.9])
    [(3.0, 4.0), (4.0, 5.0), (5.0, 6.0)]
    >>> _width_classes([3.1] * 30 + [80.0])[-1]
    (7.0, None)
    """
    if not widths_mm:
        return []
    ordered = sorted(widths_mm)
    usual = 2 * ordered[min(len(ordered) - 1, int(_TAIL_SHARE * len(ordered)))]
    top, least = min(ordered[-1], usual), ordered[0]
    step = nice_steps(max(top - least, top / 8))[1]
    first, last = floor(least / step), ceil(top / step)
    bounds = [float(f"{index * step:.12g}") for index in range(first, last + 2)]
    bounds = bounds[: next(index for index, bound in enumerate(bounds) if bound > top) + 1]
    classes: list[tuple[float, float | None]] = list(pairwise(bounds))
    if ordered[-1] >= bounds[-1]:
        classes.append((bounds[-1], None))
    return classes


def _patch_areas(patches: Sequence[Defect]) -> Histogram | None:
    """Rust patches by area, two classes to a factor of ten."""
    sized = [defect for defect in patches if isfinite(defect.area_m2) and defect.area_m2 > 0]
    if not sized:
        return None
    bounds = _half_decades(min(defect.area_m2 for defect in sized), max(defect.area_m2 for defect in sized))
    bins = []
    for low, high in pairwise(bounds):
        inside = [defect.area_m2 for defect in sized if low <= defect.area_m2 < high]
        total_m2 = float(sum(inside))
        bins.append(HistogramBin(_area_class(low, high), low, high, len(inside), total_m2, area_text(total_m2)))
    note = "Each class reaches about three times as far as the one before it. Patches that touch count as one."
    return Histogram(
        "patch-area", "Rust patches by area", "area of the patch", "patches", "area, m²", "m²", tuple(bins), note
    )


def _half_decades(least: float, largest: float) -> list[float]:
    """1 and 3 times the powers of ten from below `least` to above `largest`.

    >>> _half_decades(0.0004, 0.02)
    [0.0003, 0.001, 0.003, 0.01, 0.03]
    """
    exponents = range(floor(log10(least)) - 1, floor(log10(largest)) + 2)
    bounds = [float(f"{factor:g}e{exponent}") for exponent in exponents for factor in _HALF_DECADES]
    start = max(index for index, bound in enumerate(bounds) if bound <= least)
    stop = next(index for index, bound in enumerate(bounds) if bound > largest)
    return bounds[start : stop + 1]


def _area_class(low: float, high: float) -> str:
    """A class of areas in cm² or m².

    >>> _area_class(0.0003, 0.001), _area_class(0.01, 0.03)
    ('3–10\\xa0cm²', '0.01–0.03\\xa0m²')
    """
    if high <= 0.01:
        return f"{low * 1e4:g}–{high * 1e4:g}\u00a0cm²"
    return f"{low:g}–{high:g}\u00a0m²"
