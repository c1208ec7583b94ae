"""Painted scenes of known damage, as a survey would show them: the records, and the canvas they are painted on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from shapely.geometry import MultiPolygon, Polygon

from segmentation.classes import PixelClass
from segmentation.synthetic.cracks import Crack, CrackLook, crack_mask, paint_crack
from segmentation.synthetic.noise import Floats
from segmentation.synthetic.photograph import Bytes, quantised
from segmentation.synthetic.rust import RustLook, RustPatch, paint_rust
from segmentation.synthetic.strokes import Bools
from segmentation.synthetic.surfaces import Surface
from segmentation.windows import Window

_STRIP_ROWS = 64
_BAND_ROWS = 512
_CELL_PX = 16
"""Side of the cells in which the canvas keeps what is already damaged, so that cracks do not run into each other."""


@dataclass(frozen=True, slots=True)
class CrackTruth:
    """What one painted crack measures."""

    id: str
    """``C-01`` …, unique in its scene."""
    length_m: float
    """Length of its centre lines, branches included."""
    width_mm: float
    """Mean width along them."""
    max_width_mm: float
    """Largest width."""
    paths: tuple[tuple[tuple[float, float], ...], ...]
    """Centre lines, the main one first: (row, col) at pixel corners."""


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """What is to be found in one scene."""

    cracks: tuple[CrackTruth, ...]
    """Every crack; none touches another."""
    total_crack_length_m: float
    """Length of all of them."""
    rust_area_m2: float
    """Pixels of the rust class × pixel area: patches with their solid runs, without the faint stain around."""
    footprint: Polygon | MultiPolygon
    """Outline of the structure as (col, row) at pixel corners."""
    footprint_area_m2: float
    """Area of `footprint`."""
    gsd_m: float
    """Ground sampling distance, metres per pixel."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One painted raster and its truth."""

    name: str
    """``deck`` or ``truss``."""
    kind: str
    """Kind of structure."""
    material: str
    """Its material."""
    image: Bytes
    """``(H, W, 3)`` uint8."""
    validity: Bools
    """``(H, W)``: False where the raster holds no data."""
    mask: Bytes
    """``(H, W)`` uint8 class ids of what was painted; background where there is no data."""
    truth: SceneTruth
    """Sizes of the damage."""


class Canvas:
    """A raster in the making: uint8 pixels, changed window by window, with the mask of the damage painted so far."""

    def __init__(self, shape: tuple[int, int], gsd_m: float) -> None:
        self.shape = shape
        self.gsd_m = gsd_m
        self.image: Bytes = np.zeros((*shape, 3), np.uint8)
        self.validity: Bools = np.ones(shape, bool)
        self.mask: Bytes = np.zeros(shape, np.uint8)
        self.cracks: list[Crack] = []
        self._taken: Bools = np.zeros((shape[0] // _CELL_PX + 1, shape[1] // _CELL_PX + 1), bool)

    @property
    def window(self) -> Window:
        """The whole raster."""
        return Window(0, self.shape[0], 0, self.shape[1])

    def cover(self, surface: Surface) -> None:
        """Paint `surface` all over, strip by strip, so that memory stays small."""
        for start in range(0, self.shape[0], _STRIP_ROWS):
            strip = Window(start, min(start + _STRIP_ROWS, self.shape[0]), 0, self.shape[1])
            self.image[strip.slices()] = quantised(surface.render(strip))

    def change(self, window: Window, painter: Callable[[Floats, Window], None], *, margin_px: int = 0) -> None:
        """Let `painter` change the colours [0, 1] of the part of `window` inside the raster, strip by strip; it sees
        `margin_px` more on each side of a strip, which a painter that blurs needs.
        """
        inside = window.clip(*self.shape)
        for start in range(inside.row_start, inside.row_stop, _BAND_ROWS):
            stop = min(start + _BAND_ROWS, inside.row_stop)
            self._change_at_once(Window(start, stop, inside.col_start, inside.col_stop), painter, margin_px)

    def _change_at_once(self, window: Window, painter: Callable[[Floats, Window], None], margin_px: int = 0) -> None:
        if window.area_px == 0:
            return
        grown = window.grow(margin_px).clip(*self.shape)
        colours = self.image[grown.slices()].astype(np.float32)
        colours *= np.float32(1 / 255)
        painter(colours, grown)
        self.image[window.slices()] = quantised(colours[window.within(grown)])

    def add_crack(self, crack: Crack, look: CrackLook, rng: np.random.Generator) -> None:
        """Paint `crack` and put it down in the mask."""
        window = crack.window(6.0).clip(*self.shape)
        seed = int(rng.integers(2**32))  # every strip must draw the same unevenness along the crack

        def paint(colours: Floats, at: Window) -> None:
            paint_crack(colours, at, crack, look, np.random.default_rng(seed))

        self.change(window, paint, margin_px=4)
        self.mask[window.slices()][crack_mask(crack, window)] = PixelClass.CRACK
        self.cracks.append(crack)
        self._taken[self._cells(crack)] = True

    def add_rust(self, patch: RustPatch, look: RustLook, rng: np.random.Generator) -> int:
        """Paint `patch` where there is data and put it down in the mask; returns its number of pixels."""
        window = patch.window.intersect(self.window)
        if window is None:
            return 0

        def paint(colours: Floats, at: Window) -> None:
            paint_rust(colours, at, patch, look, rng)

        self._change_at_once(window, paint)
        inside = patch.mask[window.within(patch.window)] & self.validity[window.slices()]
        self.mask[window.slices()][inside] = PixelClass.RUST
        self.take(window)
        return int(np.count_nonzero(inside))

    def take(self, window: Window) -> None:
        """Keep cracks out of `window` from now on."""
        inside = window.clip(*self.shape)
        self._taken[
            inside.row_start // _CELL_PX : inside.row_stop // _CELL_PX + 1,
            inside.col_start // _CELL_PX : inside.col_stop // _CELL_PX + 1,
        ] = True

    def is_damaged(self, window: Window) -> bool:
        """Whether any pixel of the part of `window` inside the raster is damaged already."""
        return bool(self.mask[window.clip(*self.shape).slices()].any())

    def is_free(self, window: Window) -> bool:
        """Whether nothing was painted or taken in `window`, which must lie inside the raster."""
        if window != window.clip(*self.shape):
            return False
        return not self._taken[
            window.row_start // _CELL_PX : window.row_stop // _CELL_PX + 1,
            window.col_start // _CELL_PX : window.col_stop // _CELL_PX + 1,
        ].any()

    def has_room_for(self, crack: Crack, margin_px: float) -> bool:
        """Whether `crack` lies inside the raster, on data, and clear of everything painted before."""
        window = crack.window(margin_px)
        if window != window.clip(*self.shape):
            return False
        rows, cols = self._cells(crack)
        near = [
            self._taken[np.clip(rows + i, 0, self._taken.shape[0] - 1), np.clip(cols + j, 0, self._taken.shape[1] - 1)]
            for i in (-2, -1, 0, 1, 2)
            for j in (-2, -1, 0, 1, 2)
        ]
        points = np.vstack([stroke.vertices for stroke in crack.strokes]).astype(int)
        on_data = all(
            self.validity[
                np.clip(points[:, 0] + i, 0, self.shape[0] - 1), np.clip(points[:, 1] + j, 0, self.shape[1] - 1)
            ].all()
            for i in (-round(margin_px), 0, round(margin_px))
            for j in (-round(margin_px), 0, round(margin_px))
        )
        return on_data and not any(hits.any() for hits in near)

    def _cells(self, crack: Crack) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], ...]:
        points = np.vstack([stroke.resampled(4.0).vertices for stroke in crack.strokes])
        cells = np.floor(points / _CELL_PX).astype(np.intp)
        cells = cells[((cells >= 0) & (cells < self._taken.shape)).all(axis=1)]
        return cells[:, 0], cells[:, 1]

    def truth(self, footprint: Polygon | MultiPolygon) -> SceneTruth:
        """Sizes of everything painted so far."""
        cracks = tuple(
            CrackTruth(
                id=f"C-{number:02d}",
                length_m=crack.length_px * self.gsd_m,
                width_mm=crack.mean_width_px * self.gsd_m * 1e3,
                max_width_mm=crack.max_width_px * self.gsd_m * 1e3,
                paths=tuple(tuple((float(r), float(c)) for r, c in s.vertices) for s in crack.strokes),
            )
            for number, crack in enumerate(self.cracks, start=1)
        )
        return SceneTruth(
            cracks=cracks,
            total_crack_length_m=sum(crack.length_m for crack in cracks),
            rust_area_m2=int(np.count_nonzero(self.mask == PixelClass.RUST)) * self.gsd_m**2,
            footprint=footprint,
            footprint_area_m2=float(footprint.area) * self.gsd_m**2,
            gsd_m=self.gsd_m,
        )
