"""A painted survey cut into rasters that overlap, as a published run: the perfect masks through the real stages."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine
from distributed import Client
from rasterio.crs import CRS
from shapely.geometry import Polygon, box

from segmentation.georeference import Georeference
from segmentation.inference.predictor import SegmentedWindow
from segmentation.models.registry import load_model
from segmentation.records import RasterInput, SourceObject, Structure, Survey
from segmentation.synthetic.survey_pairs import PaintedSurvey
from tasks.compare.published import PublishedRun, run_at
from tasks.mask_pyramid import write_pyramid
from tasks.measure import measure_survey
from tasks.plan import EngineSettings, MeasureSettings, make_plan
from tasks.publish import RunFigures, publish_run
from tasks.report_settings import ReportSettings
from tasks.report_survey import write_reports
from tasks.run_place import RunPlace
from tasks.segment import BlockRecord, SegmentOutcome, count_classes
from tasks.stitch import StitchOutcome, join_components
from tasks.storage_local import file_sha256, pin_local
from tests.tasks.compare.published_pairs import MIDDLE, UTM_PER_M, to_lonlat
from tests.tasks.given_masks import place_of
from tests.tasks.surveys import write_raster

BLOCK_PX = 1024
Span = tuple[float, float]
"""Shares of a survey's width, from where to where."""


def structure(name: str, bounds_m: tuple[float, float, float, float]) -> Structure:
    """A rectangle (left, bottom, right, top) in metres from the middle of the surface."""
    ring: Polygon = to_lonlat(box(*bounds_m))
    return Structure(name, name.title(), name, "bridge deck", "concrete", ring)


def published_in_pieces(
    folder: Path,
    painted: PaintedSurvey,
    client: Client,
    *,
    survey_id: str,
    captured_at: str,
    spans: Sequence[Span],
    structures: tuple[Structure, ...],
) -> PublishedRun:
    """One survey of as many rasters as `spans`, each in a light of its own."""
    pieces = [_piece(folder / survey_id, painted, span, number) for number, span in enumerate(spans)]
    plan = make_plan(
        Survey(
            survey_id, str(folder), tuple(raster for raster, _ in pieces), structures, None, captured_at=captured_at
        ),
        load_model("spanscan-unet"),
        model_path="spanscan-unet",
        engine=EngineSettings("cpu", "fp32", 1, 1, 256, BLOCK_PX, 10**10),
        measure=MeasureSettings(2.0, 24.0, 64, ("astm-d610", "aashto-mbei-concrete-cracking")),
        report=ReportSettings(("json", "geoparquet"), worst_count=4),
    )
    place: RunPlace = place_of(plan, folder)  # type: ignore[arg-type]  # any plan has a survey and a key
    records = []
    for (raster, mask), own in zip(pieces, plan.rasters, strict=True):
        place.masks.create(raster, block_px=BLOCK_PX)
        for block in own.blocks:
            part = np.ascontiguousarray(mask[block.window.slices()])
            chance = np.stack([(part == one).astype(np.uint8) * np.uint8(230) for one in (1, 2)])
            place.masks.write_block(raster.slug, block.window, SegmentedWindow(part, chance))
            records.append(BlockRecord(raster.slug, block, count_classes(part), 0.0))
    segmented = SegmentOutcome(tuple(records), 0, 0.0)
    stitched = StitchOutcome(join_components(plan, place, client, segmented=segmented), None)
    measured = measure_survey(plan, place, client, segmented=segmented, stitched=stitched)
    write_pyramid(plan.survey.rasters, place, client)
    made = write_reports(plan, place, measured, None, mask_files={}, workers=1, on_structure=lambda done, of: None)
    publish_run(plan, place, measured, made, None, RunFigures({}, plan.pixels, plan.block_count, 0, 1, {}))
    run = run_at(place.results, endpoint_url=None, region=None)
    assert run is not None
    return run


def _piece(folder: Path, painted: PaintedSurvey, span: Span, number: int) -> tuple[RasterInput, npt.NDArray[np.uint8]]:
    height, width = painted.mask.shape
    own = slice(*(round(share * width) for share in span))
    light = 1.0 - 0.12 * number
    image = np.moveaxis(painted.image[:, own], 2, 0) * light
    mask = painted.mask[:, own]
    covered = (mask != 254).astype(np.uint8) * np.uint8(255)
    gsd = painted.gsd_m * UTM_PER_M
    left, top = (one + side * UTM_PER_M for one, side in zip(MIDDLE, painted.corner_m, strict=True))
    place = Affine(gsd, 0, left + own.start * gsd, 0, -gsd, top)
    path = write_raster(
        folder / f"strip-{number}.tif",
        np.concatenate([image.astype(np.uint8), covered[None]]),
        photometric="RGB",
        alpha="YES",
        transform=place,
        blockxsize=256,
        blockysize=256,
    )
    size_bytes, etag = pin_local(path)
    source = SourceObject(str(path), size_bytes, etag, None, file_sha256(path))
    georeference = Georeference(height, mask.shape[1], tuple(place)[:6], CRS.from_epsg(32615).to_wkt())
    record = RasterInput(path.name, path.stem, source, georeference, painted.gsd_m, "uint8", (1, 2, 3), (0.0, 255.0))
    return record, mask
