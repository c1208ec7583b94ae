"""Registration of two pictures of one surface: found to a fraction of a pixel, refused where it cannot be trusted."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from segmentation.comparison.grids import Extent, GridToPlane, resampled, tile_centres
from segmentation.comparison.registration import Registration, RegistrationLimits, level_steps, register
from segmentation.comparison.similarity import IDENTITY, Similarity
from segmentation.errors import InputRejected

GSD_M = 0.002
SIDE_PX = 700
LIMITS = RegistrationLimits(0.25, 5.0, 0.06, 3.0)
EXTENT = Extent(SIDE_PX * GSD_M / 2, SIDE_PX * GSD_M / 2)
Reader = Callable[[GridToPlane, tuple[int, int]], npt.NDArray[np.float32]]


def surface(seed: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    layers = [ndimage.gaussian_filter(rng.standard_normal((SIDE_PX, SIDE_PX)), s) * s for s in (1.5, 6, 24)]
    return np.asarray(150 + 12 * sum(layers), np.float32)


def survey_of(picture: npt.NDArray[np.float32], stated_from_true: Similarity, *, light: float = 1.0) -> Reader:
    half = SIDE_PX / 2
    to_picture = np.array([[1 / GSD_M, 0, half], [0, -1 / GSD_M, half], [0, 0, 1.0]])
    back = stated_from_true.inverse().matrix()

    def read(grid: GridToPlane, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        ramp = np.linspace(light, 1.0, shape[1], dtype=np.float32)
        return resampled(picture, to_picture @ back @ grid, shape) * ramp

    return read


def test_shift_rotation_scale_and_light_are_undone_to_a_fraction_of_a_pixel() -> None:
    error = Similarity(1.02, -1.3, 21 * GSD_M, -13 * GSD_M)
    picture = surface(1)
    made = register(
        survey_of(picture, IDENTITY),
        survey_of(picture, error, light=0.5),
        EXTENT,
        gsd_m=GSD_M,
        of="imagery",
        subject="deck",
        limits=LIMITS,
    )
    corners = np.array([[x, y] for x in (-0.6, 0.6) for y in (-0.6, 0.6)])
    misses_px = np.hypot(*(made.older_to_newer.of(corners) - error.of(corners)).T) / GSD_M
    assert misses_px.max() < 0.3
    assert made.residual_px < 0.5
    assert made.shift_px == pytest.approx(np.hypot(21, 13), abs=0.3)


def test_two_different_surfaces_are_refused_with_a_code_and_a_remedy() -> None:
    with pytest.raises(InputRejected) as refused:
        register(
            survey_of(surface(1), IDENTITY),
            survey_of(surface(2), IDENTITY),
            EXTENT,
            gsd_m=GSD_M,
            of="imagery",
            subject="deck",
            limits=LIMITS,
        )
    assert refused.value.code == "E_NOT_REGISTERED"
    assert refused.value.remedy


def test_a_shift_beyond_the_limit_is_refused_though_it_was_found() -> None:
    picture = surface(3)
    with pytest.raises(InputRejected, match="a shift of 0\\.06"):
        register(
            survey_of(picture, IDENTITY),
            survey_of(picture, Similarity(1.0, 0.0, 30 * GSD_M, 0.0)),
            EXTENT,
            gsd_m=GSD_M,
            of="imagery",
            subject="deck",
            limits=RegistrationLimits(0.02, 5.0, 0.06, 3.0),
        )


@given(st.floats(0.1, 5000.0), st.floats(0.1, 5000.0))
def test_whatever_the_size_of_a_structure_few_small_tiles_are_read(half_width_m: float, half_height_m: float) -> None:
    extent = Extent(half_width_m, half_height_m)
    steps = level_steps(extent, GSD_M)
    assert steps[-1] == 1
    assert len(steps) <= 10
    centres = tile_centres(extent, tile_m=256 * GSD_M, per_side=6)
    assert 1 <= len(centres) <= 36
    assert (np.abs(centres) <= [half_width_m, half_height_m]).all()


def slabs(seed: int) -> npt.NDArray[np.float32]:
    """Slabs of 60 px whose joints repeat to the pixel, with a texture of their own."""
    rows, cols = np.mgrid[:SIDE_PX, :SIDE_PX] % 60
    joints = ndimage.gaussian_filter(((rows < 4) | (cols < 4)).astype(np.float32), 1.0)
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((SIDE_PX, SIDE_PX)), 1.3)
    return np.asarray(160 - 60 * joints + 15 * texture, np.float32)


def registered_slabs(older_seed: int) -> Registration:
    """Slabs registered on those of seed 1, which lie 50 px to the right: ten to the left of where they look alike."""
    return register(
        survey_of(slabs(older_seed), IDENTITY),
        survey_of(slabs(1), Similarity(1.0, 0.0, 50 * GSD_M, 0.0), light=0.7),
        Extent(0.8 * EXTENT.half_width_m, 0.8 * EXTENT.half_height_m),
        gsd_m=GSD_M,
        of="imagery",
        subject="deck",
        limits=LIMITS,
    )


def test_a_surface_that_repeats_itself_is_registered_by_what_does_not_repeat() -> None:
    assert registered_slabs(1).shift_px == pytest.approx(50, abs=0.2)


def test_where_nothing_but_what_repeats_is_the_same_the_registration_is_refused() -> None:
    with pytest.raises(InputRejected, match="repeats itself"):
        registered_slabs(2)
