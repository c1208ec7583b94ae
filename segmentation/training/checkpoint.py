"""The state of a training run in one file that is there whole or not at all."""

from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segmentation.errors import InputRejected
from segmentation.models.registry import replace_file

CHECKPOINT_NAME = "checkpoint.pt"
"""Its name in the run folder."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a run needs to go on as if it had never stopped."""

    step: int
    """Steps done."""
    net: dict[str, Tensor]
    """State of the net."""
    average: dict[str, Tensor]
    """State of the averaged net."""
    optimiser: dict[str, Any]
    """State of the optimiser."""
    scaler: dict[str, Any]
    """State of the gradient scaler; empty where none is used."""
    best: dict[str, Tensor]
    """State of the averaged net at its best validation; empty where that is not asked for."""
    best_score: float
    """The score there."""
    validations_since_best: int
    """Validations without a better one since."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The best validation score so far, and how long ago it was."""

    best_score: float
    """Minus infinity before the first validation."""
    validations_since: int
    """Validations without a better one since."""

    def after(self, score: float) -> "Patience":
        """How it stands after a validation; a score that is no number is no better one."""
        return Patience(score, 0) if score > self.best_score else Patience(self.best_score, self.validations_since + 1)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint atomically."""
    buffer = BytesIO()
    torch.save({field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}, buffer)
    replace_file(folder / CHECKPOINT_NAME, buffer.getvalue())


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The folder's checkpoint, or None where there is none; reads tensors and plain data only.

    Raises InputRejected ``E_CHECKPOINT`` where the file is something else.
    """
    path = folder / CHECKPOINT_NAME
    if not path.is_file():
        return None
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        cause = f"the checkpoint must be one that a run wrote, got {type(error).__name__}: {error}"
        raise InputRejected("E_CHECKPOINT", str(path), cause[:300], "remove the file to start anew") from error


class WeightAverage:
    """Exponential moving average of a net's state, normalisation statistics included.

    The decay starts low, so that the first steps are forgotten: min(decay, (1 + step) / (10 + step)).
    After Polyak, Juditsky: "Acceleration of stochastic approximation by averaging" (1992), exponential form.
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self.state = {key: value.detach().clone() for key, value in module.state_dict().items()}
        self._decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the net's state after `step`."""
        new_share = 1 - min(self._decay, (1 + step) / (10 + step))
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, new_share)
            else:
                self.state[key].copy_(value)
