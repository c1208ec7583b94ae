"""How widths and areas are spread: every defect in one class, and no figure for what could not be measured."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.records import Defect
from tasks.report.charts import bar_chart
from tasks.report.histograms import Histogram, charts_of, histograms_of
from tests.tasks.report.samples import bridge_deck, crack, rust


def cracks_of(widths_mm: list[float]) -> list[Defect]:
    return [
        crack(f"C-{n}", row=400, col=300, length_px=100, max_width_mm=width, below_resolution=width < 3.0)
        for n, width in enumerate(widths_mm)
    ]


def only(defects: list[Defect]) -> Histogram:
    (histogram,) = histograms_of(defects)
    return histogram


@given(st.lists(st.floats(0.01, 500), min_size=1, max_size=60))
def test_every_crack_lies_in_one_class_of_widths(widths_mm: list[float]) -> None:
    histogram = only(cracks_of(widths_mm))
    assert sum(one.count for one in histogram.bins) == len(widths_mm)
    assert sum(one.amount for one in histogram.bins) == pytest.approx(len(widths_mm) * 0.15)
    placed = [one for one in histogram.bins if one.measured]
    for one in placed:
        assert one.low is not None
        assert one.low >= 3.0, "no class reaches below the least measurable width"
        high = one.high if one.high is not None else float("inf")
        assert one.count == sum(1 for width in widths_mm if width >= 3.0 and one.low <= width < high)
    assert all(before.high == after.low for before, after in pairwise(placed))
    assert len(placed) <= 10


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=60))
def test_every_patch_lies_in_one_class_of_areas(areas_m2: list[float]) -> None:
    patches = [replace(rust(f"R-{n}", row=10, col=10, side_px=9), area_m2=area) for n, area in enumerate(areas_m2)]
    histogram = only(patches)
    assert sum(one.count for one in histogram.bins) == len(areas_m2)
    assert sum(one.amount for one in histogram.bins) == pytest.approx(sum(areas_m2))
    for one in histogram.bins:
        assert one.low is not None
        assert one.high is not None
        assert one.count == sum(1 for area in areas_m2 if one.low <= area < one.high)
        assert 2.9 < one.high / one.low < 3.4


def test_cracks_too_thin_to_measure_have_a_bar_without_a_place_on_the_axis() -> None:
    histogram = only(cracks_of([1.7, 2.9, 4.1]))
    below, *placed = histogram.bins
    assert (below.label, below.low, below.high, below.count) == ("<\u00a03.0\u00a0mm", None, None, 2)
    assert sum(one.count for one in placed) == 1
    assert "too thin to be measured" in histogram.note
    counts, _ = charts_of(histogram)
    hatched, *solid = counts.bars
    assert not hatched.measured
    assert solid[0].x - (hatched.x + hatched.width) > solid[0].width * 0.2, "a gap sets it apart"


def test_width_without_uncertainty_is_counted_as_not_measured() -> None:
    (one,) = cracks_of([5.0])
    assert one.crack is not None
    unsure = replace(one, crack=replace(one.crack, width_uncertainty_mm=float("nan")))
    (bar,) = only([unsure]).bins
    assert (bar.label, bar.measured, bar.count) == ("not measured", False, 1)


def test_nothing_found_has_no_histogram_and_the_deck_has_both() -> None:
    assert histograms_of([]) == ()
    assert [one.key for one in histograms_of(bridge_deck().defects)] == ["crack-width", "patch-area"]


@given(
    st.lists(st.floats(0, 1e6).filter(lambda value: value == 0 or value > 1e-6), min_size=1, max_size=12),
    st.integers(0, 3),
)
def test_bars_stand_side_by_side_inside_the_chart_and_are_as_high_as_their_values(
    values: list[float], apart_count: int
) -> None:
    apart = [index < apart_count for index in range(len(values))]
    chart = bar_chart(values, [str(v) for v in values], ["" for _ in values], apart)
    for before, after in pairwise(chart.bars):
        assert before.x + before.width < after.x
    assert chart.bars[0].x >= chart.left
    assert chart.bars[-1].x + chart.bars[-1].width <= chart.right
    for bar, value in zip(chart.bars, values, strict=True):
        assert bar.height == pytest.approx(value / (max(values) or 1) * (chart.bottom - chart.top), abs=0.06)
        assert bar.y + bar.height == pytest.approx(chart.bottom, abs=0.11)


def test_counts_have_whole_marks() -> None:
    chart = bar_chart([1, 2], ["a", "b"], ["1", "2"], [False, False])
    assert [tick.label for tick in chart.y_ticks] == ["0", "1", "2"]
