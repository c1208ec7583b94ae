"""Train a net of the registry on labelled folders and synthetic damage; a stopped run goes on from its checkpoint."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.train_progress import training_progress
from flows.train_sets import training_sets
from segmentation.errors import UsageError
from segmentation.models.card import ModelCard, TrainingSet
from segmentation.models.catalogue import card_of
from segmentation.models.registry import save_model
from segmentation.training.datasets import DataSetSpec
from segmentation.training.loop import train
from segmentation.training.losses import LossConfig
from segmentation.training.nets import blank_net
from segmentation.training.run_config import NetConfig, TrainConfig
from segmentation.training.sampling import CropContent, SamplerConfig
from segmentation.training.schedules import Schedule

Weighting = Literal["fixed", "data-set", "crop"]
"""Where class weights come from; ``fixed``: those of the shipped weights' recipe."""

_VALIDATION_PASSES = 12
"""Validations of a run, at least: of a short one too, so that patience has something to count."""
_VALIDATE_EVERY, _CHECKPOINT_EVERY = 1000, 100
_MOST_CROP_PROCESSES = 12


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What a user asks of a training; every field is an option of ``spanscan train``."""

    out: Path
    """Run folder; an existing one is resumed."""
    data: Path | None
    """Folder with the sets that the shipped weights know."""
    folders: tuple[tuple[Path, Path, str], ...]
    """The user's own sets: folder of images, folder of masks, the class that they label, ``crack`` or ``rust``."""
    others_absent: bool
    """The user's own images show no damage but the class of their set."""
    synthetic_share: float
    """Share of synthetic crops; 1 where there are no sets."""
    model: str
    """Name of an architecture in the registry."""
    net_arguments: tuple[str, ...]
    """``key=value`` for its constructor."""
    backbone: str | None
    """Folder or hub id of a pre-trained encoder, for foundation nets."""
    initial_model: str | None
    """Weights to start from."""
    steps: int
    """Optimiser steps."""
    batch: int
    """Crops per batch."""
    accumulate: int
    """Batches per step."""
    crop_px: int
    """Side of a crop, rounded up to one that the net takes."""
    learning_rate: float
    """Highest learning rate."""
    schedule: Literal["cosine", "constant-linear"]
    """How it falls."""
    class_weights: Weighting
    """Where class weights come from."""
    least_damage_px: int | None
    """Damaged pixels of a crop that is drawn for its damage; None: around any damaged pixel."""
    centre_line: float
    """Weight of the centre-line loss."""
    patience: int | None
    """Validations without a better score before it ends."""
    seed: int
    """Seed of everything random."""
    deterministic: bool
    """The same bits each time, also on a GPU."""
    mixed_precision: bool
    """bfloat16 or float16 where safe."""


def train_model(request: TrainRequest, *, device: str, threads: int) -> str:
    """Train and save ``model.safetensors`` with its card in the run folder; the path of the weights.

    Raises InputRejected where a set cannot be used and UsageError where the net or the run folder does not suit.
    """
    if request.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    config = recipe(request, device=device, threads=threads)
    with training_progress(config.steps) as (on_step, on_progress):
        result = train(config, on_progress=on_progress, on_step=on_step)
    shipped = card_of("spanscan-unet")
    card = ModelCard(
        name="model",
        architecture=config.net.architecture,
        architecture_kwargs=result.architecture_kwargs,
        classes=shipped.classes,
        mean=shipped.mean,
        std=shipped.std,
        gsd_range_m=shipped.gsd_range_m,
        training_data=tuple(_credit(spec, shipped) for spec in config.sampler.sets),
        licence=_licence(config.sampler.sets, shipped),
        metrics=(),
        notes=(_note(result.steps, request.seed),),
        sha256="",
    )
    saved = save_model(result.module, card, request.out)
    return str(request.out / f"{saved.name}.safetensors")


def recipe(request: TrainRequest, *, device: str, threads: int) -> TrainConfig:
    """The configuration of the shipped weights, with what the user asks for in its place."""
    sets, synthetic_share = training_sets(
        request.data, request.folders, others_absent=request.others_absent, synthetic_share=request.synthetic_share
    )
    net = _net_config(request)
    blank = blank_net(net)
    least_px = max(request.crop_px, 2 * blank.margin_px + blank.alignment_px)
    crop_px = least_px + (blank.window_residue_px - least_px) % blank.alignment_px
    return TrainConfig(
        run_dir=request.out,
        sampler=SamplerConfig(
            sets=sets,
            seed=request.seed,
            crop_px=crop_px,
            margin_px=blank.margin_px,
            batch=request.batch,
            content=CropContent(0.7, request.least_damage_px, (0.0, 1.0), border_px=0),
            synthetic_share=synthetic_share,
            scenes=2000,
            structures=40,
            synthetic_scale_range=(0.8, 1.6),
            border_reach_px=2 if request.model == "fusion" else 0,
        ),
        net=net,
        loss=LossConfig(
            cross_entropy=1.0, focal_gamma=0.0, region=0.7, missed_share=0.5,
            centre_line=request.centre_line, centre_line_px=8,
        ),
        class_weights=(1.0, 2.0, 1.5) if request.class_weights == "fixed" else request.class_weights,
        highest_class_weight=10.0,
        schedule=Schedule(request.schedule, request.learning_rate, 0.01, warm_up_share=0.03, constant_share=0.5),
        weight_decay=1e-3,
        steps=request.steps,
        accumulate=request.accumulate,
        average_decay=0.998,
        validation_scenes=24 if synthetic_share else 0,
        validate_every=min(_VALIDATE_EVERY, max(1, request.steps // _VALIDATION_PASSES)),
        patience=request.patience,
        checkpoint_every=_CHECKPOINT_EVERY,
        threads=threads,
        crop_processes=max(1, min(_MOST_CROP_PROCESSES, threads - 1)) if request.steps > 1 else 0,
        device=device,
        mixed_precision=request.mixed_precision,
        deterministic=request.deterministic,
    )  # fmt: skip


def _net_config(request: TrainRequest) -> NetConfig:
    given = dict(_parsed(text) for text in request.net_arguments)
    shipped = card_of("spanscan-unet")
    kwargs: dict[str, int | float | str | bool] = {"in_channels": 3, "classes": 3}
    if request.model == shipped.architecture:
        kwargs |= shipped.architecture_kwargs
    if request.backbone is not None:
        from segmentation.models.backbone import load_backbone  # its library is an extra

        kwargs["backbone"] = load_backbone(request.backbone).config
    return NetConfig(request.model, {**kwargs, **given}, request.initial_model, request.backbone)


def _parsed(text: str) -> tuple[str, int | float | str | bool]:
    """``key=value`` with the value as a truth value, a whole number, a number or a word, whichever it is first."""
    key, sign, value = text.partition("=")
    if not sign or not key.isidentifier() or not value:
        raise UsageError("E_SETTING", "--set", f"it must be key=value, got {text!r}", "write for instance depth=4")
    if value.lower() in ("true", "false"):
        return key, value.lower() == "true"
    for kind in (int, float):
        try:
            return key, kind(value)
        except ValueError:
            continue
    return key, value


def _credit(spec: DataSetSpec, shipped: ModelCard) -> TrainingSet:
    """What the shipped card says of a set that it knows; of others, what is known: nothing."""
    known = {entry.name: entry for entry in shipped.training_data}
    unknown = TrainingSet(spec.name, "not stated", "not stated", f"labels of {spec.pixel_class.name.lower()}")
    return known.get(spec.name, unknown)


def _licence(sets: tuple[DataSetSpec, ...], shipped: ModelCard) -> str:
    """Apache-2.0 for synthetic damage alone, the shipped weights' for their sets, open for a user's own."""
    known: dict[str, Any] = {entry.name: entry for entry in shipped.training_data}
    if not sets:
        return "Apache-2.0"
    return shipped.licence if all(spec.name in known for spec in sets) else "LicenseRef-of-its-training-data"


def _note(steps: int, seed: int) -> str:
    return (
        f"Trained by `spanscan train` for {steps} steps with seed {seed}. Its offsets are not calibrated and it was "
        "not measured on any test split: run `spanscan evaluate` before it inspects anything."
    )
