"""Masks that a test has written, measured through every stage that follows a model."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from distributed import Client

from segmentation.classes import PixelClass
from segmentation.synthetic.scenes import Scene
from tasks.discover import InputRules
from tasks.given_mask import copy_mask
from tasks.given_mask_plan import GivenMaskPlan, MaskRequest, discover_mask, plan_mask
from tasks.mask_store import MaskStore
from tasks.measure import Measured, measure_survey
from tasks.plan import MeasureSettings
from tasks.run_place import RunPlace
from tasks.segment import SegmentOutcome
from tasks.stitch import StitchOutcome, join_components
from tasks.storage import open_storage
from tests.tasks.runs import REPORT
from tests.tasks.surveys import LIMITS, UTM_PLACE, write_raster

BLOCK_PX = 512
GROUND_GSD_M = 0.0020007
"""What a pixel of `UTM_PLACE` measures on the ground."""
MEASURE = MeasureSettings(2.0, 24.0, 1, ("astm-d610", "aashto-mbei-concrete-cracking"))


@dataclasses.dataclass(frozen=True)
class Run:
    """One run and what came of it."""

    plan: GivenMaskPlan
    place: RunPlace
    copied: SegmentOutcome
    stitched: StitchOutcome
    measured: Measured


def rules(folder: Path, *, gsd_m: float | None = None) -> InputRules:
    return InputRules(None, None, folder / "staging", (0.0005, 0.005), gsd_m, None, LIMITS)


def planned(
    folder: Path,
    mask: Path,
    *,
    image: Path | None = None,
    structures: Path | None = None,
    single: PixelClass | None = None,
    gsd_m: float | None = None,
    block_px: int = BLOCK_PX,
    probability: Path | None = None,
    grow_above: float | None = None,
) -> GivenMaskPlan:
    """The plan of a mask, in blocks of 512 px unless told otherwise."""
    drawn_on, outlines, chance = (None if path is None else str(path) for path in (image, structures, probability))
    request = MaskRequest(str(mask), drawn_on, outlines, single, chance, grow_above)
    survey, given = discover_mask(request, rules(folder, gsd_m=gsd_m))
    return plan_mask(
        survey, given, measure=MEASURE, report=REPORT, block_px=block_px, workers=2, memory_limit_bytes=10**10
    )


def place_of(plan: GivenMaskPlan, folder: Path) -> RunPlace:
    results = open_storage(str(folder / "results"), endpoint_url=None, region=None).child(plan.survey.id)
    storage = results.child(f"runs/{plan.run_key}")
    masks = MaskStore(storage.uri("masks.zarr"), None, None)
    return RunPlace(results, storage, storage.uri(""), masks, folder / "staging", None, None)


def measured(folder: Path, client: Client, mask: Path, **given: Any) -> Run:
    """A mask through the stages up to the measurement."""
    plan = planned(folder, mask, **given)
    place = place_of(plan, folder)
    copied = copy_mask(plan, place, client, on_block=lambda done, of: None)
    stitched = StitchOutcome(join_components(plan, place, client, segmented=copied), None)
    return Run(plan, place, copied, stitched, measure_survey(plan, place, client, segmented=copied, stitched=stitched))


def write_mask(path: Path, classes: npt.NDArray[np.uint8], **options: Any) -> Path:
    """A mask of one band ``(H, W)`` on the grid of `write_raster`."""
    return write_raster(path, classes[None], **options)


def write_scene(folder: Path, scene: Scene) -> tuple[Path, Path]:
    """(mask, picture) of a painted scene at its true GSD; what holds no data is 254 and transparent."""
    classes = np.where(scene.validity, scene.mask, 254).astype(np.uint8)
    alpha = scene.validity.astype(np.uint8) * np.uint8(255)
    bands = np.concatenate([np.moveaxis(scene.image, 2, 0), alpha[None]])
    place = {"transform": UTM_PLACE @ Affine.scale(scene.truth.gsd_m / GROUND_GSD_M)}
    image = write_raster(folder / "deck.tif", bands, photometric="RGB", alpha="YES", **place)
    return write_mask(folder / "labels.tif", classes, **place), image
