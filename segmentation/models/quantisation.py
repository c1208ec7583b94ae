"""From the registry's weights to an OpenVINO model that takes raw pixels, and to its int8 form by NNCF."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from segmentation.errors import RunFailed
from segmentation.models.compiled import GRAPH_NAME, VALUES_NAME
from segmentation.models.geometry import net_geometry
from segmentation.models.net import fold_batch_norm
from segmentation.models.openvino_extra import openvino_module
from segmentation.models.registry import LoadedModel

Bytes = npt.NDArray[np.uint8]

_CHECKED_LOGITS_ERROR = 1e-2


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to quantise; they are tried in turn until one passes the gate."""

    name: str
    """As the card states it."""
    quantises: bool
    """Whether convolutions run in int8."""
    keeps_first_and_last: bool
    """Whether the first and the last convolution stay in floating point."""
    precision: str
    """Arithmetic of what is not quantised, in OpenVINO's words: bf16 there gains nothing beside int8."""


INT8_RECIPES: Final = (
    Recipe("int8, every convolution", True, False, "f32"),
    Recipe("int8, first and last convolution in float32", True, True, "f32"),
)
"""The fastest first."""
BF16_RECIPE: Final = Recipe("bfloat16", False, False, "bf16")
"""Not quantised: OpenVINO's own kernels in the arithmetic that torch would use."""


class _FromPixels(nn.Module):
    """Normalisation and net in one graph: pixels uint8 ``(N, H, W, C)`` and `known` bool ``(N, H, W)`` → logits."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        self.net = fold_batch_norm(loaded.module)
        self.mean = nn.Buffer(torch.tensor(loaded.card.mean).view(1, -1, 1, 1))
        self.std = nn.Buffer(torch.tensor(loaded.card.std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor, known: Tensor) -> Tensor:
        """Logits ``(N, K, H', W')``."""
        image = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        logits: Tensor = self.net(image * known.unsqueeze(1).float())
        return logits


def openvino_model(loaded: LoadedModel) -> Any:
    """The model in OpenVINO's form, float32, for windows of any valid size.

    Raises RunFailed E_COMPILE where it does not give the logits of torch on a window of another size than the one it
    was traced with: a net whose steps depend on the size cannot be compiled.
    """
    openvino = openvino_module()
    plain = _FromPixels(loaded).eval()
    geometry = net_geometry(loaded.module)
    traced_px, other_px = geometry.valid_window_px(128), geometry.valid_window_px(129 + geometry.alignment_px)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(plain, example_input=_example(traced_px))
    pixels, known = _example(other_px)
    with torch.inference_mode():
        expected = plain(pixels, known).numpy()
    found = openvino.Core().compile_model(model, "CPU", cpu_options("f32", threads=1))([pixels.numpy(), known.numpy()])[
        0
    ]
    if found.shape != expected.shape or np.abs(found - expected).max() > _CHECKED_LOGITS_ERROR:
        raise RunFailed(
            "E_COMPILE",
            loaded.card.name,
            f"the converted net must give the logits of torch within {_CHECKED_LOGITS_ERROR}, got others "
            f"for a window of {other_px} px",
            "use this model with SPANSCAN_RUNTIME=torch",
        )
    return model


def cpu_options(precision: str, *, threads: int) -> dict[str, Any]:
    """How OpenVINO runs a model on the CPU for `threads` callers at once, each on a stream of one thread."""
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,  # the machine is not this process's alone
    }


def prepared(model: Any, crops: Sequence[Bytes], recipe: Recipe) -> Any:
    """`openvino_model` by a recipe; ranges are measured on crops uint8 ``(H, W, C)`` of a valid window size."""
    if not recipe.quantises:
        return model
    nncf = openvino_module("nncf")
    ranges = openvino_module("nncf.quantization.range_estimator").RangeEstimatorParametersSet
    logging.getLogger("nncf").setLevel(logging.ERROR)

    def inputs(crop: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
        return crop[np.newaxis], np.ones((1, *crop.shape[:2]), np.bool_)

    convolutions = [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    kept = [convolutions[0], convolutions[-1]] if recipe.keeps_first_and_last else []
    return nncf.quantize(
        model.clone(),
        nncf.Dataset(crops, inputs),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(crops),
        fast_bias_correction=True,
        # The widest range seen: lowest loss of the ranges tried.
        advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges.MINMAX),
        ignored_scope=nncf.IgnoredScope(names=kept) if kept else None,
    )


def save_openvino(model: Any, folder: Path) -> None:
    """Write graph and values of a model into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    openvino_module().save_model(model, folder / GRAPH_NAME, compress_to_fp16=False)
    if not (folder / VALUES_NAME).is_file():
        raise RunFailed("E_COMPILE", str(folder), f"{VALUES_NAME} must be written, got none", "free some disk space")


def versions() -> dict[str, str]:
    """Versions of the packages that make a compiled model."""
    return {name: version(name) for name in ("openvino", "nncf", "torch")}


def _example(side_px: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(side_px)
    pixels = torch.randint(0, 256, (1, side_px, side_px, 3), dtype=torch.uint8, generator=generator)
    return pixels, torch.rand((1, side_px, side_px), generator=generator) > 0.1
