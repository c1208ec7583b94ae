"""The nets of the benchmarks: the shipped one, one that is a single convolution, and any file of weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from segmentation.models import registry
from segmentation.models.net import Net, fold_batch_norm
from segmentation.models.registry import LoadedModel, load_model, save_model

SHIPPED, ONE_CONV = "shipped", "one-conv"
_SHIPPED_MODEL = "spanscan-unet"
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class OneConvolution(Net):
    """One 3×3 convolution ``(N, 3, H, W)`` → ``(N, 3, H, W)``: what remains of a run's cost is the engine's own."""

    def __init__(self, *, in_channels: int = 3, classes: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.classes = classes
        self.head = nn.Conv2d(in_channels, classes, 3, padding=1)

    @property
    def alignment_px(self) -> int:
        """That of a net of four levels, so that tiles are as in real runs."""
        return 16

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a normalised image."""
        logits: Tensor = self.head(image)
        return logits


def model_of(net: str, cache: Path) -> str:
    """The name or path by which the engine loads a net: ``shipped``, ``one-conv``, or a path, which is given back."""
    if net == SHIPPED:
        return _SHIPPED_MODEL
    if net != ONE_CONV:
        return net
    register_one_convolution()
    path = cache / f"{ONE_CONV}.safetensors"
    if not path.is_file():
        torch.manual_seed(1)
        card = replace(
            load_model(_SHIPPED_MODEL).card,
            name=ONE_CONV,
            architecture=ONE_CONV,
            architecture_kwargs={},
            metrics=(),
            notes=("Random weights for benchmarks.",),
            sha256="",
        )
        save_model(OneConvolution(), card, cache)
    return str(path)


def register_one_convolution() -> None:
    """Make the registry of this process know the benchmark's net."""
    cast(dict[str, Any], registry.ARCHITECTURES)[ONE_CONV] = OneConvolution


def prepared(loaded: LoadedModel, *, device: str, precision: str) -> nn.Module:
    """The net as fast as torch alone runs it: batch-norm folded, channels last, in its precision, on its device."""
    module = fold_batch_norm(loaded.module).to(device=torch.device(device), dtype=DTYPES[precision])
    return module.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


class Classifier:
    """Pixels ``(N, 3, H, W)`` uint8 → class ids ``(N, H, W)`` uint8: what a peer's pattern calls on each window."""

    def __init__(self, loaded: LoadedModel, *, device: str, precision: str) -> None:
        self.net = prepared(loaded, device=device, precision=precision)
        self._dtype = DTYPES[precision]
        self._device = torch.device(device)
        self._alignment_px = loaded.module.alignment_px
        self._mean = torch.tensor(loaded.card.mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(loaded.card.std, device=device).view(1, -1, 1, 1)

    @torch.inference_mode()
    def normalise(self, pixels: Tensor) -> Tensor:
        """What the net takes, its sides rounded up to the net's alignment by repeating the last pixels."""
        height, width = pixels.shape[-2:]
        batch = (pixels.to(self._device).float() - self._mean) / self._std
        missing = [-extent % self._alignment_px for extent in (height, width)]
        if any(missing):
            batch = nn.functional.pad(batch, (0, missing[1], 0, missing[0]), mode="replicate")
        return batch.to(self._dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Class ids of pixels."""
        height, width = pixels.shape[-2:]
        logits: Tensor = self.net(self.normalise(pixels))
        return logits[..., :height, :width].argmax(dim=1).to(torch.uint8)
