"""The Zarr v3 store of masks and probabilities: one group per raster, one shard per block.

Fill value 255 means "not inspected": a chunk that was lost reads as that, never as "no defect". Every chunk
carries a CRC-32C, so that a flipped bit is an error and not another class.
"""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.errors import ContainsArrayError, ContainsGroupError
from zarr.storage import LocalStore

from segmentation.classes import DEFECT_CLASSES, NODATA, NOT_INSPECTED
from segmentation.georeference import Georeference
from segmentation.inference.geometry import blocks
from segmentation.mask_pooling import level_factors, pool_mask, pool_spans
from segmentation.records import RasterInput
from segmentation.windows import Window
from tasks.crash_points import reached
from tasks.mask_metadata import (
    centres,
    group_attributes,
    level_factors_of,
    level_georeference,
    mask_attributes,
    multiscales_attributes,
    probability_attributes,
    spatial_ref,
)
from tasks.shard_file import CHUNK_PX, ZSTD_LEVEL, constant_shard, encode_shard, split_shard
from tasks.storage import Storage, open_storage
from tasks.storage_local import telling_full_disk
from tasks.zarr_window import read_window

if TYPE_CHECKING:  # else whoever reads a mask would load torch
    from segmentation.inference.predictor import SegmentedWindow

Mask = npt.NDArray[np.uint8]

PIECE_PX = 2048
"""Side of what is pooled at once where there is no pyramid."""
_SHARD_TYPE = "application/octet-stream"
_COMPRESSORS = (ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec())


class _UnfinishedError(LookupError):
    """The pyramid of a raster is not complete."""


@dataclass(frozen=True, slots=True)
class MaskStore:
    """Address of a mask store; cheap to send to a worker, which opens it there."""

    uri: str
    """``s3://bucket/prefix`` or a folder."""
    endpoint_url: str | None
    """S3 endpoint; None: AWS."""
    region: str | None
    """S3 region; None: the AWS chain's."""

    def create(self, raster: RasterInput, *, block_px: int) -> None:
        """Create the arrays of a raster, all "not inspected"; leaves an existing group of that raster as it is."""
        with self._telling_full_disk():
            root = _root(self)
            if f"{raster.slug}/mask" in root and f"{raster.slug}/spatial_ref" in root:
                return
            georeference = raster.georeference
            group = _group(root, raster.slug)
            group.attrs.update(group_attributes(raster, factor=1))
            _create_mask(group, georeference, block_px=block_px)
            reached("between_mask_arrays")
            _array_in(
                group,
                "probability",
                shape=(len(DEFECT_CLASSES), georeference.height, georeference.width),
                dtype="uint8",
                chunks=(len(DEFECT_CLASSES), CHUNK_PX, CHUNK_PX),
                shards=(len(DEFECT_CLASSES), block_px, block_px),
                fill_value=0,
                dimension_names=("class", "y", "x"),
                attributes=probability_attributes(),
                compressors=_COMPRESSORS,
            )
            _create_place(group, georeference)

    def create_level(self, raster: RasterInput, *, factor: int) -> None:
        """Create the arrays of a pyramid level, all "not inspected"; leaves an existing level as it is."""
        with self._telling_full_disk():
            group = zarr.open_group(_store(self), path=raster.slug, mode="r+", use_consolidated=False)
            if f"{factor}/mask" in group and f"{factor}/spatial_ref" in group:
                return
            level = _group(group, str(factor))
            level.attrs.update(group_attributes(raster, factor=factor))
            georeference = level_georeference(raster.georeference, factor)
            _create_mask(level, georeference, block_px=self.block_px(raster.slug))
            _create_place(level, georeference)

    def finish_levels(self, raster: RasterInput, factors: Sequence[int]) -> None:
        """Say that the levels are complete: from now on readers use them."""
        with self._telling_full_disk():
            group = zarr.open_group(_store(self), path=raster.slug, mode="r+", use_consolidated=False)
            group.attrs.put(multiscales_attributes(raster, factors))

    def consolidate(self) -> None:
        """Put a copy of all metadata at the root, for readers that cannot list: over HTTP, without a request each."""
        with self._telling_full_disk(), warnings.catch_warnings():
            # Zarr warns that other libraries may not know it; xarray warns where it is not there.
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            zarr.consolidate_metadata(_store(self))

    def levels(self, slug: str) -> tuple[int, ...]:
        """Factors of the complete pyramid levels of a raster; none before the pyramid is written."""
        try:
            return _levels(self, slug)
        except _UnfinishedError:
            return ()

    def block_px(self, slug: str) -> int:
        """Side of a shard of a raster's arrays."""
        return _block_px(self, slug)

    def stored_shards(self, slug: str, *, factor: int) -> frozenset[tuple[int, int]]:
        """(row, col) of each shard of a level that was written; the others are "not inspected" all over."""
        found = _storage(self).list(_shards(slug, factor), recursive=True)
        ends = [info.key.split("/")[-2:] for info in found]
        return frozenset((int(row), int(col)) for row, col in ends)

    def read_shard(self, slug: str, row: int, col: int, *, factor: int) -> list[bytes | None]:
        """The encoded chunks of a shard that was written, row by row: see `shard_file.split_shard`."""
        content = _storage(self).read(f"{_shards(slug, factor)}{row}/{col}")
        return split_shard(content, block_px=self.block_px(slug))

    def write_level_shard(self, slug: str, row: int, col: int, mask: Mask, *, factor: int) -> bool:
        """Write one shard of a level in one step; whether there was anything to write."""
        shard = encode_shard(mask, block_px=self.block_px(slug), fill_value=NOT_INSPECTED)
        if shard is not None:
            self._put(f"{_shards(slug, factor)}{row}/{col}", shard)
        return shard is not None

    def delete_level_shard(self, slug: str, row: int, col: int, *, factor: int) -> None:
        """Delete a shard of a level: it reads as "not inspected"."""
        _storage(self).delete(f"{_shards(slug, factor)}{row}/{col}")

    def write_block(self, slug: str, window: Window, block: "SegmentedWindow") -> None:
        """Write the one shard of a block, each of its two files in one step; the mask, which counts, comes last."""
        block_px = _block_px(self, slug)
        row, col = _shard_at(window, block.mask.shape, block_px)
        # A probability of 0 is what an absent shard reads as.
        if (probability := encode_shard(block.probability, block_px=block_px, fill_value=0)) is not None:
            self._put(f"{slug}/probability/c/0/{row}/{col}", probability)
        reached("between_shard_files")
        if (mask := encode_shard(block.mask, block_px=block_px, fill_value=NOT_INSPECTED)) is not None:
            self._put(f"{slug}/mask/c/{row}/{col}", mask)

    def write_nodata(self, slug: str, window: Window) -> None:
        """Write the shard of a block without data: the same bytes as `write_block` would, made once per shape."""
        block_px = _block_px(self, slug)
        row, col = _shard_at(window, window.shape, block_px)
        mask = constant_shard(NODATA, window.shape, block_px=block_px, fill_value=NOT_INSPECTED)
        if mask is not None:
            self._put(f"{slug}/mask/c/{row}/{col}", mask)

    def _telling_full_disk(self) -> AbstractContextManager[None]:
        """For what Zarr writes by itself."""
        return nullcontext() if self.uri.startswith("s3://") else telling_full_disk(Path(self.uri))

    def _put(self, key: str, shard: bytes) -> None:
        _storage(self).write(key, shard, content_type=_SHARD_TYPE)

    def read_mask(self, slug: str, window: Window, *, step: int = 1) -> Mask:
        """Class ids uint8 ``(H, W)`` of a window; with `step` pooled: ``(⌈H/step⌉, ⌈W/step⌉)``.

        A pooled pixel stands for `step` × `step` pixels and says what `segmentation.mask_pooling` says of them, and of
        those beside them that share a pixel of the level that is read: the coarsest with pixels of at most `step`. The
        pyramid is read where it is complete; else full size is pooled, piece by piece and to the same result.
        """
        if step == 1:
            rows, cols = window.slices()
            return self._window(_mask(slug, 1), (rows, cols))
        height, width = _array(self, _mask(slug, 1)).shape
        factor = max(f for f in (1, *level_factors(height, width)) if f <= step)
        row_starts, row_stops = _spans(window.row_start, window.row_stop, step=step, factor=factor)
        col_starts, col_stops = _spans(window.col_start, window.col_stop, step=step, factor=factor)
        top, left = row_starts[0], col_starts[0]
        level = Window(int(top), int(row_stops[-1]), int(left), int(col_stops[-1]))
        mask = self._read_level(slug, level, factor=factor)
        return pool_spans(mask, (row_starts - top, row_stops - top), (col_starts - left, col_stops - left))

    def _read_level(self, slug: str, window: Window, *, factor: int) -> Mask:
        """A window of a level, in the level's pixels."""
        if factor == 1 or factor in self.levels(slug):
            rows, cols = window.slices()
            return self._window(_mask(slug, factor), (rows, cols))
        height, width = _array(self, _mask(slug, 1)).shape
        mask = np.empty(window.shape, np.uint8)
        for piece in blocks(*window.shape, block_px=max(1, PIECE_PX // factor)):
            rows, cols = piece.window.slices()
            below = Window(
                (window.row_start + rows.start) * factor,
                (window.row_start + rows.stop) * factor,
                (window.col_start + cols.start) * factor,
                (window.col_start + cols.stop) * factor,
            ).clip(height, width)
            mask[rows, cols] = pool_mask(self.read_mask(slug, below), factor=factor)
        return mask

    def read_probability(self, slug: str, window: Window) -> Mask:
        """Quantised probability uint8 ``(2, H, W)`` of CRACK and RUST in a window."""
        rows, cols = window.slices()
        return self._window(f"{slug}/probability", (slice(None), rows, cols))

    def _window(self, path: str, selection: tuple[slice, ...]) -> Mask:
        return read_window(_array(self, path), selection, uri=f"{self.uri.rstrip('/')}/{path}")


@lru_cache(maxsize=8)
def _store(address: MaskStore) -> Store:
    if not address.uri.startswith("s3://"):
        return LocalStore(address.uri)
    from tasks.s3_zarr import s3_zarr_store

    return s3_zarr_store(address.uri, endpoint_url=address.endpoint_url, region=address.region)


@lru_cache(maxsize=8)
def _storage(address: MaskStore) -> Storage:
    return open_storage(address.uri, endpoint_url=address.endpoint_url, region=address.region)


@lru_cache(maxsize=256)
def _block_px(address: MaskStore, slug: str) -> int:
    shards = _array(address, f"{slug}/mask").shards
    if shards is None:
        raise ValueError(f"the mask must be sharded by blocks, got an array without shards: {slug}")
    return int(shards[0])


def _shard_at(window: Window, shape: tuple[int, ...], block_px: int) -> tuple[int, int]:
    """Row and column of the shard that a block is; raises ValueError for a window that is not one."""
    row, col = window.row_start // block_px, window.col_start // block_px
    starts_there = (window.row_start, window.col_start) == (row * block_px, col * block_px)
    if not starts_there or max(window.shape) > block_px or shape != window.shape:
        raise ValueError(f"a block must be one shard of {block_px} px and fill its window, got {window} of {shape}")
    return row, col


@lru_cache(maxsize=256)
def _array(address: MaskStore, path: str) -> zarr.Array[Any]:
    return zarr.open_array(_store(address), path=path, mode="r+")


@lru_cache(maxsize=256)
def _levels(address: MaskStore, slug: str) -> tuple[int, ...]:
    """Raises _UnfinishedError, which no cache keeps, before the pyramid is complete."""
    group = zarr.open_group(_store(address), path=slug, mode="r", use_consolidated=False)
    factors = level_factors_of(group.attrs.asdict())
    if factors is None:
        raise _UnfinishedError(slug)
    return factors


def _mask(slug: str, factor: int) -> str:
    """Where the mask of a level is kept."""
    return f"{slug}/mask" if factor == 1 else f"{slug}/{factor}/mask"


def _shards(slug: str, factor: int) -> str:
    return f"{_mask(slug, factor)}/c/"


def _spans(start: int, stop: int, *, step: int, factor: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Starts and stops, in pixels of a level, of what each `step` pixels from `start` to `stop` touch."""
    starts = np.arange(start, stop, step, dtype=np.intp)
    return starts // factor, -(-np.minimum(starts + step, stop) // factor)


def _create_mask(group: zarr.Group, georeference: Georeference, *, block_px: int) -> None:
    _array_in(
        group,
        "mask",
        shape=(georeference.height, georeference.width),
        dtype="uint8",
        chunks=(CHUNK_PX, CHUNK_PX),
        shards=(block_px, block_px),
        fill_value=NOT_INSPECTED,
        dimension_names=("y", "x"),
        attributes=mask_attributes(),
        compressors=_COMPRESSORS,
    )


def _create_place(group: zarr.Group, georeference: Georeference) -> None:
    """Coordinates and grid mapping; the latter comes last and says that the group is complete."""
    for name, (values, attributes) in centres(georeference).items():
        array = _array_in(
            group,
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=values.shape,
            dimension_names=(name,),
            attributes=attributes,
            compressors=_COMPRESSORS,
        )
        array[:] = values
    _array_in(group, "spatial_ref", shape=(), dtype="int64", fill_value=0, attributes=spatial_ref(georeference))


def _root(address: MaskStore) -> zarr.Group:
    """The root group, made where there is none."""
    where: Any = {"zarr_format": 3, "use_consolidated": False}
    try:
        return zarr.open_group(_store(address), mode="a", **where)
    except ContainsGroupError:  # another run of the same content made it meanwhile
        return zarr.open_group(_store(address), mode="r+", **where)


def _group(parent: zarr.Group, name: str) -> zarr.Group:
    """A group of a group, made where there is none."""
    try:
        return parent.require_group(name)
    except ContainsGroupError:
        return parent.require_group(name)


def _array_in(group: zarr.Group, name: str, **how: Any) -> zarr.Array[Any]:
    """An array of a group, made where there is none.

    One that is there is left as it is, with its shards: it was made for the same run, by an attempt that ended early or
    by another process that works at it now.
    """
    try:
        return group.create_array(name, **how)
    except ContainsArrayError:
        return zarr.open_array(group.store, path=f"{group.path}/{name}", mode="r+")
