"""Pictures through the product's own engine: its plan, its blocks, its tiles, mirrored at the edges."""

import logging
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from flows.settings import Settings
from flows.stages import plan_inspection
from segmentation.errors import InputRejected
from segmentation.georeference import Georeference
from segmentation.inference.geometry import aligned_window, blocks, plan_read
from segmentation.inference.predictor import SegmentedWindow
from segmentation.models.registry import load_model
from segmentation.records import RasterInput, SourceObject, Structure, Survey
from tasks.plan import InferencePlan
from tasks.segment import predictor_of

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Value = TypeVar("Value", bound=np.generic)

BYTES_PER_PX = 120
"""What decoding, segmenting and scoring one picture holds per pixel of it at its peak (see the test)."""

log = logging.getLogger("spanscan.evaluate")


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """Weights with the plan by which they run."""

    name: str
    """Name on their card."""
    label: str
    """Name or path by which they were asked for."""
    sha256: str
    inference: InferencePlan
    """As `spanscan inspect` would plan it with the same settings."""


def plan_model(settings: Settings, *, gsd_m: float | None, scale: float) -> PlannedModel:
    """Plan the settings' model; warns where the pictures' GSD is not one that the weights are offered for."""
    loaded = load_model(settings.model)
    low, high = loaded.card.gsd_range_m
    if gsd_m is not None and not low <= gsd_m / scale <= high:
        log.warning(
            "the weights %s are offered for a GSD of %g–%g mm, these pictures are shown to them at %g mm",
            loaded.card.name, low * 1e3, high * 1e3, gsd_m / scale * 1e3,
        )  # fmt: skip
    plan = plan_inspection(_as_survey(low), settings)
    return PlannedModel(loaded.card.name, settings.model, loaded.sha256, plan.inference)


def refuse_too_large(name: str, pixels: int, *, settings: Settings) -> None:
    """Raise InputRejected E_MEMORY where scoring pictures of this size would exceed the memory limit."""
    needed = pixels * BYTES_PER_PX * settings.workers
    if needed > settings.memory_limit_bytes:
        cause = (
            f"scoring {settings.workers} pictures of {pixels / 1e6:.0f} Mpx at once must stay below "
            f"{settings.memory_limit_bytes / 1e6:,.0f} MB, got {needed / 1e6:,.0f} MB"
        )
        remedy = "cut the picture, set fewer SPANSCAN_WORKERS, or use `spanscan inspect` on a raster"
        raise InputRejected("E_MEMORY", name, cause, remedy)


def segment_picture(image: Bytes, validity: Bools, *, inference: InferencePlan, scale: float) -> SegmentedWindow:
    """Classes ``(H, W)`` and probabilities ``(2, H, W)`` of a picture ``(H, W, 3)``, as a run gives them of a raster.

    The picture is resized by `scale` before inference, and what comes out is brought back by the nearest pixel.
    """
    height, width = image.shape[:2]
    if scale == 1.0:
        return _segment(image, validity, inference)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    smaller = np.asarray(Image.fromarray(image).resize(size, way))
    found = _segment(smaller, _nearest(validity, size[::-1]), inference)
    return SegmentedWindow(
        _nearest(found.mask, (height, width)),
        np.stack([_nearest(channel, (height, width)) for channel in found.probability]),
    )


def _segment(image: Bytes, validity: Bools, inference: InferencePlan) -> SegmentedWindow:
    """The way of `tasks.segment.segment_block`, with arrays in place of a raster and its shards."""
    predictor = predictor_of(inference)
    height, width = validity.shape
    mask = np.empty((height, width), np.uint8)
    probability = np.empty((2, height, width), np.uint8)
    for block in blocks(height, width, block_px=inference.engine.block_px):
        read = aligned_window(block.window, inference.geometry)
        plan = plan_read(read, height, width)
        source = plan.source.slices()
        found = predictor.segment(plan.fill(image[source]), plan.fill(validity[source]), read=read, owned=block.window)
        rows, cols = block.window.slices()
        mask[rows, cols], probability[:, rows, cols] = found.mask, found.probability
    return SegmentedWindow(mask, probability)


def _nearest(values: npt.NDArray[Value], size: tuple[int, int]) -> npt.NDArray[Value]:
    rows, cols = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(np.intp)
        for new, old in zip(size, values.shape, strict=True)
    )
    return values[np.ix_(rows, cols)]


def _as_survey(gsd_m: float) -> Survey:
    """A survey as large as one block can be, since the plan of the engine does not depend on the pixels."""
    source = SourceObject("pictures", 0, "", None, "")
    georeference = Georeference(1, 1, (gsd_m, 0.0, 0.0, 0.0, -gsd_m, 0.0), None, 1.0)
    raster = RasterInput("pictures", "pictures", source, georeference, gsd_m, "uint8", (1, 2, 3), (0.0, 255.0))
    structure = Structure("pictures", "pictures", "pictures", "", "", None, raster_name="pictures")
    return Survey("pictures", "pictures", (raster,), (structure,), None)
