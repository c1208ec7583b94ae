"""Copy stage: a mask that somebody else made, block by block into the run's store, as if it had been inferred.

Every later stage then works as on an inspection's masks. Finished blocks are never copied again.
"""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from distributed import Client

from segmentation.classes import DEFECT_CLASSES, NOT_INSPECTED, PixelClass
from segmentation.errors import InputRejected
from segmentation.given_mask import certain_probability
from segmentation.inference.geometry import Block
from segmentation.inference.predictor import SegmentedWindow
from segmentation.records import RasterInput
from tasks.cluster import run_each
from tasks.cluster.needs import WorkerNeeds, refuse_workers_without
from tasks.given_mask_plan import GivenMaskPlan, MaskInput
from tasks.leftovers import remove_leftovers, sole_writer
from tasks.mask_checks import read_given
from tasks.raster_file import open_raster, read_validity
from tasks.run_place import RunPlace
from tasks.segment import (
    BlockCount,
    BlockRecord,
    SegmentOutcome,
    count_classes,
    finished_records,
    record_key,
)
from tasks.staging import staged
from tasks.strips import in_bands


@dataclass(frozen=True, slots=True)
class _CopyContext:
    place: RunPlace
    mask: MaskInput
    raster: RasterInput


def copy_mask(
    plan: GivenMaskPlan, place: RunPlace, client: Client, *, on_block: Callable[[int, int], None]
) -> SegmentOutcome:
    """Copy every block that has no record yet; `on_block(done, all)` is called as they are done.

    Raises InputRejected E_MASK_VALUES, E_TILE_DECODE; E_MASK_AMBIGUOUS where 255 may stand for damage as well as for
    "not inspected", E_ALL_NODATA where nothing was inspected.
    """
    started = time.monotonic()
    (raster_plan,) = plan.rasters
    raster = raster_plan.raster
    uris = (plan.mask.source.uri, raster.source.uri)
    refuse_workers_without(client, WorkerNeeds(place.run_uri, uris, place.staging_dir))
    with sole_writer(place.run_uri):
        remove_leftovers(place.run_uri)
        place.masks.create(raster, block_px=plan.block_px)
        finished = finished_records(place.storage)
        resumed = len(finished)
        done = BlockCount(plan.block_count, on_block)
        done.add(resumed)
        todo = [b for b in in_bands(raster_plan.blocks) if record_key(raster.slug, b) not in finished]
        context = _CopyContext(place, plan.mask, raster)
        for record in run_each(client, copy_block, todo, shared=context, on_done=lambda _: done.add(1)):
            finished[record_key(raster.slug, record.block)] = record
    records = tuple(finished[record_key(raster.slug, b)] for b in raster_plan.blocks)
    _refuse_empty(records, plan)
    return SegmentOutcome(records, resumed, time.monotonic() - started)


def copy_block(block: Block, context: _CopyContext) -> BlockRecord:
    """Read one block of the mask and write its shard; its record is written after it."""
    place, raster, source = context.place, context.raster, context.mask.source
    path = staged(source, staging_dir=place.staging_dir, endpoint_url=place.endpoint_url, region=place.region)
    with ExitStack() as stack:
        pictured = None
        if not raster.is_mask:
            pictured = read_validity(stack.enter_context(open_raster(place.local_path(raster))), block.window)
        mask = stack.enter_context(open_raster(path))
        classes = read_given(mask, block.window, name=source.name, single=context.mask.single, pictured=pictured)
    place.masks.write_block(raster.slug, block.window, SegmentedWindow(classes, certain_probability(classes)))
    record = BlockRecord(raster.slug, block, count_classes(classes), 0.0)
    content = json.dumps(asdict(record)).encode()
    place.storage.write(record_key(raster.slug, block), content, content_type="application/json")
    return record


def _refuse_empty(records: tuple[BlockRecord, ...], plan: GivenMaskPlan) -> None:
    """Refuse what would be reported as undamaged or unseen, though it is likelier a misunderstanding."""
    name = plan.given_mask.name
    total = dict.fromkeys((*PixelClass, NOT_INSPECTED), 0)
    for record in records:
        for value, count in record.class_px.items():
            total[value] = total.get(value, 0) + count
    if plan.mask.single is None and total[NOT_INSPECTED] and not any(total[c] for c in DEFECT_CLASSES):
        cause = (
            f"255 must stand for not inspected beside the classes 1 and 2, got {total[NOT_INSPECTED]:,} pixels of 255 "
            "and none of 1 or 2, so that 255 may as well be the damage"
        )
        remedy = "give --class crack or --class rust if 255 is damage; else declare 255 as the file's nodata value"
        raise InputRejected("E_MASK_AMBIGUOUS", name, cause, remedy)
    if not any(total[c] for c in PixelClass):
        cause = "some pixel must be background, crack or rust, got no data or not inspected in all"
        raise InputRejected("E_ALL_NODATA", name, cause, "check the nodata value of the mask and of its picture")
