"""The truth about a crack is what is painted."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segmentation.synthetic.cracks import Crack, CrackLook, crack_mask, paint_crack, random_crack
from segmentation.synthetic.strokes import Stroke
from segmentation.windows import Window

FRAME = Window(0, 400, 0, 400)
DARK = CrackLook(darkness=1.0, tint=(0.0, 0.0, 0.0), unevenness=0.0, soft_px=0.0, shoulder=0.0)


@dataclass(frozen=True)
class Straight:
    name: str
    width_px: float
    end: tuple[float, float]


STRAIGHT = (
    Straight("two-pixels-level", 2.0, (50.0, 350.0)),
    Straight("three-pixels-oblique", 3.0, (170.0, 350.0)),
    Straight("five-pixels-steep", 5.0, (350.0, 130.0)),
    Straight("nine-pixels-diagonal", 9.0, (350.0, 350.0)),
)


@pytest.mark.parametrize("case", STRAIGHT, ids=lambda case: case.name)
def test_mask_of_a_straight_crack_has_the_area_of_length_times_width(case: Straight) -> None:
    stroke = Stroke(np.array([(50.0, 50.0), case.end]), np.full(2, case.width_px))
    area = np.count_nonzero(crack_mask(Crack((stroke,)), FRAME))
    assert area == pytest.approx(stroke.length_px * case.width_px, rel=0.04)


def wandering(seed: int, width_px: float, branches: int = 0) -> Crack:
    rng = np.random.default_rng(seed)
    return random_crack(
        rng, start=(200.0, 100.0), heading_rad=0.1, length_px=210.0, width_px=width_px, variation=0.3, wander=0.3,
        jitter=0.5, branches=branches, taper=False,
    )  # fmt: skip


@given(st.integers(0, 100_000), st.floats(0.5, 8.0), st.integers(0, 3))
@settings(max_examples=60)
def test_mask_of_a_crack_is_one_piece_however_thin(seed: int, width_px: float, branches: int) -> None:
    mask = crack_mask(wandering(seed, width_px, branches), FRAME)
    assert ndimage.label(mask, np.ones((3, 3)))[1] == 1


@given(st.integers(0, 100_000), st.floats(0.5, 8.0))
def test_a_crack_has_the_length_and_mean_width_that_were_asked_for(seed: int, width_px: float) -> None:
    crack = wandering(seed, width_px)
    step = 4.0
    assert crack.length_px == pytest.approx(210.0, abs=step)
    assert float(crack.strokes[0].widths_px.mean()) == pytest.approx(width_px)
    assert crack.max_width_px <= 4.0 * width_px


def test_painting_takes_away_light_where_the_crack_covers_and_nowhere_else() -> None:
    image = np.full((400, 400, 3), 0.8, np.float32)
    crack = wandering(3, 4.0)
    paint_crack(image, FRAME, crack, DARK, np.random.default_rng(0))
    mask = crack_mask(crack, FRAME)
    lost = (0.8 - image[..., 0]) / 0.8
    assert float(lost.sum()) == pytest.approx(np.count_nonzero(mask), rel=0.03)
    assert float(lost[~ndimage.binary_dilation(mask, iterations=2)].max()) == 0.0
