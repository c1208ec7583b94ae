"""A crack that runs from one raster into the next, through the stages of an inspection: one defect of one length."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry import Polygon

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.inference.predictor import SegmentedWindow
from segmentation.models.registry import load_model
from segmentation.records import RasterInput, SourceObject, Structure, Survey
from tasks.cluster import dask_client
from tasks.measure import measure_survey
from tasks.plan import EngineSettings, make_plan
from tasks.segment import BlockRecord, SegmentOutcome, count_classes
from tasks.stitch import StitchOutcome, join_components
from tasks.storage_local import pin_local
from tests.tasks.given_masks import GROUND_GSD_M, MEASURE
from tests.tasks.runs import REPORT, place_in
from tests.tasks.surveys import UTM_PLACE, write_raster

SHAPE = (180, 320)
LENGTH_PX = 400
SHIFT_PX = 220
"""The second raster begins so many pixels east of the first: they overlap by 100."""


def raster(folder: Path, name: str, *, col: int) -> tuple[RasterInput, np.ndarray]:
    """One of the two rasters, from column `col` of the ground on, and its mask: a dark line of 5 px from 60 to 460."""
    ground = np.full((3, SHAPE[0], SHIFT_PX + SHAPE[1]), 170, np.uint8)
    mask = np.zeros(ground.shape[1:], np.uint8)
    ground[:, 90:95, 60 : 60 + LENGTH_PX] = 60
    mask[90:95, 60 : 60 + LENGTH_PX] = PixelClass.CRACK
    own = slice(col, col + SHAPE[1])
    place = UTM_PLACE @ Affine.translation(col, 0)
    path = write_raster(folder / f"{name}.tif", np.ascontiguousarray(ground[:, :, own]), transform=place)
    georeference = Georeference(*SHAPE, tuple(place)[:6], CRS.from_epsg(32615).to_wkt())
    size_bytes, etag = pin_local(path)
    source = SourceObject(str(path), size_bytes, etag, None, "0" * 64)
    record = RasterInput(path.name, name, source, georeference, GROUND_GSD_M, "uint8", (1, 2, 3), (0.0, 255.0))
    return record, mask[:, own]


@pytest.mark.slow
def test_a_crack_over_the_seam_of_two_rasters_is_one_defect_with_its_whole_length(tmp_path: Path) -> None:
    west, east = raster(tmp_path, "west", col=0), raster(tmp_path, "east", col=SHIFT_PX)
    rows, cols = np.array([-5.0, -5.0, 200.0, 200.0]), np.array([-5.0, 560.0, 560.0, -5.0])
    outline = Polygon(np.stack(west[0].georeference.lonlat_from_pixel(rows, cols), axis=1))
    structure = Structure("deck", "Deck", "deck", "bridge", "concrete", outline)
    plan = make_plan(
        Survey("bridge", str(tmp_path), (west[0], east[0]), (structure,), None),
        load_model("spanscan-unet"),
        model_path="spanscan-unet",
        engine=EngineSettings("cpu", "fp32", 1, 1, 256, 512, 10**10),
        measure=replace(MEASURE, crack_gap_px=24.0),
        report=REPORT,
    )
    place, records = place_in(tmp_path), []
    for (record, mask), own in zip((west, east), plan.rasters, strict=True):
        place.masks.create(record, block_px=512)
        (block,) = own.blocks
        chance = np.stack([(mask == one).astype(np.uint8) * np.uint8(230) for one in (1, 2)])
        place.masks.write_block(record.slug, block.window, SegmentedWindow(mask, chance))
        records.append(BlockRecord(record.slug, block, count_classes(mask), 0.0))
    segmented = SegmentOutcome(tuple(records), 0, 0.0)
    with dask_client(scheduler=None, workers=1) as client:
        stitched = StitchOutcome(join_components(plan, place, client, segmented=segmented), None)
        measured = measure_survey(plan, place, client, segmented=segmented, stitched=stitched)
    (result,) = measured.results
    (crack,) = result.defects
    assert crack.crack is not None
    assert crack.crack.length_m == pytest.approx(LENGTH_PX * GROUND_GSD_M, rel=0.003)
    assert crack.area_m2 == pytest.approx(5 * LENGTH_PX * GROUND_GSD_M**2, rel=0.005)
    assert len(crack.crack.ends) == 2
    assert crack.crack.max_width_mm == pytest.approx(5 * GROUND_GSD_M * 1000, rel=0.03)
    assert result.inspected_area_m2 == pytest.approx((SHIFT_PX + SHAPE[1]) * SHAPE[0] * GROUND_GSD_M**2, rel=0.005)
