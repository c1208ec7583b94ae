"""What decides a training run, and the folder that belongs to one configuration."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from segmentation.errors import UsageError
from segmentation.models.registry import replace_file
from segmentation.training.class_weights import ClassWeighting
from segmentation.training.losses import LossConfig
from segmentation.training.sampling import SamplerConfig
from segmentation.training.schedules import Schedule

CONFIG_NAME: Final = "config.json"
"""Its name in the run folder."""


@dataclass(frozen=True, slots=True)
class NetConfig:
    """Which net is trained, and from what."""

    architecture: str
    """Name in the registry."""
    kwargs: Mapping[str, int | float | str | bool]
    """Arguments of its constructor."""
    initial_model: str | None
    """Name or path of weights to start from; None: random."""
    backbone: str | None
    """Folder or hub id of the pre-trained encoder of a foundation net; None: for every other net."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """All that decides what a run learns; stored as ``config.json`` in its folder."""

    run_dir: Path
    """Folder of the run: configuration, log, curves, checkpoint, model."""
    sampler: SamplerConfig
    """The crops."""
    net: NetConfig
    """The net."""
    loss: LossConfig
    """What is minimised."""
    class_weights: tuple[float, float, float] | ClassWeighting
    """Weights of background, crack and rust in the cross-entropy, or where they come from."""
    highest_class_weight: float
    """Bound of weights that come from frequencies; the commonest class has 1."""
    schedule: Schedule
    """The learning rate."""
    weight_decay: float
    """Decoupled weight decay (AdamW)."""
    steps: int
    """Optimiser steps of the whole run."""
    accumulate: int
    """Batches whose gradients are added up before a step."""
    average_decay: float
    """Decay of the moving average of the weights, which is what is validated and kept."""
    validation_scenes: int
    """Number of synthetic scenes to validate on, painted from seeds that training never draws."""
    validate_every: int
    """Steps between validations."""
    patience: int | None
    """Validations without a better score after which the run ends with its best weights; None: to the end, and the
    last weights are kept."""
    checkpoint_every: int
    """Steps between checkpoints."""
    threads: int
    """Threads of the net on a CPU."""
    crop_processes: int
    """Processes that prepare crops; 0: the training process itself."""
    device: str
    """``cpu`` or ``cuda``."""
    mixed_precision: bool
    """Compute in bfloat16 where that is safe; in float16 with scaled gradients on cards without bfloat16."""
    deterministic: bool
    """Use only operations that give the same bits each time, also on a GPU, where they are slower."""

    def __post_init__(self) -> None:
        counts = {"steps": self.steps, "accumulate": self.accumulate, "validate_every": self.validate_every}
        for name, value in {**counts, "checkpoint_every": self.checkpoint_every}.items():
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be >= 1, got {self.patience}")


_FREE = {"run_dir", "threads", "crop_processes", "checkpoint_every"}
"""What may differ when a run goes on: it does not change what is learned."""
_FREE_WITHOUT_PATIENCE = {"validate_every", "validation_scenes"}


def claim_folder(config: TrainConfig) -> None:
    """Write the configuration, or check that the folder's is the same; what does not change the result may differ.

    Raises UsageError ``E_RUN_FOLDER`` where it is another's.
    """
    config.run_dir.mkdir(parents=True, exist_ok=True)
    path = config.run_dir / CONFIG_NAME
    text = json.dumps(asdict(config), indent=2, default=str) + "\n"
    if not path.is_file():
        replace_file(path, text.encode())
        return
    try:
        old = _flat(json.loads(path.read_text()))
    except (OSError, ValueError, AttributeError) as error:
        raise _not_ours(config, f"a readable {CONFIG_NAME}, got {error}") from error
    new = _flat(json.loads(text))
    free = _FREE if config.patience is not None else _FREE | _FREE_WITHOUT_PATIENCE
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key) and key not in free)
    if differing:
        raise _not_ours(config, f"a run of the same configuration, got other values of {', '.join(differing)}")


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _not_ours(config: TrainConfig, cause: str) -> UsageError:
    remedy = "name a new folder, or repeat the old settings"
    return UsageError("E_RUN_FOLDER", str(config.run_dir), f"the folder must hold {cause}", remedy)
