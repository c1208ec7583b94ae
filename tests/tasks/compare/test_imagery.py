"""Pictures of a plane: what lies in several rasters that overlap is seen as if it lay in one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage

from segmentation.comparison.grids import grid_around
from segmentation.comparison.registration import IMAGERY
from segmentation.georeference import Georeference
from segmentation.records import RasterInput, SourceObject
from tasks.compare.imagery import PlanePictures, RunImagery
from tasks.compare.plane import EarthPlane
from tasks.compare.published import PublishedRun, RunRaster
from tasks.compare.rasters import FoundRaster
from tasks.mask_store import MaskStore
from tasks.storage import open_storage
from tests.tasks.surveys import UTM_PLACE, write_raster

GSD_M = 0.0020007
HEIGHT, WIDTH = 120, 300
WHOLE = (0, WIDTH)
GROUND = ndimage.gaussian_filter(np.random.default_rng(3).uniform(0, 255, (HEIGHT, WIDTH)), 1.5).astype(np.uint8)


@contextmanager
def pictures(folder: Path, *spans: tuple[int, int]) -> Iterator[PlanePictures]:
    """The ground around its middle, in a raster for each span of columns."""
    run = PublishedRun(
        open_storage(str(folder), endpoint_url=None, region=None), {}, MaskStore("none", None, None), None, None
    )
    rasters, found = [], {}
    for number, (start, stop) in enumerate(spans):
        place = UTM_PLACE @ Affine.translation(start, 0)
        values = np.ascontiguousarray(np.broadcast_to(GROUND[:, start:stop], (3, HEIGHT, stop - start)))
        path = write_raster(folder / f"{start}-{stop}.tif", values, transform=place)
        georeference = Georeference(HEIGHT, stop - start, tuple(place)[:6], CRS.from_epsg(32615).to_wkt())
        source = SourceObject(str(path), 1, "e", None, "0" * 64)
        one = RasterInput(path.name, f"r{number}", source, georeference, GSD_M, "uint8", (1, 2, 3), (0.0, 255.0))
        rasters.append(RunRaster(path.name, one.slug, georeference, GSD_M, source, is_mask=False))
        found[path.name] = FoundRaster(path, one)
    whole = Georeference(HEIGHT, WIDTH, tuple(UTM_PLACE)[:6], CRS.from_epsg(32615).to_wkt())
    lons, lats = whole.lonlat_from_pixel(np.array([HEIGHT / 2]), np.array([WIDTH / 2]))
    with RunImagery(run, found) as imagery:
        yield PlanePictures(imagery, rasters, EarthPlane(float(lons[0]), float(lats[0])), of=IMAGERY)


@pytest.mark.parametrize("step", [1.0, 2.0], ids=["every-pixel", "coarser"])
def test_a_picture_over_the_seam_of_rasters_is_that_of_one_raster(tmp_path: Path, step: float) -> None:
    shape = (int(90 / step), int(260 / step))
    grid = grid_around(np.zeros(2), side_px=shape, step_m=step * GSD_M)
    with pictures(tmp_path, WHOLE) as one, pictures(tmp_path, (0, 130), (110, 220), (190, WIDTH)) as several:
        alone, pieces = one(grid, shape), several(grid, shape)
    assert not np.isnan(alone).any()
    assert np.abs(pieces - alone).max() <= (0.01 if step == 1 else 12)
    assert np.abs(pieces - alone).mean() <= (0.001 if step == 1 else 1)


def test_what_no_raster_shows_is_not_known(tmp_path: Path) -> None:
    shape = (90, 260)
    with pictures(tmp_path, (0, 130), (180, WIDTH)) as shown:
        picture = shown(grid_around(np.zeros(2), side_px=shape, step_m=GSD_M), shape)
    assert np.isnan(picture).all(axis=0).sum() == pytest.approx(50, abs=3)


def test_a_raster_that_is_gone_is_said_to_be_missing(tmp_path: Path) -> None:
    with pictures(tmp_path, WHOLE) as shown:
        (tmp_path / f"0-{WIDTH}.tif").unlink()
        assert np.isnan(shown(grid_around(np.zeros(2), side_px=(40, 40), step_m=GSD_M), (40, 40))).all()
