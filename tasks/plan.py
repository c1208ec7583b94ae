"""Plan stage: everything a run will do, as plain data, before a pixel is read."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from segmentation.errors import InputRejected
from segmentation.inference.devices import bytes_per_value, free_device_bytes, pick_batch, pick_device, pick_precision
from segmentation.inference.geometry import Block, Method, TileGeometry, blocks
from segmentation.inference.memory import (
    MemoryProjection,
    even_cores,
    largest_that_fits,
    project_memory,
    refuse_above,
    tile_bytes,
)
from segmentation.inference.predictor import tile_geometry
from segmentation.models.card import ModelCard
from segmentation.models.geometry import net_geometry
from segmentation.models.registry import LoadedModel
from segmentation.records import GivenMask, ModelIdentity, RasterInput, Survey
from tasks.raster_file import GDAL_CACHE_BYTES
from tasks.report_settings import ReportSettings

PROCESS_BYTES = 850 * 10**6
"""Interpreter, libraries, compiled kernels: 0.36 to 0.76 GB beside the other terms (measured, runs on processors)."""
OPENVINO_BYTES = 500 * 10**6
"""What OpenVINO holds beyond that: its library, and buffers for every size of tile (0.33 GB measured, one survey)."""
MOST_CORE_PX = 1024
"""Above it a tile's activations leave the processor's cache, which costs more than the halo saved."""
LEAST_CORE_PX = 256
"""Below it more than two thirds of the work is halo."""
MOST_HELPERS = 8
"""Readers and writers, each, beside a GPU: a processor core decodes some 70 Mpx/s."""

_OUTSIDE_WARNING = (
    "what lies outside every structure was not looked at (SPANSCAN_SKIP_OUTSIDE_STRUCTURES): the figures of damage "
    "found outside are those of the surroundings of structures alone"
)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Knobs of the engine; none of them changes the mask beyond rounding, but for `skip_outside_structures`."""

    device: str
    """auto, cpu, cuda…"""
    precision: str
    """auto, fp32, bf16."""
    workers: int
    """Blocks inferred at once in one process on processors; threads that read and write beside a GPU."""
    batch: int | None
    """Tiles per forward pass; None: one on a processor, as many as find room on a GPU."""
    tile_core_px: int | None
    """Pixels a tile owns along a side; None: the largest that fits the memory limit."""
    block_px: int
    """Side of a block and of its shard."""
    memory_limit_bytes: int
    """Peak that may be projected."""
    runtime: str = "torch"
    """What runs the net: torch, openvino."""
    compiled: bool = False
    """Whether torch compiles the net first."""
    skip_outside_structures: bool = False
    """Whether what lies outside every structure is left "not inspected"."""


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
    crack_gap_px: float = 0.0
    """Gaps up to this are bridged where a crack goes on in line; 0: none."""


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
    batch: int
    """Tiles per forward pass, as resolved."""
    consumers: int
    """Blocks inferred at once in one process: one on a GPU."""
    helpers: int
    """Readers ahead of each consumer, and as many writers behind it."""
    compiled_folder: str | None
    """Where each worker has the form of the weights that OpenVINO runs; None with torch."""


@dataclass(frozen=True, slots=True)
class RasterPlan:
    """The work of one raster."""

    raster: RasterInput
    """What is read."""
    blocks: tuple[Block, ...]
    """One Dask work item each."""


class RunPlan(Protocol):
    """What the stages after the masks need of a plan, whoever makes the masks: a model, or the operator."""

    @property
    def survey(self) -> Survey:
        """The pinned input."""
        ...

    @property
    def rasters(self) -> tuple[RasterPlan, ...]:
        """In the order of the survey."""
        ...

    @property
    def measure(self) -> MeasureSettings:
        """Settings of the measurement."""
        ...

    @property
    def report(self) -> ReportSettings:
        """Settings of what is published."""
        ...

    @property
    def run_key(self) -> str:
        """Names the run."""
        ...

    @property
    def model_limits(self) -> tuple[str, ...]:
        """What every reader of a report is to know of the model."""
        ...

    @property
    def model(self) -> ModelIdentity | None:
        """The weights; None where the mask was given."""
        ...

    @property
    def card(self) -> ModelCard | None:
        """What the weights say of themselves; None where the mask was given."""
        ...

    @property
    def given_mask(self) -> GivenMask | None:
        """The mask that was given; None where a model makes it."""
        ...

    @property
    def method(self) -> Method | None:
        """How tiles are joined; None where there are none."""
        ...

    @property
    def engine(self) -> EngineSettings | None:
        """Knobs of the engine; None where nothing is inferred."""
        ...

    def settings_that_matter(self) -> dict[str, str | int | float | bool | None]:
        """The settings that change the result, as reports and manifest state them."""
        ...


@dataclass(frozen=True, slots=True)
class InspectionPlan:
    """What a run will do: printed by `spanscan plan`, executed by the stages."""

    survey: Survey
    """The pinned input."""
    inference: InferencePlan
    """Model, tile geometry and engine."""
    measure: MeasureSettings
    """Settings of the measurement."""
    report: ReportSettings
    """Settings of what is published."""
    memory: MemoryProjection
    """Projected peak of a worker process."""
    rasters: tuple[RasterPlan, ...]
    """In the order of the survey."""
    run_key: str
    """Names the run: equal for equal content, model and settings."""
    card: ModelCard
    """What the weights say of themselves."""

    @property
    def model_limits(self) -> tuple[str, ...]:
        """What the model's card wants every reader of a report to know."""
        return self.card.limits

    @property
    def model(self) -> ModelIdentity:
        """The weights."""
        return self.inference.model

    @property
    def given_mask(self) -> None:
        """None: a model makes the masks."""
        return None

    @property
    def method(self) -> Method:
        """How tiles are joined."""
        return self.inference.geometry.method

    @property
    def engine(self) -> EngineSettings:
        """Knobs of the engine, as resolved when planning."""
        return self.inference.engine

    def settings_that_matter(self) -> dict[str, str | int | float | bool | None]:
        """The settings that change the result, as reports and manifest state them."""
        return {
            **stated_measure_settings(self.measure),
            **self.report.stated(),
            "precision": self.inference.engine.precision,
            "block_px": self.inference.engine.block_px,
            "tile_core_px": self.inference.geometry.core_px,
            "halo_px": self.inference.geometry.halo_px,
            "method": self.inference.geometry.method,
            "runtime": self.inference.engine.runtime,
            "skip_outside_structures": self.inference.engine.skip_outside_structures,
        }

    @property
    def block_count(self) -> int:
        """Number of work items."""
        return sum(len(r.blocks) for r in self.rasters)

    @property
    def pixels(self) -> int:
        """Pixels of all rasters."""
        return sum(r.raster.georeference.height * r.raster.georeference.width for r in self.rasters)


def make_plan(
    survey: Survey,
    loaded: LoadedModel,
    *,
    model_path: str,
    engine: EngineSettings,
    measure: MeasureSettings,
    report: ReportSettings,
    compiled: tuple[str, str] | None = None,
) -> InspectionPlan:
    """Plan the inspection of a survey with a model; reads no pixel.

    `compiled` is the folder of the compiled form of the weights and its checksum, where OpenVINO runs them.
    Raises InputRejected E_MEMORY where the projected peak exceeds the limit, E_GSD_RANGE where a raster's GSD lies
    outside the range for which the model is offered.
    """
    _refuse_foreign_gsd(survey, loaded)
    device = pick_device(engine.device)
    precision = pick_precision(engine.precision, device=device)
    resolved = replace(engine, device=device, precision=precision)
    geometry, batch, memory = _fitted(loaded, resolved, subject=survey.id)
    resolved = replace(resolved, tile_core_px=geometry.core_px, batch=batch)
    if engine.skip_outside_structures:
        survey = replace(survey, warnings=(*survey.warnings, _OUTSIDE_WARNING))
    model = ModelIdentity(loaded.card.name, loaded.sha256)
    return InspectionPlan(
        survey=survey,
        inference=InferencePlan(
            model=model,
            model_path=model_path,
            geometry=geometry,
            engine=resolved,
            batch=batch,
            consumers=_consumers(resolved),
            helpers=_helpers(resolved),
            compiled_folder=compiled[0] if compiled else None,
        ),
        measure=measure,
        report=report,
        memory=memory,
        rasters=tuple(
            RasterPlan(r, blocks(r.georeference.height, r.georeference.width, block_px=engine.block_px))
            for r in survey.rasters
        ),
        run_key=run_key(
            survey, model, resolved, measure, report, method=geometry.method, graph=compiled and compiled[1]
        ),
        card=loaded.card,
    )


def run_key(
    survey: Survey,
    model: ModelIdentity,
    engine: EngineSettings,
    measure: MeasureSettings,
    report: ReportSettings,
    *,
    method: Method,
    graph: str | None,
) -> str:
    """Name of a run: 16 hex digits of the hash of all that changes its result, and of nothing else.

    A standard of the user's own counts by what its file holds. Tiles that are not exact count with their size.
    """
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
        "tiles": None if method == "exact" else [method, engine.tile_core_px],
        "graph": graph,
        "outside": engine.skip_outside_structures,
        "measure": measure_content(measure),
        "report": report.stated(),
        "spanscan": version("spanscan"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def stated_measure_settings(measure: MeasureSettings) -> dict[str, str | int | float | bool | None]:
    """The settings of the measurement, as reports and manifest state them."""
    return {**asdict(measure), "standards": ", ".join(measure.standards)}


def measure_content(measure: MeasureSettings) -> dict[str, Any]:
    """The settings of the measurement as they enter a run key: a standard of the user's own by what its file holds."""
    return {**asdict(measure), "standards": [_standard_content(name) for name in measure.standards]}


def _fitted(loaded: LoadedModel, engine: EngineSettings, *, subject: str) -> tuple[TileGeometry, int, MemoryProjection]:
    """The tiles, the batch and what they hold; raises InputRejected E_MEMORY where nothing fits."""
    net = net_geometry(loaded.module)
    on_device = engine.device != "cpu"
    device_limit_bytes = free_device_bytes(engine.device)
    bytes_each = bytes_per_value(engine.precision)
    activation_bytes_per_px = net.peak_activation_values_per_px * bytes_each

    def batch_of(core_px: int) -> int:
        geometry = tile_geometry(net, core_px=core_px)
        held_bytes = tile_bytes(geometry, activation_bytes_per_px=activation_bytes_per_px)
        return engine.batch or pick_batch(device=engine.device, tile_bytes=held_bytes)

    def projected(core_px: int) -> MemoryProjection:
        return project_memory(
            geometry=tile_geometry(net, core_px=core_px),
            block_px=engine.block_px,
            workers=_consumers(engine),
            read_ahead=_helpers(engine),
            write_behind=_helpers(engine),
            batch=batch_of(core_px),
            weight_bytes=net.parameters * bytes_each,
            activation_bytes_per_px=activation_bytes_per_px,
            gdal_cache_bytes=GDAL_CACHE_BYTES,
            process_bytes=PROCESS_BYTES + (OPENVINO_BYTES if engine.runtime == "openvino" else 0),
            on_device=on_device,
        )

    core_px = engine.tile_core_px or largest_that_fits(
        even_cores(
            block_px=engine.block_px, alignment_px=net.alignment_px, least_px=LEAST_CORE_PX, most_px=MOST_CORE_PX
        ),
        projected,
        limit_bytes=engine.memory_limit_bytes,
        device_limit_bytes=device_limit_bytes,
    )
    geometry = tile_geometry(net, core_px=min(core_px, engine.block_px))
    memory = projected(geometry.core_px)
    refuse_above(memory, engine.memory_limit_bytes, device_limit_bytes=device_limit_bytes, subject=subject)
    return geometry, batch_of(geometry.core_px), memory


def _consumers(engine: EngineSettings) -> int:
    return engine.workers if engine.device == "cpu" else 1


def _helpers(engine: EngineSettings) -> int:
    """Processors that infer leave no core idle: one reader keeps each busy. A GPU is fed by all of them."""
    return 1 if engine.device == "cpu" else min(MOST_HELPERS, max(2, engine.workers))


def _standard_content(name: str) -> str:
    """What names a standard in the run key: its id, or the checksum of a file of the user's own."""
    path = Path(name)
    is_own = path.suffix in (".yaml", ".yml") and path.is_file()
    return hashlib.sha256(path.read_bytes()).hexdigest() if is_own else name


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
