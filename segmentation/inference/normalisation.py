"""From pixel values to what a net was trained on, in strips that stay in the processor's cache."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_STRIP_VALUES = 1 << 17
"""Values of a strip: half a megabyte in float32."""


class Normalisation:
    """What a net sees, one rule: ``(pixel - mean) / std`` per channel, the mean colour where nothing is known."""

    def __init__(
        self, *, mean: Sequence[float], std: Sequence[float], device: torch.device, dtype: torch.dtype
    ) -> None:
        """`mean` and `std` in units of 0–255, one value a channel; results lie on `device` as `dtype`."""
        self._dtype = dtype
        self._scale = 1.0 / torch.tensor(std, dtype=torch.float32, device=device)
        self._shift = -torch.tensor(mean, dtype=torch.float32, device=device) * self._scale

    def on_cpu(self, pixels: Bytes, known: Flags) -> Tensor:
        """Pixels uint8 ``(N, H, W, C)`` and `known` bool ``(N, H, W)`` → ``(N, C, H, W)``, channels last in memory."""
        count, rows, cols, channels = pixels.shape
        image = torch.empty((count, rows, cols, channels), dtype=self._dtype)
        scale, shift = self._scale.repeat(cols), self._shift.repeat(cols)
        strip_rows = max(1, _STRIP_VALUES // (cols * channels))
        scratch = torch.empty((min(strip_rows, rows), cols * channels), dtype=torch.float32)
        for source, target, flags in zip(_tensor(pixels), image, known, strict=True):
            for row in range(0, rows, strip_rows):
                stop = min(row + strip_rows, rows)
                strip = scratch[: stop - row]
                strip.view(stop - row, cols, channels).copy_(source[row:stop])
                torch.addcmul(shift, strip, scale, out=strip)
                if not flags[row:stop].all():
                    _forget(strip.view(stop - row, cols, channels), flags[row:stop])
                target[row:stop].view(stop - row, cols * channels).copy_(strip)
        return image.permute(0, 3, 1, 2)

    def on_device(self, pixels: Tensor, known: Tensor) -> Tensor:
        """The same from tensors that lie on the device already, in one piece: a card has no cache to stay in."""
        values = torch.addcmul(self._shift, pixels.float(), self._scale)
        return values.mul_(known.unsqueeze(3)).permute(0, 3, 1, 2).to(self._dtype)


def _forget(values: Tensor, known: Flags) -> None:
    """Set `values` ``(H, W, C)`` to 0, the mean colour, where `known` ``(H, W)`` is False, channel by channel."""
    factor = _tensor(known).float()
    for channel in range(values.shape[2]):
        values[..., channel].mul_(factor)


def _tensor(values: npt.NDArray[np.generic]) -> Tensor:
    """A tensor of an array's own memory; a copy where that must not be written to, which torch cannot promise."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())
