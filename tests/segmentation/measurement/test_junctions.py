"""Lines are led to where they meet, whatever meets there."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from segmentation.measurement.junctions import meeting
from segmentation.measurement.skeleton_graph import Branch

ARM_PX = 30


def ray(angle_deg: int) -> np.ndarray:
    way = np.array([np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))])
    return np.arange(ARM_PX + 1)[:, None] * way


def ring(points: int, px: float) -> np.ndarray:
    """A ring through the origin of so many points, `px` apart."""
    turn = np.linspace(0, 2 * np.pi, points + 1)
    return points * px / (2 * np.pi) * np.stack([1 - np.cos(turn), np.sin(turn)], axis=1)


@given(st.integers(6, 24), st.floats(0.5, 1.3), st.floats(2, 5), st.lists(st.integers(90, 270), min_size=1, max_size=3))
@example(points=12, px=0.6, half_width=4.5, angles_deg=[120, 200])
@settings(max_examples=300, deadline=None)
def test_a_ring_beside_a_junction_is_led_to_it_at_both_of_its_ends(
    points: int, px: float, half_width: float, angles_deg: list[int]
) -> None:
    """Led at one end it may have less points left than lay in the body of the junction at the other."""
    branches = [Branch(0, 0, ring(points, px)), *(Branch(0, n + 1, ray(a)) for n, a in enumerate(angles_deg))]
    along = np.arange(-60.0, 61.0)
    rim = cKDTree(
        np.concatenate([np.stack([along, np.full(along.size, side)], 1) for side in (-half_width, half_width)])
    )
    for branch in meeting(branches, rim):
        assert np.isfinite(branch.points).all()
        assert len(branch.points) >= 2
