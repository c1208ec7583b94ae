"""One optimiser step: forward, loss, gradients added up over some batches, update, moving average."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from segmentation.errors import RunFailed
from segmentation.models.net import Net
from segmentation.training.arithmetic import Arithmetic
from segmentation.training.checkpoint import WeightAverage
from segmentation.training.class_weights import inverse_frequency
from segmentation.training.labels import UNKNOWN
from segmentation.training.losses import combined_loss
from segmentation.training.net_hooks import LabelLoss, OwnLoss, groups_of
from segmentation.training.run_config import TrainConfig
from segmentation.training.sampling import Batch
from segmentation.training.validation import normalised

_LARGEST_GRADIENT: Final = 2.0
_SEED_STRIDE: Final = 1_000_003


class Learner:
    """A net with its optimiser; a step depends on the state, the step's number and its batches alone."""

    def __init__(self, net: Net, config: TrainConfig, arithmetic: Arithmetic) -> None:
        self.net = net
        self._config = config
        self._arithmetic = arithmetic
        groups = groups_of(net)
        self._factors = [group.get("learning_rate_factor", 1.0) for group in groups]
        self.optimiser = torch.optim.AdamW(
            [{"params": list(g["params"]), "weight_decay": g.get("weight_decay", config.weight_decay)} for g in groups],
            lr=config.schedule.highest,
        )
        self._trained = [parameter for group in groups for parameter in group["params"]]
        self.scaler = torch.amp.GradScaler(arithmetic.device, enabled=arithmetic.scales_gradients)
        self.average = WeightAverage(net, decay=config.average_decay)
        self._weights = _fixed_weights(config)

    def learning_rate(self, step: int) -> float:
        """The run's learning rate at a step; groups of the net may have a factor of it."""
        return self._config.schedule.learning_rate(step, steps=self._config.steps)

    def learn(self, step: int, parts: Sequence[Batch]) -> float:
        """Do one step on the sum of its batches' gradients; the mean loss.

        Raises RunFailed ``E_DIVERGED`` where the loss is no number.
        """
        self.net.train()
        self.optimiser.zero_grad(set_to_none=True)
        losses = [self._gradients_of(batch, step * len(parts) + i, len(parts)) for i, batch in enumerate(parts)]
        value = float(torch.stack(losses).mean())
        if not np.isfinite(value):
            cause = f"the loss must be a number, got {value} at step {step}"
            remedy = "lower the learning rate and start anew"
            raise RunFailed("E_DIVERGED", str(self._config.run_dir), cause, remedy)
        for group, factor in zip(self.optimiser.param_groups, self._factors, strict=True):
            group["lr"] = factor * self.learning_rate(step)
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self._trained, _LARGEST_GRADIENT)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.average.update(self.net, step)
        return value

    def _gradients_of(self, batch: Batch, number: int, parts: int) -> Tensor:
        # a resumed run must drop out what the first would have
        torch.manual_seed((self._config.sampler.seed * _SEED_STRIDE + number) % 2**63)
        device = self._config.device
        labels = torch.from_numpy(batch.labels)
        targets: Mapping[str, Tensor] = {}
        if isinstance(self.net, OwnLoss):
            targets = {key: value.to(device) for key, value in self.net.training_targets(labels).items()}
        images, labels = normalised(batch.images, device=device), labels.to(device)
        label_loss = self._label_loss(batch)
        with self._arithmetic.autocast():
            if isinstance(self.net, OwnLoss):
                loss = self.net.training_loss(images, labels, targets, label_loss=label_loss)
            else:
                loss = label_loss(self.net(images), labels & UNKNOWN)
        torch.autograd.backward(self.scaler.scale(loss / parts))
        return loss.detach()

    def _label_loss(self, batch: Batch) -> LabelLoss:
        weights = self._weights
        if weights is None:
            weights = inverse_frequency(batch.class_counts, highest=self._config.highest_class_weight)
        class_weights = torch.from_numpy(weights).to(self._config.device)

        def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
            with torch.autocast(self._arithmetic.device, enabled=False):
                return combined_loss(logits, labels, config=self._config.loss, class_weights=class_weights)

        return label_loss


def _fixed_weights(config: TrainConfig) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """Weights ``(C,)`` that hold for the whole run; None where each crop has its own."""
    if config.class_weights == "crop":
        return None
    if config.class_weights == "data-set":
        return inverse_frequency(config.sampler.sampler().class_shares(), highest=config.highest_class_weight)
    return np.array(config.class_weights, np.float32)
