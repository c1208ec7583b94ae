"""Cracks joined across gaps: one line is one crack, whatever the order of its parts."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import MultiLineString

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.measurement.cuts import MeasuredComponent
from segmentation.measurement.joining import bridges, joined_components, joined_cracks
from segmentation.records import CrackEnd, CrackMeasure, Defect
from segmentation.windows import Window

GSD_M = 0.002
LOCAL = Georeference(4000, 4000, (GSD_M, 0.0, 0.0, 0.0, -GSD_M, 0.0), None, 1.0)


def crack(row: float, start: float, stop: float, *, slope_deg: float = 0.0, structure: str = "A") -> Defect:
    """A straight crack that begins at (row, start) and is `stop − start` px long, rising to the north by the slope."""
    length = stop - start
    end = (row - length * np.sin(np.radians(slope_deg)), start + length * np.cos(np.radians(slope_deg)))
    line = MultiLineString([[(start, row), (end[1], end[0])]])
    measure = CrackMeasure(
        length_m=length * GSD_M,
        max_width_mm=6.0,
        p95_width_mm=5.0,
        mean_width_mm=4.0,
        width_uncertainty_mm=0.3,
        width_method="profile",
        widest_at=(row, start),
        resolvable_width_mm=4.0,
        ends=(
            CrackEnd(row, start, (180.0 + slope_deg) % 360.0),
            CrackEnd(float(end[0]), float(end[1]), slope_deg % 360.0),
        ),
    )
    window = Window(int(min(row, end[0])) - 2, int(max(row, end[0])) + 3, int(start), int(end[1]) + 1)
    return Defect("", PixelClass.CRACK, structure, "r.tif", window, line, None, 4e-4, 0.9, measure, False)


def joined(cracks: list[Defect], gap_px: float = 24.0) -> list[Defect]:
    return [whole for _, whole in joined_cracks(cracks, georeference=LOCAL, gap_px=gap_px)]


def test_a_line_over_forty_tiles_broken_at_each_is_one_crack_with_one_length() -> None:
    dashes = [crack(500, 64 * k + 5, 64 * k + 59) for k in range(40)]
    (whole,) = joined(dashes)
    assert whole.crack is not None
    assert whole.crack.length_m == pytest.approx((64 * 39 + 54) * GSD_M)
    assert whole.crack.bridged_gaps == 39
    assert whole.crack.bridged_m == pytest.approx(39 * 10 * GSD_M)
    assert len(whole.crack.ends) == 2
    assert whole.area_m2 == pytest.approx(40 * 4e-4), "a bridge has a length, but no area"
    assert whole.window == Window(498, 503, 5, 64 * 39 + 60)


@dataclass(frozen=True)
class Pair:
    id: str
    one: Defect
    other: Defect
    count: int


PAIRS = [
    Pair("in-line-with-a-gap-of-20-px", crack(100, 0, 50), crack(100, 70, 120), 1),
    Pair("in-line-with-a-gap-of-30-px", crack(100, 0, 50), crack(100, 80, 120), 2),
    Pair("turning-by-20-degrees", crack(100, 0, 50), crack(100, 60, 120, slope_deg=20), 1),
    Pair("turning-by-50-degrees", crack(100, 0, 50), crack(100, 60, 120, slope_deg=50), 2),
    Pair("side-by-side", crack(100, 0, 50), crack(110, 0, 50), 2),
    Pair("in-line-but-ten-px-beside", crack(100, 0, 50), crack(110, 62, 120), 2),
    Pair("overlapping-in-length", crack(100, 0, 50), crack(104, 35, 90), 2),
    Pair("on-another-structure", crack(100, 0, 50), crack(100, 60, 120, structure="B"), 2),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.id)
def test_cracks_are_joined_where_one_goes_on_as_the_other(pair: Pair) -> None:
    assert len(joined([pair.one, pair.other])) == pair.count


def test_no_gap_is_bridged_where_none_may_be() -> None:
    assert len(joined([crack(100, 0, 50), crack(100, 51, 120)], gap_px=0.0)) == 2


def test_each_end_is_joined_once_and_to_the_nearest_in_line() -> None:
    found = joined([crack(100, 0, 50), crack(100, 56, 90), crack(103, 66, 90)])
    assert sorted(one.crack.bridged_gaps for one in found if one.crack) == [0, 1]
    (long,) = [one for one in found if one.crack and one.crack.bridged_gaps]
    assert long.crack is not None
    assert long.crack.length_m == pytest.approx(90 * GSD_M)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8), st.integers(-30, 30)), max_size=14), st.randoms())
def test_what_is_joined_does_not_depend_on_the_order(places: list[tuple[int, int, int]], random: object) -> None:
    cracks = [crack(100 + 5 * r, 40.0 * c, 40.0 * c + 31, slope_deg=a) for r, c, a in dict.fromkeys(places)]
    shuffled = list(cracks)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def shown(found: list[Defect]) -> list[tuple[object, ...]]:
        return sorted(
            (c.window, c.crack.length_m, c.crack.bridged_gaps, sorted((e.row, e.col) for e in c.crack.ends))
            for c in found
            if c.crack is not None
        )

    assert shown(joined(cracks)) == shown(joined(shuffled))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 359)), max_size=20))
def test_bridges_make_no_ring_and_use_no_end_twice(places: list[tuple[int, int, int]]) -> None:
    ends = [(CrackEnd(r, c, a), CrackEnd(r + 1, c + 9, (a + 180) % 360)) for r, c, a in places]
    found = bridges(ends, georeference=LOCAL, gap_px=24.0)
    used = [(end.row, end.col, end.heading_deg) for bridge in found for end in (bridge.one, bridge.other)]
    there = [(end.row, end.col, end.heading_deg) for own in ends for end in own]
    assert all(used.count(end) <= there.count(end) for end in used)
    assert len(found) <= max(0, len(places) - 1)


def test_a_short_crack_is_listed_where_it_continues_another_and_left_out_where_it_lies_alone() -> None:
    long, near, alone = crack(100, 0, 50), crack(100, 60, 72), crack(900, 0, 12)

    def short(one: Defect) -> MeasuredComponent:
        assert one.crack is not None
        return MeasuredComponent(
            omitted_cracks=1, omitted_length_m=one.crack.length_m, omitted_area_m2=one.area_m2, short_cracks=(one,)
        )

    rust = replace(long, crack=None, pixel_class=PixelClass.RUST)
    found = joined_components(
        [short(near), MeasuredComponent(defects=(rust, long)), short(alone)],
        georeference=LOCAL,
        gap_px=24.0,
        min_crack_length_px=24.0,
    )
    cracks = [one for measured in found for one in measured.defects if one.crack is not None]
    assert [one.crack.length_m for one in cracks if one.crack] == [pytest.approx(72 * GSD_M)]
    assert [one for measured in found for one in measured.defects if one.crack is None] == [rust]
    assert sum(measured.omitted_cracks for measured in found) == 1
    assert sum(measured.omitted_length_m for measured in found) == pytest.approx(12 * GSD_M)
