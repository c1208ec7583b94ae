"""A model in OpenVINO's form as it lies in its folder: checksums, the weights it was made of, the gate it passed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Final

from pydantic import ConfigDict, TypeAdapter, with_config

from segmentation.errors import InputRejected
from segmentation.models.registry import LoadedModel, replace_file

CARD_NAME: Final = "card.json"
GRAPH_NAME: Final = "model.xml"
VALUES_NAME: Final = "model.bin"
MOST_LOSS: Final = 0.005
"""F1 and IoU that a compiled model may lose against the plain float32 one on any evaluation set."""


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True, slots=True)
class GateFigure:
    """One score on one evaluation set, by the plain model and by the compiled one."""

    split: str
    """The evaluation set."""
    class_name: str
    """crack or rust."""
    metric: str
    """F1 or IoU."""
    plain: float
    """The score of the weights in torch, float32."""
    compiled: float
    """The score of the compiled model."""
    images: int
    """Images it was measured on."""

    @property
    def loss(self) -> float:
        """What compiling costs; negative where the compiled model scores higher."""
        return self.plain - self.compiled


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True, slots=True)
class CompiledCard:
    """The card of a compiled model; stored as JSON beside it."""

    name: str
    """Name of the model it was made of."""
    source_sha256: str
    """Checksum of that model's safetensors file."""
    recipe: str
    """How it was made: the quantisation in words."""
    precision: str
    """Arithmetic of what is not quantised, in OpenVINO's words: f32 or bf16."""
    calibration: str
    """What the ranges of its values were measured on."""
    files: dict[str, str]
    """sha256 of each file, by its name."""
    most_loss: float
    """F1 and IoU that it was allowed to lose."""
    gate: tuple[GateFigure, ...]
    """What it scored."""
    differing_share: float
    """Share of all gated pixels whose class is not that of the plain model."""
    versions: dict[str, str]
    """Packages that made it."""

    @property
    def worst_loss(self) -> float:
        """The largest loss of the gate."""
        return max(figure.loss for figure in self.gate)


_CARD = TypeAdapter(CompiledCard)


def too_costly(gate: Sequence[GateFigure], *, most_loss: float) -> list[GateFigure]:
    """The figures that forbid a compiled model, the worst first.

    >>> too_costly([GateFigure("a", "crack", "F1", 0.80, 0.796, 9)], most_loss=0.005)
    []
    """
    bad = [figure for figure in gate if isnan(figure.loss) or figure.loss > most_loss]
    return sorted(bad, key=lambda figure: -figure.loss)


def write_card(folder: Path, card: CompiledCard) -> None:
    """Write the card, last of all files: a folder without it is no compiled model."""
    replace_file(folder / CARD_NAME, _CARD.dump_json(card, indent=2) + b"\n")


def read_compiled(folder: Path, loaded: LoadedModel, *, gated: bool) -> CompiledCard:
    """The card of a compiled model of `loaded`, every file checked.

    Raises InputRejected E_COMPILED where a file is missing or damaged, where it was made of other weights, or, if
    `gated`, where its own figures do not say that it lost little enough.
    """
    try:
        card = _CARD.validate_json((folder / CARD_NAME).read_bytes())
    except OSError as error:
        raise _rejected(folder, f"a compiled model of {loaded.card.name} must lie there, got {error}") from error
    except ValueError as error:
        raise _rejected(folder, f"{CARD_NAME} must be a card of a compiled model, got {_short(error)}") from error
    if card.source_sha256 != loaded.sha256:
        raise _rejected(
            folder,
            f"it must be made of the weights {loaded.sha256[:12]} ({loaded.card.name}), "
            f"got one of {card.source_sha256[:12]} ({card.name})",
        )
    for name in (GRAPH_NAME, VALUES_NAME):
        if (sha256 := file_sha256(folder / name)) != card.files.get(name):
            raise _rejected(folder, f"sha256 of {name} must be the card's {card.files.get(name)}, got {sha256}")
    if gated and (not card.gate or too_costly(card.gate, most_loss=MOST_LOSS)):
        raise _rejected(folder, f"its gate must show a loss of at most {MOST_LOSS}, got another")
    return card


def file_sha256(path: Path) -> str | None:
    """Checksum of a file, None where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _rejected(folder: Path, cause: str) -> InputRejected:
    remedy = "make it with `spanscan compile-model`, or set SPANSCAN_RUNTIME=torch"
    return InputRejected("E_COMPILED", str(folder), cause, remedy)


def _short(error: ValueError) -> str:
    return " ".join(str(error).split())[:300]
