"""The model that made the masks, in the words of the STAC extension for machine-learning models (MLM)."""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from segmentation.models.card import ModelCard
from tasks.layers.stac_classes import model_classes, multihash

MODEL_FILE: Final = "stac/model.json"
"""The model's card within the run."""
_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]")
_KEY: Final = re.compile(r"[0-9a-zA-Z_.-]+")
_BANDS: Final = ("red", "green", "blue")
_FRAMEWORKS: Final = {"torch": "PyTorch", "openvino": "OpenVINO"}


def model_properties(card: ModelCard, *, settings: Mapping[str, str | int | float | bool | None]) -> dict[str, Any]:
    """The ``mlm:`` properties of an item; `settings` are those of the run."""
    runtime = str(settings.get("runtime") or "torch")
    hyperparameters = {key: value for key, value in card.architecture_kwargs.items() if _KEY.fullmatch(key)}
    properties: dict[str, Any] = {
        "mlm:name": _name(card),
        "mlm:architecture": card.architecture,
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": _FRAMEWORKS.get(runtime, runtime),
        "mlm:pretrained": True,
        "mlm:pretrained_source": ", ".join(one.name for one in card.training_data) or "not stated",
        "mlm:input": [_input(card, settings)],
        "mlm:output": [_output(card)],
    }
    if hyperparameters:
        properties["mlm:hyperparameters"] = hyperparameters
    if framework_version := _semantic_version(runtime):
        properties["mlm:framework_version"] = framework_version
    return properties


def model_asset(card: ModelCard) -> dict[str, Any]:
    """The asset that defines the model: its card, since the weights are no part of a run's results."""
    return {
        "href": "./model.json",
        "type": "application/json",
        "title": f"Card of the model {card.name}",
        "description": (
            "Architecture, normalisation, training data, licence and measured figures of the weights, whose SHA-256 it "
            "names; the weights themselves are no part of the results"
        ),
        "roles": ["mlm:model", "metadata"],
        "mlm:artifact_type": "spanscan-model-card",
        "raster:bands": [{"name": name, "data_type": "uint8"} for name in _band_names(card)],
        "spanscan:weights_licence": card.licence,
        "spanscan:weights_checksum": multihash(card.sha256),
    }


def _input(card: ModelCard, settings: Mapping[str, str | int | float | bool | None]) -> dict[str, Any]:
    core_px, halo_px = settings.get("tile_core_px"), settings.get("halo_px")
    is_known = isinstance(core_px, int) and isinstance(halo_px, int)
    side_px = core_px + 2 * halo_px if isinstance(core_px, int) and isinstance(halo_px, int) and is_known else -1
    return {
        "name": "tile",
        "description": "Pixel values of 0 to 255, a tile with its halo, normalised per band",
        "bands": [{"name": name} for name in _band_names(card)],
        "input": {
            "shape": [-1, len(card.mean), side_px, side_px],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [
            {"type": "z-score", "mean": mean, "stddev": std} for mean, std in zip(card.mean, card.std, strict=True)
        ],
    }


def _output(card: ModelCard) -> dict[str, Any]:
    return {
        "name": "class scores",
        "tasks": ["semantic-segmentation"],
        "result": {
            "shape": [-1, len(card.classes), -1, -1],
            "dim_order": ["batch", "class", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": model_classes(),
    }


def _band_names(card: ModelCard) -> tuple[str, ...]:
    channels = len(card.mean)
    return _BANDS if channels == len(_BANDS) else tuple(f"band-{number}" for number in range(1, channels + 1))


def _name(card: ModelCard) -> str:
    """The card's name where the extension takes it, else one made of its checksum."""
    return card.name if _NAME.fullmatch(card.name) else f"model-{card.sha256[:12]}"


def _semantic_version(package: str) -> str | None:
    try:
        found = re.match(r"\d+\.\d+\.\d+", version(package))
    except PackageNotFoundError:
        return None
    return found.group() if found else None
