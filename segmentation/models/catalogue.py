"""Which weights there are and what their cards say; imports nothing of torch, so that a question costs no second."""

from pathlib import Path
from typing import Final

from segmentation.errors import InputRejected, UsageError
from segmentation.models.card import ModelCard, card_from_json

WEIGHTS_DIR: Final = Path(__file__).parent / "weights"
"""Where the shipped weights lie."""

_PICKLED_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".torchscript", ".ts"})


def available_models() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return tuple(sorted(path.stem for path in WEIGHTS_DIR.glob("*.safetensors") if path.with_suffix(".json").is_file()))


def card_of(name_or_path: str) -> ModelCard:
    """The card of a shipped name, or of the path of a safetensors file; the weights themselves are not read.

    Raises as `segmentation.models.registry.load_model` does for what can be told without the weights.
    """
    return read_card(locate(name_or_path))


def locate(name_or_path: str) -> Path:
    """The safetensors file of a name or path; UsageError ``E_MODEL_UNKNOWN`` or InputRejected ``E_MODEL`` if none."""
    names = available_models()
    if name_or_path in names:
        return WEIGHTS_DIR / f"{name_or_path}.safetensors"
    path = Path(name_or_path)
    if not path.is_file():
        raise UsageError(
            "E_MODEL_UNKNOWN",
            name_or_path,
            f"the model must be one of {', '.join(names) or '(none shipped)'} or the path of a .safetensors file",
            "name one of these, or give the path of weights with their card beside them",
        )
    if path.suffix.lower() in _PICKLED_SUFFIXES:
        raise model_rejected(
            path, f"weights must be safetensors, got a {path.suffix} file, which can run code when it is read"
        )
    if path.suffix != ".safetensors":
        raise model_rejected(path, f"weights must be a .safetensors file, got {path.name!r}")
    return path


def read_card(path: Path) -> ModelCard:
    """The card beside a safetensors file; raises InputRejected ``E_MODEL`` where there is none that can be."""
    card_path = path.with_suffix(".json")
    try:
        return card_from_json(card_path.read_bytes())
    except OSError as error:
        raise model_rejected(path, f"its card {card_path.name} must be readable, got {error}") from error
    except ValueError as error:
        raise model_rejected(card_path, f"the card must be a model card, got {_in_one_line(error)}") from error


def model_rejected(path: Path, cause: str) -> InputRejected:
    """The refusal of a model."""
    return InputRejected("E_MODEL", path.name, cause, "use the file as it was published, with its card beside it")


def _in_one_line(error: ValueError) -> str:
    return " ".join(str(error).split())[:300]
