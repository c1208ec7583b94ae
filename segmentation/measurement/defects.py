"""One component of a mask cut into defects, one per structure, and measured.

A component whose window is small is read at once (`cut_and_measure`), a larger one window by window
(`measure_by_windows`); both measure by the same rules (`segmentation.measurement.cuts`), and neither depends on the
blocks that the component was found in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.georeference import Georeference, PixelScale
from segmentation.measurement.appearance import ASSUMED, CrackAppearance
from segmentation.measurement.components import Component, component_pixels
from segmentation.measurement.cracks import appearance_of, trace_view
from segmentation.measurement.cuts import FOREIGN, Cut, Labels, MeasuredComponent, Measuring
from segmentation.measurement.structures import StructureIndex
from segmentation.measurement.views import MOST_PX, ComponentView, array_view, in_raster, stored_view
from segmentation.windows import Window

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

MARGIN_PX = 16
"""Margin around a component that the width profiles need on both sides."""

_MOST_TELLING_CRACKS = 16
"""So many cracks of a raster are asked for its blur and darkness."""
_MOST_TELLING_PX = 1_000_000
"""Pixels of the largest window that is read for it."""


def measuring_window(component: Component, *, height: int, width: int) -> Window:
    """The window to read for a component: its own and a margin, in a raster of `height` × `width`."""
    return component.window.grow(MARGIN_PX).clip(height, width)


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


@dataclass(frozen=True, slots=True)
class Windows:
    """What a raster shows, each function of a window of it."""

    mask: Callable[[Window], Bytes]
    """uint8 ``(H, W)`` class ids."""
    probability: Callable[[Window], Bytes]
    """uint8 ``(2, H, W)`` of CRACK and RUST, 255 is 1.0."""
    image: Callable[[Window], Bytes]
    """uint8 ``(H, W, 3)``."""
    owned: Callable[[Window], Bools]
    """bool ``(H, W)``: `segmentation.measurement.ownership.owned`."""


def cut_and_measure(
    component: Component,
    *,
    mask: Bytes,
    probability: Bytes,
    image: Bytes,
    window: Window,
    index: StructureIndex,
    owned: Bools,
    georeference: Georeference,
    raster_name: str,
    min_width_px: float,
    min_crack_length_px: float,
    min_rust_area_px: float,
    appearance: CrackAppearance = ASSUMED,
) -> MeasuredComponent:
    """Defects of one component, with ids left "".

    `mask` uint8 ``(H, W)``, `probability` uint8 ``(2, H, W)`` of CRACK and RUST (255 is 1.0), `image` uint8
    ``(H, W, 3)`` and `owned` bool ``(H, W)`` (`segmentation.measurement.ownership.owned`) cover `window`, which
    holds the component, best with `MARGIN_PX` around it (`measuring_window`); the rest as in `Measuring`.

    A crack counts as too short by the length of the whole component, so that a cut omits nothing.
    Raises ValueError where the arrays do not match the window or do not show the component.
    """
    for name, shape in (("probability", probability.shape[1:]), ("image", image.shape[:2]), ("owned", owned.shape)):
        if shape != window.shape:
            raise ValueError(f"{name} must cover the window's {window.shape} pixels, got {shape}")
    view = array_view(
        component_pixels(mask, window=window, component=component),
        image=image,
        chance=probability[DEFECT_CLASSES.index(component.pixel_class)],
    )
    how = Measuring(
        index=index,
        georeference=georeference,
        raster_name=raster_name,
        min_width_px=min_width_px,
        min_crack_length_px=min_crack_length_px,
        min_rust_area_px=min_rust_area_px,
        appearance=appearance,
    )
    return _measured(component, view, window, lambda inner: owned[inner.slices()], how)


def measure_by_windows(
    component: Component, *, windows: Windows, how: Measuring, most_px: int = MOST_PX
) -> MeasuredComponent:
    """`cut_and_measure` of a component that is too large to be read at once: more than `most_px` pixels never are.

    What comes of it is the same for any blocks that the component was found in.
    """
    frame = measuring_window(component, height=how.georeference.height, width=how.georeference.width)
    number = DEFECT_CLASSES.index(component.pixel_class)
    view = stored_view(
        component,
        frame,
        mask=windows.mask,
        image=windows.image,
        chance=lambda window: windows.probability(window)[number],
        most_px=most_px,
    )
    return _measured(component, view, frame, lambda inner: windows.owned(in_raster(inner, frame)), how)


def _measured(
    component: Component, view: ComponentView, frame: Window, owned: Callable[[Window], Bools], how: Measuring
) -> MeasuredComponent:
    """Defects of a component that is seen through a view of `frame`; `owned` takes windows of the view."""
    scale = how.georeference.scale_at(
        (frame.row_start + frame.row_stop) / 2,
        (frame.col_start + frame.col_stop) / 2,
    )

    def place(window: Window) -> Labels:
        labels, own = how.index.indices(in_raster(window, frame)), owned(window)
        if not own.all():
            labels[~own] = FOREIGN
        return labels

    if view.is_one_piece:
        whole = place(view.frame)
        cut = Cut.of(component, view, frame, place=lambda _: whole, scale=scale, how=how)
    else:
        cut = Cut.of(component, view, frame, place=place, scale=scale, how=how)
    if cut.owned_px == 0:
        return MeasuredComponent()
    # A speck over the seam of two rasters counts in the one that owns its first pixel.
    row, col = component.anchor[0] - frame.row_start, component.anchor[1] - frame.col_start
    is_own = int(owned(Window(row, row + 1, col, col + 1))[0, 0])
    if component.pixel_class == PixelClass.RUST:
        if component.area_px < how.min_rust_area_px:
            return MeasuredComponent(omitted_rust=is_own, omitted_area_m2=cut.owned_area_m2)
        return cut.rust()
    origin = (frame.row_start, frame.col_start)
    trace = trace_view(view, scale=scale, origin=origin, appearance=how.appearance)
    length_m = sum(float(path.piece_m.sum()) for path in trace.paths)
    if length_m < how.min_crack_length_px * scale.gsd_m:
        return MeasuredComponent(
            omitted_cracks=is_own,
            omitted_length_m=length_m * cut.owned_px / component.area_px,
            omitted_area_m2=cut.owned_area_m2,
            short_cracks=cut.crack(trace).defects,
        )
    return cut.crack(trace)
