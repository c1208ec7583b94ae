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

from segmentation.models.card import ModelCard
from segmentation.models.catalogue import locate, model_rejected, read_card
from segmentation.models.foundation import FoundationUNet
from segmentation.models.fusion import FusionNet
from segmentation.models.net import Net
from segmentation.models.unet import UNet
from segmentation.models.unet_2015 import UNet2015

# A net whose libraries are slow to import, or an extra, gets a function that imports it when it is built.
ARCHITECTURES: Final[Mapping[str, Callable[..., Net]]] = {
    "unet": UNet,
    "unet-2015": UNet2015,
    "fusion": FusionNet,
    "foundation": FoundationUNet,
}
"""Constructors by the name that stands in a card."""

_STORED_DTYPES = (torch.float32, torch.float16)
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that passed every check."""

    module: Net
    """The net in eval mode, float32, on the CPU, without gradients."""
    card: ModelCard
    """Its card."""
    sha256: str
    """Checksum of the weights file, equal to the card's."""


def load_model(name_or_path: str) -> LoadedModel:
    """The model of a shipped name, or of the path of a safetensors file with its card beside it.

    Raises UsageError ``E_MODEL_UNKNOWN`` where there is no such model and InputRejected ``E_MODEL`` where it
    must not be used: pickled, damaged, not that of its card, or holding values that no trained net has.
    """
    path = locate(name_or_path)
    card = read_card(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise model_rejected(path, f"the weights must be readable, got {error}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card.sha256:
        raise model_rejected(path, f"sha256 must be the card's {card.sha256}, got {sha256}")
    return LoadedModel(_module_from(content, card, path), card, sha256)


def save_model(module: Net, card: ModelCard, folder: Path) -> ModelCard:
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


def _module_from(content: bytes, card: ModelCard, path: Path) -> Net:
    tensors = _tensors_from(content, path)
    if card.architecture not in ARCHITECTURES:
        raise model_rejected(path, f"architecture must be one of {', '.join(ARCHITECTURES)}, got {card.architecture!r}")
    build = ARCHITECTURES[card.architecture]
    try:
        with torch.device("meta"):
            blank = build(**card.architecture_kwargs)
    except (TypeError, ValueError) as error:
        raise model_rejected(path, f"the architecture must take the card's arguments, got {error}") from error
    if blank.classes != len(card.classes) or blank.in_channels != len(card.mean):
        got = f"{blank.in_channels} channels and {blank.classes} classes"
        raise model_rejected(
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
        raise model_rejected(path, f"the file must be valid safetensors, got {error}") from error


def _check_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise model_rejected(
            path, f"the tensors must be those of the architecture, got missing {missing[:3]} and unknown {extra[:3]}"
        )
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            raise model_rejected(path, f"{key} must have shape {tuple(expected[key].shape)}, got {tuple(tensor.shape)}")
        if tensor.dtype not in _STORED_DTYPES:
            raise model_rejected(path, f"{key} must be float32 or float16, got {tensor.dtype}")


def _check_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise model_rejected(path, f"{key} must hold finite numbers, got NaN or infinity")
        if key.endswith("running_var") and bool((tensor < 0).any()):
            raise model_rejected(path, f"{key} must be >= 0, got {float(tensor.min())}")
        if key.endswith("weight") and not bool(tensor.any()):
            raise model_rejected(path, f"{key} must not be all zero")
