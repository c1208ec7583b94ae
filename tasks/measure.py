"""Measure stage: each component cut by structure and sized, each structure's inspected area, then sums and grades.

Windows of components are read, never a raster. Where rasters overlap, a place is measured in the one that sees it
best (`segmentation.measurement.ownership`), so that nothing is counted twice.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from distributed import Client

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference, PixelScale
from segmentation.inference.geometry import Block
from segmentation.measurement.across_rasters import joined_across_rasters
from segmentation.measurement.appearance import ASSUMED, CrackAppearance, pooled
from segmentation.measurement.components import Component
from segmentation.measurement.cuts import MeasuredComponent, Measuring
from segmentation.measurement.defects import (
    Windows,
    cut_and_measure,
    look_at,
    measure_by_windows,
    measuring_window,
    omitted_unread,
    telling_cracks,
)
from segmentation.measurement.grading import load_standards
from segmentation.measurement.joining import joined_components
from segmentation.measurement.ownership import RasterView, edge_distance, owned, owned_pixels
from segmentation.measurement.structures import StructureIndex, count_inspected, footprint_area_m2
from segmentation.measurement.summary import number_defects, summarise_survey
from segmentation.measurement.views import MOST_PX
from segmentation.records import Defect, RasterInput, Structure, StructureResult
from segmentation.windows import Window
from tasks.cluster import run_each
from tasks.measure_omitted import Omitted, omitted_of, told_of_bridged, told_of_omitted
from tasks.plan import MeasureSettings, RunPlan
from tasks.raster_reader import RasterReader, raster_reader
from tasks.run_place import RunPlace
from tasks.segment import SegmentOutcome
from tasks.stitch import StitchOutcome

COMPONENTS_PER_TASK = 16
"""Enough that a task outweighs its dispatch, few enough that the last ones are shared out."""
AREA_CELL_PX = 2048
"""Side of the cells in each of which one scale holds for all inspected pixels: areas do not depend on the blocks."""
OWNERSHIP_CELLS = 1024
"""Cells along a raster's longer side in which its valid data is known for the ownership of overlaps."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Results of all structures."""

    results: tuple[StructureResult, ...]
    """In the order of the survey's structures."""
    omitted: Omitted
    warnings: tuple[str, ...]
    """The survey's warnings and those of the measurement."""


@dataclass(frozen=True, slots=True)
class _Context:
    place: RunPlace
    settings: MeasureSettings
    rasters: tuple[RasterInput, ...]
    views: tuple[RasterView, ...]
    structures: tuple[Structure, ...]
    appearances: tuple[CrackAppearance, ...] = ()
    """Per raster: how its cracks look."""


@dataclass(frozen=True, slots=True)
class _ComponentWork:
    raster_number: int
    components: tuple[Component, ...]


@dataclass(frozen=True, slots=True)
class _AreaWork:
    raster_number: int
    block: Block


@dataclass(frozen=True, slots=True)
class _Area:
    structure_number: int
    raster_number: int
    cell: tuple[int, int]
    """Row and column of the cell of the raster, whatever the blocks."""
    count: int
    """Its inspected pixels in one block."""


def measure_survey(
    plan: RunPlan, place: RunPlace, client: Client, *, segmented: SegmentOutcome, stitched: StitchOutcome
) -> Measured:
    """Measure every component and every structure's inspected area; sum and grade per structure."""
    rasters = plan.survey.rasters
    context = _Context(place, plan.measure, rasters, _views(rasters, place), plan.survey.structures)
    specks: list[tuple[Component, MeasuredComponent]] = []
    work: list[_ComponentWork] = []
    for number, raster in enumerate(rasters):
        left, small = _without_specks(stitched.components[raster.slug], raster, plan.measure)
        specks += specks_of_raster(small, context.views, number)
        work += [
            _ComponentWork(number, tuple(left[i : i + COMPONENTS_PER_TASK]))
            for i in range(0, len(left), COMPONENTS_PER_TASK)
        ]
    context = replace(context, appearances=_appearances(context, client, work))
    batches = run_each(client, _measure_components, work, shared=context)
    pieces = _joined(batches, work, context)
    numbers = {raster.slug: number for number, raster in enumerate(rasters)}
    # A block of which nothing was inspected has no area to be counted, and is not read.
    blocks = [_AreaWork(numbers[r.raster_slug], r.block) for r in segmented.records if r.holds_inspected]
    areas = [a for found in run_each(client, _inspected_areas, blocks, shared=context) for a in found]
    omitted = omitted_of([*specks, *pieces])
    defects = number_defects(d for _, m in pieces for d in m.defects)
    return Measured(
        results=_results(plan, defects, areas),
        omitted=omitted,
        warnings=(
            *plan.survey.warnings,
            *told_of_omitted(omitted, plan.measure),
            *told_of_bridged(defects, plan.measure),
        ),
    )


def _joined(
    batches: Sequence[list[tuple[Component, MeasuredComponent]]], work: Sequence[_ComponentWork], context: _Context
) -> list[tuple[Component, MeasuredComponent]]:
    """The components of all rasters, their cracks joined across gaps and across rasters."""
    pieces = []
    for number, raster in enumerate(context.rasters):
        own = [m for one, batch in zip(work, batches, strict=True) if one.raster_number == number for m in batch]
        joined = joined_components(
            [measured for _, measured in own],
            georeference=raster.georeference,
            gap_px=context.settings.crack_gap_px,
            min_crack_length_px=context.settings.min_crack_length_px,
        )
        pieces += [(component, measured) for (component, _), measured in zip(own, joined, strict=True)]
    whole = joined_across_rasters(
        [measured for _, measured in pieces],
        georeferences={raster.name: raster.georeference for raster in context.rasters},
        gap_px=context.settings.crack_gap_px,
    )
    return [(component, measured) for (component, _), measured in zip(pieces, whole, strict=True)]


def _appearances(context: _Context, client: Client, work: Sequence[_ComponentWork]) -> tuple[CrackAppearance, ...]:
    """How each raster's cracks look, from those that show it best: what wide ones tell serves the narrow."""
    looks = [
        _ComponentWork(number, (component,))
        for number, raster in enumerate(context.rasters)
        if not raster.is_mask
        for component in telling_cracks([c for w in work if w.raster_number == number for c in w.components])
    ]
    told = run_each(client, _look, looks, shared=context)
    return tuple(
        pooled(one for look, one in zip(looks, told, strict=True) if look.raster_number == number)
        for number in range(len(context.rasters))
    )


def _look(work: _ComponentWork, context: _Context) -> CrackAppearance:
    raster, masks = context.rasters[work.raster_number], context.place.masks
    (component,) = work.components
    georeference = raster.georeference
    window = measuring_window(component, height=georeference.height, width=georeference.width)
    with raster_reader(context.place.local_path(raster), raster) as reader:
        image, _ = reader.read(window)
    return look_at(
        component,
        mask=masks.read_mask(raster.slug, window),
        probability=masks.read_probability(raster.slug, window),
        image=image,
        window=window,
        georeference=georeference,
    )


def _views(rasters: Sequence[RasterInput], place: RunPlace) -> tuple[RasterView, ...]:
    """What ownership must know; the pixels' validity is only looked at where there is a rival."""
    views = []
    for raster in rasters:
        georeference = raster.georeference
        cell_px = max(1, -(-max(georeference.height, georeference.width) // OWNERSHIP_CELLS))
        if len(rasters) > 1:
            with raster_reader(place.local_path(raster), raster) as reader:
                validity = reader.validity_grid(cell_px)
        else:
            validity = np.ones((1, 1), np.bool_)
        scale = georeference.centre_scale()
        cell_m = (
            scale.gsd_y_m * georeference.height / validity.shape[0],
            scale.gsd_x_m * georeference.width / validity.shape[1],
        )
        views.append(RasterView(raster.name, georeference, raster.gsd_m, edge_distance(validity, step_m=cell_m)))
    return tuple(views)


def _without_specks(
    components: Iterable[Component], raster: RasterInput, settings: MeasureSettings
) -> tuple[list[Component], list[tuple[Component, MeasuredComponent]]]:
    scale = raster.georeference.centre_scale()
    left: list[Component] = []
    small: list[tuple[Component, MeasuredComponent]] = []
    for component in components:
        verdict = omitted_unread(
            component,
            scale=scale,
            min_crack_length_px=settings.min_crack_length_px,
            min_rust_area_px=settings.min_rust_area_px,
        )
        if verdict is None:
            left.append(component)
        else:
            small.append((component, verdict))
    return left, small


def specks_of_raster(
    specks: Sequence[tuple[Component, MeasuredComponent]], views: Sequence[RasterView], number: int
) -> list[tuple[Component, MeasuredComponent]]:
    """The specks whose first pixel is measured in raster `number`, so that none counts in two."""
    anchors = np.array([component.anchor for component, _ in specks], np.int64).reshape(-1, 2)
    kept = owned_pixels(views, number, anchors[:, 0], anchors[:, 1])
    return [speck for speck, is_kept in zip(specks, kept, strict=True) if is_kept]


def _measure_components(work: _ComponentWork, context: _Context) -> list[tuple[Component, MeasuredComponent]]:
    raster = context.rasters[work.raster_number]
    with raster_reader(context.place.local_path(raster), raster) as reader:
        windows = _windows(reader, work.raster_number, context)
        how = _how(work.raster_number, context)
        return [(one, _measured_component(one, windows, how, has_image=not raster.is_mask)) for one in work.components]


def _measured_component(
    component: Component, windows: Windows, how: Measuring, *, has_image: bool
) -> MeasuredComponent:
    window = measuring_window(component, height=how.georeference.height, width=how.georeference.width)
    if component.pixel_class != PixelClass.CRACK or not has_image:
        # Rust is measured on the mask alone, and a mask is no picture of a crack.
        windows = replace(windows, image=lambda one: np.broadcast_to(np.uint8(0), (*one.shape, 3)))
    if window.area_px > MOST_PX:
        return measure_by_windows(component, windows=windows, how=how)
    return cut_and_measure(
        component,
        mask=windows.mask(window),
        probability=windows.probability(window),
        image=windows.image(window),
        owned=windows.owned(window),
        window=window,
        index=how.index,
        georeference=how.georeference,
        raster_name=how.raster_name,
        min_width_px=how.min_width_px,
        min_crack_length_px=how.min_crack_length_px,
        min_rust_area_px=how.min_rust_area_px,
        appearance=how.appearance,
    )


def _windows(reader: RasterReader, raster_number: int, context: _Context) -> Windows:
    slug, masks = context.rasters[raster_number].slug, context.place.masks
    return Windows(
        mask=lambda window: masks.read_mask(slug, window),
        probability=lambda window: masks.read_probability(slug, window),
        image=lambda window: reader.read(window)[0],
        owned=lambda window: owned(context.views, raster_number, window),
    )


def _how(raster_number: int, context: _Context) -> Measuring:
    raster, settings = context.rasters[raster_number], context.settings
    return Measuring(
        index=_index(context, raster_number),
        georeference=raster.georeference,
        raster_name=raster.name,
        min_width_px=settings.min_crack_width_px,
        min_crack_length_px=settings.min_crack_length_px,
        min_rust_area_px=settings.min_rust_area_px,
        appearance=context.appearances[raster_number] if context.appearances else ASSUMED,
    )


def _inspected_areas(work: _AreaWork, context: _Context) -> list[_Area]:
    """Pixels of each structure in a block that were inspected and that this raster owns, by cells of the raster."""
    raster, window = context.rasters[work.raster_number], work.block.window
    mask, index = context.place.masks.read_mask(raster.slug, window), _index(context, work.raster_number)
    is_owned = owned(context.views, work.raster_number, window)
    areas = []
    for row in range(window.row_start // AREA_CELL_PX, -(-window.row_stop // AREA_CELL_PX)):
        for col in range(window.col_start // AREA_CELL_PX, -(-window.col_stop // AREA_CELL_PX)):
            cell = _area_cell(row, col).intersect(window)
            assert cell is not None
            inner = cell.within(window)
            counts = count_inspected(
                mask[inner], indices=index.indices(cell), owned=is_owned[inner], structures=len(context.structures)
            )
            areas += [
                _Area(int(n), work.raster_number, (row, col), int(counts[n])) for n in np.flatnonzero(counts).tolist()
            ]
    return areas


def _area_cell(row: int, col: int) -> Window:
    """The cell of a raster in which one scale holds; it may reach beyond the raster."""
    row_start, col_start = row * AREA_CELL_PX, col * AREA_CELL_PX
    return Window(row_start, row_start + AREA_CELL_PX, col_start, col_start + AREA_CELL_PX)


_INDICES: dict[tuple[str, str], StructureIndex] = {}
_INDEXING = threading.Lock()


def _index(context: _Context, raster_number: int) -> StructureIndex:
    """The structures placed into a raster, built once per process and run."""
    raster = context.rasters[raster_number]
    key = (context.place.run_uri, raster.slug)
    with _INDEXING:
        if key not in _INDICES:
            _INDICES[key] = StructureIndex(context.structures, raster.georeference, raster_name=raster.name)
        return _INDICES[key]


def _results(plan: RunPlan, defects: Sequence[Defect], areas: Sequence[_Area]) -> tuple[StructureResult, ...]:
    standards = load_standards(plan.measure.standards)
    georeferences = {r.name: r.georeference for r in plan.survey.rasters}
    counts: dict[tuple[int, tuple[int, int], int], int] = {}
    for area in areas:
        key = (area.raster_number, area.cell, area.structure_number)
        counts[key] = counts.get(key, 0) + area.count
    area_m2 = np.zeros(len(plan.survey.structures))
    area_by_gsd = np.zeros(len(plan.survey.structures))
    scales: dict[tuple[int, tuple[int, int]], PixelScale] = {}
    for (raster_number, at, structure_number), count in sorted(counts.items()):
        if (raster_number, at) not in scales:
            scales[raster_number, at] = _scale_of(plan.survey.rasters[raster_number].georeference, _area_cell(*at))
        scale = scales[raster_number, at]
        area_m2[structure_number] += count * scale.pixel_area_m2
        area_by_gsd[structure_number] += count * scale.pixel_area_m2 * scale.gsd_m
    return summarise_survey(
        plan.survey.structures,
        defects=defects,
        inspected_area_m2=area_m2,
        gsd_mm=1000 * area_by_gsd / np.where(area_m2 > 0, area_m2, 1.0),
        footprint_area_m2=lambda one: footprint_area_m2(one, georeference=georeferences.get(one.raster_name or "")),
        standards=standards,
        min_rust_area_px=plan.measure.min_rust_area_px,
    )


def _scale_of(georeference: Georeference, cell: Window) -> PixelScale:
    """Scale in the middle of what a raster holds of a cell."""
    inside = cell.clip(georeference.height, georeference.width)
    return georeference.scale_at((inside.row_start + inside.row_stop) / 2, (inside.col_start + inside.col_stop) / 2)
