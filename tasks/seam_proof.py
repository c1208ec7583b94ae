"""The seam proof: windows across the borders of tiles and blocks and at raster edges, inferred again in one piece.

Every run takes a few, wherever pixels were inspected. In an exact run the classes must be the stored ones, but for
pixels where the one piece itself holds both classes for equally likely within rounding; one pixel beyond that stops
the run. In a run by any other method a difference is expected, and stated.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, product, zip_longest
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from distributed import Client

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass
from segmentation.errors import RunFailed
from segmentation.inference.geometry import Block, Method, TileGeometry, aligned_window
from segmentation.inference.predictor import SegmentedWindow
from segmentation.records import RasterInput
from segmentation.windows import Window
from tasks.cluster import inference_resources, run_each
from tasks.plan import EngineSettings, InspectionPlan
from tasks.raster_reader import raster_reader
from tasks.run_place import RunPlace
from tasks.segment import BlockRecord, InferenceContext, predictor_of

Bools = npt.NDArray[np.bool_]
Kind = Literal["block border", "tile border", "raster edge"]
KINDS: Final[tuple[Kind, ...]] = ("block border", "tile border", "raster edge")

SEAM_SIDE_PX = 256
"""Side of a window, before its halo."""
WINDOWS_PER_KIND = 2
"""Windows of each kind that are compared in a raster; one in a raster of few inspected pixels."""
FEW_PX = 4_000_000
"""Inspected pixels up to which a raster has few: six windows would be a tenth of its own work."""
TRIES = 24
"""Places looked at for inspected pixels before fewer windows are compared."""

ROUNDING: Final[Mapping[str, float]] = {"float32": 4 / 255, "bfloat16": 32 / 255, "float16": 8 / 255}
"""By precision, the lead that one class may have over another in probability and yet lose to it by rounding.

Near a tie the lead is half the difference of two logits. In bfloat16 (8 bits) a logit between 4 and 8 is rounded to
1/32, and some layers of that before it, summed in another order for another window shape: 8 such steps, 0.25, are a
lead of 0.125. float16 and CUDA's TF32 hold 11 bits, an eighth of that; the rest of their share is the stored steps
of 1/255, which is all that float32 needs. Anything else counts as bfloat16.
"""


@dataclass(frozen=True, slots=True)
class SeamProof:
    """What came of inferring windows across borders again in one piece."""

    method: Method
    """How tiles were joined; only an exact run must equal the one piece."""
    windows: int
    """Windows compared."""
    block_borders: int
    """Those chosen to straddle a border between blocks."""
    tile_borders: int
    """Those chosen to straddle a border between tiles inside a block."""
    raster_edges: int
    """Those chosen to lie at an edge of the raster."""
    pixels: int
    """Pixels compared."""
    differing_pixels: int
    """Pixels whose class differs."""
    beyond_rounding_pixels: int
    """Those of them in which the one piece is sure of its class by more than the allowance."""
    rounding_allowance: float
    """Lead of one class over another, in probability, that counts as a tie in the run's precision."""
    largest_probability_difference: float
    """Largest difference of a class's probability, [0, 1], as stored in steps of 1/255."""


@dataclass(frozen=True, slots=True)
class _ProbeWork:
    """Windows of one kind to be found and compared in one raster."""

    raster: RasterInput
    blocks: tuple[Block, ...]
    """Blocks with inspected pixels, drawn."""
    kind: Kind
    windows: int
    seed: str


@dataclass(frozen=True, slots=True)
class _Compared:
    raster_name: str
    kind: Kind
    window: Window
    pixels: int
    differing: int
    beyond: int
    largest_step: int


def prove_seams(plan: InspectionPlan, place: RunPlace, client: Client, *, records: Sequence[BlockRecord]) -> SeamProof:
    """Infer a sample of windows again in one piece and compare; the sample depends on the run key alone.

    Raises RunFailed E_SEAM where an exact run differs from the one piece beyond rounding.
    """
    context = InferenceContext(plan.inference, place, None)
    work = probes(plan, records=records)
    resources = inference_resources(client, device=plan.inference.engine.device)
    compared = [c for found in run_each(client, _prove, work, shared=context, resources=resources) for c in found]
    method = plan.inference.geometry.method
    if method == "exact":
        _refuse_seams(compared, place)
    return SeamProof(
        method=method,
        windows=len(compared),
        block_borders=sum(c.kind == "block border" for c in compared),
        tile_borders=sum(c.kind == "tile border" for c in compared),
        raster_edges=sum(c.kind == "raster edge" for c in compared),
        pixels=sum(c.pixels for c in compared),
        differing_pixels=sum(c.differing for c in compared),
        beyond_rounding_pixels=sum(c.beyond for c in compared),
        rounding_allowance=rounding_allowance(plan.inference.engine),
        largest_probability_difference=max((c.largest_step for c in compared), default=0) / 255,
    )


def probes(plan: InspectionPlan, *, records: Sequence[BlockRecord]) -> tuple[_ProbeWork, ...]:
    """What is looked at: for each raster and each kind of border, blocks drawn from those with inspected pixels."""
    seen: dict[str, list[BlockRecord]] = {r.raster.slug: [] for r in plan.rasters}
    for record in records:
        if _inspected_px(record):
            seen[record.raster_slug].append(record)
    work = []
    for raster in (r.raster for r in plan.rasters):
        few = sum(_inspected_px(record) for record in seen[raster.slug]) <= FEW_PX
        for kind in KINDS:
            seed = f"{plan.run_key}/{raster.slug}/{kind}"
            blocks = [r.block for r in seen[raster.slug] if _touches(r.block, raster, plan.inference.geometry, kind)]
            if blocks:
                drawn = tuple(random.Random(seed).sample(blocks, min(TRIES, len(blocks))))
                work.append(_ProbeWork(raster, drawn, kind, 1 if few else WINDOWS_PER_KIND, seed))
    return tuple(work)


def border_windows(block: Block, raster: RasterInput, geometry: TileGeometry, *, kind: Kind) -> Iterator[Window]:
    """Every window of a block that straddles a crossing of its borders, one of them at least of `kind`."""
    height, width = raster.georeference.height, raster.georeference.width
    own = block.window
    rows = _lines(own.row_start, own.row_stop, height, geometry)
    cols = _lines(own.col_start, own.col_stop, width, geometry)
    half = SEAM_SIDE_PX // 2
    any_row = [*chain(*rows.values())] or [(own.row_start + own.row_stop) // 2]
    any_col = [*chain(*cols.values())] or [(own.col_start + own.col_stop) // 2]
    for row, col in dict.fromkeys(chain(product(rows[kind], any_col), product(any_row, cols[kind]))):
        yield Window(row - half, row + half, col - half, col + half).clip(height, width)


def beyond_rounding(stored: npt.NDArray[np.uint8], whole: SegmentedWindow, *, allowance: float) -> Bools:
    """Pixels ``(H, W)`` whose stored class the one piece contradicts by more than rounding can.

    `stored` uint8 ``(H, W)``; what was not inspected is not contradicted. `allowance` is a lead in probability, [0, 1].
    """
    differing: Bools = (stored != NOT_INSPECTED) & (stored != whole.mask)
    beyond = differing.copy()
    tied = differing & (stored <= max(PixelClass)) & (whole.mask <= max(PixelClass))
    defects = whole.probability[:, tied].astype(np.int16)
    scores = np.concatenate([255 - defects.sum(axis=0, keepdims=True), defects])
    at = np.arange(scores.shape[1])
    lead = scores[whole.mask[tied], at] - scores[stored[tied], at]
    beyond[tied] = lead > allowance * 255
    return beyond


def rounding_allowance(engine: EngineSettings) -> float:
    """The lead in probability that rounding may turn; a runtime that chooses its own arithmetic has bfloat16's."""
    precision = engine.precision if engine.runtime == "torch" else "bfloat16"
    return ROUNDING.get(precision, ROUNDING["bfloat16"])


def one_piece(geometry: TileGeometry) -> TileGeometry:
    """The geometry in which a window of the proof is a single tile, aligned and with its whole context."""
    align = geometry.alignment_px
    side_px = -(-(SEAM_SIDE_PX + align) // align) * align
    halo_px = geometry.margin_px + -(-geometry.overlap_px // align) * align
    if geometry.method == "exact" and geometry.core_px >= side_px:
        return geometry  # the loaded weights serve as they are
    return replace(geometry, method="exact", core_px=side_px, halo_px=halo_px)


def _lines(start: int, stop: int, extent: int, geometry: TileGeometry) -> dict[Kind, list[int]]:
    """Where borders of each kind cut one axis of a block: tiles start anew in each block, or run on from 0."""
    core_px = geometry.core_px
    first = start + core_px if geometry.method == "exact" else (start // core_px + 1) * core_px
    return {
        "block border": [at for at in (start, stop) if 0 < at < extent],
        "tile border": [*range(first, stop, core_px)],
        "raster edge": [at for at in (start, stop) if at in (0, extent)],
    }


def _touches(block: Block, raster: RasterInput, geometry: TileGeometry, kind: Kind) -> bool:
    own, georeference = block.window, raster.georeference
    return bool(
        _lines(own.row_start, own.row_stop, georeference.height, geometry)[kind]
        or _lines(own.col_start, own.col_stop, georeference.width, geometry)[kind]
    )


def _prove(work: _ProbeWork, context: InferenceContext) -> list[_Compared]:
    """Find windows that hold inspected pixels, the fuller ones first, and compare them."""
    draw = random.Random(work.seed)
    by_block = []
    for block in work.blocks:
        windows = [*border_windows(block, work.raster, context.inference.geometry, kind=work.kind)]
        by_block.append(draw.sample(windows, len(windows)))
    in_turn = (window for windows in zip_longest(*by_block) for window in windows if window is not None)
    found: list[tuple[float, Window]] = []
    for window in islice(dict.fromkeys(in_turn), TRIES):
        mask = context.place.masks.read_mask(work.raster.slug, window)
        share = float(((mask != NODATA) & (mask != NOT_INSPECTED)).mean())
        if share > 0:
            found.append((share, window))
        if sum(share > 0.5 for share, _ in found) >= work.windows:
            break
    found.sort(key=lambda pair: -pair[0])
    return [_compare(work, window, context) for _, window in found[: work.windows]]


def _compare(work: _ProbeWork, window: Window, context: InferenceContext) -> _Compared:
    place, geometry = context.place, one_piece(context.inference.geometry)
    predictor = predictor_of(replace(context.inference, geometry=geometry))
    start_row, start_col = (v - v % geometry.alignment_px for v in (window.row_start, window.col_start))
    owned = Window(start_row, window.row_stop, start_col, window.col_stop)
    read = aligned_window(owned, geometry)
    with raster_reader(place.local_path(work.raster), work.raster) as reader:
        image, validity = reader.read_mirrored(read)
    whole = predictor.segment(image, validity, read=read, owned=owned)
    mask = place.masks.read_mask(work.raster.slug, owned)
    probability = place.masks.read_probability(work.raster.slug, owned)
    inspected = (mask != NODATA) & (mask != NOT_INSPECTED)
    differing = (mask != NOT_INSPECTED) & (mask != whole.mask)
    allowance = rounding_allowance(context.inference.engine)
    steps = np.abs(probability.astype(np.int16) - whole.probability.astype(np.int16))[:, inspected]
    return _Compared(
        raster_name=work.raster.name,
        kind=work.kind,
        window=owned,
        pixels=int((inspected | differing).sum()),
        differing=int(differing.sum()),
        beyond=int(beyond_rounding(mask, whole, allowance=allowance).sum()),
        largest_step=int(steps.max(initial=0)),
    )


def _refuse_seams(compared: Sequence[_Compared], place: RunPlace) -> None:
    worst = max(compared, key=lambda c: c.beyond, default=None)
    if worst is None or worst.beyond == 0:
        return
    rows, cols = worst.window.slices()
    raise RunFailed(
        "E_SEAM",
        worst.raster_name,
        f"the mask must be that of one forward pass, got {worst.beyond} of {worst.pixels} pixels that differ from it "
        f"beyond rounding in rows {rows.start}–{rows.stop}, columns {cols.start}–{cols.stop} (at a {worst.kind})",
        f"delete {place.run_uri} and run again, with SPANSCAN_PRECISION=fp32 if it comes back",
    )


def _inspected_px(record: BlockRecord) -> int:
    return sum(record.class_px.get(int(c), 0) for c in PixelClass)
