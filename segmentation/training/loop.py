"""The training loop: one run folder, resumable after any stop, reproducible from its configuration."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from io import StringIO
from math import cos, pi
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch

from segmentation.errors import RunFailed, UsageError
from segmentation.models.registry import load_model, replace_file
from segmentation.models.unet import UNet
from segmentation.synthetic.crops import Sample, sample_crop
from segmentation.training.checkpoint import Checkpoint, WeightAverage, read_checkpoint, write_checkpoint
from segmentation.training.datasets import DataSetSpec, read_split
from segmentation.training.losses import marginal_cross_entropy, marginal_dice
from segmentation.training.metrics import Counts
from segmentation.training.sampling import Batch, SamplerConfig, batches
from segmentation.training.validation import normalised, on_device, score_scenes, score_set

_VALIDATION_STREAM = 3
_LOG_NAME, _CONFIG_NAME = "log.csv", "config.json"


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """All that decides what a run learns; stored as ``config.json`` in its folder."""

    run_dir: Path
    """Folder of the run: configuration, log, checkpoint, model."""
    sets: tuple[DataSetSpec, ...]
    """Labelled sets with their shares of the crops."""
    synthetic_share: float
    """Share of synthetic scenes, relative to those of the sets."""
    synthetic_scenes: int
    """Number of different synthetic scenes; each is painted when it is first drawn and kept in memory."""
    synthetic_structures: int
    """Number of painted structures, from which 55 % of the synthetic crops are cut; 0: none."""
    validation_scenes: int
    """Number of synthetic scenes to validate on, painted from seeds that training never draws."""
    seed: int
    """Decides the first weights, the crops and their changes."""
    steps: int
    """Optimiser steps of the whole run."""
    batch: int
    """Crops per step."""
    crop_px: int
    """Side of a crop; a multiple of the net's alignment."""
    base_channels: int
    """Channels of the net's first level."""
    depth: int
    """Times that the net halves the resolution."""
    learning_rate: float
    """Highest learning rate: reached after a linear warm-up over 3 % of the steps, then a cosine to 1 % of it."""
    weight_decay: float
    """Decoupled weight decay (AdamW)."""
    class_weights: tuple[float, float, float]
    """Weights of background, crack and rust in the cross-entropy."""
    dice_weight: float
    """Weight of the Dice loss beside the cross-entropy."""
    average_decay: float
    """Decay of the moving average of the weights, which is what is validated and kept."""
    checkpoint_every: int
    """Steps between checkpoints."""
    validate_every: int
    """Steps between validations."""
    threads: int
    """Threads of the net on a CPU."""
    crop_processes: int
    """Processes that prepare crops; 0: the training process itself."""
    device: str
    """``cpu`` or ``cuda``."""
    mixed_precision: bool
    """Compute in bfloat16 where that is safe."""
    initial_model: str | None
    """Name or path of weights to start from; None: random."""


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """One report of a running training."""

    step: int
    """Steps done."""
    steps: int
    """Steps of the run."""
    loss: float
    """Mean loss since the last report."""
    learning_rate: float
    """Learning rate of the last step."""
    elapsed_s: float
    """Seconds since this process started to train."""
    validation: dict[str, Counts]
    """Scores by set, empty where this report carries none."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a finished run leaves."""

    run_dir: Path
    """The run's folder."""
    module: UNet
    """The averaged net in eval mode on the CPU; `save_model` stores it."""
    steps: int
    """Steps done."""
    validation: dict[str, Counts]
    """Scores by set after the last step."""


def train(
    config: TrainConfig, *, on_progress: Callable[[TrainProgress], None], stop_after: int | None = None
) -> TrainResult:
    """Train to the end of `config.steps`, from the folder's checkpoint where there is one.

    A resumed run ends with the same weights, bit for bit, as one that was never stopped (same machine, same
    number of threads). `stop_after` ends early, at a checkpoint, after that many steps in all.
    Raises UsageError ``E_RUN_FOLDER`` where the folder holds a run of another configuration and RunFailed
    ``E_DIVERGED`` where the loss is no longer a number.
    """
    torch.set_num_threads(config.threads)
    _claim_folder(config)
    run = _Run(config)
    last = min(config.steps, stop_after or config.steps)
    validation: dict[str, Counts] = {}
    started_s, losses = monotonic(), []
    for step, batch in run.batches(last):
        losses.append(run.learn(step, batch))
        done = step + 1
        final = done == last
        if final or done % config.validate_every == 0:
            validation = run.validate()
        if final or done % config.checkpoint_every == 0 or done % config.validate_every == 0:
            run.save(done)
            fresh = validation if final or done % config.validate_every == 0 else {}
            progress = TrainProgress(
                done, config.steps, float(np.mean(losses)), run.learning_rate(step), monotonic() - started_s, fresh
            )
            _log(config.run_dir, progress)
            losses = []
            on_progress(progress)
    return TrainResult(config.run_dir, run.averaged(), last, validation or run.validate())


class _Run:
    """The moving parts of a run."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        net = UNet(base_channels=config.base_channels, depth=config.depth)
        if config.initial_model is not None:
            net.load_state_dict(load_model(config.initial_model).module.state_dict())
        self.net = on_device(net, config.device)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.average = WeightAverage(self.net, decay=config.average_decay)
        self.step = 0
        checkpoint = read_checkpoint(config.run_dir)
        if checkpoint is not None:
            self.step = checkpoint.step
            self.net.load_state_dict(checkpoint.net)
            self.average.state = {k: v.to(config.device) for k, v in checkpoint.average.items()}
            self.optimiser.load_state_dict(checkpoint.optimiser)
        self._validation_sets = [(spec, read_split(spec, "val")) for spec in config.sets]
        self._scenes: list[Sample] | None = None
        self._class_weights = torch.tensor(config.class_weights, device=config.device)

    def batches(self, last: int) -> Iterator[tuple[int, Batch]]:
        """(step, batch) from the first step that is not done up to `last`."""
        config = self.config
        how = SamplerConfig(
            config.sets,
            config.seed,
            config.crop_px,
            config.batch,
            config.synthetic_share,
            config.synthetic_scenes,
            config.synthetic_structures,
        )
        return batches(how, first=self.step, last=last, processes=config.crop_processes)

    def learning_rate(self, step: int) -> float:
        warm_up = max(1, round(0.03 * self.config.steps))
        if step < warm_up:
            return self.config.learning_rate * (step + 1) / warm_up
        done = (step - warm_up) / max(1, self.config.steps - warm_up)
        return self.config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + cos(pi * done)))

    def learn(self, step: int, batch: Batch) -> float:
        config = self.config
        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(step)
        labels = torch.from_numpy(batch.labels).to(config.device)
        with torch.autocast(config.device, torch.bfloat16, enabled=config.mixed_precision):
            logits = self.net(normalised(batch.images, device=config.device))
        logits = logits.float()
        loss = marginal_cross_entropy(logits, labels, class_weights=self._class_weights)
        loss = loss + config.dice_weight * marginal_dice(logits, labels)
        value = float(loss.detach())
        if not np.isfinite(value):
            cause = f"the loss must be a number, got {value} at step {step}"
            raise RunFailed("E_DIVERGED", str(config.run_dir), cause, "lower the learning rate and start anew")
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
        self.optimiser.step()
        self.average.update(self.net, step)
        return value

    def averaged(self) -> UNet:
        module = UNet(base_channels=self.config.base_channels, depth=self.config.depth)
        module.load_state_dict(self.average.state)
        return module.eval().requires_grad_(False)

    def validate(self) -> dict[str, Counts]:
        config = self.config
        module = on_device(self.averaged(), config.device)
        how: dict[str, Any] = {"device": config.device, "mixed_precision": config.mixed_precision}
        scores = {spec.name: score_set(module, spec, items, **how) for spec, items in self._validation_sets if items}
        if config.validation_scenes:
            if self._scenes is None:
                rngs = [
                    np.random.default_rng((config.seed, _VALIDATION_STREAM, i)) for i in range(config.validation_scenes)
                ]
                self._scenes = [sample_crop(rng, size_px=config.crop_px) for rng in rngs]
            scenes = score_scenes(module, self._scenes, **how)
            scores |= {f"synthetic {name}": counts for name, counts in scenes.items()}
        return scores

    def save(self, done: int) -> None:
        state = Checkpoint(done, self.net.state_dict(), self.average.state, self.optimiser.state_dict())
        write_checkpoint(self.config.run_dir, state)


def _claim_folder(config: TrainConfig) -> None:
    """Write the configuration, or check that the folder's is the same; what does not change the result may differ."""
    config.run_dir.mkdir(parents=True, exist_ok=True)
    path = config.run_dir / _CONFIG_NAME
    text = json.dumps(asdict(config), indent=2, default=str) + "\n"
    if not path.is_file():
        replace_file(path, text.encode())
        return
    old, new = json.loads(path.read_text()), json.loads(text)
    free = {"run_dir", "threads", "crop_processes", "checkpoint_every", "validate_every", "validation_scenes"}
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key) and key not in free)
    if differing:
        cause = f"the folder must hold a run of the same configuration, got other values of {', '.join(differing)}"
        raise UsageError("E_RUN_FOLDER", str(config.run_dir), cause, "name a new folder, or repeat the old settings")


def _log(run_dir: Path, progress: TrainProgress) -> None:
    """Add a line per report; lines of steps that a resumed run repeats are dropped."""
    path = run_dir / _LOG_NAME
    rows = [
        [
            "step",
            "loss",
            "learning_rate",
            "elapsed_s",
            "set",
            "iou",
            "f1",
            "precision",
            "recall",
            "tolerant_f1",
            "cl_iou",
        ]
    ]
    if path.is_file():
        with path.open(newline="") as file:
            rows += [row for row in list(csv.reader(file))[1:] if int(row[0]) < progress.step]
    head = [str(progress.step), f"{progress.loss:.5f}", f"{progress.learning_rate:.3g}", f"{progress.elapsed_s:.1f}"]
    rows.append([*head, "train", *[""] * 6])
    for name, c in progress.validation.items():
        figures = (c.iou, c.f1, c.precision, c.recall, c.tolerant_f1, c.cl_iou)
        rows.append([*head, name, *(f"{value:.4f}" for value in figures)])
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    replace_file(path, text.getvalue().encode())
