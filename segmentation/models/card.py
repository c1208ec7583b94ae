"""What travels with a set of weights: how to feed them, what they were taught, and how well they do."""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, with_config

from segmentation.classes import CLASS_NAMES


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True, slots=True)
class TrainingSet:
    """One source of training data and the terms it came under."""

    name: str
    """Name of the set."""
    licence: str
    """SPDX identifier, or a sentence where there is none."""
    attribution: str
    """The credit that its licence asks for."""
    use: str
    """What of it was used, and how."""


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True, slots=True)
class TestMetric:
    """One figure on one set of images, as measured."""

    __test__ = False

    split: str
    """Data set and split, for instance ``cracks_masonry/test``."""
    metric: str
    """What is measured, for instance ``IoU`` or ``F1 (4 px tolerance)``."""
    value: float
    """The weights' figure."""
    chance: float | None
    """What calling every pixel damaged would get; None where that means nothing."""
    images: int
    """Number of images it was measured on."""
    note: str = ""
    """Scale, what is left out, and other conditions."""


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True, slots=True)
class ModelCard:
    """The card of one set of weights; stored as JSON beside the safetensors file."""

    name: str
    """Name by which the model is asked for."""
    architecture: str
    """Name of the architecture in the registry."""
    architecture_kwargs: dict[str, int | float | str | bool]
    """Arguments of the architecture's constructor."""
    classes: tuple[str, ...]
    """Names of the output channels in order."""
    mean: tuple[float, ...]
    """Per input channel, subtracted from pixel values of 0–255."""
    std: tuple[float, ...]
    """Per input channel, divided by after the subtraction; 0–255 units."""
    gsd_range_m: tuple[float, float]
    """Lowest and highest GSD for which the model is offered, metres per pixel."""
    training_data: tuple[TrainingSet, ...]
    """What it was trained on."""
    licence: str
    """SPDX identifier of the licence of the weights, which is not that of the code."""
    metrics: tuple[TestMetric, ...]
    """Measured figures."""
    notes: tuple[str, ...]
    """Limitations and conditions, one sentence each."""
    sha256: str
    """Checksum of the safetensors file, hex."""
    limits: tuple[str, ...] = ()
    """What every report made with these weights must tell its reader, one sentence each."""

    def __post_init__(self) -> None:
        channels = self.architecture_kwargs.get("in_channels", len(self.mean))
        if not len(self.mean) == len(self.std) == channels:
            raise ValueError(f"mean and std must have {channels} values, got {len(self.mean)} and {len(self.std)}")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be > 0, got {self.std}")
        if self.classes != CLASS_NAMES:
            raise ValueError(f"classes must be {CLASS_NAMES}, got {self.classes}")
        if not 0 < self.gsd_range_m[0] <= self.gsd_range_m[1]:
            raise ValueError(f"gsd_range_m must be 0 < low <= high, got {self.gsd_range_m}")

    def to_json(self) -> str:
        """The card as indented JSON, ending in a line feed."""
        return _CARD.dump_json(self, indent=2).decode() + "\n"

    def as_dict(self) -> dict[str, Any]:
        """The card as plain data, for a manifest."""
        return asdict(self)


_CARD = TypeAdapter(ModelCard)


def card_from_json(text: str | bytes) -> ModelCard:
    """Read a card; raises ValueError that names the field where one is missing, unknown or of a wrong kind."""
    return _CARD.validate_json(text)
