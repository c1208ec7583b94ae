"""What a component amounts to on each structure that it lies on.

A pixel's share goes to the structure that its place belongs to and to the raster that owns the place: so what is
summed over structures and rasters counts nothing twice. A crack is measured once, as a whole, and its length
apportioned; a cut does not make an end. What lies outside every structure, or is too small to be listed, is
counted, never silently lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Floats, Georeference, PixelScale
from segmentation.measurement.appearance import ASSUMED, CrackAppearance
from segmentation.measurement.components import Component
from segmentation.measurement.crack_graph import CrackTrace
from segmentation.measurement.cracks import CrackResult, crack_result
from segmentation.measurement.merging import put_together, to_lonlat
from segmentation.measurement.rust import measure_rust_parts
from segmentation.measurement.structures import OUTSIDE, StructureIndex
from segmentation.measurement.views import ComponentView, Probability, in_raster
from segmentation.records import Defect
from segmentation.windows import Window

Labels = npt.NDArray[np.int32]

FOREIGN = -2
"""Label of a place that another raster owns."""


@dataclass(frozen=True, slots=True)
class MeasuredComponent:
    """What one component amounts to in one raster."""

    defects: tuple[Defect, ...] = ()
    """One per structure that it lies on, in the order of the structures."""
    outside_px: int = 0
    """Its pixels that this raster owns and that lie on no structure."""
    outside_area_m2: float = 0.0
    """Their area."""
    outside_length_m: float = 0.0
    """Length of a crack that lies on no structure."""
    omitted_cracks: int = 0
    """1 where it is a crack too short to be listed."""
    omitted_rust: int = 0
    """1 where it is a rust speck too small to be listed."""
    omitted_length_m: float = 0.0
    """Length of the crack left out."""
    omitted_area_m2: float = 0.0
    """Area of what was left out."""
    short_cracks: tuple[Defect, ...] = ()
    """The crack left out, measured: it is listed all the same where it continues others (`joining`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How the components of one raster are cut and measured."""

    index: StructureIndex
    georeference: Georeference
    raster_name: str
    min_width_px: float
    """Narrower cracks are below resolution."""
    min_crack_length_px: float
    """Shorter cracks are not listed."""
    min_rust_area_px: float
    """Nor are smaller patches."""
    appearance: CrackAppearance = ASSUMED
    """What the raster's most telling cracks showed (`telling_cracks`, `look_at`)."""


@dataclass(slots=True)
class _Share:
    """What a component has on one structure, or on none."""

    count: int = 0
    """Pixels."""
    chance: int = 0
    """Sum of their probabilities, 255 for 1."""
    window: Window | None = None
    """Smallest window of the frame that holds them."""

    def add(self, rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp], chance: Probability) -> None:
        """Count pixels, at least one, in raster order; their probability is uint8."""
        window = Window(int(rows[0]), int(rows[-1]) + 1, int(cols.min()), int(cols.max()) + 1)
        self.count += rows.size
        self.chance += int(chance.sum(dtype=np.int64))
        self.window = window if self.window is None else self.window.union(window)


@dataclass(frozen=True, slots=True)
class Cut:
    """A component and the places it lies on."""

    component: Component
    view: ComponentView
    frame: Window
    """What the view shows, in the raster."""
    place: Callable[[Window], Labels]
    """Number of the structure of each pixel of a window of the view, `OUTSIDE` or `FOREIGN`."""
    scale: PixelScale
    how: Measuring
    shares: dict[int, _Share]
    """By label."""

    @classmethod
    def of(
        cls,
        component: Component,
        view: ComponentView,
        frame: Window,
        *,
        place: Callable[[Window], Labels],
        scale: PixelScale,
        how: Measuring,
    ) -> "Cut":
        """The component with its pixels counted by place."""
        shares: dict[int, _Share] = {}
        for cell in view.cells():
            at = np.flatnonzero(view.pixels(cell))
            rows, cols = np.divmod(at, cell.shape[1])
            labels, chance = place(cell).ravel()[at], view.chance(cell)[rows, cols]
            found = np.flatnonzero(np.bincount(labels - FOREIGN)) + FOREIGN
            for label in found.tolist():
                own = slice(None) if found.size == 1 else labels == label
                share = shares.setdefault(label, _Share())
                share.add(rows[own] + cell.row_start, cols[own] + cell.col_start, chance[own])
        return cls(component, view, frame, place, scale, how, shares)

    @property
    def owned_px(self) -> int:
        """Pixels that this raster owns."""
        return sum(share.count for label, share in self.shares.items() if label != FOREIGN)

    @property
    def owned_area_m2(self) -> float:
        """Their area."""
        return self.owned_px * self.scale.pixel_area_m2

    def rust(self) -> MeasuredComponent:
        """One defect per structure that the patch lies on."""
        outlines: dict[int, list[BaseGeometry]] = {}
        for cell in self.view.cells():
            labels = np.where(self.view.pixels(cell), self.place(cell), OUTSIDE)
            origin = (self.frame.row_start + cell.row_start, self.frame.col_start + cell.col_start)
            for label, found in measure_rust_parts(labels, scale=self.scale, origin=origin).items():
                outlines.setdefault(label, []).append(found.outline)
        return MeasuredComponent(
            tuple(self._defect(label, _united(outlines[label]), None) for label in sorted(outlines)),
            outside_px=self._outside_px(),
            outside_area_m2=self._outside_px() * self.scale.pixel_area_m2,
        )

    def crack(self, trace: CrackTrace) -> MeasuredComponent:
        """One defect per structure that the crack's centre lines run over."""
        labels = self._piece_labels([path.points for path in trace.paths])
        defects, spared_px = [], 0
        for label in sorted({*self.shares, *(int(label) for own in labels for label in np.unique(own))}):
            if label < 0:
                continue
            found = crack_result(trace, labels=labels, label=label, min_width_px=self.how.min_width_px)
            if found is None:
                # Only the rim of the crack reaches over the border: it has an area there, but no length.
                spared_px += self.shares[label].count
            else:
                defects.append(self._defect(label, found.lines, found))
        beyond = crack_result(trace, labels=labels, label=OUTSIDE, min_width_px=self.how.min_width_px)
        return MeasuredComponent(
            tuple(defects),
            outside_px=self._outside_px(),
            outside_area_m2=self._outside_px() * self.scale.pixel_area_m2,
            outside_length_m=beyond.measure.length_m if beyond is not None else 0.0,
            omitted_area_m2=spared_px * self.scale.pixel_area_m2,
        )

    def _outside_px(self) -> int:
        return self.shares.get(OUTSIDE, _Share()).count

    def _piece_labels(self, lines: Sequence[Floats]) -> list[Labels]:
        """Place of the middle of each piece of each centre line, ``(N, 2)`` → ``(N − 1,)``."""
        counts = [len(line) - 1 for line in lines]
        middle = np.concatenate([(line[1:] + line[:-1]) / 2 for line in lines])
        middle -= [self.frame.row_start, self.frame.col_start]
        at = np.clip(np.floor(middle).astype(int), 0, np.array(self.view.shape) - 1)
        labels = np.empty(len(at), np.int32)
        for window in self.view.tiles(at):
            first = np.array([window.row_start, window.col_start])
            own = np.flatnonzero(((at >= first) & (at < first + window.shape)).all(axis=1))
            labels[own] = self.place(window)[tuple((at[own] - first).T)]
        return np.split(labels, np.cumsum(counts)[:-1])

    def _defect(self, label: int, outline: BaseGeometry, found: CrackResult | None) -> Defect:
        share = self.shares.get(label, _Share())
        shown = [share] if share.count else list(self.shares.values())
        return Defect(
            id="",
            pixel_class=self.component.pixel_class,
            structure_id=self.how.index.structures[label].id,
            raster_name=self.how.raster_name,
            window=self._window_of(share, outline),
            pixel_geometry=outline,
            geometry=to_lonlat(outline, self.how.georeference),
            area_m2=share.count * self.scale.pixel_area_m2,
            confidence=sum(one.chance for one in shown) / sum(one.count for one in shown) / 255,
            crack=found.measure if found is not None else None,
            below_resolution=found is not None and found.below_resolution,
        )

    def _window_of(self, share: _Share, outline: BaseGeometry) -> Window:
        if share.window is not None:
            return in_raster(share.window, self.frame)
        col_start, row_start, col_stop, row_stop = outline.bounds
        return Window(
            int(np.floor(row_start)), int(np.ceil(row_stop)), int(np.floor(col_start)), int(np.ceil(col_stop))
        ).clip(self.how.georeference.height, self.how.georeference.width)


def _united(outlines: Sequence[BaseGeometry]) -> BaseGeometry:
    return outlines[0] if len(outlines) == 1 else put_together(outlines)
