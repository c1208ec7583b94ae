"""Train the shipped architecture with the recipe of the shipped weights; a stopped run goes on from its checkpoint."""

import logging
from dataclasses import replace
from pathlib import Path

from segmentation.errors import InputRejected
from segmentation.models.card import ModelCard
from segmentation.models.registry import load_model, save_model
from segmentation.training.datasets import known_sets
from segmentation.training.loop import TrainConfig, TrainProgress, train

log = logging.getLogger("spanscan.train")

SHARES = {"cracks_uav75": 0.15, "cracks_masonry": 0.15, "rust_photos": 0.15}
"""Shares of the crops by set; the rest is synthetic."""


def train_model(*, data: Path, out: Path, steps: int, seed: int, threads: int, device: str) -> str:
    """Train for `steps` and save ``model.safetensors`` with its card in `out`; the path of the weights.

    Raises InputRejected E_NOT_FOUND where a labelled set is missing below `data`.
    """
    for name in SHARES:
        if not (data / name / "images").is_dir():
            raise InputRejected(
                "E_NOT_FOUND",
                str(data),
                f"the folder must hold the set {name}, got none",
                "name the folder of the sets",
            )
    result = train(
        recipe(data=data, out=out, steps=steps, seed=seed, threads=threads, device=device), on_progress=_tell
    )
    shipped = load_model("spanscan-unet").card
    card = replace(shipped, name="model", metrics=(), notes=(_note(steps, seed),), sha256="")
    saved: ModelCard = save_model(result.module, card, out)
    return str(out / f"{saved.name}.safetensors")


def recipe(*, data: Path, out: Path, steps: int, seed: int, threads: int, device: str) -> TrainConfig:
    """The configuration of the shipped weights, but for its length and seed."""
    return TrainConfig(
        run_dir=out,
        sets=known_sets(data, shares=SHARES),
        synthetic_share=1 - sum(SHARES.values()),
        synthetic_scenes=4000,
        synthetic_structures=24,
        validation_scenes=40,
        seed=seed,
        steps=steps,
        batch=4,
        crop_px=256,
        base_channels=16,
        depth=4,
        learning_rate=1.5e-3,
        weight_decay=1e-3,
        class_weights=(1.0, 3.0, 1.5),
        dice_weight=0.5,
        average_decay=0.998,
        checkpoint_every=100,
        validate_every=500,
        threads=threads,
        crop_processes=1,
        device=device,
        mixed_precision=True,
        initial_model=None,
    )


def _note(steps: int, seed: int) -> str:
    return (
        f"Trained by `spanscan train` for {steps} steps with seed {seed}. Its offsets are not calibrated and it was "
        "not measured on any test split: run `spanscan evaluate` before it inspects anything."
    )


def _tell(progress: TrainProgress) -> None:
    log.info(
        "step %d of %d: loss %.4f, learning rate %.2g, %.0f s",
        progress.step,
        progress.steps,
        progress.loss,
        progress.learning_rate,
        progress.elapsed_s,
    )
    for name, counts in progress.validation.items():
        log.info("  %s: IoU %.3f, precision %.3f, recall %.3f", name, counts.iou, counts.precision, counts.recall)
