"""Specks in the overlap of rasters count in the raster that their place is measured in, and there alone."""

import numpy as np
import pytest
from pyproj import CRS

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.measurement.components import join_blocks, label_block
from segmentation.measurement.defects import omitted_unread
from segmentation.measurement.ownership import RasterView, edge_distance
from segmentation.windows import Window
from tasks.measure import specks_of_raster

SIDE, GSD_M = 480, 0.01
WHOLE = Window(0, SIDE, 0, SIDE)


def view(name: str, *, shift_px: int, gsd_m: float = GSD_M) -> RasterView:
    place = (gsd_m, 0.0, 576600.0 + shift_px * GSD_M, 0.0, -gsd_m, 5188100.0)
    georeference = Georeference(SIDE, SIDE, place, CRS.from_epsg(32615).to_wkt())
    distance = edge_distance(np.ones((30, 30), np.bool_), step_m=SIDE / 30 * gsd_m)
    return RasterView(name, georeference, gsd_m, distance)


def speck_count(views: list[RasterView], number: int, pixels: np.ndarray) -> int:
    mask = np.where(pixels, PixelClass.RUST, 0).astype(np.uint8)
    scale = views[number].georeference.centre_scale()
    specks = []
    for component in join_blocks([label_block(mask, window=WHOLE)]):
        verdict = omitted_unread(component, scale=scale, min_crack_length_px=24.0, min_rust_area_px=64)
        assert verdict is not None
        specks.append((component, verdict))
    return sum(verdict.omitted_rust for _, verdict in specks_of_raster(specks, views, number))


@pytest.mark.parametrize("shift_px", [0, 120, 240, 479, 600])
def test_each_speck_counts_once_wherever_two_rasters_overlap(shift_px: int) -> None:
    views = [view("a.tif", shift_px=0), view("b.tif", shift_px=shift_px)]
    ground = np.zeros((SIDE, SIDE + 600), bool)
    ground[5:-5:20, 7:-7:20] = True
    counted = sum(
        speck_count(views, number, ground[:, start : start + SIDE]) for number, start in ((0, 0), (1, shift_px))
    )
    seen = np.zeros_like(ground)
    seen[:, :SIDE] = seen[:, shift_px : shift_px + SIDE] = True
    assert counted == np.count_nonzero(ground & seen)


def test_a_raster_without_specks_has_none() -> None:
    assert specks_of_raster([], [view("a.tif", shift_px=0)], 0) == []
