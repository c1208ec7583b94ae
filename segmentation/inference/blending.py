"""Overlapping tiles joined by smooth weights, for nets whose receptive field no halo can hold."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segmentation.inference.geometry import Tile, TileGeometry
from segmentation.windows import Window


class Blend:
    """The weighted mean of the logits of the tiles that touch a window.

    Along each axis a tile weighs 1 in its middle and falls as cos² over the ``2 · overlap_px`` that it shares with its
    neighbour, whose sin² makes the sum 1 everywhere: nothing is left to normalise, and blocks that see the same tiles
    compute the same value. The raster's upper and left edges have one neighbour less, there the first tile keeps 1.
    """

    def __init__(self, owned: Window, *, geometry: TileGeometry) -> None:
        self._owned = owned
        self._geometry = geometry
        self._sum: Tensor | None = None

    def weighted(self, tile: Tile, logits: Tensor) -> Tensor:
        """The logits ``(K, h, w)`` of the pixels that `tile` contributes to, times its weights, in host memory."""
        along_rows, along_cols = (torch.from_numpy(w) for w in tile_weights(tile, geometry=self._geometry))
        return (logits.float().cpu() * along_rows.unsqueeze(1)).mul_(along_cols)

    def add(self, tile: Tile, weighted: Tensor) -> None:
        """Add what `weighted` gave; tiles must be added in the same order by every block, which rounding depends on."""
        if self._sum is None:
            self._sum = torch.zeros((weighted.shape[0], *self._owned.shape), dtype=torch.float32)
        rows, cols = tile.core.within(self._owned)
        self._sum[:, rows, cols] += weighted

    @property
    def logits(self) -> Tensor | None:
        """Blended logits float32 ``(K, H, W)`` of the window; 0 where no tile was added, None where none was at all."""
        return self._sum


def tile_weights(tile: Tile, *, geometry: TileGeometry) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weights of a blended tile along the rows and the columns of the pixels that it contributes to."""
    core, window = tile.core, tile.window
    return (
        _along(core.row_start, core.row_stop, window.row_start + geometry.halo_px, geometry),
        _along(core.col_start, core.col_stop, window.col_start + geometry.halo_px, geometry),
    )


def _along(start: int, stop: int, origin: int, geometry: TileGeometry) -> npt.NDArray[np.float32]:
    weights = _full(geometry.core_px, geometry.overlap_px, origin == 0)
    first = origin - geometry.overlap_px
    return weights[start - first : stop - first].copy()


@lru_cache(maxsize=16)
def _full(core_px: int, overlap_px: int, is_first: bool) -> npt.NDArray[np.float32]:
    """Weights of a whole tile; a falling weight is 1 minus the rising one of its neighbour, to the last bit."""
    ramp_px = 2 * overlap_px
    upper = np.sin(np.pi / 2 * (np.arange(overlap_px, ramp_px) + 0.5) / max(ramp_px, 1)).astype(np.float32) ** 2
    rising = np.concatenate([(1 - upper)[::-1], upper])
    weights = np.ones(core_px + ramp_px, np.float32)
    if not is_first:
        weights[:ramp_px] = rising
    weights[core_px:] = rising[::-1]
    return weights
