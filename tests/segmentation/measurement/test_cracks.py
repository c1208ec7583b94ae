"""Length and width of rendered cracks of known size."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
import pytest

from segmentation.georeference import PixelScale
from segmentation.measurement.components import join_blocks, label_block
from segmentation.measurement.cracks import CrackResult, measure_crack
from segmentation.windows import Window
from tests.segmentation.measurement.rendering import (
    SQUARE_MM,
    Rendered,
    centre_of,
    length_of,
    render,
    straight,
)

SHAPE = (160, 160)


def largest(pixels: np.ndarray) -> np.ndarray:
    """The pixels of the largest component: what a thin line's coverage breaks off at its ends is not measured."""
    window = Window(0, pixels.shape[0], 0, pixels.shape[1])
    components = join_blocks([label_block(pixels.astype(np.uint8), window=window)])
    from segmentation.measurement.components import component_pixels

    component = max(components, key=lambda c: c.area_px)
    return component_pixels(pixels.astype(np.uint8), window=window, component=component)


def measured(rendered: Rendered, scale: PixelScale = SQUARE_MM, origin: tuple[int, int] = (0, 0)) -> CrackResult:
    return measure_crack(
        largest(rendered.pixels),
        image=rendered.image,
        probability=rendered.probability,
        scale=scale,
        origin=origin,
        min_width_px=2.0,
    )


def straight_cracks(width_px: float, angles: range, **how: float) -> list[CrackResult]:
    results = []
    for k, angle in enumerate(angles):
        east, north = centre_of(SQUARE_MM, SHAPE)
        line = straight((east + 0.0002 + 0.00037 * k, north + 0.0003 + 0.00061 * k), length_m=0.110, angle_deg=angle)
        results.append(measured(render([line], width_m=width_px * 1e-3, shape=SHAPE, seed=k, **how)))
    return results


@pytest.mark.parametrize("width_px", [2.0, 2.7, 3.4, 5.0, 7.3, 10.0])
def test_width_and_length_of_a_straight_crack_at_any_angle(width_px: float) -> None:
    results = straight_cracks(width_px, range(0, 180, 31))
    errors = np.array([result.measure.mean_width_mm - width_px for result in results])
    largest_errors = np.array([result.measure.max_width_mm - width_px for result in results])
    assert np.abs(errors).mean() <= 0.15
    assert np.abs(largest_errors).mean() <= 0.2
    for result in results:
        assert result.measure.width_method == "profile"
        assert result.measure.length_m == pytest.approx(0.110, rel=0.02)


def test_the_stated_uncertainty_covers_the_truth_nearly_always() -> None:
    covered = [
        abs(result.measure.max_width_mm - width) <= result.measure.width_uncertainty_mm
        for width in (2.0, 3.0, 4.0, 8.0)
        for blur in (0.6, 1.1)
        for result in straight_cracks(width, range(7, 180, 60), blur_px=blur)
    ]
    assert np.mean(covered) >= 0.9


def test_a_soft_raster_is_told_by_a_larger_uncertainty_or_limit() -> None:
    """3 px seen through a blur of 1.6 px look much wider: the ± must say so."""
    for result in straight_cracks(3.0, range(0, 180, 45), blur_px=1.6):
        measure = result.measure
        assert measure.width_uncertainty_mm > 0.4
        assert abs(measure.mean_width_mm - 3.0) <= measure.width_uncertainty_mm + 0.1


def test_noise_does_not_make_an_even_crack_wide() -> None:
    measures = [result.measure for result in straight_cracks(5.0, range(0, 180, 23), noise=10.0, contrast=60.0)]
    assert np.mean([measure.max_width_mm - 5.0 for measure in measures]) < 0.2
    assert all(measure.max_width_mm - 5.0 < 1.2 * measure.width_uncertainty_mm for measure in measures)


@dataclass(frozen=True)
class Shape:
    id: str
    lines: Callable[[tuple[float, float]], list[np.ndarray]]
    length_error: float


def arc(centre: tuple[float, float]) -> list[np.ndarray]:
    turn = np.deg2rad(np.linspace(20, 200, 200))
    return [np.stack([centre[0] + 0.04 * np.cos(turn), centre[1] + 0.04 * np.sin(turn)], 1)]


def wave(centre: tuple[float, float]) -> list[np.ndarray]:
    east = np.linspace(-0.055, 0.055, 300)
    return [np.stack([centre[0] + east, centre[1] + 0.005 * np.sin(east * 2 * np.pi / 0.055)], 1)]


def cross(centre: tuple[float, float]) -> list[np.ndarray]:
    return [straight(centre, length_m=0.110, angle_deg=13), straight(centre, length_m=0.110, angle_deg=85)]


def tee(centre: tuple[float, float]) -> list[np.ndarray]:
    return [straight(centre, length_m=0.110, angle_deg=10), np.array([centre, (centre[0] - 0.01, centre[1] + 0.05)])]


SHAPES = [
    Shape("an-arc-of-40-px-radius", arc, 0.02),
    Shape("a-wave", wave, 0.02),
    Shape("two-lines-that-cross", cross, 0.02),
    # The short arm begins under the long one, whose half width is counted once.
    Shape("a-tee", tee, 0.03),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.id)
@pytest.mark.parametrize("width_px", [3.0, 6.0])
def test_bent_and_branched_cracks(shape: Shape, width_px: float) -> None:
    lines = shape.lines(centre_of(SQUARE_MM, SHAPE))
    result = measured(render(lines, width_m=width_px * 1e-3, shape=SHAPE, seed=5))
    assert result.measure.length_m == pytest.approx(sum(length_of(line) for line in lines), rel=shape.length_error)
    assert result.measure.mean_width_mm == pytest.approx(width_px, abs=0.15)
    assert result.measure.max_width_mm == pytest.approx(width_px, abs=0.35)


def test_a_crack_that_opens_is_stated_with_its_widest_place() -> None:
    wide = straight((0.11, -0.08), length_m=0.04, angle_deg=0)
    thin = straight((0.08, -0.08), length_m=0.120, angle_deg=0)
    one, other = (
        render([line], width_m=w, shape=SHAPE, seed=3, noise=0.0) for line, w in ((wide, 0.008), (thin, 0.003))
    )
    image = np.minimum(one.image, other.image)
    both = Rendered(one.pixels | other.pixels, image, np.maximum(one.probability, other.probability))
    measure = measured(both).measure
    assert measure.max_width_mm == pytest.approx(8.0, abs=0.3)
    assert measure.p95_width_mm == pytest.approx(8.0, abs=0.3)
    assert 90 < measure.widest_at[1] < 130
    assert len(measure.profile) > 50
    assert max(width for _, width in measure.profile) == pytest.approx(8.0, abs=0.3)


def test_a_thin_crack_is_below_resolution_and_never_measured_with_confidence() -> None:
    for result in straight_cracks(1.2, range(0, 180, 45)):
        assert result.below_resolution
        assert result.measure.resolvable_width_mm >= 2.0
        assert result.measure.length_m == pytest.approx(0.110, rel=0.03)


def test_a_measurable_crack_is_not_below_resolution() -> None:
    assert not any(result.below_resolution for result in straight_cracks(4.0, range(0, 180, 45)))


def test_where_the_image_shows_nothing_the_mask_is_measured_and_the_uncertainty_grows() -> None:
    for result in straight_cracks(5.0, range(0, 180, 45), contrast=0.0):
        assert result.measure.width_method == "distance"
        assert result.measure.width_uncertainty_mm >= 1.0
        assert abs(result.measure.mean_width_mm - 5.0) <= result.measure.width_uncertainty_mm


def test_a_mask_drawn_too_fat_does_not_widen_the_crack() -> None:
    from scipy.ndimage import binary_dilation

    line = straight(centre_of(SQUARE_MM, SHAPE), length_m=0.110, angle_deg=30)
    rendered = render([line], width_m=0.004, shape=SHAPE)
    fat = Rendered(binary_dilation(rendered.pixels, iterations=3), rendered.image, rendered.probability)
    assert measured(fat).measure.mean_width_mm == pytest.approx(4.0, abs=0.15)


def test_the_centre_line_lies_where_the_crack_is_in_the_raster() -> None:
    line = straight(centre_of(SQUARE_MM, SHAPE), length_m=0.110, angle_deg=30)
    result = measured(render([line], width_m=0.005, shape=SHAPE), origin=(1000, 2000))
    points = np.concatenate([np.asarray(part.coords) for part in result.lines.geoms])
    # (col, row) back to millimetres from the centre, across the line.
    off = points - np.array([2080.0, 1080.0])
    across = off[:, 0] * sin(radians(30)) + off[:, 1] * cos(radians(30))
    assert np.abs(across).max() < 0.3


@pytest.mark.parametrize("pixels_set", [1, 2, 3])
def test_a_speck_has_a_length_and_a_width(pixels_set: int) -> None:
    pixels = np.zeros((20, 20), bool)
    pixels[10, 10 : 10 + pixels_set] = True
    result = measure_crack(
        pixels,
        image=np.full((20, 20, 3), 128, np.uint8),
        probability=pixels.astype(np.float32),
        scale=SQUARE_MM,
        origin=(0, 0),
        min_width_px=2.0,
    )
    assert result.measure.length_m == pytest.approx(pixels_set * 1e-3, abs=1e-3)
    assert result.measure.max_width_mm > 0


def test_a_closed_ring_is_measured_all_round() -> None:
    turn = np.deg2rad(np.linspace(0, 360, 400))
    east, north = centre_of(SQUARE_MM, SHAPE)
    ring = np.stack([east + 0.04 * np.cos(turn), north + 0.04 * np.sin(turn)], 1)
    measure = measured(render([ring], width_m=0.004, shape=SHAPE)).measure
    assert measure.length_m == pytest.approx(2 * np.pi * 0.04, rel=0.02)
    assert measure.mean_width_mm == pytest.approx(4.0, abs=0.15)


def test_arrays_that_do_not_cover_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="cover the crack's window"):
        measure_crack(
            np.ones((4, 4), bool),
            image=np.zeros((4, 5, 3), np.uint8),
            probability=np.zeros((4, 4), np.float32),
            scale=SQUARE_MM,
            origin=(0, 0),
            min_width_px=2.0,
        )
    with pytest.raises(ValueError, match="at least one pixel"):
        measure_crack(
            np.zeros((4, 4), bool),
            image=np.zeros((4, 4, 3), np.uint8),
            probability=np.zeros((4, 4), np.float32),
            scale=SQUARE_MM,
            origin=(0, 0),
            min_width_px=2.0,
        )
