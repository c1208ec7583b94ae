"""The product's own segment stage as a benchmark runs it: by its settings, through its public functions, no Prefect."""

from pathlib import Path
from typing import Any

import numpy as np

from flows.settings import Settings
from flows.stages import discover_survey, plan_inspection, run_place
from segmentation.inference.geometry import aligned_window
from segmentation.inference.predictor import Predictor
from segmentation.windows import Window
from tasks.cluster import dask_client
from tasks.plan import InspectionPlan
from tasks.segment import predictor_of, segment_blocks
from tests.benchmarks.nets import model_of
from tests.benchmarks.workload import Clock, Done, Workload

_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def product_settings(
    *, cache: Path, out: Path, net: str, device: str, precision: str, further: dict[str, Any]
) -> Settings:
    """The product's settings for a benchmark; those not named are the shipped ones."""
    named: dict[str, Any] = {"device": device, "precision": _PRECISIONS.get(precision, precision)}
    return Settings(
        home=cache / "home",
        results=str(out / "results"),
        model=model_of(net, cache),
        max_raster_px=10**11,
        **named,
        **further,
    )


def plan_of(folder: Path, settings: Settings) -> InspectionPlan:
    """The plan of a survey, as `spanscan plan` makes it."""
    return plan_inspection(discover_survey(str(folder), settings), settings)


def segment_with_product(work: Workload, clock: Clock) -> Done:
    """Run the segment stage on a local store; the clock starts with the weights loaded and the cluster up.

    One tile of black was inferred then, as it was by every peer: kernels are made at a net's first tile.
    """
    settings = product_settings(
        cache=Path(work.cache),
        out=Path(work.out),
        net=work.net,
        device=work.device,
        precision=work.precision,
        further=work.engine_settings,
    )
    plan = plan_of(Path(work.folder), settings)
    place = run_place(plan, settings)
    with dask_client(scheduler=None, workers=settings.workers) as client:
        _infer_one_tile(predictor_of(plan.inference))
        with clock:
            segment_blocks(plan, place, client, on_block=lambda _done, _all: None)
    slug = plan.rasters[0].raster.slug
    return Done(f"{place.masks.uri}/{slug}/mask", plan.memory.total_bytes)


def _infer_one_tile(predictor: Predictor) -> None:
    owned = Window(0, predictor.geometry.core_px, 0, predictor.geometry.core_px)
    read = aligned_window(owned, predictor.geometry)
    predictor.segment(np.zeros((*read.shape, 3), np.uint8), np.ones(read.shape, np.bool_), read=read, owned=owned)
