"""Windows of a run's rasters and masks for the pictures of its reports, decimated where they are large."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segmentation.records import RasterInput
from segmentation.windows import Window
from tasks.raster_reader import raster_reader
from tasks.report.drawn_mask import drawn_mask
from tasks.run_place import RunPlace

_KEPT = 4
"""Windows that are kept: those of one structure, whose pictures are drawn more than once."""


class StoredPictures:
    """Windows of a run's rasters and masks for the pictures; the last ones are kept. For one thread."""

    def __init__(self, rasters: Sequence[RasterInput], place: RunPlace) -> None:
        self._rasters = {raster.name: raster for raster in rasters}
        self._place = place
        self._kept: OrderedDict[tuple[str, Window, int], npt.NDArray[np.uint8]] = OrderedDict()

    def read_rgb(self, raster_name: str, window: Window, *, max_side_px: int) -> npt.NDArray[np.uint8]:
        """Colours ``(h, w, 3)`` uint8 of a window inside the raster, averaged down; nodata is white."""
        key = (raster_name, window, max_side_px)
        if key in self._kept:
            return self._kept[key]
        raster = self._rasters[raster_name]
        if raster.is_mask:
            return drawn_mask(self.read_mask(raster_name, window, max_side_px=max_side_px))
        with raster_reader(self._place.local_path(raster), raster) as reader:
            image, validity = reader.read(window, max_side_px=max_side_px)
        image[~validity] = 255
        self._kept[key] = image
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return image

    def read_mask(self, raster_name: str, window: Window, *, max_side_px: int) -> npt.NDArray[np.uint8]:
        """Class ids ``(h, w)`` uint8 of a window inside the raster; where larger, pooled so that no damage is lost."""
        step = max(1, -(-max(window.shape) // max_side_px))
        return self._place.masks.read_mask(self._rasters[raster_name].slug, window, step=step)
