"""The state of a training run in one file that is there whole or not at all."""

from dataclasses import dataclass
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


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint atomically."""
    buffer = BytesIO()
    fields = {name: getattr(checkpoint, name) for name in ("step", "net", "average", "optimiser")}
    torch.save(fields, buffer)
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
