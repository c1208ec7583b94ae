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
from segmentation.inference.geometry import Block
from segmentation.measurement.across_rasters import joined_across_rasters
from segmentation.measurement.appearance import ASSUMED, CrackAppearance, pooled
from segmentation.measurement.components import Component, ComponentPart
from segmentation.measurement.defects import (
    MeasuredComponent,
    cut_and_measure,
    look_at,
    measuring_parts,
    measuring_window,
    merged,
    omitted_unread,
    telling_cracks,
)
from segmentation.measurement.grading import load_standards
from segmentation.measurement.joining import joined_components
from segmentation.measurement.ownership import RasterView, edge_distance, owned, owned_pixels
from segmentation.measurement.structures import StructureIndex, count_inspected, footprint_area_m2
from segmentation.measurement.summary import number_defects, summarise_survey
from segmentation.records import Defect, RasterInput, Structure, StructureResult
from tasks.cluster import run_each
from tasks.plan import MeasureSettings, RunPlan
from tasks.raster_reader import RasterReader, raster_reader
from tasks.run_place import RunPlace
from tasks.segment import SegmentOutcome
from tasks.stitch import StitchOutcome

COMPONENTS_PER_TASK = 16
"""Enough that a task outweighs its dispatch, few enough that the last ones are shared out."""
MAX_WINDOW_PX = 3000 * 3000
"""A component with a larger window is measured block by block, so that memory does not grow with it."""
OWNERSHIP_CELLS = 1024
"""Cells along a raster's longer side in which its valid data is known for the ownership of overlaps."""


@dataclass(frozen=True, slots=True)
class Omitted:
    """What was found and stands in no report, so that it is never silently lost."""

    crack_specks: int
    """Cracks shorter than the least length."""
    crack_speck_length_m: float
    rust_specks: int
    """Rust patches smaller than the least area."""
    speck_area_m2: float
    outside_crack_length_m: float
    """Cracks on no structure."""
    outside_rust_area_m2: float
    """Rust on no structure."""


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
    area_m2: float
    gsd_m: float


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
    omitted = _omitted([*specks, *pieces])
    defects = number_defects(d for _, m in pieces for d in m.defects)
    return Measured(
        results=_results(plan, defects, areas),
        omitted=omitted,
        warnings=(*plan.survey.warnings, *_warnings(omitted, plan.measure), *_bridged(defects, plan.measure)),
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
    measured = []
    with raster_reader(context.place.local_path(raster), raster) as reader:
        for component in work.components:
            parts = measuring_parts(component, max_window_px=MAX_WINDOW_PX)
            pieces = [_measure_part(component, part, reader, work.raster_number, context) for part in parts]
            measured.append((component, merged(pieces) if len(pieces) > 1 else pieces[0]))
    return measured


def _measure_part(
    component: Component, part: ComponentPart, reader: RasterReader, raster_number: int, context: _Context
) -> MeasuredComponent:
    raster, masks = context.rasters[raster_number], context.place.masks
    georeference = raster.georeference
    window = measuring_window(part, height=georeference.height, width=georeference.width)
    if component.pixel_class == PixelClass.CRACK and not raster.is_mask:
        image, _ = reader.read(window)
    else:  # rust is measured on the mask alone, and a mask is no picture of a crack
        image = np.broadcast_to(np.uint8(0), (*window.shape, 3))
    return cut_and_measure(
        component,
        mask=masks.read_mask(raster.slug, window),
        probability=masks.read_probability(raster.slug, window),
        image=image,
        window=window,
        index=_index(context, raster_number),
        owned=owned(context.views, raster_number, window),
        georeference=georeference,
        raster_name=raster.name,
        min_width_px=context.settings.min_crack_width_px,
        min_crack_length_px=context.settings.min_crack_length_px,
        min_rust_area_px=context.settings.min_rust_area_px,
        part=part,
        appearance=context.appearances[raster_number] if context.appearances else ASSUMED,
    )


def _inspected_areas(work: _AreaWork, context: _Context) -> list[_Area]:
    """Area of each structure's pixels in a block that were inspected and that this raster owns."""
    raster, window = context.rasters[work.raster_number], work.block.window
    counts = count_inspected(
        context.place.masks.read_mask(raster.slug, window),
        indices=_index(context, work.raster_number).indices(window),
        owned=owned(context.views, work.raster_number, window),
        structures=len(context.structures),
    )
    scale = raster.georeference.scale_at(
        (window.row_start + window.row_stop) / 2, (window.col_start + window.col_stop) / 2
    )
    return [
        _Area(int(number), int(counts[number]) * scale.pixel_area_m2, scale.gsd_m) for number in np.flatnonzero(counts)
    ]


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
    area_m2 = np.zeros(len(plan.survey.structures))
    area_by_gsd = np.zeros(len(plan.survey.structures))
    for area in areas:
        area_m2[area.structure_number] += area.area_m2
        area_by_gsd[area.structure_number] += area.area_m2 * area.gsd_m
    return summarise_survey(
        plan.survey.structures,
        defects=defects,
        inspected_area_m2=area_m2,
        gsd_mm=1000 * area_by_gsd / np.where(area_m2 > 0, area_m2, 1.0),
        footprint_area_m2=lambda one: footprint_area_m2(one, georeference=georeferences.get(one.raster_name or "")),
        standards=standards,
        min_rust_area_px=plan.measure.min_rust_area_px,
    )


def _omitted(pieces: Iterable[tuple[Component, MeasuredComponent]]) -> Omitted:
    found = list(pieces)
    return Omitted(
        crack_specks=sum(m.omitted_cracks for _, m in found),
        crack_speck_length_m=sum(m.omitted_length_m for _, m in found),
        rust_specks=sum(m.omitted_rust for _, m in found),
        speck_area_m2=sum(m.omitted_area_m2 for _, m in found),
        outside_crack_length_m=sum(m.outside_length_m for _, m in found),
        outside_rust_area_m2=sum(m.outside_area_m2 for c, m in found if c.pixel_class == PixelClass.RUST),
    )


def _warnings(omitted: Omitted, settings: MeasureSettings) -> Iterable[str]:
    if omitted.outside_crack_length_m > 0 or omitted.outside_rust_area_m2 > 0:
        yield (
            f"{omitted.outside_crack_length_m:.2f} m of cracks and {omitted.outside_rust_area_m2:.4f} m² of rust were "
            "found outside every structure's footprint and stand in no report"
        )
    if omitted.crack_specks:
        yield (
            f"{omitted.crack_specks} crack specks shorter than {settings.min_crack_length_px:g} px "
            f"({omitted.crack_speck_length_m:.2f} m in all) are left out"
        )
    if omitted.rust_specks:
        yield f"{omitted.rust_specks} rust specks smaller than {settings.min_rust_area_px} px are left out"


def _bridged(defects: Iterable[Defect], settings: MeasureSettings) -> Iterable[str]:
    measures = [defect.crack for defect in defects if defect.crack is not None and defect.crack.bridged_gaps]
    if measures:
        yield (
            f"{sum(m.bridged_gaps for m in measures)} gaps of at most {settings.crack_gap_px:g} px in {len(measures)} "
            f"cracks that go on in line are counted as crack: {sum(m.bridged_m for m in measures):.2f} m in all"
        )
