"""What became of a defect, from lines and patches of known size: the classes, their ± and their reasons."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiLineString, Point
from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.comparison.changes import changes_between, registered
from segmentation.comparison.grids import Extent
from segmentation.comparison.records import Change, DefectChange, Seen, SurveyDefect, SurveyLimits
from segmentation.comparison.registration import Registration
from segmentation.comparison.sides import Compared
from segmentation.comparison.similarity import IDENTITY, Similarity

GSD_M = 0.002
EXTENT = Extent(5.0, 5.0)
CLEAN, HIDDEN, MARKED = Seen(1.0, 0.0), Seen(0.0, 0.0), Seen(1.0, 0.9)
LIMITS = SurveyLimits(GSD_M, 24.0, 64.0, frozenset({PixelClass.CRACK, PixelClass.RUST}))
REGISTRATION = Registration(IDENTITY, 0.1 * GSD_M, GSD_M, 60, 60, "imagery")


def crack(
    number: int,
    *points: tuple[float, float],
    width_mm: float | None = 6.0,
    mean_width_mm: float | None = None,
    confidence: float = 1.0,
) -> SurveyDefect:
    line = MultiLineString([LineString(points)])
    return SurveyDefect(
        f"C-{number:04}",
        PixelClass.CRACK,
        line,
        line.length * 0.006,
        GSD_M,
        confidence,
        line.length,
        width_mm,
        width_mm if mean_width_mm is None else mean_width_mm,
        0.4,
    )


def rust(number: int, x: float, radius_m: float) -> SurveyDefect:
    patch: BaseGeometry = Point(x, 0.0).buffer(radius_m, 64)
    return SurveyDefect(f"R-{number:04}", PixelClass.RUST, patch, patch.area, GSD_M, 1.0)


def compared(
    older: list[SurveyDefect],
    newer: list[SurveyDefect],
    *,
    older_seen: Seen = CLEAN,
    newer_seen: Seen = CLEAN,
    newer_limits: SurveyLimits = LIMITS,
) -> tuple[DefectChange, ...]:
    before = Compared("a" * 16, tuple(older), (older_seen,) * len(older), newer_limits and LIMITS)
    now = Compared("b" * 16, tuple(newer), (newer_seen,) * len(newer), newer_limits)
    return changes_between(before, now, REGISTRATION, EXTENT)


@dataclass(frozen=True)
class Case:
    """Two surveys of one place and what is to be said of it."""

    older: list[SurveyDefect]
    newer: list[SurveyDefect]
    change: Change
    older_seen: Seen = CLEAN
    newer_seen: Seen = CLEAN
    newer_limits: SurveyLimits = field(default=LIMITS)


LINE = crack(1, (0, 0), (1, 0))
CASES = {
    "a crack that was not there is new": Case([], [LINE], Change.NEW),
    "a crack whose place was clean and inspected again is repaired": Case([LINE], [], Change.REPAIRED),
    "a crack whose place was not inspected again is not seen": Case([LINE], [], Change.NOT_SEEN, older_seen=HIDDEN),
    "a crack whose place was not inspected before is not called new": Case(
        [], [LINE], Change.NOT_SEEN, newer_seen=HIDDEN
    ),
    "a crack still marked in pieces too small to list is static": Case([LINE], [], Change.STATIC, older_seen=MARKED),
    "the same crack is static": Case([LINE], [LINE], Change.STATIC),
    "a crack twice as long has grown": Case([LINE], [crack(7, (0, 0), (2, 0))], Change.GROWN),
    "growth below the ± of the ends is static": Case([LINE], [crack(7, (0, 0), (1.005, 0))], Change.STATIC),
    "a faded end is no repair": Case([LINE], [crack(7, (0, 0), (0.6, 0))], Change.STATIC),
    "unsure ends do not grow": Case(
        [crack(1, (0, 0), (1, 0), confidence=0.7)], [crack(7, (0, 0), (1.05, 0), confidence=0.7)], Change.STATIC
    ),
    "two cracks that joined are one that has grown by the gap": Case(
        [crack(1, (0, 0), (0.5, 0)), crack(2, (0.7, 0), (1.2, 0))], [crack(7, (0, 0), (1.2, 0))], Change.GROWN
    ),
    "one crack now found in two parts is static": Case(
        [crack(1, (0, 0), (1.0, 0))], [crack(7, (0, 0), (0.5, 0)), crack(8, (0.504, 0), (1, 0))], Change.STATIC
    ),
    "a crack as long and twice as wide has grown": Case(
        [LINE], [crack(7, (0, 0), (1, 0), width_mm=12.0)], Change.GROWN
    ),
    "a crack wider at one place alone, as where it crosses a joint, is static": Case(
        [LINE], [crack(7, (0, 0), (1, 0), width_mm=12.0, mean_width_mm=6.1)], Change.STATIC
    ),
    "a patch with a tenth more area has grown": Case([rust(1, 0, 0.1)], [rust(7, 0, 0.105)], Change.GROWN),
    "a patch with the same area is static": Case([rust(1, 0, 0.1)], [rust(7, 0, 0.1)], Change.STATIC),
    "a crack shorter than the coarser survey lists is not called repaired": Case(
        [crack(1, (0, 0), (0.06, 0))], [], Change.NOT_SEEN, newer_limits=replace(LIMITS, gsd_m=0.004)
    ),
    "rust that was not looked for is not called repaired": Case(
        [rust(1, 0, 0.1)], [], Change.NOT_SEEN, newer_limits=replace(LIMITS, looks_for=frozenset({PixelClass.CRACK}))
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_defect_is_called_what_became_of_it(case: Case) -> None:
    (change,) = compared(
        case.older,
        case.newer,
        older_seen=case.older_seen,
        newer_seen=case.newer_seen,
        newer_limits=case.newer_limits,
    )
    assert change.change == case.change
    assert (change.unseen_in is not None) == (case.change == Change.NOT_SEEN)
    assert set(change.older_ids) == {defect.id for defect in case.older}
    assert set(change.newer_ids) == {defect.id for defect in case.newer}


def test_a_crack_that_crosses_another_is_not_the_same() -> None:
    changes = compared([crack(1, (0, 0), (1, 0))], [crack(7, (0.5, -0.5), (0.5, 0.5))])
    assert {change.change for change in changes} == {Change.NEW, Change.REPAIRED}


def test_the_longest_of_joined_cracks_hands_its_stable_id_on() -> None:
    parts = [
        replace(crack(1, (0, 0), (0.3, 0)), stable_id="short"),
        replace(crack(2, (0.4, 0), (1, 0)), stable_id="long"),
    ]
    (change,) = compared(parts, [crack(7, (0, 0), (1, 0))])
    assert (change.stable_id, change.absorbed_ids) == ("long", ("short",))


def test_a_new_defect_is_named_after_the_run_that_found_it() -> None:
    (change,) = compared([], [LINE])
    assert change.stable_id == "C-0001.bbbbbbbb"


def test_sizes_are_compared_in_the_newer_scale() -> None:
    stretched = Registration(Similarity(1.03, 0.0, 0.0, 0.0), 0.1 * GSD_M, GSD_M, 60, 60, "imagery")
    (laid,) = registered([crack(1, (0, 0), (1, 0))], stretched)
    assert laid.length_m == pytest.approx(1.03)
    (change,) = compared([laid], [crack(7, (0, 0), (1.03, 0))])
    assert change.change == Change.STATIC
    assert change.length_m is not None
    assert change.length_m.difference == pytest.approx(0.0, abs=1e-9)


@given(st.floats(0.05, 3.0), st.floats(0.0, 2.0))
def test_growth_is_called_exactly_where_it_exceeds_its_uncertainty(length_m: float, more_m: float) -> None:
    (change,) = compared([crack(1, (0, 0), (length_m, 0))], [crack(7, (0, 0), (length_m + more_m, 0))])
    assert change.length_m is not None
    assert change.length_m.difference == pytest.approx(more_m, abs=1e-9)
    assert (change.change == Change.GROWN) == (more_m > change.length_m.uncertainty)
