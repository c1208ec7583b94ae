"""Weights by name: safetensors beside a card, checked before a single value is used, nothing executed."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

from segmentation.errors import InputRejected, UsageError
from segmentation.models.card import ModelCard, card_from_json
from segmentation.models.unet import UNet

ARCHITECTURES: Final[Mapping[str, Callable[..., UNet]]] = {"unet": UNet}
"""Constructors by the name that stands in a card."""

WEIGHTS_DIR: Final = Path(__file__).parent / "weights"
"""Where the shipped weights lie."""

_PICKLED_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".torchscript", ".ts"})
_STORED_DTYPES = (torch.float32, torch.float16)
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that passed every check."""

    module: UNet
    """The net in eval mode, float32, on the CPU, without gradients."""
    card: ModelCard
    """Its card."""
    sha256: str
    """Checksum of the weights file, equal to the card's."""


def available_models() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return tuple(sorted(path.stem for path in WEIGHTS_DIR.glob("*.safetensors") if path.with_suffix(".json").is_file()))


def load_model(name_or_path: str) -> LoadedModel:
    """The model of a shipped name, or of the path of a safetensors file with its card beside it.

    Raises UsageError ``E_MODEL_UNKNOWN`` where there is no such model and InputRejected ``E_MODEL`` where it
    must not be used: pickled, damaged, not that of its card, or holding values that no trained net has.
    """
    path = _locate(name_or_path)
    if path.suffix.lower() in _PICKLED_SUFFIXES:
        raise _rejected(
            path, f"weights must be safetensors, got a {path.suffix} file, which can run code when it is read"
        )
    if path.suffix != ".safetensors":
        raise _rejected(path, f"weights must be a .safetensors file, got {path.name!r}")
    card_path = path.with_suffix(".json")
    try:
        content, card = path.read_bytes(), card_from_json(card_path.read_bytes())
    except OSError as error:
        raise _rejected(path, f"the weights and their card {card_path.name} must be readable, got {error}") from error
    except ValueError as error:
        raise _rejected(card_path, f"the card must be a model card, got {_first_lines(error)}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card.sha256:
        raise _rejected(path, f"sha256 must be the card's {card.sha256}, got {sha256}")
    return LoadedModel(_module_from(content, card, path), card, sha256)


def save_model(module: UNet, card: ModelCard, folder: Path) -> ModelCard:
    """Write ``<name>.safetensors`` and ``<name>.json`` and return the card with the checksum filled in.

    Each file is replaced atomically, the weights first: a reader between the two sees a checksum mismatch and
    refuses, never a wrong pair.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items() if not k.endswith(_COUNTER)}
    _check_values(tensors, folder / f"{card.name}.safetensors")
    content = bytes_from_tensors(tensors)
    signed = replace(card, sha256=hashlib.sha256(content).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / f"{card.name}.safetensors", content)
    replace_file(folder / f"{card.name}.json", signed.to_json().encode())
    return signed


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or as it was before, also when the machine stops meanwhile."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _locate(name_or_path: str) -> Path:
    names = available_models()
    if name_or_path in names:
        return WEIGHTS_DIR / f"{name_or_path}.safetensors"
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise UsageError(
        "E_MODEL_UNKNOWN",
        name_or_path,
        f"the model must be one of {', '.join(names) or '(none shipped)'} or the path of a .safetensors file",
        "name one of these, or give the path of weights with their card beside them",
    )


def _module_from(content: bytes, card: ModelCard, path: Path) -> UNet:
    tensors = _tensors_from(content, path)
    if card.architecture not in ARCHITECTURES:
        raise _rejected(path, f"architecture must be one of {', '.join(ARCHITECTURES)}, got {card.architecture!r}")
    build = ARCHITECTURES[card.architecture]
    try:
        with torch.device("meta"):
            blank = build(**card.architecture_kwargs)
    except (TypeError, ValueError) as error:
        raise _rejected(path, f"the architecture must take the card's arguments, got {error}") from error
    if blank.classes != len(card.classes) or blank.in_channels != len(card.mean):
        got = f"{blank.in_channels} channels and {blank.classes} classes"
        raise _rejected(
            path, f"the net must have the card's {len(card.mean)} channels and {len(card.classes)} classes, got {got}"
        )
    _check_shapes(tensors, {k: v for k, v in blank.state_dict().items() if not k.endswith(_COUNTER)}, path)
    _check_values(tensors, path)
    module = build(**card.architecture_kwargs)
    module.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    return module.eval().requires_grad_(False)


def _tensors_from(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return tensors_from_bytes(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _rejected(path, f"the file must be valid safetensors, got {error}") from error


def _check_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise _rejected(
            path, f"the tensors must be those of the architecture, got missing {missing[:3]} and unknown {extra[:3]}"
        )
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            raise _rejected(path, f"{key} must have shape {tuple(expected[key].shape)}, got {tuple(tensor.shape)}")
        if tensor.dtype not in _STORED_DTYPES:
            raise _rejected(path, f"{key} must be float32 or float16, got {tensor.dtype}")


def _check_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise _rejected(path, f"{key} must hold finite numbers, got NaN or infinity")
        if key.endswith("running_var") and bool((tensor < 0).any()):
            raise _rejected(path, f"{key} must be >= 0, got {float(tensor.min())}")
        if key.endswith("weight") and not bool(tensor.any()):
            raise _rejected(path, f"{key} must not be all zero")


def _rejected(path: Path, cause: str) -> InputRejected:
    return InputRejected("E_MODEL", path.name, cause, "use the file as it was published, with its card beside it")


def _first_lines(error: ValueError) -> str:
    return " ".join(str(error).split())[:300]
