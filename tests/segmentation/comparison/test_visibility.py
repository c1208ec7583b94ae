"""A crack that one survey missed is seen in its picture: where it is drawn, and only there."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from shapely.geometry import LineString, MultiLineString, Point

from segmentation.classes import PixelClass
from segmentation.comparison.grids import GridToPlane, ReadPlane, resampled
from segmentation.comparison.records import SurveyDefect
from segmentation.comparison.visibility import gain_was_there, looked_for

GSD_M = 0.002
SIDE_PX = 400


def picture(dark_to_col: int, *, seed: int, light: float = 1.0) -> ReadPlane:
    """A rough surface with a crack along its middle row, up to a column."""
    rng = np.random.default_rng(seed)
    grey = 150 + 8 * ndimage.gaussian_filter(rng.standard_normal((SIDE_PX, SIDE_PX)), 1.0) * 3
    grey[198:202, 50:dark_to_col] -= 60
    shown: npt.NDArray[np.float32] = (grey * light).astype(np.float32)
    to_picture = np.array([[1 / GSD_M, 0, SIDE_PX / 2], [0, -1 / GSD_M, SIDE_PX / 2], [0, 0, 1.0]])

    def read(grid: GridToPlane, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        return resampled(shown, to_picture @ grid, shape)

    return read


def crack(from_col: int, to_col: int) -> SurveyDefect:
    ends = [((col - SIDE_PX / 2) * GSD_M, 0.0) for col in (from_col, to_col)]
    line = MultiLineString([LineString(ends)])
    return SurveyDefect("C-1", PixelClass.CRACK, line, 4 * GSD_M * line.length, GSD_M, 1.0, line.length)


@pytest.mark.parametrize(("dark_to_col", "share"), [(350, 1.0), (50, 0.0), (200, 0.5)])
def test_the_share_that_is_there_is_seen_whatever_the_light(dark_to_col: int, share: float) -> None:
    own, other = picture(350, seed=1), picture(dark_to_col, seed=2, light=0.6)
    visible = looked_for(crack(50, 350), own, other, gsd_m=GSD_M)
    assert visible is not None
    assert visible.share == pytest.approx(share, abs=0.06)


def test_a_part_is_judged_by_itself_and_not_by_what_lies_beside_it() -> None:
    visible = looked_for(crack(50, 350), picture(350, seed=1), picture(200, seed=2), gsd_m=GSD_M)
    assert visible is not None
    beyond = visible.samples.points[:, 0] > 2 * GSD_M
    assert visible.shown_m(beyond) == pytest.approx(0.0, abs=4 * GSD_M)
    assert visible.shown_m(~beyond) == pytest.approx(150 * GSD_M, rel=0.06)


def test_nothing_is_said_where_the_survey_that_found_it_shows_nothing() -> None:
    assert looked_for(crack(50, 350), picture(50, seed=1), picture(350, seed=2), gsd_m=GSD_M) is None


def patch(radius_px: float) -> SurveyDefect:
    disc = Point(0.0, 0.0).buffer(radius_px * GSD_M)
    return SurveyDefect("R-0001", PixelClass.RUST, disc, disc.area, GSD_M, 0.9)


def patch_picture(radius_px: float) -> ReadPlane:
    """A dark patch around the origin on a noisy pale ground."""

    def read(grid: GridToPlane, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
        points = np.stack([cols, rows], axis=-1) @ grid[:2, :2].T + grid[:2, 2]
        dark = np.hypot(points[..., 0], points[..., 1]) < radius_px * GSD_M
        noise = np.random.default_rng(1).normal(0, 6, shape)
        return np.asarray(np.where(dark, 80.0, 150.0) + noise, np.float32)

    return read


@pytest.mark.parametrize(("radius_then_px", "was_there"), [(40.0, True), (30.0, False)], ids=["missed", "grown"])
def test_rust_that_was_not_found_then_is_told_from_rust_that_grew(radius_then_px: float, was_there: bool) -> None:
    found_then, found_now = [patch(30.0)], [patch(40.0)]
    assert gain_was_there(found_then, found_now, patch_picture(radius_then_px), gsd_m=GSD_M) is was_there
