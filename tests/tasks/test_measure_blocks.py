"""The measured survey is the same for any size of the blocks, to the last digit, however large a crack is."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from skimage.draw import line

from segmentation.classes import PixelClass
from segmentation.measurement.views import MOST_PX
from tasks.cluster import dask_client
from tests.tasks.given_masks import GROUND_GSD_M, measured, write_mask
from tests.tasks.surveys import write_raster

SIDE_PX = 3300


def scene() -> tuple[np.ndarray, np.ndarray]:
    """(mask, picture) of a network of cracks over all of a raster, more than is measured at once, and of a large patch
    of rust beside it; all cross the borders of any blocks."""
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    mask[100:3200, 1500:1540] = mask[1000:1040, 100:3200] = PixelClass.RUST
    places = [(20, 20), (1600, 900), (3270, 3270), (2100, 2500), (60, 3200), (3260, 40), (1600, 900), (60, 3200)]
    for (row, col), (other_row, other_col) in pairwise(places):
        at = np.stack(line(row, col, other_row, other_col))
        for step in np.ndindex(5, 5):
            mask[tuple(at + np.array(step)[:, None])] = PixelClass.CRACK
    grey = np.random.default_rng(3).normal(150, 4, mask.shape) - 90 * (mask == PixelClass.CRACK)
    return mask, np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[None], 3, axis=0)


@pytest.mark.slow
def test_a_survey_measures_the_same_for_any_size_of_the_blocks(tmp_path: Path) -> None:
    mask, picture = scene()
    drawn, image = write_mask(tmp_path / "m.tif", mask), write_raster(tmp_path / "i.tif", picture)
    with dask_client(scheduler=None, workers=1) as client:
        one, other = (
            measured(tmp_path / str(block_px), client, drawn, image=image, block_px=block_px).measured
            for block_px in (512, 1536)
        )
    assert one == other
    defects = [defect for result in one.results for defect in result.defects]
    (crack,) = (defect for defect in defects if defect.crack is not None)
    assert crack.window.area_px > MOST_PX
    assert crack.crack is not None
    assert crack.crack.junction_count > 3
    assert crack.crack.max_width_mm == pytest.approx(5.5 * GROUND_GSD_M * 1000, rel=0.3)
