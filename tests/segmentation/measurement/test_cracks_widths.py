"""Widths against truth where the raster's own cracks tell how a crack looks in it; and what they tell."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.classes import PixelClass
from segmentation.measurement.appearance import ASSUMED, CrackAppearance, Estimate, pooled
from segmentation.measurement.components import Component
from segmentation.measurement.cracks import CrackResult, appearance_of, measure_crack
from segmentation.measurement.defects import telling_cracks
from segmentation.windows import Window
from tests.segmentation.measurement.rendering import SQUARE_MM, Rendered, centre_of, render, straight
from tests.segmentation.measurement.test_cracks import SHAPE, largest


@dataclass(frozen=True)
class Look:
    id: str
    blur_px: float
    noise: float
    contrast: float


LOOKS = [
    Look("sharp", 0.6, 4.0, 90.0),
    Look("as-usual", 0.8, 4.0, 90.0),
    Look("soft", 1.1, 4.0, 90.0),
    Look("noisy-and-pale", 0.8, 8.0, 60.0),
]
WIDTHS_PX = (1.0, 1.5, 2.0, 2.5, 3.5, 6.0, 10.0)
ANGLES_DEG = (11.0, 52.0, 95.0, 146.0)


def rendered(look: Look, width_px: float, angle_deg: float) -> Rendered:
    east, north = centre_of(SQUARE_MM, SHAPE)
    line = straight((east + 0.0003, north + 0.0002), length_m=0.110, angle_deg=angle_deg)
    how = {"blur_px": look.blur_px, "noise": look.noise, "contrast": look.contrast}
    return render([line], width_m=width_px * 1e-3, shape=SHAPE, seed=int(angle_deg), **how)


@lru_cache(maxsize=8)
def results(look: Look) -> dict[tuple[float, float], CrackResult]:
    """Every crack of one raster, measured with what the cracks of it told."""
    cracks = {(w, a): rendered(look, w, a) for w in WIDTHS_PX for a in ANGLES_DEG}
    shown = {key: (largest(one.pixels), one.image, one.probability) for key, one in cracks.items()}
    appearance = pooled(
        appearance_of(pixels, image=image, probability=probability, scale=SQUARE_MM)
        for pixels, image, probability in shown.values()
    )
    return {
        key: measure_crack(
            pixels,
            image=image,
            probability=probability,
            scale=SQUARE_MM,
            origin=(0, 0),
            min_width_px=2.0,
            appearance=appearance,
        )
        for key, (pixels, image, probability) in shown.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.id)
def test_mean_widths_are_right_from_one_pixel_to_ten(look: Look) -> None:
    for width in WIDTHS_PX:
        errors = np.array([results(look)[width, a].measure.mean_width_mm - width for a in ANGLES_DEG])
        assert np.abs(errors).mean() <= (0.10 if width >= 2 else 0.25), width
        if width >= 2:
            assert abs(errors.mean()) <= 0.05, width


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.id)
def test_the_uncertainty_covers_the_largest_width_and_is_not_idle(look: Look) -> None:
    found = [(width, one.measure) for (width, _), one in results(look).items() if width >= 2]
    covered = [abs(m.max_width_mm - width) <= m.width_uncertainty_mm for width, m in found]
    assert np.mean(covered) >= 0.85
    assert max(m.width_uncertainty_mm for _, m in found) < 0.6


def test_a_thin_crack_needs_its_raster_to_be_told_from_a_wide_pale_one() -> None:
    """One pixel of darkness 90 looks like two of 45: alone, the ± says so; beside wide cracks, it is known."""
    look = LOOKS[1]
    thin, wide = rendered(look, 1.0, 52.0), rendered(look, 6.0, 11.0)
    told = pooled(
        [appearance_of(largest(wide.pixels), image=wide.image, probability=wide.probability, scale=SQUARE_MM)] * 4
    )
    alone, beside = (
        measure_crack(
            largest(thin.pixels),
            image=thin.image,
            probability=thin.probability,
            scale=SQUARE_MM,
            origin=(0, 0),
            min_width_px=2.0,
            appearance=appearance,
        )
        for appearance in (ASSUMED, told)
    )
    assert beside.measure.mean_width_mm == pytest.approx(1.0, abs=0.1)
    assert beside.measure.width_uncertainty_mm < alone.measure.width_uncertainty_mm / 2
    assert abs(alone.measure.mean_width_mm - 1.0) <= alone.measure.width_uncertainty_mm
    assert alone.below_resolution
    assert beside.below_resolution, "known or not, it is below what the raster carries"


def test_a_wide_crack_tells_blur_and_darkness_and_a_thin_one_neither() -> None:
    wide, thin = (
        appearance_of(largest(one.pixels), image=one.image, probability=one.probability, scale=SQUARE_MM)
        for one in (rendered(LOOKS[1], 6.0, 11.0), rendered(LOOKS[1], 1.5, 11.0))
    )
    # The pixel's own box adds its 1/√12 to the blur.
    assert wide.blur_px.value == pytest.approx(np.hypot(0.8, 12**-0.5), abs=0.08)
    assert wide.darkness.value == pytest.approx(90 / 150, abs=0.05)
    assert pooled([thin] * 10) == ASSUMED


def test_nothing_seen_leaves_what_is_assumed() -> None:
    assert pooled([]) == ASSUMED


SPREAD = st.floats(0.02, 1.0)
EVIDENCE = st.builds(
    CrackAppearance,
    st.builds(Estimate, st.floats(0.5, 2.0), SPREAD),
    st.builds(Estimate, st.floats(0.1, 0.95), SPREAD),
)


@given(st.lists(EVIDENCE, max_size=12), st.randoms())
def test_pooling_is_the_same_in_any_order_and_never_less_sure_than_assumed(
    evidence: list[CrackAppearance], random: object
) -> None:
    shuffled = list(evidence)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = pooled(evidence)
    assert found == pooled(shuffled)
    assert found.blur_px.spread <= ASSUMED.blur_px.spread
    assert found.darkness.spread <= ASSUMED.darkness.spread


def test_the_widest_cracks_are_asked_whatever_their_order() -> None:
    def crack(number: int, area_px: int) -> Component:
        window = Window(100 * number, 100 * number + 20, 0, 100)
        return Component(PixelClass.CRACK, area_px, window, (100 * number, 0))

    cracks = [crack(number, 100 + 7 * (number * 37 % 60)) for number in range(60)]
    chosen = telling_cracks(cracks)
    assert len(chosen) == 16
    assert min(c.area_px for c in chosen) >= max(c.area_px for c in cracks if c not in chosen)
    assert telling_cracks(cracks[::-1]) == chosen
