"""Row 17 of the scorecard: pixels that are no squares, all the way from a drawn mask and its picture to the report."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from distributed import Client

from segmentation.classes import PixelClass
from tasks.cluster import dask_client
from tests.scorecard.inputs import Row, grid
from tests.segmentation.measurement.rendering import centre_of, render, straight
from tests.tasks.given_masks import measured, planned, write_mask
from tests.tasks.surveys import write_raster

LENGTH_M, WIDTH_M = 0.30, 0.012
SHAPE = (320, 320)


@dataclass(frozen=True)
class Stretched(Row):
    """The size of a pixel, in those of a square one."""

    along_cols: float
    along_rows: float


STRETCHED = [
    Stretched("17 square pixels, the control", 1.0, 1.0),
    Stretched("17 non-square pixels, wide", 1.0, 0.7),
    Stretched("17 non-square pixels, tall", 0.75, 1.0),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with dask_client(scheduler=None, workers=1) as client:
        yield client


@pytest.mark.parametrize("case", STRETCHED, ids=lambda case: case.id)
def test_a_crack_is_as_long_and_as_wide_as_it_was_drawn(case: Stretched, client: Client, tmp_path: Path) -> None:
    place = {"transform": grid("EPSG:32615") @ Affine.scale(case.along_cols, case.along_rows), "photometric": None}
    mask = write_mask(tmp_path / "mask.tif", np.zeros(SHAPE, np.uint8), **place)
    scale = planned(tmp_path, mask).survey.rasters[0].georeference.scale_at(SHAPE[0] / 2, SHAPE[1] / 2)
    assert scale.gsd_x_m / scale.gsd_y_m == pytest.approx(case.along_cols / case.along_rows, rel=1e-3)
    line = straight(centre_of(scale, SHAPE), length_m=LENGTH_M, angle_deg=37.0)
    drawn = render([line], width_m=WIDTH_M, shape=SHAPE, scale=scale)
    write_mask(mask, (drawn.pixels * PixelClass.CRACK).astype(np.uint8), **place)
    image = write_raster(tmp_path / "deck.tif", np.moveaxis(drawn.image, 2, 0), **place | {"photometric": "RGB"})
    (result,) = measured(tmp_path, client, mask, image=image).measured.results
    assert result.cracks.count == 1
    assert result.cracks.total_length_m == pytest.approx(LENGTH_M, rel=0.01)
    assert result.cracks.mean_width_mm == pytest.approx(WIDTH_M * 1e3, rel=0.02)
