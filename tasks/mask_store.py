"""The Zarr v3 store of masks and probabilities: one group per raster, one shard per block.

Fill value 255 means "not inspected": a chunk that was lost reads as that, never as "no defect". Every chunk
carries a CRC-32C, so that a flipped bit is an error and not another class.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore, ObjectStore

from segmentation.classes import CLASS_NAMES, DEFECT_CLASSES, NODATA, NOT_INSPECTED
from segmentation.georeference import Georeference
from segmentation.inference.predictor import SegmentedWindow
from segmentation.records import RasterInput
from segmentation.windows import Window
from tasks.shard_file import CHUNK_PX, ZSTD_LEVEL, constant_shard, encode_shard
from tasks.storage import Storage, open_storage

_SHARD_TYPE = "application/octet-stream"


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
        root = zarr.open_group(_store(self), mode="a", zarr_format=3)
        if f"{raster.slug}/mask" in root and f"{raster.slug}/spatial_ref" in root:
            return
        georeference = raster.georeference
        shape = (georeference.height, georeference.width)
        group = root.require_group(raster.slug)
        group.attrs.update(_group_attributes(raster))
        compressors = (ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec())
        group.create_array(
            "mask",
            shape=shape,
            dtype="uint8",
            chunks=(CHUNK_PX, CHUNK_PX),
            shards=(block_px, block_px),
            fill_value=NOT_INSPECTED,
            dimension_names=("y", "x"),
            attributes=_mask_attributes(),
            compressors=compressors,
            overwrite=True,
        )
        group.create_array(
            "probability",
            shape=(len(DEFECT_CLASSES), *shape),
            dtype="uint8",
            chunks=(len(DEFECT_CLASSES), CHUNK_PX, CHUNK_PX),
            shards=(len(DEFECT_CLASSES), block_px, block_px),
            fill_value=0,
            dimension_names=("class", "y", "x"),
            attributes={
                "classes": [CLASS_NAMES[c] for c in DEFECT_CLASSES],
                "scale_factor": 1 / 255,
                "grid_mapping": "spatial_ref",
            },
            compressors=compressors,
            overwrite=True,
        )
        group.create_array(
            "spatial_ref",
            shape=(),
            dtype="int64",
            fill_value=0,
            attributes=_spatial_ref(georeference),
            overwrite=True,
        )

    def write_block(self, slug: str, window: Window, block: SegmentedWindow) -> None:
        """Write the one shard of a block, each of its two files in one step; the mask, which counts, comes last."""
        block_px = _block_px(self, slug)
        row, col = _shard_at(window, block.mask.shape, block_px)
        # A probability of 0 is what an absent shard reads as.
        if (probability := encode_shard(block.probability, block_px=block_px, fill_value=0)) is not None:
            self._put(f"{slug}/probability/c/0/{row}/{col}", probability)
        if (mask := encode_shard(block.mask, block_px=block_px, fill_value=NOT_INSPECTED)) is not None:
            self._put(f"{slug}/mask/c/{row}/{col}", mask)

    def write_nodata(self, slug: str, window: Window) -> None:
        """Write the shard of a block without data: the same bytes as `write_block` would, made once per shape."""
        block_px = _block_px(self, slug)
        row, col = _shard_at(window, window.shape, block_px)
        mask = constant_shard(NODATA, window.shape, block_px=block_px, fill_value=NOT_INSPECTED)
        if mask is not None:
            self._put(f"{slug}/mask/c/{row}/{col}", mask)

    def _put(self, key: str, shard: bytes) -> None:
        _storage(self).write(key, shard, content_type=_SHARD_TYPE)

    def read_mask(self, slug: str, window: Window, *, step: int = 1) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Class ids uint8 ``(H, W)`` of a window; with `step` every step-th pixel."""
        rows, cols = window.slices()
        thinned = slice(rows.start, rows.stop, step), slice(cols.start, cols.stop, step)
        return np.asarray(_array(self, f"{slug}/mask")[thinned], dtype=np.uint8)

    def read_probability(self, slug: str, window: Window) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Quantised probability uint8 ``(2, H, W)`` of CRACK and RUST in a window."""
        rows, cols = window.slices()
        return np.asarray(_array(self, f"{slug}/probability")[:, rows, cols], dtype=np.uint8)


@lru_cache(maxsize=8)
def _store(address: MaskStore) -> Store:
    if not address.uri.startswith("s3://"):
        return LocalStore(address.uri)
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    bucket, _, prefix = address.uri.removeprefix("s3://").partition("/")
    options: dict[str, Any] = {"virtual_hosted_style_request": address.endpoint_url is None}
    if address.endpoint_url is not None:
        options["endpoint"] = address.endpoint_url
        options["client_options"] = {"allow_http": address.endpoint_url.startswith("http://")}
    store = S3Store(
        bucket,
        prefix=prefix,
        region=address.region or "us-east-1",
        credential_provider=Boto3CredentialProvider(),
        **options,
    )
    return ObjectStore(store)


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


def _group_attributes(raster: RasterInput) -> dict[str, Any]:
    return {"raster": raster.name, "gsd_m": raster.gsd_m, "Conventions": "CF-1.11"}


def _mask_attributes() -> dict[str, Any]:
    return {
        "flag_values": [*range(len(CLASS_NAMES)), NODATA, NOT_INSPECTED],
        "flag_meanings": " ".join([*CLASS_NAMES, "nodata", "not_inspected"]),
        "grid_mapping": "spatial_ref",
    }


def _spatial_ref(georeference: Georeference) -> dict[str, Any]:
    a, b, c, d, e, f = georeference.transform
    attributes: dict[str, Any] = {"GeoTransform": f"{c!r} {a!r} {b!r} {f!r} {d!r} {e!r}"}
    if georeference.crs_wkt is not None:
        attributes |= {"crs_wkt": georeference.crs_wkt, "spatial_ref": georeference.crs_wkt}
    return attributes
