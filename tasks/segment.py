"""Segment stage: each block from pixels to its Zarr shard, on Dask; finished blocks are never worked again."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from distributed import Client
from pydantic import TypeAdapter

from segmentation.errors import InputRejected
from segmentation.inference.geometry import Block, aligned_window
from segmentation.inference.predictor import Predictor
from segmentation.models.registry import load_model
from segmentation.records import RasterInput
from tasks.allocator import give_back_memory, keep_freed_memory
from tasks.cluster import run_each
from tasks.mask_store import MaskStore
from tasks.plan import InferencePlan, InspectionPlan
from tasks.raster_reader import raster_reader
from tasks.staging import staged
from tasks.storage import Storage


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run keeps its things; cheap to send to a worker."""

    results: Storage
    """The survey's prefix, ``<results>/<survey_id>``, which holds the pointer to the published run."""
    storage: Storage
    """The run's own prefix, ``<results>/<survey_id>/runs/<run_key>``."""
    run_uri: str
    """Address of that prefix."""
    masks: MaskStore
    """Its mask store."""
    staging_dir: Path
    """Folder for staged rasters on whichever machine works."""
    endpoint_url: str | None
    """S3 endpoint of the rasters."""
    region: str | None
    """S3 region of the rasters."""

    def local_path(self, raster: RasterInput) -> Path:
        """The raster's bytes on this machine, staged if need be."""
        return staged(raster.source, staging_dir=self.staging_dir, endpoint_url=self.endpoint_url, region=self.region)


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """Proof that a block's shard is complete, written after it."""

    raster_slug: str
    block: Block
    class_px: dict[int, int]
    """Pixels per mask value, to be found again in the shard."""
    seconds: float
    """Wall time of the block."""


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


@dataclass(frozen=True, slots=True)
class _BlockWork:
    raster: RasterInput
    block: Block


_RECORD = TypeAdapter(BlockRecord)
_LOADING = threading.Lock()


def segment_blocks(
    plan: InspectionPlan, place: RunPlace, client: Client, *, on_block: Callable[[int, int], None]
) -> SegmentOutcome:
    """Segment every block that has no record yet; `on_block(done, all)` is called after each."""
    started = time.monotonic()
    for raster_plan in plan.rasters:
        place.masks.create(raster_plan.raster, block_px=plan.inference.engine.block_px)
    context = InferenceContext(plan.inference, place)
    finished = _finished(place.storage)
    work = [_BlockWork(r.raster, b) for r in plan.rasters for b in r.blocks]
    todo = [w for w in work if _record_key(w.raster.slug, w.block) not in finished]
    done = len(work) - len(todo)
    on_block(done, len(work))

    def count(_record: BlockRecord) -> None:
        nonlocal done
        done += 1
        on_block(done, len(work))

    for record in run_each(client, segment_block, todo, shared=context, on_done=count):
        finished[_record_key(record.raster_slug, record.block)] = record
    records = tuple(finished[_record_key(w.raster.slug, w.block)] for w in work)
    return SegmentOutcome(records, len(work) - len(todo), time.monotonic() - started)


def segment_block(work: _BlockWork, context: InferenceContext) -> BlockRecord:
    """Read a block with its halo, infer its tiles, write its shard, then its record."""
    started = time.monotonic()
    inference, place = context.inference, context.place
    predictor = predictor_of(inference)
    read = aligned_window(work.block.window, inference.geometry)
    with raster_reader(place.local_path(work.raster), work.raster) as reader:
        image, validity = reader.read_mirrored(read)
    segmented = predictor.segment(image, validity, read=read, owned=work.block.window)
    place.masks.write_block(work.raster.slug, work.block.window, segmented)
    record = BlockRecord(
        work.raster.slug, work.block, count_classes(segmented.mask), round(time.monotonic() - started, 3)
    )
    place.storage.write(
        _record_key(work.raster.slug, work.block), json.dumps(asdict(record)).encode(), content_type="application/json"
    )
    return record


def count_classes(mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> dict[int, int]:
    """Pixels per value of a mask ``(H, W)`` uint8."""
    counts = np.bincount(mask.ravel(), minlength=256)
    return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}


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
    return Predictor(
        load_model(inference.model_path),
        geometry=inference.geometry,
        device=inference.engine.device,
        precision=inference.engine.precision,
        batch=inference.engine.batch,
    )


def forget_predictors() -> None:
    """Drop the loaded weights of this process and the memory kept for their tiles."""
    _loaded_predictor.cache_clear()
    give_back_memory()


def _record_key(slug: str, block: Block) -> str:
    return f"blocks/{slug}/{block.row:05d}-{block.col:05d}.json"


def _finished(storage: Storage) -> dict[str, BlockRecord]:
    """Records of an earlier attempt; one that cannot be read counts as none, and its block is worked again."""
    records: dict[str, BlockRecord] = {}
    for found in storage.list("blocks/", recursive=True):
        try:
            records[found.key] = _RECORD.validate_json(storage.read(found.key))
        except ValueError:
            continue
    return records
