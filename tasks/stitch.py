"""Stitch stage: join the defects over the block borders, and prove that the borders left no seam."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from distributed import Client

from segmentation.classes import DEFECT_CLASSES
from segmentation.errors import RunFailed
from segmentation.inference.geometry import blocks
from segmentation.measurement.components import BlockComponents, Component, join_blocks, label_block
from segmentation.windows import Window
from tasks.cluster import run_each
from tasks.plan import InspectionPlan, RunPlan
from tasks.run_place import RunPlace
from tasks.seam_proof import SeamProof, prove_seams
from tasks.segment import BlockRecord, SegmentOutcome, count_classes, forget_predictors

LABEL_SIDE_PX = 2048
"""Pixels along a side that are labelled at once: what it needs does not grow with the block."""


@dataclass(frozen=True, slots=True)
class StitchOutcome:
    """Components of each raster, and the proof."""

    components: Mapping[str, Sequence[Component]]
    """By raster slug."""
    seam_proof: SeamProof | None
    """None where the mask was given and nothing inferred."""


def stitch_blocks(plan: InspectionPlan, place: RunPlace, client: Client, *, segmented: SegmentOutcome) -> StitchOutcome:
    """Label every block that holds damage, join the labels, compare a sample of windows with inference in one piece.

    Blocks whose record counts no pixel of damage are not read. Raises RunFailed E_STORE where a shard does not hold
    what its record says, E_SEAM where the proof fails.
    """
    components = join_components(plan, place, client, segmented=segmented)
    seam_proof = prove_seams(plan, place, client, records=segmented.records)
    client.run(forget_predictors)
    return StitchOutcome(components, seam_proof)


def join_components(
    plan: RunPlan, place: RunPlace, client: Client, *, segmented: SegmentOutcome
) -> Mapping[str, Sequence[Component]]:
    """Components of each raster by its slug; raises RunFailed E_STORE where a shard does not hold its record."""
    damaged = [r for r in segmented.records if any(r.class_px.get(int(c)) for c in DEFECT_CLASSES)]
    tables: dict[str, list[BlockComponents]] = {r.raster.slug: [] for r in plan.rasters}
    for record, found in zip(damaged, run_each(client, label_shard, damaged, shared=place), strict=True):
        tables[record.raster_slug] += found
    return {slug: join_blocks(own) for slug, own in tables.items()}


def label_shard(record: BlockRecord, place: RunPlace) -> list[BlockComponents]:
    """Components of one block's shard, in pieces of at most `LABEL_SIDE_PX` a side.

    Raises RunFailed E_STORE where the shard does not hold the pixels of its record.
    """
    own = record.block.window
    tables = []
    counted = dict.fromkeys(record.class_px, 0)
    for piece in blocks(*own.shape, block_px=LABEL_SIDE_PX):
        rows, cols = piece.window.slices()
        window = Window(
            own.row_start + rows.start, own.row_start + rows.stop, own.col_start + cols.start, own.col_start + cols.stop
        )
        mask = place.masks.read_mask(record.raster_slug, window)
        for value in counted:
            counted[value] += int(np.count_nonzero(mask == value))
        tables.append(label_block(mask, window=window))
    if counted != record.class_px or sum(counted.values()) != own.area_px:
        raise RunFailed(
            "E_STORE",
            f"{record.raster_slug} block {record.block.row},{record.block.col}",
            f"the shard must hold the pixels of its record {record.class_px}, "
            f"got {count_classes(place.masks.read_mask(record.raster_slug, own))}",
            f"delete {place.storage.uri('blocks')} and run again: the blocks are then inferred anew",
        )
    return tables
