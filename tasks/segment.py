"""Segment stage: each block from pixels to its Zarr shard, on Dask; finished blocks are never worked again.

A work item of Dask is a strip of neighbouring blocks. While one block of it is inferred, the next is read and the
one before is encoded and written. Blocks that hold no data, by the file's own table, are neither read nor inferred.
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from distributed import Client
from pydantic import TypeAdapter

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass
from segmentation.errors import InputRejected
from segmentation.inference.geometry import Block, aligned_window
from segmentation.inference.predictor import Predictor, SegmentedWindow
from segmentation.inference.runtime import Runtime, TorchRuntime
from segmentation.models.registry import load_model
from segmentation.records import RasterInput
from segmentation.windows import Window
from tasks.allocator import give_back_memory, keep_freed_memory
from tasks.block_attempts import MOST_DEATHS, BlockAttempts, attempts_of, deadly_blocks
from tasks.cluster import inference_resources, run_each
from tasks.cluster.needs import WorkerNeeds, refuse_workers_without
from tasks.crash_points import reached
from tasks.leftovers import remove_leftovers, sole_writer
from tasks.outside import parts_on_structures, structures_in, wanted_of
from tasks.overlap import overlapped
from tasks.plan import InferencePlan, InspectionPlan, RasterPlan
from tasks.reading import Pixels, block_reader, close_readers
from tasks.run_place import RunPlace
from tasks.sparse import blocks_without_data
from tasks.storage import Storage
from tasks.strips import in_bands, strips

log = logging.getLogger("spanscan.segment")

NODATA_BLOCKS_PER_TASK = 64
"""Blocks without data that one work item writes."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """Proof that a block's shard is complete, written after it."""

    raster_slug: str
    block: Block
    class_px: dict[int, int]
    """Pixels per mask value, to be found again in the shard."""
    seconds: float
    """Wall time of its inference; 0 where there was none."""

    @property
    def holds_inspected(self) -> bool:
        """Whether any of its pixels was inspected."""
        return any(value not in (NODATA, NOT_INSPECTED) for value in self.class_px)


@dataclass(frozen=True, slots=True)
class SegmentOutcome:
    """What the segment stage did."""

    records: tuple[BlockRecord, ...]
    """One per block of the plan, in its order."""
    resumed: int
    """Blocks found finished from an earlier attempt."""
    seconds: float
    """Wall time of the stage."""


@dataclass(frozen=True, slots=True)
class InferenceContext:
    """What every block of a run needs to know."""

    inference: InferencePlan
    place: RunPlace
    attempts: BlockAttempts | None
    """Where begun blocks are written down; None on a cluster, which knows by itself what its workers died of."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A block and what of it is inspected."""

    block: Block
    windows: tuple[Window, ...]
    """Parts on a structure; the whole block where all of it is inspected."""


@dataclass(frozen=True, slots=True)
class _StripWork:
    raster: RasterInput
    parts: tuple[_Part, ...]

    def __str__(self) -> str:
        places = ", ".join(f"({part.block.row}, {part.block.col})" for part in self.parts)
        return f"{self.raster.name}, block at (row, col) {places}"

    @property
    def key(self) -> str:
        """The record of its first block."""
        return record_key(self.raster.slug, self.parts[0].block)

    def split(self) -> "tuple[_StripWork, ...]":
        """A work item for each of its blocks."""
        return tuple(_StripWork(self.raster, (part,)) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _NodataWork:
    slug: str
    blocks: tuple[Block, ...]


_RECORD = TypeAdapter(BlockRecord)
_MASK_VALUES = (*(int(c) for c in PixelClass), NODATA, NOT_INSPECTED)
_LOADING = threading.Lock()


def segment_blocks(
    plan: InspectionPlan, place: RunPlace, client: Client, *, on_block: Callable[[int, int], None]
) -> SegmentOutcome:
    """Segment every block that has no record yet; `on_block(done, all)` is called as they are done.

    One process at a time works at a run whose results lie in a folder; another one waits, and then resumes it. Raises
    RunFailed E_BLOCK for a block that ends the process of each worker that takes it, when all others are done; in this
    process that takes three runs, after the first of which it is left to the end.
    """
    started = time.monotonic()
    refuse_workers_without(client, _needs(plan, place))
    with sole_writer(place.run_uri):
        remove_leftovers(place.run_uri)
        for raster_plan in plan.rasters:
            place.masks.create(raster_plan.raster, block_px=plan.inference.engine.block_px)
        finished = finished_records(place.storage)
        resumed = len(finished)
        done = BlockCount(plan.block_count, on_block)
        done.add(resumed)
        todo: list[_StripWork] = []
        for raster_plan in plan.rasters:
            unread = _write_unread(raster_plan, plan, place, client, finished=finished)
            finished |= {record_key(r.raster_slug, r.block): r for r in unread}
            done.add(len(unread))
            todo += _strips(raster_plan, plan, client, finished=finished)
        for records in _carried(todo, plan, place, client, done=done, finished=finished):
            finished |= {record_key(r.raster_slug, r.block): r for r in records}
            for r in records:
                place_of_block = (r.block.row, r.block.col)
                told = {"raster": r.raster_slug, "block": place_of_block}
                log.debug("%s: block at (row, col) %s in %.1f s", r.raster_slug, place_of_block, r.seconds, extra=told)
    records = tuple(finished[record_key(r.raster.slug, b)] for r in plan.rasters for b in r.blocks)
    return SegmentOutcome(records, resumed, time.monotonic() - started)


def _carried(
    todo: Sequence[_StripWork],
    plan: InspectionPlan,
    place: RunPlace,
    client: Client,
    *,
    done: "BlockCount",
    finished: Mapping[str, BlockRecord],
) -> Iterator[tuple[BlockRecord, ...]]:
    """The records of all blocks to do; those with which a process of this machine died come last, each alone."""
    attempts = attempts_of(place.run_uri, place.staging_dir) if client.cluster is not None else None
    deaths = attempts.deaths(finished) if attempts is not None else Counter[str]()
    parts = [_StripWork(strip.raster, (part,)) for strip in todo for part in strip.parts if deaths]
    suspects = [part for part in parts if part.key in deaths]
    rest = [part for part in parts if part.key not in deaths] if suspects else todo
    deadly = [part for part in suspects if deaths[part.key] >= MOST_DEATHS]
    waves = [rest, *([part] for part in suspects if part not in deadly)]
    try:
        for wave in waves:
            yield from run_each(
                client,
                segment_strip,
                wave,
                shared=InferenceContext(plan.inference, place, attempts),
                on_done=lambda records: done.add(len(records)),
                resources=inference_resources(client, device=plan.inference.engine.device),
                split=_StripWork.split,
            )
        if deadly:
            raise deadly_blocks(str(part) for part in deadly)
    finally:
        if attempts is not None:
            attempts.forget()


def _needs(plan: InspectionPlan, place: RunPlace) -> WorkerNeeds:
    sources = tuple(raster.raster.source.uri for raster in plan.rasters)
    inference = plan.inference
    return WorkerNeeds(place.run_uri, sources, place.staging_dir, inference.model_path, inference.model.sha256)


class BlockCount:
    """Blocks done so far, told on."""

    def __init__(self, everything: int, told: Callable[[int, int], None]) -> None:
        self._done, self._everything, self._told = 0, everything, told

    def add(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        self._told(self._done, self._everything)


def _write_unread(
    raster_plan: RasterPlan,
    plan: InspectionPlan,
    place: RunPlace,
    client: Client,
    *,
    finished: dict[str, BlockRecord],
) -> list[BlockRecord]:
    """Write the shards of blocks that need no look at a pixel; their records are known and need no file each."""
    raster = raster_plan.raster
    left = [b for b in raster_plan.blocks if record_key(raster.slug, b) not in finished]
    outside = [b for b in left if not parts_of(b, raster_plan, plan)]
    inside = set(left) - set(outside)
    nodata = blocks_without_data(place.local_path(raster), [b for b in left if b in inside])
    done_key = f"blocks/{raster.slug}/nodata.json"
    wanted = sorted((b.row, b.col) for b in nodata)
    if nodata and not _holds(place.storage, done_key, wanted):
        ordered = [b for b in left if b in nodata]
        work = [
            _NodataWork(raster.slug, tuple(ordered[i : i + NODATA_BLOCKS_PER_TASK]))
            for i in range(0, len(ordered), NODATA_BLOCKS_PER_TASK)
        ]
        run_each(client, write_nodata_blocks, work, shared=place)
        reached("after_nodata_shards")
        place.storage.write(done_key, json.dumps(wanted).encode(), content_type="application/json")
    return [
        *(BlockRecord(raster.slug, b, {NODATA: b.window.area_px}, 0.0) for b in nodata),
        # Nothing is written where nothing is inspected: what was never written reads as that.
        *(BlockRecord(raster.slug, b, {NOT_INSPECTED: b.window.area_px}, 0.0) for b in outside),
    ]


def write_nodata_blocks(work: _NodataWork, place: RunPlace) -> int:
    """Write the shards of some blocks without data; how many."""
    for block in work.blocks:
        place.masks.write_nodata(work.slug, block.window)
    return len(work.blocks)


def _strips(
    raster_plan: RasterPlan, plan: InspectionPlan, client: Client, *, finished: dict[str, BlockRecord]
) -> list[_StripWork]:
    raster = raster_plan.raster
    left = [b for b in in_bands(raster_plan.blocks) if record_key(raster.slug, b) not in finished]
    consumers = max(1, sum(client.nthreads().values()))
    return [
        _StripWork(raster, tuple(_Part(b, parts_of(b, raster_plan, plan)) for b in strip))
        for strip in strips(left, consumers=consumers)
    ]


def parts_of(block: Block, raster_plan: RasterPlan, plan: InspectionPlan) -> tuple[Window, ...]:
    """What of a block is inspected by this plan: all of it, or its cells that reach a structure."""
    if not plan.inference.engine.skip_outside_structures:
        return (block.window,)
    raster = raster_plan.raster
    return parts_on_structures(
        block.window,
        structures=structures_in(plan.survey.structures, raster),
        height=raster.georeference.height,
        width=raster.georeference.width,
    )


def segment_strip(work: _StripWork, context: InferenceContext) -> tuple[BlockRecord, ...]:
    """Read, infer and write the blocks of a strip at once; a block's record is written after its shard."""
    inference, place = context.inference, context.place
    predictor = predictor_of(inference)
    reader = block_reader(place.local_path(work.raster), work.raster, handles=handles_of(inference))

    def read(part: _Part) -> Pixels:
        if context.attempts is not None:
            context.attempts.begin(record_key(work.raster.slug, part.block))
        return reader.read_mirrored(aligned_window(part.block.window, inference.geometry))

    def infer(part: _Part, pixels: Pixels) -> tuple[SegmentedWindow, float]:
        began = time.monotonic()
        image, validity = pixels
        owned = part.block.window
        segmented = predictor.segment(
            image,
            validity,
            read=aligned_window(owned, inference.geometry),
            owned=owned,
            wanted=wanted_of(owned, part.windows),
        )
        reader.recycle(pixels)
        return segmented, time.monotonic() - began

    def write(part: _Part, result: tuple[SegmentedWindow, float]) -> BlockRecord:
        segmented, seconds = result
        place.masks.write_block(work.raster.slug, part.block.window, segmented)
        reached("after_shard_write")
        record = BlockRecord(work.raster.slug, part.block, count_classes(segmented.mask), round(seconds, 3))
        key = record_key(work.raster.slug, part.block)
        place.storage.write(key, json.dumps(asdict(record)).encode(), content_type="application/json")
        reached("after_block_record")
        return record

    helpers = {"readers": inference.helpers, "writers": inference.helpers}
    return tuple(overlapped(work.parts, read=read, infer=infer, write=write, **helpers))


def handles_of(inference: InferencePlan) -> int:
    """Threads that read at once: one decodes as much as four cores infer."""
    return max(1, inference.consumers // 4) if inference.engine.device == "cpu" else inference.helpers


def count_classes(mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> dict[int, int]:
    """Pixels per value of a mask ``(H, W)`` uint8."""
    # A comparison each takes a tenth of the time of a histogram; other values than these are an error to be seen.
    counts = {value: int(np.count_nonzero(mask == value)) for value in _MASK_VALUES}
    if sum(counts.values()) != mask.size:
        histogram = np.bincount(mask.ravel(), minlength=256)
        counts = {int(v): int(histogram[v]) for v in np.flatnonzero(histogram)}
    return {value: count for value, count in counts.items() if count}


def predictor_of(inference: InferencePlan) -> Predictor:
    """The planned model ready to run, loaded once per process; raises InputRejected E_MODEL for other weights."""
    with _LOADING:  # else each thread of a worker would load the weights for itself
        predictor = _loaded_predictor(inference)
    if predictor.sha256 != inference.model.sha256:
        raise InputRejected(
            "E_MODEL",
            inference.model_path,
            f"every worker must hold the planned weights {inference.model.sha256[:12]}, got {predictor.sha256[:12]}",
            "install the same spanscan and weights on every worker",
        )
    return predictor


@lru_cache(maxsize=2)
def _loaded_predictor(inference: InferencePlan) -> Predictor:
    keep_freed_memory()
    return Predictor(_runtime(inference), geometry=inference.geometry, batch=inference.batch)


def _runtime(inference: InferencePlan) -> Runtime:
    engine, loaded = inference.engine, load_model(inference.model_path)
    if inference.compiled_folder is None:
        return TorchRuntime(loaded, device=engine.device, precision=engine.precision, compiled=engine.compiled)
    from segmentation.inference.openvino_runtime import OpenvinoRuntime

    return OpenvinoRuntime(Path(inference.compiled_folder), loaded, threads=engine.workers)


def forget_predictors() -> None:
    """Drop what this process keeps for inference: weights, handles, buffers, the memory of tiles."""
    close_readers()
    _loaded_predictor.cache_clear()
    give_back_memory()


def record_key(slug: str, block: Block) -> str:
    """Where a run keeps the record of a block."""
    return f"blocks/{slug}/{block.row:05d}-{block.col:05d}.json"


def _holds(storage: Storage, key: str, content: object) -> bool:
    """Whether an object holds this very JSON."""
    try:
        return storage.exists(key) and json.loads(storage.read(key)) == json.loads(json.dumps(content))
    except ValueError:
        return False


def finished_records(storage: Storage) -> dict[str, BlockRecord]:
    """Records of an earlier attempt; one that cannot be read counts as none, and its block is worked again."""
    records: dict[str, BlockRecord] = {}
    for found in storage.list("blocks/", recursive=True):
        try:
            records[found.key] = _RECORD.validate_json(storage.read(found.key))
        except ValueError:
            continue
    return records
