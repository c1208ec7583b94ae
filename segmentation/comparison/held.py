"""One survey's pictures while it is registered: read once where the whole is small, and each looked at once."""

from typing import Final

import numpy as np

from segmentation.comparison.grids import Extent, GridToPlane, ReadPlane, grid_around, resampled
from segmentation.comparison.local_shifts import Picture, Surface, surface_of

ROOM: Final = 1.25
"""Sides of what is held over those of the structure."""
_HELD_PX: Final = 1400
"""A structure whose longer side is at most that at some step is read once there, and its tiles cut from memory."""
_MOST_SURFACES: Final = 48
"""Of 256 px with their spectra these are 50 MB."""


class HeldPictures:
    """Pictures of a structure in one survey, about as fine as `step_m`; several passes ask for the same ones."""

    def __init__(self, read: ReadPlane, extent: Extent, *, step_m: float) -> None:
        self._read = read
        self._surfaces: dict[tuple[bytes, tuple[int, int]], Surface | None] = {}
        height, width = (int(2 * half / step_m * ROOM) + 2 for half in (extent.half_height_m, extent.half_width_m))
        if max(height, width) <= _HELD_PX * ROOM:
            grid = grid_around(np.zeros(2), side_px=(height, width), step_m=step_m)
            whole, to_whole = read(grid, (height, width)), np.linalg.inv(grid)
            self._read = lambda grid, shape: resampled(whole, to_whole @ grid, shape)

    def picture(self, grid: GridToPlane, shape: tuple[int, int]) -> Picture:
        """Brightness ``(H, W)`` float32 of a grid in the plane, NaN where there is no data."""
        return self._read(grid, shape)

    def surface(self, grid: GridToPlane, shape: tuple[int, int]) -> Surface | None:
        """What of that the light does not change; None where nothing is to be seen."""
        key = (grid.tobytes(), shape)
        if key not in self._surfaces:
            if len(self._surfaces) >= _MOST_SURFACES:
                self._surfaces.pop(next(iter(self._surfaces)))
            self._surfaces[key] = surface_of(self._read(grid, shape))
        return self._surfaces[key]
