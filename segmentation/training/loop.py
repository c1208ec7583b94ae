"""The training loop: one run folder, resumable after any stop, reproducible from its configuration.

Any net of the registry is trained. A net may bring its own loss (`training_targets` and `training_loss`) and its
own parameter groups (`parameter_groups`, with frozen parts and factors of the learning rate): the protocols and
their exact signatures stand in `segmentation.training.net_hooks`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
import torch

from segmentation.models.net import Net
from segmentation.synthetic.crops import Sample, sample_crop
from segmentation.training.arithmetic import arithmetic_of, repeatable
from segmentation.training.checkpoint import Checkpoint, Patience, read_checkpoint, write_checkpoint
from segmentation.training.datasets import read_split
from segmentation.training.learner import Learner
from segmentation.training.learning_curves import TrainProgress, add_to_log, draw_curves
from segmentation.training.metrics import Counts
from segmentation.training.nets import blank_net, initial_net, released
from segmentation.training.prefetch import batches
from segmentation.training.run_config import TrainConfig, claim_folder
from segmentation.training.sampling import Batch
from segmentation.training.validation import on_device, score_scenes, score_set

_VALIDATION_STREAM: Final = 3


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a finished run leaves."""

    run_dir: Path
    """The run's folder."""
    module: Net
    """The averaged net as it is stored, in eval mode on the CPU: of the last step, or of the best validation where
    the run has a patience."""
    architecture_kwargs: dict[str, int | float | str | bool]
    """Arguments that rebuild it."""
    steps: int
    """Steps done."""
    validation: dict[str, Counts]
    """Scores of `module` by set."""


def train(
    config: TrainConfig,
    *,
    on_progress: Callable[[TrainProgress], None],
    on_step: Callable[[int, float], None],
    stop_after: int | None = None,
) -> TrainResult:
    """Train to the end of `config.steps`, from the folder's checkpoint where there is one.

    A resumed run ends with the same weights, bit for bit, as one that was never stopped (same machine, same
    number of threads; on a GPU with `config.deterministic`). `on_step` is told steps done and loss, `on_progress`
    every checkpoint and validation. `stop_after` ends early, at a checkpoint, after that many steps in all.
    Raises UsageError ``E_RUN_FOLDER`` where the folder holds a run of another configuration, ``E_ARCHITECTURE``
    where the net cannot be built, ``E_DETERMINISTIC`` where it cannot be trained so, and RunFailed ``E_DIVERGED``
    where the loss is no longer a number.
    """
    torch.set_num_threads(config.threads)
    claim_folder(config)
    with repeatable(enabled=config.deterministic):
        run = _Run(config)
        last = min(config.steps, stop_after or config.steps)
        started_s, losses = monotonic(), []
        for step, parts in run.batches(last):
            losses.append(run.learner.learn(step, parts))
            done = step + 1
            on_step(done, losses[-1])
            run.step, final = done, done == last
            validates = final or done % config.validate_every == 0
            validation = run.judge() if validates else {}
            if validates or done % config.checkpoint_every == 0:
                run.save()
                rate = run.learner.learning_rate(step)
                elapsed_s = monotonic() - started_s
                progress = TrainProgress(done, config.steps, float(np.mean(losses)), rate, elapsed_s, validation)
                add_to_log(config.run_dir, progress)
                losses = []
                on_progress(progress)
            if validates:
                draw_curves(config.run_dir)
            if run.out_of_patience:
                break
        return run.result()


class _Run:
    """The moving parts of a run."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        torch.manual_seed(config.sampler.seed)
        checkpoint = read_checkpoint(config.run_dir)
        net = on_device(blank_net(config.net) if checkpoint else initial_net(config.net), config.device)
        if checkpoint is not None:
            net.load_state_dict(checkpoint.net)
        self.learner = Learner(net, config, arithmetic_of(config.device, mixed_precision=config.mixed_precision))
        self.average = self.learner.average
        self.step, self.patience = 0, Patience(float("-inf"), 0)
        self._best: dict[str, torch.Tensor] = {}
        self._scores: tuple[int, dict[str, Counts]] = (-1, {})
        if checkpoint is not None:
            self._restore(checkpoint)
        self._validation_sets = [(spec, read_split(spec, "val")) for spec in config.sampler.sets]
        self._scenes: list[Sample] | None = None

    def batches(self, last: int) -> Iterator[tuple[int, list[Batch]]]:
        """(step, its batches) from the first step that is not done up to `last`; none where the run is over."""
        if self.out_of_patience:
            return
        config, parts = self.config, []
        every = config.accumulate
        for number, batch in batches(
            config.sampler, first=self.step * every, last=last * every, processes=config.crop_processes
        ):
            parts.append(batch)
            if len(parts) == every:
                yield number // every, parts
                parts = []

    @property
    def out_of_patience(self) -> bool:
        """Whether the validations have not become better for too long."""
        return self.config.patience is not None and self.patience.validations_since >= self.config.patience

    def judge(self) -> dict[str, Counts]:
        """Score the averaged net and note whether it is the best so far."""
        scores = self._validate(self.average.state)
        self._scores = (self.step, scores)
        if self.config.patience is not None:
            self.patience = self.patience.after(overall_score(scores))
            if self.patience.validations_since == 0:
                self._best = {key: value.detach().clone() for key, value in self.average.state.items()}
        return scores

    def result(self) -> TrainResult:
        """What the run leaves; scored anew where the kept weights are not those that were scored last."""
        kept = self._best or self.average.state
        scored_at, scores = self._scores
        if scored_at != self.step or self.patience.validations_since > 0:
            scores = self._validate(kept)
        module, kwargs = released(self._net_with(kept), self.config.net)
        return TrainResult(self.config.run_dir, module, kwargs, self.step, scores)

    def save(self) -> None:
        """Write the checkpoint of the steps done."""
        learner = self.learner
        state = Checkpoint(
            self.step, learner.net.state_dict(), self.average.state, learner.optimiser.state_dict(),
            learner.scaler.state_dict(), self._best, self.patience.best_score, self.patience.validations_since,
        )  # fmt: skip
        write_checkpoint(self.config.run_dir, state)

    def _restore(self, checkpoint: Checkpoint) -> None:
        device = self.config.device
        self.step = checkpoint.step
        self.average.state = {key: value.to(device) for key, value in checkpoint.average.items()}
        self.learner.optimiser.load_state_dict(checkpoint.optimiser)
        if checkpoint.scaler:
            self.learner.scaler.load_state_dict(checkpoint.scaler)
        self._best = {key: value.to(device) for key, value in checkpoint.best.items()}
        self.patience = Patience(checkpoint.best_score, checkpoint.validations_since_best)

    def _net_with(self, state: dict[str, torch.Tensor]) -> Net:
        net = blank_net(self.config.net)
        net.load_state_dict(state)
        return net.eval().requires_grad_(False)

    def _validate(self, state: dict[str, torch.Tensor]) -> dict[str, Counts]:
        config = self.config
        module, device = on_device(self._net_with(state), config.device), config.device
        mixed = config.mixed_precision
        scores = {
            spec.name: score_set(module, spec, items, device=device, mixed_precision=mixed)
            for spec, items in self._validation_sets
            if items
        }
        if config.validation_scenes:
            scenes = score_scenes(module, self._validation_scenes(), device=device, mixed_precision=mixed)
            scores |= {f"synthetic {name}": counts for name, counts in scenes.items()}
        return scores

    def _validation_scenes(self) -> list[Sample]:
        if self._scenes is None:
            seeds = [(self.config.sampler.seed, _VALIDATION_STREAM, i) for i in range(self.config.validation_scenes)]
            side_px = self.config.sampler.crop_px
            self._scenes = [sample_crop(np.random.default_rng(seed), size_px=side_px) for seed in seeds]
        return self._scenes


def overall_score(scores: dict[str, Counts]) -> float:
    """Mean over sets of the better of IoU and tolerant F1 (lines are drawn, not measured); NaN without damage."""
    figures = [np.nanmax([c.iou, c.tolerant_f1]) for c in scores.values() if c.true_positive + c.false_negative > 0]
    return float(np.mean(figures)) if figures else float("nan")
