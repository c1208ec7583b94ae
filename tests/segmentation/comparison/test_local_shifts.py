"""How far apart two pictures are: the own way through half of the spectrum gives what the library's whole one gives."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from segmentation.comparison.grids import resampled
from segmentation.comparison.local_shifts import Surface, local_shifts, surface_of

GROUND = sum(ndimage.gaussian_filter(np.random.default_rng(4).standard_normal((330, 340)), s) * s for s in (1.5, 6, 24))
WHOLE = np.asarray(150 + 12 * GROUND, np.float32)


def cut(shape: tuple[int, int], *, down: float = 0.0, right: float = 0.0, hidden: int = 0) -> npt.NDArray[np.float32]:
    """A part of the ground from (20 + down, 20 + right) on, its upper left corner of `hidden` px not known."""
    grid = np.array([[1, 0, 20 + right], [0, 1, 20 + down], [0, 0, 1.0]])
    picture = resampled(WHOLE, grid, shape)
    picture[:hidden, :hidden] = np.nan
    return picture


def surface(picture: npt.NDArray[np.float32]) -> Surface:
    found = surface_of(picture)
    assert found is not None
    return found


@pytest.mark.parametrize("shape", [(256, 256), (251, 200), (200, 197), (49, 48)], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.12], ids=["all-known", "a-corner-not-known"])
def test_a_shift_is_the_library_s_to_its_last_step(shape: tuple[int, int], share: float) -> None:
    here, there = surface(cut(shape, hidden=int(share * min(shape)))), surface(cut(shape, down=3.4, right=-5.15))
    ours = local_shifts(here, there)
    for (down, right), one, other in zip(ours, (here.fine, here.edges), (there.fine, there.edges), strict=True):
        library, _, _ = phase_cross_correlation(one, other, upsample_factor=20, normalization="phase")
        assert (down, right) == pytest.approx(tuple(library), abs=0.0501)
        assert (down, right) == pytest.approx((3.4, -5.15), abs=0.25 if min(shape) > 100 else 0.8)


def test_light_does_not_change_what_is_compared() -> None:
    picture = cut((200, 200))
    bright, dim = surface(picture), surface(0.6 * picture + 20)
    assert np.abs(bright.fine - dim.fine).max() < 1e-3
    assert np.abs(bright.edges - dim.edges).max() < 1e-2


@pytest.mark.parametrize("picture", [np.full((64, 64), 7, np.float32), np.full((64, 64), np.nan, np.float32)])
def test_where_nothing_is_to_be_seen_there_is_no_shift(picture: npt.NDArray[np.float32]) -> None:
    assert surface_of(picture) is None
    assert local_shifts(surface(cut((64, 64))), surface_of(picture)) == []
