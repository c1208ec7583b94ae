"""From pixels to classes and probabilities, window by window: the one place where tiles meet the model."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from segmentation.classes import DEFECT_CLASSES, NODATA, NOT_INSPECTED
from segmentation.errors import RunFailed
from segmentation.inference.blending import Blend
from segmentation.inference.classification import Classified, classify
from segmentation.inference.devices import is_out_of_memory
from segmentation.inference.geometry import Method, Tile, TileGeometry, aligned_window, halves, plan_read, tiles
from segmentation.inference.runtime import Runtime
from segmentation.models.geometry import NetGeometry
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Finished = TypeVar("Finished")

_BLENDED_SHARE = 8
"""A blended tile shares an eighth of its core's side with each neighbour, on either side of their border."""


@dataclass(frozen=True, slots=True)
class SegmentedWindow:
    """Classes and probabilities of one window."""

    mask: Bytes
    """(H, W) class ids; NODATA where the raster holds none, NOT_INSPECTED where nobody wanted to know."""
    probability: Bytes
    """(2, H, W) probability of CRACK and RUST, quantised: 255 is 1."""


def tile_geometry(net: NetGeometry, *, core_px: int, method: Method | None = None) -> TileGeometry:
    """Tile geometry of a net: exact where its field is bounded, else blended; `method` asks for another.

    Alignment, margin and halo are computed from the net. The core is as asked for, rounded down to the alignment;
    that of overlap-tile is taken as it is. A blended tile's overlap is an eighth of its core, rounded up.
    """
    chosen = method or ("exact" if net.bounded_field else "blended")
    step_px = net.alignment_px
    if chosen == "blended":
        return _blended_geometry(net, core_px=core_px)
    aligned_core_px = core_px if chosen == "overlap-tile" else max(step_px, core_px - core_px % step_px)
    return TileGeometry(
        alignment_px=step_px,
        halo_px=net.halo_px,
        core_px=aligned_core_px,
        margin_px=net.margin_px,
        residue_px=net.window_residue_px,
        method=chosen,
    )


def _blended_geometry(net: NetGeometry, *, core_px: int) -> TileGeometry:
    """The core is rounded down so that core and two halos are a valid window, and is at least twice the overlap."""
    step_px = net.alignment_px
    overlap_px = -(-core_px // (_BLENDED_SHARE * step_px)) * step_px
    halo_px = net.margin_px + overlap_px
    window_px = net.valid_window_px(max(core_px, 2 * overlap_px) + 2 * halo_px - step_px + 1)
    return TileGeometry(
        alignment_px=step_px,
        halo_px=halo_px,
        core_px=window_px - 2 * halo_px,
        margin_px=net.margin_px,
        residue_px=net.window_residue_px,
        method="blended",
    )


class Predictor:
    """A runtime and the way its tiles are cut and joined; shared by threads."""

    def __init__(self, runtime: Runtime, *, geometry: TileGeometry, batch: int) -> None:
        """`batch` tiles go through the net at once, fewer once memory has run out."""
        self.geometry = geometry
        self._runtime = runtime
        self._batch = batch
        self._core_px = geometry.core_px

    @property
    def sha256(self) -> str:
        """Checksum of the weights' file."""
        return self._runtime.sha256

    @property
    def backed_off_to(self) -> tuple[int, int]:
        """Tiles per forward pass and side of a tile's core, as they are after memory ran out, or as they were set."""
        return self._batch, self._core_px

    def segment(
        self, image: Bytes, validity: Flags, *, read: Window, owned: Window, wanted: Flags | None = None
    ) -> SegmentedWindow:
        """Segment the pixels of `owned` from `image` ``(H, W, 3)`` and `validity` ``(H, W)`` of the window `read`.

        `read` must hold `aligned_window` of `owned`. Where `wanted` bool, of the shape of `owned`, is given and False,
        the mask says NOT_INSPECTED. Tiles without a wanted valid pixel are not inferred. Raises InputRejected E_MODEL
        where the model returns NaN or infinity, RunFailed E_OUT_OF_MEMORY where not even the smallest tile finds room.
        """
        return self._segment(_Scene(image, validity, read), owned, wanted, self.geometry)

    def segment_whole(self, image: Bytes, validity: Flags) -> SegmentedWindow:
        """Segment a raster ``(H, W, 3)`` in one forward pass, mirrored at its edges: the reference for `segment`.

        A blended model's tiles depend on their windows, so that its raster is segmented in one block of them instead.
        """
        rows, cols = validity.shape
        geometry = self.geometry
        if geometry.method != "blended":
            side_px = -(-max(rows, cols) // geometry.alignment_px) * geometry.alignment_px
            geometry = replace(geometry, core_px=side_px, method="exact")
        owned = Window(0, rows, 0, cols)
        read = aligned_window(owned, geometry)
        plan = plan_read(read, rows, cols)
        return self._segment(_Scene(plan.fill(image), plan.fill(validity), read), owned, None, geometry)

    def _segment(self, scene: "_Scene", owned: Window, wanted: Flags | None, geometry: TileGeometry) -> SegmentedWindow:
        known = scene.validity[owned.within(scene.read)]
        needed = known if wanted is None else known & wanted
        todo = [t for t in tiles(owned, geometry=geometry) if needed[t.core.within(owned)].any()]
        canvas = _Canvas(owned)
        if geometry.method == "blended":
            blend = Blend(owned, geometry=geometry)
            for tile, logits in self._infer(todo, scene, geometry, blend.weighted):
                blend.add(tile, logits)
            if blend.logits is not None:
                canvas.put(owned, classify(blend.logits))
        else:
            pending: deque[tuple[Window, Classified]] = deque()
            for tile, classified in self._infer(todo, scene, geometry, lambda _, logits: classify(logits)):
                pending.append((tile.core, classified))
                while len(pending) > self._batch:  # a device works on one batch while the one before is taken home
                    canvas.put(*pending.popleft())
            for core, classified in pending:
                canvas.put(core, classified)
        return canvas.finished(known, needed)

    def _infer(
        self, todo: Sequence[Tile], scene: "_Scene", geometry: TileGeometry, finish: Callable[[Tile, Tensor], Finished]
    ) -> Iterator[tuple[Tile, Finished]]:
        """Each tile with what `finish` makes of it and of the logits ``(K, h, w)`` of its core.

        Batch and tiles are halved where memory runs out.
        """
        queue = deque(sorted(todo, key=lambda t: (t.window.shape, t.core)))
        while queue:
            batch = self._next_batch(queue, geometry)
            finished = self._attempt(batch, scene, geometry, finish)
            if finished is None:
                queue.extendleft(reversed(self._smaller(batch, geometry)))
            else:
                yield from zip(batch, finished, strict=True)

    def _next_batch(self, queue: deque[Tile], geometry: TileGeometry) -> list[Tile]:
        """Take tiles with equal windows off the queue, no more and no larger than memory was found for before."""
        tile = queue.popleft()
        if self._core_px < self.geometry.core_px:
            while max(tile.core.shape) > self._core_px and (parts := halves(tile, geometry=geometry)):
                tile = parts[0]
                queue.extendleft(reversed(parts[1:]))
        batch = [tile]
        while queue and len(batch) < self._batch and queue[0].window.shape == tile.window.shape:
            batch.append(queue.popleft())
        return batch

    def _attempt(
        self,
        batch: Sequence[Tile],
        scene: "_Scene",
        geometry: TileGeometry,
        finish: Callable[[Tile, Tensor], Finished],
    ) -> list[Finished] | None:
        """Run the net on equally large windows; None where memory ran out."""
        try:
            logits = self._runtime.logits(*scene.stacked([tile.window for tile in batch]))
            inner = [tile.core.within(tile.window.grow(-geometry.margin_px)) for tile in batch]
            return [finish(t, of[:, rows, cols]) for t, of, (rows, cols) in zip(batch, logits, inner, strict=True)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None  # the smaller attempt is not made here, where the error still holds what the failed one took

    def _smaller(self, batch: Sequence[Tile], geometry: TileGeometry) -> Sequence[Tile]:
        """The same pixels, to be tried in half the batch or in half the tile; later blocks begin with that."""
        if len(batch) > 1:
            self._batch = min(self._batch, len(batch) // 2)
            return batch
        parts = halves(batch[0], geometry=geometry)
        if not parts:
            side_px = max(batch[0].window.shape)
            raise RunFailed(
                "E_OUT_OF_MEMORY",
                "inference",
                f"memory must hold one tile of {side_px} px, the smallest that this model can be given, got no room",
                "free memory, or set SPANSCAN_DEVICE=cpu, fewer SPANSCAN_WORKERS or a smaller SPANSCAN_TILE_CORE_PX",
            )
        self._core_px = min(self._core_px, max(max(part.core.shape) for part in parts))
        return parts


@dataclass(frozen=True, slots=True)
class _Scene:
    """What was read."""

    image: Bytes
    validity: Flags
    read: Window

    def stacked(self, windows: Sequence[Window]) -> tuple[Bytes, Flags]:
        """Pixels ``(N, H, W, 3)`` and flags ``(N, H, W)`` of windows; of one window without a copy."""
        found = [(self.image[at], self.validity[at]) for at in (w.within(self.read) for w in windows)]
        if len(found) == 1:
            return found[0][0][np.newaxis], found[0][1][np.newaxis]
        return np.stack([image for image, _ in found]), np.stack([validity for _, validity in found])


class _Canvas:
    """The window that a block owns, filled tile by tile; what no tile fills stays NOT_INSPECTED."""

    def __init__(self, owned: Window) -> None:
        self._owned = owned
        self._mask = np.full(owned.shape, NOT_INSPECTED, dtype=np.uint8)
        self._probability = np.zeros((len(DEFECT_CLASSES), *owned.shape), dtype=np.uint8)

    def put(self, core: Window, classified: Classified) -> None:
        rows, cols = core.within(self._owned)
        self._mask[rows, cols], self._probability[:, rows, cols] = classified.wait()

    def finished(self, known: Flags, needed: Flags) -> SegmentedWindow:
        """Nothing is said of a pixel that is not needed: NODATA where nothing is known, else NOT_INSPECTED."""
        if not needed.all():
            np.copyto(self._mask, np.where(known, np.uint8(NOT_INSPECTED), np.uint8(NODATA)), where=~needed)
            np.copyto(self._probability, np.uint8(0), where=~needed)
        return SegmentedWindow(self._mask, self._probability)
