"""A run's masks as a person left them: what was rejected is background, what was re-classed the other class.

The run's own store is read and never changed; the decided pixels are laid over whatever is read of it, so that the
pictures, maps and mask files of a revision show what its figures count.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.classes import CLASS_NAMES, NOT_INSPECTED, PixelClass
from segmentation.inference.geometry import blocks
from segmentation.mask_pooling import pool_mask
from segmentation.records import Defect, RasterInput
from segmentation.windows import Window
from tasks.mask_store import Mask, MaskStore
from tasks.review.decisions import Decision
from tasks.review.defect_pixels import DefectIndex, owners
from tasks.shard_file import CHUNK_PX, decode_chunk, encode_shard, split_shard

_PIECE_PX: Final = 1024
"""Side of what is looked at at once of a large defect."""
_AROUND_PX: Final = 128
"""What is looked at round it, so that pixels are found that hang together beyond it."""


@dataclass(frozen=True, slots=True)
class DecidedPixels:
    """Pixels of one defect, or of a part of it, and what they are by decision."""

    window: Window
    packed: bytes
    """One bit per pixel of the window, row by row."""
    value: int
    """Mask value that they get."""

    def pixels(self) -> npt.NDArray[np.bool_]:
        """Which pixels of the window are meant, bool ``(H, W)``."""
        count = self.window.area_px
        return np.unpackbits(np.frombuffer(self.packed, np.uint8), count=count).astype(bool).reshape(self.window.shape)


@dataclass(frozen=True, slots=True, eq=False)
class ReviewedMasks(MaskStore):
    """The masks at an address with decided pixels laid over them; for reading alone."""

    decided: Mapping[str, tuple[DecidedPixels, ...]]
    """By the slug of the raster."""

    def read_mask(self, slug: str, window: Window, *, step: int = 1) -> Mask:
        """As `MaskStore.read_mask`; pooled pixels on a decided place say what the reviewed mask under them says."""
        stored = MaskStore.read_mask(self, slug, window, step=step)
        touching = list(self._touching(slug, window))
        if not touching:
            return stored
        mask = stored.copy()
        for one in touching:
            if step == 1:
                _lay(mask, window, one)
            else:
                self._pool_again(mask, slug, window, one.window, step=step)
        return mask

    def read_shard(self, slug: str, row: int, col: int, *, factor: int) -> list[bytes | None]:
        """As `MaskStore.read_shard`, the decided chunks encoded anew."""
        chunks = MaskStore.read_shard(self, slug, row, col, factor=factor)
        across = self.block_px(slug) // CHUNK_PX
        side_px = CHUNK_PX * factor
        for number, chunk in enumerate(chunks):
            if chunk is None:
                continue
            top, left = (row * across + number // across) * side_px, (col * across + number % across) * side_px
            below = Window(top, top + side_px, left, left + side_px)
            touching = list(self._touching(slug, below))
            if not touching:
                continue
            mask = decode_chunk(chunk).copy()
            for one in touching:
                if factor == 1:
                    _lay(mask, below, one)
                else:
                    self._pool_again(mask, slug, below, one.window, step=factor)
            chunks[number] = split_shard(_encoded(mask), block_px=CHUNK_PX)[0]
        return chunks

    def _touching(self, slug: str, window: Window) -> Iterator[DecidedPixels]:
        return (one for one in self.decided.get(slug, ()) if one.window.intersect(window) is not None)

    def _pool_again(self, mask: Mask, slug: str, window: Window, place: Window, *, step: int) -> None:
        """Put the pooled pixels of `mask`, which stands for `window`, right where they touch a place."""
        shared = place.intersect(window)
        if shared is None:
            return
        rows = slice((shared.row_start - window.row_start) // step, -((window.row_start - shared.row_stop) // step))
        cols = slice((shared.col_start - window.col_start) // step, -((window.col_start - shared.col_stop) // step))
        part = Window(
            window.row_start + rows.start * step,
            min(window.row_start + rows.stop * step, window.row_stop),
            window.col_start + cols.start * step,
            min(window.col_start + cols.stop * step, window.col_stop),
        )
        pooled = pool_mask(self.read_mask(slug, part), factor=step)
        mask[rows.start : rows.start + pooled.shape[0], cols.start : cols.start + pooled.shape[1]] = pooled


def reviewed_masks(
    masks: MaskStore, rasters: Sequence[RasterInput], defects: Sequence[Defect], latest: Mapping[str, Decision]
) -> MaskStore:
    """The masks of a run as the latest decisions leave them; the same where none changes a pixel.

    A pixel belongs to a defect by the rule of `defect_pixels.owners`. Memory grows with the decided pixels alone.
    """
    changed = [d for d in defects if (made := latest.get(d.id)) is not None and made.verdict in ("reject", "reclass")]
    if not changed:
        return masks
    index, slugs = DefectIndex(defects), {raster.name: raster.slug for raster in rasters}
    decided: dict[str, list[DecidedPixels]] = {}
    for defect in changed:
        slug = slugs[defect.raster_name]
        value = _value(latest[defect.id])
        decided.setdefault(slug, []).extend(_pixels_of(defect, value, masks, slug, index))
    return ReviewedMasks(
        masks.uri, masks.endpoint_url, masks.region, {slug: tuple(parts) for slug, parts in decided.items()}
    )


def _value(decision: Decision) -> int:
    final = decision.final_class
    return int(PixelClass.BACKGROUND if final is None else PixelClass(CLASS_NAMES.index(final)))


def _pixels_of(defect: Defect, value: int, masks: MaskStore, slug: str, index: DefectIndex) -> Iterator[DecidedPixels]:
    whole = defect.window
    for block in blocks(*whole.shape, block_px=_PIECE_PX):
        rows, cols = block.window.slices()
        piece = Window(
            whole.row_start + rows.start, whole.row_start + rows.stop,
            whole.col_start + cols.start, whole.col_start + cols.stop,
        )  # fmt: skip
        around = piece.grow(_AROUND_PX).intersect(whole) or piece
        near = index.within(defect.raster_name, around)
        owner = owners(masks.read_mask(slug, around), around, near)
        own = np.isin(owner, [number for number, one in enumerate(near) if one.id == defect.id])[piece.within(around)]
        if own.any():
            yield DecidedPixels(piece, np.packbits(own).tobytes(), value)


def _lay(mask: Mask, window: Window, decided: DecidedPixels) -> None:
    """Put decided pixels into the mask ``(H, W)`` of a window, in place; what lies beyond the mask is left out."""
    shared = decided.window.intersect(window)
    if shared is None:
        return
    own = decided.pixels()[shared.within(decided.window)]
    mask[shared.within(window)][own] = decided.value


def _encoded(mask: Mask) -> bytes:
    shard = encode_shard(mask, block_px=CHUNK_PX, fill_value=NOT_INSPECTED)
    if shard is None:
        raise ValueError("a chunk with a decided pixel must hold more than the fill value")
    return shard
