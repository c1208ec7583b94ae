"""What the reviewer sees of a defect: its place pixel by pixel, plain and with its own pixels outlined."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.classes import PixelClass
from segmentation.errors import SpanscanError
from segmentation.records import Defect, RasterInput
from segmentation.windows import Window
from tasks.report.pictures import Picture, RasterPictures, native_pictures
from tasks.report.places import native_window
from tasks.review.defect_pixels import DefectIndex, outlined_as_rust, owners
from tasks.run_place import RunPlace
from tasks.stored_pictures import StoredPictures

SIDE_PX: Final = 640
"""Side of the picture: what a screen shows beside the list."""
_MOST_BYTES: Final = 1_500_000
_KEPT: Final = 48
_LARGEST_PX: Final = 50_000_000
"""Of a larger window no pixel is read to outline a crack: its lines are widened."""


@dataclass(frozen=True, slots=True)
class DefectPictures:
    """The two pictures of a defect."""

    plain: Picture
    outlined: Picture
    whole: bool
    """Whether they show all of the defect."""


class ReviewPictures:
    """Pictures of a run's defects, read in windows as they are asked for; safe to share between threads."""

    def __init__(self, rasters: Sequence[RasterInput], place: RunPlace, defects: Iterable[Defect]) -> None:
        self._place = place
        self._by_name = {raster.name: raster for raster in rasters}
        self._asked: set[str] = set()
        self._index = DefectIndex(defects)
        self._stored = StoredPictures(rasters, place)
        self.gone: dict[str, str] = {}
        """Why a raster cannot be had any more, by its name, as far as one was asked for."""
        self._kept: OrderedDict[str, DefectPictures] = OrderedDict()
        self._lock = Lock()

    def of(self, defect: Defect) -> DefectPictures:
        """A defect's pictures, of the mask alone where the raster is gone; raises SpanscanError for a damaged one."""
        with self._lock:  # one reader, one set of windows
            if defect.id not in self._kept:
                self._kept[defect.id] = self._made(defect)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return self._kept[defect.id]

    def pixels(self, defect: Defect, window: Window) -> npt.NDArray[np.bool_]:
        """The pixels of a defect in a window of its raster, bool ``(H, W)``."""
        mask = self._place.masks.read_mask(self._by_name[defect.raster_name].slug, window)
        near = self._index.within(defect.raster_name, window)
        own = [number for number, one in enumerate(near) if one.id == defect.id]
        return np.isin(owners(mask, window, near), own)

    def as_rust(self, crack: Defect) -> Defect:
        """A crack with the outline of its pixels, as a rust patch has one."""
        window, georeference = crack.window, self._by_name[crack.raster_name].georeference
        is_small = window.area_px <= _LARGEST_PX
        pixels = self.pixels(crack, window) if is_small else np.zeros((1, 1), np.bool_)
        return outlined_as_rust(crack, georeference, pixels)

    def _made(self, defect: Defect) -> DefectPictures:
        self._look_for(defect.raster_name)
        georeference = self._by_name[defect.raster_name].georeference
        window, whole = native_window(defect, georeference, max_side_px=SIDE_PX)
        plain, outlined = native_pictures(
            _OwnPixels(self._stored, self, defect),
            defect.raster_name,
            window,
            georeference,
            max_side_px=SIDE_PX,
            max_bytes=_MOST_BYTES,
        )
        return DefectPictures(plain, outlined, whole)

    def _look_for(self, raster_name: str) -> None:
        if raster_name in self._asked:
            return
        self._asked.add(raster_name)
        (here,), gone = with_masks_for_gone([self._by_name[raster_name]], self._place)
        if gone:
            self.gone |= gone
            self._by_name[raster_name] = here
            self._stored = StoredPictures(tuple(self._by_name.values()), self._place)


@dataclass(frozen=True, slots=True)
class _OwnPixels:
    """The pictures of a run with one defect alone in the mask, so that it is plain which one is decided on."""

    stored: RasterPictures
    pictures: ReviewPictures
    defect: Defect

    def read_rgb(self, raster_name: str, window: Window, *, max_side_px: int) -> npt.NDArray[np.uint8]:
        return self.stored.read_rgb(raster_name, window, max_side_px=max_side_px)

    def read_mask(self, raster_name: str, window: Window, *, max_side_px: int) -> npt.NDArray[np.uint8]:  # noqa: ARG002
        own = self.pictures.pixels(self.defect, window)
        return np.where(own, np.uint8(self.defect.pixel_class), np.uint8(PixelClass.BACKGROUND)).astype(np.uint8)


def with_masks_for_gone(
    rasters: Sequence[RasterInput], place: RunPlace
) -> tuple[tuple[RasterInput, ...], dict[str, str]]:
    """The rasters, each that cannot be had any more marked as a mask, which the run keeps; and why, by its name."""
    gone: dict[str, str] = {}
    left = []
    for raster in rasters:
        try:
            place.local_path(raster)
            left.append(raster)
        except SpanscanError as error:
            gone[raster.name] = error.cause
            left.append(replace(raster, is_mask=True))
    return tuple(left), gone
