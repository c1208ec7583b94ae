"""Painted pairs of surveys as published runs: the perfect masks through the real stages, no model and no server."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from distributed import Client
from pyproj import Transformer
from shapely.geometry import LineString, Polygon

from segmentation.comparison.registration import RegistrationLimits
from segmentation.comparison.similarity import Similarity
from segmentation.synthetic.survey_pairs import PaintedSurvey, SurveyPair
from tasks.compare.compare import RunComparison, compare_runs
from tasks.compare.published import PublishedRun, run_at
from tasks.compare.rasters import ReadingRules
from tasks.compare.structure import StructureComparison
from tasks.given_mask import copy_mask
from tasks.given_mask_plan import MaskRequest, discover_mask, plan_mask
from tasks.mask_pyramid import write_pyramid
from tasks.measure import measure_survey
from tasks.plan import MeasureSettings
from tasks.publish import RunFigures, publish_run
from tasks.report_settings import ReportSettings
from tasks.report_survey import write_reports
from tasks.stitch import StitchOutcome, join_components
from tests.tasks.given_masks import place_of, rules
from tests.tasks.surveys import LIMITS, write_raster

MIDDLE = (576_650.0, 5_188_198.0)
UTM_PER_M = 1 / 1.00035
"""UTM's scale factor at that place."""
LIMITS_OF_REGISTRATION = RegistrationLimits(0.25, 5.0, 0.06, 3.0)
_EARTH = Transformer.from_crs("EPSG:32615", "EPSG:4326", always_xy=True)


@dataclass(frozen=True)
class PublishedPair:
    """Both runs of a painted pair."""

    older: PublishedRun
    newer: PublishedRun
    pair: SurveyPair
    folder: Path


def reading_rules(folder: Path) -> ReadingRules:
    return ReadingRules(folder / "staging", None, LIMITS)


def published_pair(folder: Path, pair: SurveyPair, client: Client) -> PublishedPair:
    """Both surveys written, measured and published below ``folder/results``."""
    halves = (pair.half_width_m, pair.half_height_m)
    older = published(folder, pair.older, client, survey_id="deck-2024", captured_at="2024-05-01", halves=halves)
    newer = published(folder, pair.newer, client, survey_id="deck-2025", captured_at="2025-05-01", halves=halves)
    return PublishedPair(older, newer, pair, folder)


def published(
    folder: Path,
    painted: PaintedSurvey,
    client: Client,
    *,
    survey_id: str,
    captured_at: str,
    halves: tuple[float, float],
) -> PublishedRun:
    """One survey, with its picture and its perfect mask."""
    own = folder / survey_id
    image, mask = write_painted(own, painted, halves)
    request = MaskRequest(str(mask), str(image), str(own / "structures.geojson"), None)
    survey, given = discover_mask(request, rules(own))
    plan = plan_mask(
        replace(survey, id=survey_id, captured_at=captured_at),
        given,
        measure=MeasureSettings(2.0, 24.0, 64, ("astm-d610", "aashto-mbei-concrete-cracking")),
        report=ReportSettings(("json", "geoparquet"), worst_count=4),
        block_px=1024,
        workers=2,
        memory_limit_bytes=10**10,
    )
    place = place_of(plan, folder)
    copied = copy_mask(plan, place, client, on_block=lambda done, of: None)
    stitched = StitchOutcome(join_components(plan, place, client, segmented=copied), None)
    measured = measure_survey(plan, place, client, segmented=copied, stitched=stitched)
    write_pyramid(plan.survey.rasters, place, client)
    reported = write_reports(plan, place, measured, None, mask_files={}, workers=1, on_structure=lambda done, of: None)
    publish_run(plan, place, measured, reported, None, RunFigures({}, plan.pixels, plan.block_count, 0, 1, {}))
    run = run_at(place.results, endpoint_url=None, region=None)
    assert run is not None
    return run


def write_painted(folder: Path, painted: PaintedSurvey, halves: tuple[float, float]) -> tuple[Path, Path]:
    """(picture, mask) as GeoTIFFs where its georeference states them, and the footprint beside them."""
    unit = UTM_PER_M
    gsd = painted.gsd_m * unit
    corner_x, corner_y = painted.corner_m
    place = Affine(gsd, 0, MIDDLE[0] + corner_x * unit, 0, -gsd, MIDDLE[1] + corner_y * unit)
    covered = (painted.mask != 254).astype(np.uint8) * np.uint8(255)
    bands = np.concatenate([np.moveaxis(painted.image, 2, 0), covered[None]])
    tiles: dict[str, Any] = {"transform": place, "blockxsize": 256, "blockysize": 256}
    image = write_raster(folder / "deck.tif", bands, photometric="RGB", alpha="YES", **tiles)
    mask = write_raster(folder / "labels.tif", painted.mask[None], **tiles)
    width, height = halves
    ring = to_lonlat(Polygon([(-width, -height), (width, -height), (width, height), (-width, height)]))
    feature = {
        "type": "Feature",
        "properties": {"id": "deck", "name": "Test deck", "kind": "bridge deck", "material": "concrete"},
        "geometry": {"type": "Polygon", "coordinates": [list(ring.exterior.coords)]},
    }
    (folder / "structures.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return image, mask


def to_lonlat(geometry: Any) -> Any:
    """A geometry in metres from the middle of the surface as WGS 84."""

    def stated(points: Any) -> Any:
        return np.column_stack(_EARTH.transform(*(MIDDLE + points * UTM_PER_M).T))

    return shapely.transform(geometry, stated)


def compared(older: PublishedRun, newer: PublishedRun, folder: Path, *, workers: int = 1) -> RunComparison:
    """Both runs compared with the usual limits."""
    return compare_runs(
        older,
        newer,
        rules=reading_rules(folder),
        limits=LIMITS_OF_REGISTRATION,
        workers=workers,
        on_structure=lambda done, of: None,
    )


@dataclass(frozen=True)
class Verdict:
    """What a comparison says of one painted defect."""

    truth: str
    said: frozenset[str]
    """Changes that it was given; empty: it is in none."""
    growth_over_uncertainty: float | None
    """Error of its growth over the stated ±, where it is in both surveys."""


def verdicts(one: StructureComparison, pair: SurveyPair) -> list[Verdict]:
    """Each painted defect beside what the comparison says at its place."""
    error = pair.newer.stated_from_true
    sides = {d.id: d for d in one.older_defects}, {d.id: d for d in one.newer_defects}
    found = []
    for defect in pair.defects:
        true = defect.newer if defect.newer is not None else defect.older
        assert true is not None
        there = _in_plane(true, error, one)
        hits = []
        for change in one.changes:
            parts = [sides[0][i] for i in change.older_ids] + [sides[1][i] for i in change.newer_ids]
            near = change.pixel_class == defect.pixel_class and any(p.geometry.distance(there) < 0.012 for p in parts)
            if near and any(p.geometry.buffer(0.012).intersection(there).length > 0.3 * there.length for p in parts):
                hits.append(change)
        ratio = None
        both = defect.older is not None and defect.newer is not None
        for change in hits if both else ():
            growth = change.length_m or change.area_m2
            if growth is not None:
                scale = error.scale if change.length_m is not None else error.scale**2
                true_growth = (defect.newer_size - defect.older_size) * scale
                ratio = (growth.difference - true_growth) / growth.uncertainty
        found.append(Verdict(defect.change, frozenset(h.change.value for h in hits), ratio))
    return found


def _in_plane(true: LineString | Polygon, error: Similarity, one: StructureComparison) -> Any:
    plane: Any = one.plane
    lonlat = to_lonlat(error.of_geometry(true))
    return shapely.transform(lonlat, plane.of_lonlat)
