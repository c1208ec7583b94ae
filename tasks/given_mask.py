"""Copy stage: a mask that somebody else made, block by block into the run's store, as if it had been inferred.

Every later stage then works as on an inspection's masks. Finished blocks are never copied again.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from distributed import Client

from segmentation.classes import DEFECT_CLASSES, NOT_INSPECTED, PixelClass
from segmentation.errors import InputRejected
from segmentation.given_mask import Bools, Bytes
from segmentation.inference.geometry import Block
from segmentation.inference.predictor import SegmentedWindow
from segmentation.measurement.hysteresis import GrowthTable, grown_classes, grown_rows, growth_table
from segmentation.records import RasterInput, SourceObject
from tasks.cluster import run_each
from tasks.cluster.needs import WorkerNeeds, refuse_workers_without
from tasks.crash_points import reached
from tasks.given_mask_plan import GivenMaskPlan, MaskInput
from tasks.given_probability import read_probability, stored_probability
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


@dataclass(frozen=True, slots=True)
class _CopyWork:
    block: Block
    kept: Bools | None
    """Which of the block's candidates become crack (`hysteresis.grown_rows`); None: nothing grows."""


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
    sources = [plan.mask.source, raster.source]
    if plan.mask.probability is not None:
        sources.append(plan.mask.probability.source)
    uris = tuple(source.uri for source in sources)
    refuse_workers_without(client, WorkerNeeds(place.run_uri, uris, place.staging_dir))
    with sole_writer(place.run_uri):
        remove_leftovers(place.run_uri)
        place.masks.create(raster, block_px=plan.block_px)
        finished = finished_records(place.storage)
        resumed = len(finished)
        done = BlockCount(plan.block_count, on_block)
        done.add(resumed)
        context = _CopyContext(place, plan.mask, raster)
        work = _grown_work(in_bands(raster_plan.blocks), context, client)
        todo = [one for one in work if record_key(raster.slug, one.block) not in finished]
        for record in run_each(client, copy_block, todo, shared=context, on_done=lambda _: done.add(1)):
            finished[record_key(raster.slug, record.block)] = record
    records = tuple(finished[record_key(raster.slug, b)] for b in raster_plan.blocks)
    _refuse_empty(records, plan)
    return SegmentOutcome(records, resumed, time.monotonic() - started)


def _grown_work(of: Sequence[Block], context: _CopyContext, client: Client) -> list[_CopyWork]:
    """The blocks with what grows in each; without a lower threshold nothing is read for it.

    It is found anew when a run is resumed: the same, since it depends on the files alone.
    """
    given = context.mask.probability
    if given is None or given.grow_above is None:
        return [_CopyWork(block, None) for block in of]
    tables = list(run_each(client, _growth_of, of, shared=context))
    return [_CopyWork(block, kept) for block, kept in zip(of, grown_rows(tables), strict=True)]


def _growth_of(block: Block, context: _CopyContext) -> GrowthTable:
    classes, crack = _read(block, context)
    assert crack is not None
    assert context.mask.probability is not None
    return growth_table(classes, crack, window=block.window, least=context.mask.probability.least)


def copy_block(work: _CopyWork, context: _CopyContext) -> BlockRecord:
    """Read one block of the mask and write its shard; its record is written after it."""
    place, raster, block = context.place, context.raster, work.block
    classes, crack = _read(block, context)
    if work.kept is not None and crack is not None and context.mask.probability is not None:
        classes = grown_classes(classes, crack, least=context.mask.probability.least, kept=work.kept)
    place.masks.write_block(raster.slug, block.window, SegmentedWindow(classes, stored_probability(classes, crack)))
    reached("after_shard_write")
    record = BlockRecord(raster.slug, block, count_classes(classes), 0.0)
    content = json.dumps(asdict(record)).encode()
    place.storage.write(record_key(raster.slug, block), content, content_type="application/json")
    reached("after_block_record")
    return record


def _read(block: Block, context: _CopyContext) -> tuple[Bytes, Bytes | None]:
    """Class ids ``(H, W)`` of a block as they were given, and the probability of crack ``(H, W)`` if it was."""
    place, raster, given = context.place, context.raster, context.mask
    probability = given.probability
    with ExitStack() as stack:
        pictured = None
        if not raster.is_mask:
            pictured = read_validity(stack.enter_context(open_raster(place.local_path(raster))), block.window)
        mask = stack.enter_context(open_raster(_local(given.source, place)))
        classes = read_given(mask, block.window, name=given.source.name, single=given.single, pictured=pictured)
        if probability is None:
            return classes, None
        crack = stack.enter_context(open_raster(_local(probability.source, place)))
        return classes, read_probability(crack, block.window, name=probability.source.name)


def _local(source: SourceObject, place: RunPlace) -> Path:
    return staged(source, staging_dir=place.staging_dir, endpoint_url=place.endpoint_url, region=place.region)


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
