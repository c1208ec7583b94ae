"""Reading in place gives what a plain read and a mirrored copy give."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from segmentation.inference.geometry import plan_read
from segmentation.windows import Window
from tasks.raster_reader import raster_reader
from tests.tasks.runs import raster_at
from tests.tasks.surveys import HEIGHT, WIDTH, picture, write_raster


@pytest.fixture(scope="module", params=["uint8", "uint16"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    return write_raster(folder / "a.tif", picture(4, request.param), photometric="RGB", alpha="YES")


@given(row=st.integers(-150, HEIGHT), col=st.integers(-150, WIDTH), rows=st.integers(1, 200), cols=st.integers(1, 200))
def test_a_window_that_reaches_outside_is_the_raster_mirrored(
    path: Path, row: int, col: int, rows: int, cols: int
) -> None:
    window = Window(row, row + rows, col, col + cols)
    with rasterio.open(path) as dataset:
        values = dataset.read([1, 2, 3]).astype(np.uint8).transpose(1, 2, 0)
        valid = dataset.dataset_mask() > 0
    plan = plan_read(window, HEIGHT, WIDTH)
    with raster_reader(path, raster_at(path)) as reader:
        image, validity = reader.read_mirrored(window)
    rows_of, cols_of = plan.source.slices()
    assert (image == plan.fill(values[rows_of, cols_of])).all()
    assert (validity == plan.fill(valid[rows_of, cols_of])).all()
