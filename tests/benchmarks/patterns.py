"""The ways to segment a raster that are set side by side; each loads its model before its clock starts.

All get the same weights, folded, channels last, in the same precision, and the same allocator settings; the peers write
the class ids only, where the engine writes probabilities, checksums and block records as well.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
import torch
import zarr
from rasterio.env import set_gdal_config
from rasterio.windows import Window as RasterioWindow

from segmentation.inference.geometry import Tile, TileGeometry, blocks, plan_read, tiles
from segmentation.models.registry import LoadedModel, load_model
from segmentation.windows import Window
from tasks.allocator import keep_freed_memory
from tests.benchmarks.nets import DTYPES, Classifier, model_of, prepared
from tests.benchmarks.workload import Clock, Done, Workload

Bytes = npt.NDArray[np.uint8]
_PEER_GDAL_CACHE_BYTES = 128 << 20


class Skipped(Exception):
    """A pattern that cannot run here, with the reason."""


def limit(work: Workload, clock: Clock) -> Done:
    """The forward passes of the engine's tiles alone: tensors that are ready, nothing read, nothing kept."""
    keep_freed_memory()
    module = prepared(_loaded(work), device=work.device, precision=work.precision)
    counts = Counter(tile.window.shape for tile in _engine_tiles(work))
    shapes = [shape for shape, count in counts.items() for _ in range(-(-count // work.batch))]
    ready = {shape: _random_input(shape, work) for shape in set(shapes)}

    @torch.inference_mode()
    def forward(shape: tuple[int, int]) -> None:
        torch.set_num_threads(1)
        module(ready[shape])

    forward(shapes[0])
    with clock, ThreadPoolExecutor(work.workers) as pool:
        for _ in pool.map(forward, shapes):
            pass
        _synchronise(work)
    return Done(None)


def whole(work: Workload, clock: Clock) -> Done:
    """One forward pass of the whole raster, without any halo, with all threads in it: activations of the whole size."""
    import psutil

    keep_freed_memory()
    loaded = _loaded(work)
    activations = getattr(loaded.module, "peak_activation_values_per_px", 0.0)
    needed = int(activations * DTYPES[work.precision].itemsize * work.size_px**2 * 1.3)
    if work.device == "cpu" and needed > psutil.virtual_memory().available:
        raise Skipped(f"needs about {needed / 1e9:.0f} GB of memory")
    classify = Classifier(loaded, device=work.device, precision=work.precision)
    torch.set_num_threads(work.workers)
    with rasterio.open(work.raster) as dataset:
        pixels = torch.from_numpy(dataset.read()).unsqueeze(0)
    module = prepared(loaded, device=work.device, precision=work.precision)
    batch = classify.normalise(pixels)
    with torch.inference_mode():
        module(_random_input((256, 256), work))
        with clock:
            logits = module(batch)
            _synchronise(work)
    ids = logits[0, :, : work.size_px, : work.size_px].argmax(dim=0).to(torch.uint8).cpu().numpy()
    array, path = _mask_array(work, chunk_px=1024)
    array[:] = ids
    return Done(path)


def plain_loop(work: Workload, clock: Clock) -> Done:
    """What a skilled user writes: a thread reads windows ahead, workers infer, chunks are written as they come.

    Tiles, halo and mirrored edges are the engine's; one handle reads all, in rows.
    """
    classify = _classifier(work, warm_px=work.core_px + 2 * work.halo_px)
    array, path = _mask_array(work, chunk_px=work.core_px)
    todo: Queue[Any] = Queue(maxsize=2 * work.workers)

    def infer() -> None:
        torch.set_num_threads(1)
        while (item := todo.get()) is not None:
            tile, pixels = item
            ids = classify(torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0))[0].cpu().numpy()
            array[tile.core.slices()] = ids[tile.core.within(tile.window)]

    with clock, ThreadPoolExecutor(work.workers) as pool:
        workers = [pool.submit(infer) for _ in range(work.workers)]
        for item in _read_ahead(work):
            todo.put(item)
        for _ in workers:
            todo.put(None)
        for worker in workers:
            worker.result()
    return Done(path)


def map_overlap(work: Workload, clock: Clock) -> Done:
    """`dask.array.map_overlap` with reflected borders over an array that reads by rasterio, stored to Zarr."""
    import dask
    import dask.array as da

    classify = _classifier(work, warm_px=work.peer_px + 2 * work.halo_px)
    chunk_px = min(work.peer_px, work.size_px)
    array, path = _mask_array(work, chunk_px=chunk_px)

    def segment(block: Bytes) -> Bytes:
        torch.set_num_threads(1)
        pixels = torch.from_numpy(np.ascontiguousarray(block)).permute(2, 0, 1).unsqueeze(0)
        ids: Bytes = classify(pixels)[0].cpu().numpy()
        return ids

    with rasterio.open(work.raster) as dataset, clock, dask.config.set(scheduler="threads", num_workers=work.workers):
        source = da.from_array(
            _RasterArray(dataset), chunks=(chunk_px, chunk_px, 3), meta=np.empty((0, 0, 0), np.uint8)
        )
        ids = da.map_overlap(
            segment,
            source,
            depth={0: work.halo_px, 1: work.halo_px, 2: 0},
            boundary="reflect",
            dtype=np.uint8,
            drop_axis=2,
            meta=np.empty((0, 0), np.uint8),
        )
        da.store(ids, array, lock=False)
    return Done(path)


def monai(work: Workload, clock: Clock) -> Done:
    """MONAI's `sliding_window_inference` at its own defaults but for the window: overlap 0.25, constant blending."""
    try:
        from monai.inferers import sliding_window_inference
    except ImportError as error:
        raise Skipped("MONAI is not installed: pip install 'spanscan[bench]'") from error
    import psutil

    needed = work.size_px**2 * 50
    if work.device == "cpu" and needed > psutil.virtual_memory().available:
        raise Skipped(f"needs about {needed / 1e9:.0f} GB of memory")
    classify = _classifier(work, warm_px=work.peer_px)
    array, path = _mask_array(work, chunk_px=1024)
    torch.set_num_threads(work.workers)
    with clock, torch.inference_mode():
        with rasterio.open(work.raster) as dataset:
            pixels = torch.from_numpy(dataset.read()).unsqueeze(0)
        batch = classify.normalise(pixels)
        logits = sliding_window_inference(batch, (work.peer_px, work.peer_px), work.batch, classify.net)
        array[:] = logits[0, :, : work.size_px, : work.size_px].argmax(dim=0).to(torch.uint8).cpu().numpy()
    return Done(path)


def engine(work: Workload, clock: Clock) -> Done:
    """The product's own segment stage: plan, blocks on Dask, masks and probabilities in its Zarr store."""
    from tests.benchmarks.product import segment_with_product

    return segment_with_product(work, clock)


PATTERNS: Final[Mapping[str, Callable[[Workload, Clock], Done]]] = {
    "limit": limit,
    "engine": engine,
    "monai": monai,
    "map_overlap": map_overlap,
    "plain_loop": plain_loop,
    "whole": whole,
}


class _RasterArray:
    """A raster as ``(H, W, 3)``, read where it is indexed; GDAL's handle is for one thread at a time."""

    def __init__(self, dataset: rasterio.DatasetReader) -> None:
        self._dataset = dataset
        self._lock = threading.Lock()
        self.shape = (dataset.height, dataset.width, 3)
        self.dtype = np.dtype(np.uint8)
        self.ndim = 3

    def __getitem__(self, index: tuple[slice, slice, slice]) -> Bytes:
        rows, cols, _ = index
        where = RasterioWindow.from_slices(rows, cols, height=self.shape[0], width=self.shape[1])
        with self._lock:
            bands = self._dataset.read(window=where)
        return np.moveaxis(bands, 0, 2)


def _read_ahead(work: Workload) -> Iterator[tuple[Tile, Bytes]]:
    with rasterio.open(work.raster) as dataset:
        for tile in tiles(Window(0, work.size_px, 0, work.size_px), geometry=_geometry(work)):
            plan = plan_read(tile.window, work.size_px, work.size_px)
            rows, cols = plan.source.shape
            where = RasterioWindow(plan.source.col_start, plan.source.row_start, cols, rows)
            yield tile, np.ascontiguousarray(plan.fill(np.moveaxis(dataset.read(window=where), 0, 2)))


def _engine_tiles(work: Workload) -> list[Tile]:
    whole_blocks = blocks(work.size_px, work.size_px, block_px=work.block_px)
    return [tile for block in whole_blocks for tile in tiles(block.window, geometry=_geometry(work))]


def _geometry(work: Workload) -> TileGeometry:
    return TileGeometry(alignment_px=work.alignment_px, halo_px=work.halo_px, core_px=work.core_px)


def _loaded(work: Workload) -> LoadedModel:
    return load_model(model_of(work.net, Path(work.cache)))


def _classifier(work: Workload, *, warm_px: int) -> Classifier:
    keep_freed_memory()
    set_gdal_config("GDAL_CACHEMAX", _PEER_GDAL_CACHE_BYTES)
    classify = Classifier(_loaded(work), device=work.device, precision=work.precision)
    torch.set_num_threads(1)
    classify(torch.zeros((1, 3, warm_px, warm_px), dtype=torch.uint8))
    return classify


def _random_input(shape: tuple[int, int], work: Workload) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn((work.batch, 3, *shape), generator=generator)
    return values.to(device=work.device, dtype=DTYPES[work.precision], memory_format=torch.channels_last)


def _mask_array(work: Workload, *, chunk_px: int) -> tuple[Any, str]:
    path = str(Path(work.out) / "mask.zarr")
    side_px = work.size_px
    chunk = (min(chunk_px, side_px),) * 2
    return zarr.create_array(path, shape=(side_px, side_px), chunks=chunk, dtype="uint8"), path


def _synchronise(work: Workload) -> None:
    if work.device != "cpu":
        torch.cuda.synchronize()
