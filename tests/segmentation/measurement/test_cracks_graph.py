"""A crack as a graph: branches, junctions, ends, directions; and the pattern that several make."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve, label
from shapely.affinity import translate
from skimage.draw import line as drawn_line
from skimage.morphology import skeletonize

from segmentation.classes import PixelClass
from segmentation.measurement.patterns import crack_pattern
from segmentation.measurement.skeleton_graph import degrees_of, set_pixels, skeleton_graph
from segmentation.records import Defect
from segmentation.windows import Window
from tests.segmentation.measurement.rendering import SQUARE_MM, centre_of, length_of, render, straight
from tests.segmentation.measurement.test_cracks import SHAPE, cross, measured, tee


def skeleton_of(strokes: list[tuple[int, int, int, int]]) -> np.ndarray:
    pixels = np.zeros((64, 64), bool)
    for r0, c0, r1, c1 in strokes:
        pixels[drawn_line(r0, c0, r1, c1)] = True
    return np.asarray(skeletonize(pixels, method="lee") > 0)


def neighbours_of(skeleton: np.ndarray) -> np.ndarray:
    """Neighbours of each pixel set, −1 elsewhere."""
    around = convolve(skeleton.astype(int), np.ones((3, 3), int), mode="constant") - 1
    return np.where(skeleton, around, -1)


PLACE = st.integers(3, 60)


@pytest.mark.slow
@given(st.lists(st.tuples(PLACE, PLACE, PLACE, PLACE), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_graph_has_the_length_and_the_open_ends_that_skan_finds(strokes: list[tuple[int, int, int, int]]) -> None:
    from skan import Skeleton

    skeleton = skeleton_of(strokes)
    if np.count_nonzero(skeleton) < 2:
        return
    # A pixel without neighbours is no branch to either.
    labels, _ = label(skeleton, np.ones((3, 3)))
    skeleton &= np.bincount(labels.ravel())[labels] > 1
    if not skeleton.any():
        return
    other = Skeleton(skeleton, keep_images=False)
    branches = skeleton_graph(set_pixels(skeleton), lambda points: points)
    own = sum(branch.length for branch in branches)
    # A junction is one point here and several pixels there.
    tolerance = 2.0 * len(branches) + 0.03 * own
    assert own == pytest.approx(float(other.path_lengths().sum()), abs=tolerance)
    assert sum(degree == 1 for degree in degrees_of(branches).values()) == int((neighbours_of(skeleton) == 1).sum())


@given(st.lists(st.tuples(PLACE, PLACE, PLACE, PLACE), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_every_pixel_of_a_skeleton_lies_on_a_branch_or_at_a_junction(strokes: list[tuple[int, int, int, int]]) -> None:
    skeleton = skeleton_of(strokes)
    labels, _ = label(skeleton, np.ones((3, 3)))
    skeleton &= np.bincount(labels.ravel())[labels] > 1
    branches = skeleton_graph(set_pixels(skeleton), lambda points: points)
    shown = {(int(r), int(c)) for branch in branches for r, c in branch.points if r == int(r) and c == int(c)}
    plain = np.argwhere(neighbours_of(skeleton) == 2)
    # Loops of a few pixels inside one junction are dropped.
    missing = [tuple(place) for place in plain.tolist() if tuple(place) not in shown]
    assert len(missing) <= 4 * sum(degree > 2 for degree in degrees_of(branches).values()) + 4


def test_a_ring_is_one_branch_from_a_point_to_itself() -> None:
    pixels = np.zeros((12, 12), bool)
    pixels[[2, 9], 3:9] = True
    pixels[3:9, [2, 9]] = True
    (ring,) = skeleton_graph(set_pixels(pixels), lambda points: points)
    assert ring.start == ring.stop
    assert ring.length == pytest.approx(20 + 4 * 2**0.5)


def test_a_straight_crack_has_two_ends_one_branch_and_its_direction() -> None:
    line = straight(centre_of(SQUARE_MM, SHAPE), length_m=0.110, angle_deg=30)
    measure = measured(render([line], width_m=0.004, shape=SHAPE)).measure
    assert len(measure.branches) == 1
    assert measure.junction_count == 0
    assert measure.orientation_deg == pytest.approx(30, abs=1)
    assert measure.tortuosity == pytest.approx(1.0, abs=0.01)
    assert sorted(end.heading_deg for end in measure.ends) == pytest.approx([30, 210], abs=4)
    assert measure.median_width_mm == pytest.approx(4.0, abs=0.1)


def test_a_cross_has_a_junction_four_ends_and_four_branches_of_two_directions() -> None:
    lines = cross(centre_of(SQUARE_MM, SHAPE))
    measure = measured(render(lines, width_m=0.004, shape=SHAPE)).measure
    assert (measure.junction_count, len(measure.ends), len(measure.branches)) == (1, 4, 4)
    directions = sorted(branch.orientation_deg for branch in measure.branches)
    assert directions == pytest.approx([13, 13, 85, 85], abs=2)
    assert sum(branch.length_m for branch in measure.branches) == pytest.approx(measure.length_m, rel=1e-6)
    assert measure.length_m == pytest.approx(sum(map(length_of, lines)), rel=0.02)
    for branch in measure.branches:
        assert branch.median_width_mm == pytest.approx(4.0, abs=0.15)


def test_a_tee_has_one_junction_and_three_ends() -> None:
    measure = measured(render(tee(centre_of(SQUARE_MM, SHAPE)), width_m=0.004, shape=SHAPE)).measure
    assert (measure.junction_count, len(measure.ends), len(measure.branches)) == (1, 3, 3)


def test_a_bent_crack_is_more_tortuous_than_a_straight_one() -> None:
    turn = np.deg2rad(np.linspace(0, 180, 200))
    east, north = centre_of(SQUARE_MM, SHAPE)
    half_ring = np.stack([east + 0.04 * np.cos(turn), north + 0.04 * np.sin(turn)], 1)
    measure = measured(render([half_ring], width_m=0.004, shape=SHAPE)).measure
    assert measure.tortuosity == pytest.approx(np.pi / 2, rel=0.03)


def defect_of(lines: list[np.ndarray], seed: int = 0) -> Defect:
    result = measured(render(lines, width_m=0.004, shape=SHAPE, seed=seed, noise=2.0))
    window = Window(0, SHAPE[0], 0, SHAPE[1])
    return Defect("", PixelClass.CRACK, "A", "r.tif", window, result.lines, None, 1e-4, 0.9, result.measure, False)


def test_parallel_cracks_are_told_with_their_spacing() -> None:
    cracks = [defect_of([straight((0.08, -0.05 - 0.02 * k), length_m=0.110, angle_deg=4)]) for k in range(3)]
    found = crack_pattern(cracks, gsd_m=0.001)
    assert found.pattern == "parallel"
    assert found.spacing_m == pytest.approx(0.02, rel=0.03)
    assert crack_pattern(cracks[::-1], gsd_m=0.001) == found


def test_a_net_of_cracks_is_map_cracking_even_as_one_crack() -> None:
    rows = [straight((0.08, -0.05 - 0.03 * k), length_m=0.110, angle_deg=0) for k in range(3)]
    columns = [straight((0.05 + 0.03 * k, -0.08), length_m=0.110, angle_deg=90) for k in range(3)]
    net = defect_of(rows + columns)
    found = crack_pattern([net], gsd_m=0.001)
    assert found.pattern == "map"
    assert found.spacing_m == pytest.approx(0.03, rel=0.15)
    far = replace(net, pixel_geometry=translate(net.pixel_geometry, 5000, 0))
    assert crack_pattern([net, far], gsd_m=0.001).spacing_m == pytest.approx(found.spacing_m)


def test_a_crack_that_forks_is_no_net_and_has_no_spacing_of_its_own() -> None:
    assert crack_pattern([defect_of(tee(centre_of(SQUARE_MM, SHAPE)))], gsd_m=0.001).spacing_m is None


def test_cracks_far_from_one_another_are_isolated() -> None:
    cracks = [defect_of([straight((0.03 + 0.1 * k, -0.03 - 0.1 * k), length_m=0.03, angle_deg=0)]) for k in range(2)]
    assert crack_pattern(cracks, gsd_m=0.001).pattern == "isolated"
    assert crack_pattern([], gsd_m=0.001).pattern is None
