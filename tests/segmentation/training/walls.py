"""A tiny set of cracked walls, and a run small enough for a test."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segmentation.classes import PixelClass
from segmentation.training.datasets import DataSetSpec
from segmentation.training.losses import LossConfig
from segmentation.training.run_config import NetConfig, TrainConfig
from segmentation.training.sampling import CropContent, SamplerConfig
from segmentation.training.schedules import Schedule

ANYWHERE = CropContent(damaged_share=0.7, least_damage_px=None, background_share=(0.0, 1.0), border_px=0)
_SAMPLER_FIELDS = {"seed", "crop_px", "margin_px", "batch", "content", "synthetic_share", "border_reach_px"}


def write_walls(folder: Path) -> DataSetSpec:
    """Grey walls of 70×90 px with one dark line, 3 px wide, each."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    rng = np.random.default_rng(5)
    for i in range(6):
        image = rng.normal(150, 8, (70, 90, 3))
        mask = np.zeros((70, 90), np.uint8)
        row = int(rng.integers(5, 60))
        image[row : row + 3], mask[row : row + 3] = 40, 255
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"wall_{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"wall_{i}.png")
    names = [f"wall_{i}.png" for i in range(6)]
    (folder / "splits.json").write_text(json.dumps({"train": names[:4], "val": names[4:5], "test": names[5:]}))
    return walls(folder)


def walls(folder: Path) -> DataSetSpec:
    return DataSetSpec(
        "walls", folder, PixelClass.CRACK, share=0.7, line_labels=False, uncertain_px=0, scale_range=(0.7, 1.4)
    )


def sampler_config(*sets: DataSetSpec, **changes: Any) -> SamplerConfig:
    config = SamplerConfig(
        sets=sets, seed=7, crop_px=48, margin_px=0, batch=3, content=ANYWHERE, synthetic_share=0.3, scenes=3,
        structures=0, synthetic_scale_range=(0.8, 1.5), border_reach_px=0,
    )  # fmt: skip
    return replace(config, **changes)


def train_config(run_dir: Path, crack_set: DataSetSpec, **changes: Any) -> TrainConfig:
    """A run of 24 steps; `changes` may name fields of the sampler too, and `net` the arguments of a U-Net."""
    of_sampler = {key: changes.pop(key) for key in list(changes) if key in _SAMPLER_FIELDS}
    config = TrainConfig(
        run_dir=run_dir,
        sampler=sampler_config(crack_set, **of_sampler),
        net=NetConfig("unet", {"base_channels": 4, "depth": 2, **changes.pop("net", {})}, None, None),
        loss=LossConfig(
            cross_entropy=1.0, focal_gamma=0.0, region=1.0, missed_share=0.5, centre_line=0.0, centre_line_px=3
        ),
        class_weights=(1.0, 3.0, 3.0), highest_class_weight=10.0,
        schedule=Schedule("cosine", 2e-2, lowest_share=0.01, warm_up_share=0.03, constant_share=0.5),
        weight_decay=1e-4, steps=24, accumulate=1, average_decay=0.9, validation_scenes=1, validate_every=12,
        patience=None, checkpoint_every=4, threads=1, crop_processes=0, device="cpu", mixed_precision=False,
        deterministic=False,
    )  # fmt: skip
    return replace(config, **changes)
