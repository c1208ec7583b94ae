"""Instances, their overlaps and their average precision, on masks small enough to count by hand."""

from dataclasses import dataclass
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.classes import PixelClass
from segmentation.training.instances import (
    NO_INSTANCES,
    OVERLAPS,
    InstanceMatches,
    area_overlaps,
    instance_labels,
    interpolated_precision,
    line_overlaps,
    match_instances,
    mean_per_instance,
)


def _labels(mask: np.ndarray, *, pixel_class: PixelClass = PixelClass.RUST, join_px: float = 0.0) -> np.ndarray:
    return instance_labels(mask, pixel_class=pixel_class, join_px=join_px, min_crack_length_px=5, min_rust_area_px=4)


def _lines(*stretches: tuple[int, int, int]) -> np.ndarray:
    """(row, first column, one past the last) of lines."""
    mask = np.zeros((40, 60), np.bool_)
    for row, start, stop in stretches:
        mask[row, start:stop] = True
    return mask


def test_specks_are_no_instances() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[0, :3] = mask[4:6, 4:6] = True
    assert _labels(mask).max() == 1
    assert _labels(mask)[4, 4] == 1
    assert _labels(_lines((3, 5, 9)), pixel_class=PixelClass.CRACK).max() == 0
    assert _labels(_lines((3, 5, 10)), pixel_class=PixelClass.CRACK).max() == 1


@pytest.mark.parametrize(("gap_px", "instances"), [(3, 1), (6, 2)])
def test_parts_of_a_crack_within_the_joining_distance_are_one(gap_px: int, instances: int) -> None:
    mask = _lines((9, 0, 20), (9, 20 + gap_px, 50))
    assert _labels(mask, pixel_class=PixelClass.CRACK, join_px=4.0).max() == instances


def test_the_overlap_of_areas_is_their_intersection_over_union() -> None:
    said, true = np.zeros((2, 10, 20), np.bool_)
    said[0:4, 0:4] = said[0:4, 10:14] = True
    true[0:4, 2:6] = True
    assert area_overlaps(_labels(said), _labels(true)).tolist() == [[8 / 24], [0.0]]


def test_the_overlap_of_lines_counts_what_lies_within_the_tolerance() -> None:
    true = _labels(_lines((10, 0, 40)), pixel_class=PixelClass.CRACK)
    beside = _labels(_lines((12, 0, 40)), pixel_class=PixelClass.CRACK)
    half = _labels(_lines((10, 0, 20)), pixel_class=PixelClass.CRACK)
    assert line_overlaps(beside, true, tolerance_px=2.0).tolist() == [[1.0]]
    assert line_overlaps(beside, true, tolerance_px=1.0).tolist() == [[0.0]]
    # 20 px found of 40, and 2 px more of the truth lie within 2 px of the end.
    assert line_overlaps(half, true, tolerance_px=2.0)[0, 0] == pytest.approx(20 / (20 + 40 - 22), abs=0.05)


def test_the_surest_finding_takes_the_piece_and_the_second_one_goes_without() -> None:
    overlaps = np.array([[0.6], [0.9]])
    assert match_instances(overlaps, np.array([0.9, 0.5]), least=(0.5, 0.7)).tolist() == [[True, False], [False, True]]
    assert match_instances(overlaps, np.array([0.5, 0.9]), least=(0.5, 0.7)).tolist() == [[False, False], [True, True]]


def test_confidence_is_the_mean_probability_of_an_instance() -> None:
    labels = np.array([[1, 1, 0, 2]])
    assert mean_per_instance(np.array([[255, 0, 77, 51]], np.uint8), labels).tolist() == [0.5, 0.2]


@dataclass(frozen=True)
class Ranked:
    name: str
    confidence: list[float]
    matched: list[bool]
    pieces: int
    expected: float


RANKED = [
    Ranked("every piece found, nothing else", [0.9, 0.8], [True, True], 2, 1.0),
    Ranked("one of two pieces found", [0.9], [True], 2, 0.5),
    Ranked("a false alarm less sure costs nothing", [0.9, 0.1], [True, False], 1, 1.0),
    Ranked("a false alarm more sure halves it", [0.1, 0.9], [True, False], 1, 0.5),
    Ranked("a dip in precision is bridged", [0.9, 0.8, 0.7], [True, False, True], 2, 0.5 + 0.5 * 2 / 3),
    Ranked("nothing found", [], [], 3, 0.0),
]


@pytest.mark.parametrize("case", RANKED, ids=lambda case: case.name)
def test_average_precision_is_that_worked_out_by_hand(case: Ranked) -> None:
    found = interpolated_precision(np.array(case.confidence), np.array(case.matched, np.bool_), pieces=case.pieces)
    assert found == pytest.approx(case.expected)


def test_without_a_piece_of_damage_there_is_no_average_precision() -> None:
    assert isnan(NO_INSTANCES.ap50)


@given(seed=st.integers(0, 10_000))
def test_masks_against_themselves_match_in_full_by_area_and_by_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blobs = np.kron(rng.random((5, 5)) < 0.4, np.ones((6, 6))) > 0
    blobs[0:6, 0:6] = True
    labels = _labels(blobs)
    for overlaps in (area_overlaps(labels, labels), line_overlaps(labels, labels, tolerance_px=0.0)):
        assert (np.diag(overlaps) == 1).all()
        assert overlaps.sum() == len(overlaps)
    confidence = rng.random(int(labels.max()))
    matches = InstanceMatches(confidence, match_instances(area_overlaps(labels, labels), confidence), len(confidence))
    assert matches.ap == matches.ap50 == 1.0


@given(seed=st.integers(0, 10_000))
def test_overlaps_of_areas_are_those_of_naive_loops(seed: int) -> None:
    said, true = np.random.default_rng(seed).random((2, 14, 15)) < 0.4
    one, other = _labels(said), _labels(true)
    naive = [
        [((one == p) & (other == t)).sum() / ((one == p) | (other == t)).sum() for t in range(1, other.max() + 1)]
        for p in range(1, one.max() + 1)
    ]
    assert area_overlaps(one, other) == pytest.approx(np.array(naive).reshape(one.max(), other.max()))


def test_matches_of_two_images_are_ranked_together() -> None:
    sure_and_false = InstanceMatches(np.array([0.9]), np.zeros((1, len(OVERLAPS)), np.bool_), 1)
    unsure_and_true = InstanceMatches(np.array([0.5]), np.ones((1, len(OVERLAPS)), np.bool_), 1)
    assert (sure_and_false + unsure_and_true).ap50 == pytest.approx(0.5 * 0.5)
