"""Plan stage: everything a run will do, as plain data, before a pixel is read."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version

from segmentation.errors import InputRejected
from segmentation.inference.geometry import Block, TileGeometry, blocks
from segmentation.inference.memory import MemoryProjection, even_cores, largest_that_fits, project_memory, refuse_above
from segmentation.inference.predictor import bytes_per_value, pick_device, pick_precision, tile_geometry
from segmentation.models.geometry import net_geometry
from segmentation.models.registry import LoadedModel
from segmentation.records import ModelIdentity, RasterInput, Survey
from tasks.raster_file import GDAL_CACHE_BYTES

PROCESS_BYTES = 900 * 10**6
"""Interpreter and libraries (0.52 GB measured), their compiled kernels, and buffers in flight between the terms."""
MOST_CORE_PX = 1024
"""Above it a tile's activations leave the processor's cache, which costs more than the halo saved."""
LEAST_CORE_PX = 256
"""Below it more than two thirds of the work is halo."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Knobs of the engine; none of them changes the mask beyond rounding."""

    device: str
    """auto, cpu, cuda…"""
    precision: str
    """auto, fp32, bf16."""
    workers: int
    """Blocks worked at once in one process."""
    batch: int
    """Tiles per forward pass."""
    tile_core_px: int | None
    """Pixels a tile owns along a side; None: the largest that fits the memory limit."""
    block_px: int
    """Side of a block and of its shard."""
    memory_limit_bytes: int
    """Peak that may be projected."""


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """Settings that change what is measured."""

    min_crack_width_px: float
    """Least width stated as a figure."""
    min_crack_length_px: float
    """Shorter cracks are specks."""
    min_rust_area_px: int
    """Smaller patches are specks."""
    standards: tuple[str, ...]
    """Ids of shipped tables, or paths of one's own, in order of precedence."""


@dataclass(frozen=True, slots=True)
class InferencePlan:
    """All that a worker must know to infer a block, besides the block."""

    model: ModelIdentity
    """The weights."""
    model_path: str
    """Name or path by which a worker loads them."""
    geometry: TileGeometry
    """Alignment, halo and core of the tiles."""
    engine: EngineSettings
    """Knobs of the engine; `device` and `precision` as resolved when planning."""


@dataclass(frozen=True, slots=True)
class RasterPlan:
    """The work of one raster."""

    raster: RasterInput
    """What is read."""
    blocks: tuple[Block, ...]
    """One Dask work item each."""


@dataclass(frozen=True, slots=True)
class InspectionPlan:
    """What a run will do: printed by `spanscan plan`, executed by the stages."""

    survey: Survey
    """The pinned input."""
    inference: InferencePlan
    """Model, tile geometry and engine."""
    measure: MeasureSettings
    """Settings of the measurement."""
    memory: MemoryProjection
    """Projected peak of a worker process."""
    rasters: tuple[RasterPlan, ...]
    """In the order of the survey."""
    run_key: str
    """Names the run: equal for equal content, model and settings."""
    model_limits: tuple[str, ...]
    """What the model's card wants every reader of a report to know."""

    @property
    def block_count(self) -> int:
        """Number of work items."""
        return sum(len(r.blocks) for r in self.rasters)

    @property
    def pixels(self) -> int:
        """Pixels of all rasters."""
        return sum(r.raster.georeference.height * r.raster.georeference.width for r in self.rasters)


def make_plan(
    survey: Survey, loaded: LoadedModel, *, model_path: str, engine: EngineSettings, measure: MeasureSettings
) -> InspectionPlan:
    """Plan the inspection of a survey with a model; reads no pixel.

    Raises InputRejected E_MEMORY where the projected peak exceeds the limit, E_GSD_RANGE where a raster's GSD lies
    outside the range for which the model is offered.
    """
    _refuse_foreign_gsd(survey, loaded)
    device = pick_device(engine.device)
    precision = pick_precision(engine.precision, device=device)
    net = net_geometry(loaded.module)

    def projected(core_px: int) -> MemoryProjection:
        return project_memory(
            geometry=tile_geometry(net, core_px=core_px),
            block_px=engine.block_px,
            workers=engine.workers,
            batch=engine.batch,
            weight_bytes=net.parameters * bytes_per_value(precision),
            activation_bytes_per_px=net.peak_activation_values_per_px * bytes_per_value(precision),
            gdal_cache_bytes=GDAL_CACHE_BYTES,
            process_bytes=PROCESS_BYTES,
        )

    core_px = engine.tile_core_px or largest_that_fits(
        even_cores(
            block_px=engine.block_px, alignment_px=net.alignment_px, least_px=LEAST_CORE_PX, most_px=MOST_CORE_PX
        ),
        projected,
        limit_bytes=engine.memory_limit_bytes,
    )
    geometry = tile_geometry(net, core_px=min(core_px, engine.block_px))
    memory = projected(geometry.core_px)
    refuse_above(memory, engine.memory_limit_bytes, subject=survey.id)
    resolved = EngineSettings(
        device=device,
        precision=precision,
        workers=engine.workers,
        batch=engine.batch,
        tile_core_px=geometry.core_px,
        block_px=engine.block_px,
        memory_limit_bytes=engine.memory_limit_bytes,
    )
    model = ModelIdentity(loaded.card.name, loaded.sha256)
    return InspectionPlan(
        survey=survey,
        inference=InferencePlan(model, model_path, geometry, resolved),
        measure=measure,
        memory=memory,
        rasters=tuple(
            RasterPlan(r, blocks(r.georeference.height, r.georeference.width, block_px=engine.block_px))
            for r in survey.rasters
        ),
        run_key=run_key(survey, model, resolved, measure),
        model_limits=loaded.card.limits,
    )


def run_key(survey: Survey, model: ModelIdentity, engine: EngineSettings, measure: MeasureSettings) -> str:
    """Name of a run: 16 hex digits of the hash of all that changes its result, and of nothing else."""
    content = {
        "rasters": [
            [r.name, r.source.sha256, asdict(r.georeference), r.rgb_bands, r.value_range] for r in survey.rasters
        ],
        "structures": survey.structures_source.sha256 if survey.structures_source else None,
        "rejected": [[r.name, r.code] for r in survey.rejected],
        "captured": [survey.captured_at, survey.operator],
        "model": model.sha256,
        "precision": engine.precision,
        "block_px": engine.block_px,
        "measure": asdict(measure),
        "spanscan": version("spanscan"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def settings_that_matter(plan: InspectionPlan) -> dict[str, str | int | float | bool | None]:
    """The settings that change the result, as reports and manifest state them."""
    return {
        **asdict(plan.measure),
        "standards": ", ".join(plan.measure.standards),
        "precision": plan.inference.engine.precision,
        "block_px": plan.inference.engine.block_px,
        "tile_core_px": plan.inference.geometry.core_px,
        "halo_px": plan.inference.geometry.halo_px,
    }


def _refuse_foreign_gsd(survey: Survey, loaded: LoadedModel) -> None:
    low, high = loaded.card.gsd_range_m
    for raster in survey.rasters:
        if not low <= raster.gsd_m <= high:
            raise InputRejected(
                "E_GSD_RANGE",
                raster.name,
                f"the GSD must lie within {low * 1000:g}–{high * 1000:g} mm for model {loaded.card.name}, "
                f"got {raster.gsd_m * 1000:.4g} mm",
                "resample the raster, mend its georeference, or use a model trained for this GSD",
            )
