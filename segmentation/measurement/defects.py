"""One component of a mask cut into defects, one per structure, and measured.

A pixel's share goes to the structure that its place belongs to and to the raster that owns the place: so what is
summed over structures and rasters counts nothing twice. A crack is measured once, as a whole, and its length
apportioned; a cut does not make an end. What lies outside every structure, or is too small to be listed, is
counted, never silently lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from shapely.geometry.base import BaseGeometry

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.georeference import Georeference, PixelScale
from segmentation.measurement.appearance import ASSUMED, CrackAppearance
from segmentation.measurement.components import Component, ComponentPart, component_pixels, part_pixels
from segmentation.measurement.crack_graph import CrackTrace
from segmentation.measurement.cracks import CrackResult, appearance_of, crack_result, trace_crack
from segmentation.measurement.merging import merged_defect, to_lonlat
from segmentation.measurement.rust import RustResult, measure_rust_parts
from segmentation.measurement.structures import OUTSIDE, StructureIndex
from segmentation.records import Defect
from segmentation.windows import Window

Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]

MARGIN_PX = 16
"""Margin around a component that the width profiles need on both sides."""

_MOST_TELLING_CRACKS = 16
"""So many cracks of a raster are asked for its blur and darkness."""
_MOST_TELLING_PX = 1_000_000
"""Pixels of the largest window that is read for it."""

_FOREIGN = -2
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


def measuring_parts(component: Component, *, max_window_px: int) -> tuple[ComponentPart, ...]:
    """What to read and measure at a time: all of a component, or what each block holds of it where its window has
    more than `max_window_px` pixels. `merged` puts the measures together."""
    if component.window.area_px <= max_window_px or not component.parts:
        return (ComponentPart(component.window, component.window, (component.anchor,)),)
    return component.parts


def measuring_window(part: Component | ComponentPart, *, height: int, width: int) -> Window:
    """The window to read for a component or a part of one: its own and a margin, in a raster of `height` × `width`."""
    return part.window.grow(MARGIN_PX).clip(height, width)


def merged(pieces: Sequence[MeasuredComponent]) -> MeasuredComponent:
    """One component from the measures of its parts: one defect per structure, by the structures' ids.

    Lengths and areas add up; widths are the largest, the mean width is weighted by length; the ± is the largest.
    """
    by_structure: dict[str, list[Defect]] = {}
    for piece in pieces:
        for defect in piece.defects:
            by_structure.setdefault(defect.structure_id, []).append(defect)
    return MeasuredComponent(
        defects=tuple(merged_defect(by_structure[name]) for name in sorted(by_structure)),
        outside_px=sum(piece.outside_px for piece in pieces),
        outside_area_m2=sum(piece.outside_area_m2 for piece in pieces),
        outside_length_m=sum(piece.outside_length_m for piece in pieces),
        omitted_cracks=sum(piece.omitted_cracks for piece in pieces),
        omitted_rust=sum(piece.omitted_rust for piece in pieces),
        omitted_length_m=sum(piece.omitted_length_m for piece in pieces),
        omitted_area_m2=sum(piece.omitted_area_m2 for piece in pieces),
        short_cracks=tuple(crack for piece in pieces for crack in piece.short_cracks),
    )


def omitted_unread(
    component: Component, *, scale: PixelScale, min_crack_length_px: float, min_rust_area_px: float
) -> MeasuredComponent | None:
    """The verdict on a speck that is too small whatever its pixels show; None where they must be read.

    A crack's centre line is at most √2 px per pixel of it, and two half-pixels at its ends.
    """
    area_m2 = component.area_px * scale.pixel_area_m2
    if component.pixel_class == PixelClass.RUST and component.area_px < min_rust_area_px:
        return MeasuredComponent(omitted_rust=1, omitted_area_m2=area_m2)
    if component.pixel_class == PixelClass.CRACK and component.area_px * np.sqrt(2) + 1 < min_crack_length_px:
        length_m = component.area_px * scale.gsd_m
        return MeasuredComponent(omitted_cracks=1, omitted_length_m=length_m, omitted_area_m2=area_m2)
    return None


def telling_cracks(components: Sequence[Component]) -> tuple[Component, ...]:
    """The cracks of a raster that show its blur and their darkness best: the widest by area per length of the window.

    The same for any order of the components and any blocks.
    """

    def breadth(component: Component) -> float:
        return component.area_px / max(component.window.shape)

    cracks = [c for c in components if c.pixel_class == PixelClass.CRACK and c.window.area_px <= _MOST_TELLING_PX]
    return tuple(sorted(cracks, key=lambda c: (-breadth(c), c.anchor))[:_MOST_TELLING_CRACKS])


def look_at(
    component: Component,
    *,
    mask: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.uint8],
    image: npt.NDArray[np.uint8],
    window: Window,
    georeference: Georeference,
) -> CrackAppearance:
    """What one crack tells of its raster (`appearance.pooled`); arguments as `cut_and_measure`."""
    return appearance_of(
        component_pixels(mask, window=window, component=component),
        image=image,
        probability=probability[DEFECT_CLASSES.index(PixelClass.CRACK)],
        scale=georeference.scale_at((window.row_start + window.row_stop) / 2, (window.col_start + window.col_stop) / 2),
    )


def cut_and_measure(
    component: Component,
    *,
    mask: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.uint8],
    image: npt.NDArray[np.uint8],
    window: Window,
    index: StructureIndex,
    owned: Bools,
    georeference: Georeference,
    raster_name: str,
    min_width_px: float,
    min_crack_length_px: float,
    min_rust_area_px: float,
    part: ComponentPart | None = None,
    appearance: CrackAppearance = ASSUMED,
) -> MeasuredComponent:
    """Defects of one component, with ids left "".

    `mask` uint8 ``(H, W)``, `probability` uint8 ``(2, H, W)`` of CRACK and RUST (255 is 1.0), `image` uint8
    ``(H, W, 3)`` and `owned` bool ``(H, W)`` (`segmentation.measurement.ownership.owned`) cover `window`, which
    holds the component, best with `MARGIN_PX` around it (`measuring_window`).

    A crack counts as too short by the length of the whole component, so that a cut omits nothing. With a `part` of a
    component that its block cut off (`measuring_parts`), what lies in the block is measured, and nothing is too
    short. `appearance` is what the raster's most telling cracks showed (`telling_cracks`, `look_at`).
    Raises ValueError where the arrays do not match the window or do not show the component.
    """
    for name, shape in (("probability", probability.shape[1:]), ("image", image.shape[:2]), ("owned", owned.shape)):
        if shape != window.shape:
            raise ValueError(f"{name} must cover the window's {window.shape} pixels, got {shape}")
    cut_off = part is not None and part.window != component.window
    if part is not None and cut_off:
        pixels = part_pixels(mask, window=window, component=component, part=part)
    else:
        pixels = component_pixels(mask, window=window, component=component)
    if not (pixels & owned).any():
        return MeasuredComponent()
    scale = georeference.scale_at(
        (window.row_start + window.row_stop) / 2,
        (window.col_start + window.col_stop) / 2,
    )
    place = index.indices(window)
    np.putmask(place, ~owned, _FOREIGN)
    if part is not None and cut_off:
        beyond = np.ones(window.shape, np.bool_)
        core = part.core.intersect(window)
        if core is not None:
            beyond[core.within(window)] = False
        place[beyond] = _FOREIGN
    chance = probability[DEFECT_CLASSES.index(component.pixel_class)]
    origin = (window.row_start, window.col_start)
    cut = _Cut(component, pixels, place, chance, window, scale, georeference, raster_name, index)
    # A speck over the seam of two rasters counts in the one that owns its first pixel.
    is_own = cut_off or bool(owned[component.anchor[0] - window.row_start, component.anchor[1] - window.col_start])
    if component.pixel_class == PixelClass.RUST:
        if component.area_px < min_rust_area_px:
            return MeasuredComponent(omitted_rust=int(is_own), omitted_area_m2=cut.area_m2(pixels & owned))
        return cut.rust()
    trace = trace_crack(
        pixels,
        image=image,
        probability=chance,
        scale=scale,
        origin=origin,
        appearance=appearance,
    )
    length_m = sum(float(path.piece_m.sum()) for path in trace.paths)
    if not cut_off and length_m < min_crack_length_px * scale.gsd_m:
        return MeasuredComponent(
            omitted_cracks=int(is_own),
            omitted_length_m=length_m * np.count_nonzero(pixels & owned) / np.count_nonzero(pixels),
            omitted_area_m2=cut.area_m2(pixels & owned),
            short_cracks=cut.crack(trace, min_width_px=min_width_px).defects,
        )
    return cut.crack(trace, min_width_px=min_width_px)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A component and the places it lies on."""

    component: Component
    pixels: Bools
    place: Labels
    chance: npt.NDArray[np.uint8]
    window: Window
    scale: PixelScale
    georeference: Georeference
    raster_name: str
    index: StructureIndex

    def area_m2(self, pixels: Bools) -> float:
        return float(np.count_nonzero(pixels)) * self.scale.pixel_area_m2

    def rust(self) -> MeasuredComponent:
        """One defect per structure that the patch lies on."""
        labels = np.where(self.pixels, self.place, OUTSIDE)
        origin = (self.window.row_start, self.window.col_start)
        defects = [
            self._defect(label, labels == label, found)
            for label, found in measure_rust_parts(labels, scale=self.scale, origin=origin).items()
        ]
        outside = self.pixels & (self.place == OUTSIDE)
        return MeasuredComponent(
            tuple(defects), outside_px=int(np.count_nonzero(outside)), outside_area_m2=self.area_m2(outside)
        )

    def crack(self, trace: CrackTrace, *, min_width_px: float) -> MeasuredComponent:
        """One defect per structure that the crack's centre lines run over."""
        labels = [self._piece_labels(path.points) for path in trace.paths]
        defects, spared_m2 = [], 0.0
        places = self.place[self.pixels]
        for label in self._labels(np.concatenate([places, *labels])):
            piece = self.pixels & (self.place == label)
            found = crack_result(trace, labels=labels, label=label, min_width_px=min_width_px)
            if found is None:
                # Only the rim of the crack reaches over the border: it has an area there, but no length.
                spared_m2 += self.area_m2(piece)
            else:
                defects.append(self._defect(label, piece, found))
        outside_px = int(np.count_nonzero(places == OUTSIDE))
        beyond = crack_result(trace, labels=labels, label=OUTSIDE, min_width_px=min_width_px)
        return MeasuredComponent(
            tuple(defects),
            outside_px=outside_px,
            outside_area_m2=outside_px * self.scale.pixel_area_m2,
            outside_length_m=beyond.measure.length_m if beyond is not None else 0.0,
            omitted_area_m2=spared_m2,
        )

    def _piece_labels(self, points: npt.NDArray[np.float64]) -> Labels:
        """Place of the middle of each piece of a centre line, ``(N, 2)`` → ``(N − 1,)``."""
        middle = (points[1:] + points[:-1]) / 2 - np.array([self.window.row_start, self.window.col_start])
        at = np.clip(np.floor(middle).astype(int), 0, np.array(self.place.shape) - 1)
        labels: Labels = self.place[at[:, 0], at[:, 1]]
        return labels

    def _labels(self, found: Labels) -> list[int]:
        return [int(label) for label in np.flatnonzero(np.bincount(found[found >= 0]))]

    def _defect(self, label: int, piece: Bools, found: CrackResult | RustResult) -> Defect:
        outline: BaseGeometry = found.lines if isinstance(found, CrackResult) else found.outline
        shown = piece if piece.any() else self.pixels
        return Defect(
            id="",
            pixel_class=self.component.pixel_class,
            structure_id=self.index.structures[label].id,
            raster_name=self.raster_name,
            window=self._window_of(piece, outline),
            pixel_geometry=outline,
            geometry=to_lonlat(outline, self.georeference),
            area_m2=self.area_m2(piece),
            confidence=float(self.chance[shown].mean()) / 255,
            crack=found.measure if isinstance(found, CrackResult) else None,
            below_resolution=isinstance(found, CrackResult) and found.below_resolution,
        )

    def _window_of(self, piece: Bools, outline: BaseGeometry) -> Window:
        if piece.any():
            rows, cols = np.flatnonzero(piece.any(axis=1)), np.flatnonzero(piece.any(axis=0))
            row, col = self.window.row_start, self.window.col_start
            return Window(int(rows[0]) + row, int(rows[-1]) + 1 + row, int(cols[0]) + col, int(cols[-1]) + 1 + col)
        col_start, row_start, col_stop, row_stop = outline.bounds
        return Window(
            int(np.floor(row_start)), int(np.ceil(row_stop)), int(np.floor(col_start)), int(np.ceil(col_stop))
        ).clip(self.georeference.height, self.georeference.width)
