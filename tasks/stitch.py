"""Stitch stage: join the defects over the block borders, and prove that the borders left no seam."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from distributed import Client

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.errors import RunFailed
from segmentation.inference.geometry import Block, aligned_window
from segmentation.measurement.components import BlockComponents, Component, join_blocks, label_block
from segmentation.records import RasterInput
from segmentation.windows import Window
from tasks.cluster import run_each
from tasks.plan import InspectionPlan, RasterPlan
from tasks.raster_reader import raster_reader
from tasks.segment import (
    BlockRecord,
    InferenceContext,
    RunPlace,
    SegmentOutcome,
    count_classes,
    forget_predictors,
    predictor_of,
)

SEAM_WINDOWS = 4
"""Windows that the seam proof samples in each raster."""
SEAM_SIDE_PX = 256
"""Side of such a window, before its halo."""


@dataclass(frozen=True, slots=True)
class SeamProof:
    """What came of inferring windows across block borders again in one piece."""

    windows: int
    """Windows compared."""
    pixels: int
    """Pixels compared."""
    differing_pixels: int
    """Pixels whose class differs."""
    largest_probability_difference: float
    """Largest difference of a class's probability, [0, 1], as stored in steps of 1/255."""


@dataclass(frozen=True, slots=True)
class StitchOutcome:
    """Components of each raster, and the proof."""

    components: dict[str, tuple[Component, ...]]
    """By raster slug."""
    seam_proof: SeamProof


@dataclass(frozen=True, slots=True)
class _Probe:
    raster: RasterInput
    window: Window


def stitch_blocks(plan: InspectionPlan, place: RunPlace, client: Client, *, segmented: SegmentOutcome) -> StitchOutcome:
    """Label every block, join the labels, compare a sample of windows with inference in one piece.

    Raises RunFailed E_STORE where a shard does not hold what its record says.
    """
    context = InferenceContext(plan.inference, place)
    tables = run_each(client, _label, segmented.records, shared=context)
    components: dict[str, tuple[Component, ...]] = {}
    for raster_plan in plan.rasters:
        slug = raster_plan.raster.slug
        own = [t for r, t in zip(segmented.records, tables, strict=True) if r.raster_slug == slug]
        components[slug] = join_blocks(own)
    probes = [_Probe(r.raster, w) for r in plan.rasters for w in seam_windows(r, seed=plan.run_key)]
    proofs = run_each(client, _compare, probes, shared=context)
    client.run(forget_predictors)
    return StitchOutcome(components, _total(proofs))


def seam_windows(raster_plan: RasterPlan, *, seed: str) -> tuple[Window, ...]:
    """Windows that straddle a block's lower right corner (or its one border), drawn from the raster's blocks."""
    georeference = raster_plan.raster.georeference
    inner = [b for b in raster_plan.blocks if _has_neighbour(b, raster_plan.blocks)]
    chosen = random.Random(f"{seed}/{raster_plan.raster.slug}").sample(inner, min(SEAM_WINDOWS, len(inner)))
    half = SEAM_SIDE_PX // 2
    corners = ((b.window.row_stop, b.window.col_stop) for b in chosen)
    windows = (Window(r - half, r + half, c - half, c + half) for r, c in corners)
    return tuple(w.clip(georeference.height, georeference.width) for w in windows)


def _has_neighbour(block: Block, blocks: Sequence[Block]) -> bool:
    return block.row < blocks[-1].row or block.col < blocks[-1].col


def _label(record: BlockRecord, context: InferenceContext) -> BlockComponents:
    place = context.place
    mask = place.masks.read_mask(record.raster_slug, record.block.window)
    found = count_classes(mask)
    if found != record.class_px:
        raise RunFailed(
            "E_STORE",
            f"{record.raster_slug} block {record.block.row},{record.block.col}",
            f"the shard must hold the pixels of its record {record.class_px}, got {found}",
            f"delete {place.storage.uri('blocks/')} and run again: the blocks are then inferred anew",
        )
    return label_block(mask, window=record.block.window)


def _compare(probe: _Probe, context: InferenceContext) -> SeamProof:
    inference, place = context.inference, context.place
    predictor = predictor_of(inference)
    align = inference.geometry.alignment_px
    start_row, start_col = (v - v % align for v in (probe.window.row_start, probe.window.col_start))
    owned = Window(start_row, probe.window.row_stop, start_col, probe.window.col_stop)
    read = aligned_window(owned, inference.geometry)
    with raster_reader(place.local_path(probe.raster), probe.raster) as reader:
        image, validity = reader.read_mirrored(read)
    whole = predictor.segment(image, validity, read=read, owned=owned)
    mask = place.masks.read_mask(probe.raster.slug, owned)
    probability = place.masks.read_probability(probe.raster.slug, owned)
    inspected = (mask != NODATA) & (mask != NOT_INSPECTED)
    steps = np.abs(probability.astype(np.int16) - whole.probability.astype(np.int16))
    return SeamProof(
        windows=1,
        pixels=int(inspected.sum()),
        differing_pixels=int((mask[inspected] != whole.mask[inspected]).sum()),
        largest_probability_difference=float(steps.max(initial=0)) / 255,
    )


def _total(proofs: Sequence[SeamProof]) -> SeamProof:
    return SeamProof(
        windows=len(proofs),
        pixels=sum(p.pixels for p in proofs),
        differing_pixels=sum(p.differing_pixels for p in proofs),
        largest_probability_difference=max((p.largest_probability_difference for p in proofs), default=0.0),
    )
