"""The layers that the U-Net family is put together from."""

from math import gcd
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

NORMALISATIONS: Final = ("batch", "group", "instance", "none")
"""Kinds of normalisation; those of a group or an instance see the whole window."""
UP_SAMPLINGS: Final = ("transposed", "nearest", "bilinear")
"""Ways to double the resolution."""
_MOST_GROUPS = 8


def double_conv(
    in_channels: int, out_channels: int, *, padded: bool, normalisation: str, separable: bool
) -> nn.Sequential:
    """Two 3×3 convolutions, each with normalisation and ReLU; ``(N, C, H, W)``, smaller by 4 where not padded."""
    layers: list[nn.Module] = []
    for source in (in_channels, out_channels):
        layers.append(_conv3(source, out_channels, padded=padded, bias=normalisation == "none", separable=separable))
        if normalisation != "none":
            layers.append(_norm(out_channels, normalisation))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def up_conv(in_channels: int, out_channels: int, *, padded: bool, up_sampling: str) -> nn.Module:
    """Twice the resolution and `out_channels`: a 2×2 transposed convolution, or a 1×1 convolution and interpolation.

    The 1×1 convolution stands before the interpolation, with which it commutes, since it costs a quarter there.
    """
    if up_sampling == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), Doubled(up_sampling, crop=not padded))


class Doubled(nn.Module):
    """``(N, C, H, W)`` → ``(N, C, 2H, 2W)`` by interpolation.

    Bilinear interpolation repeats the outermost values, which is a border effect; with `crop` these are cut off
    (2H - 2, 2W - 2), so that a valid net stays valid.
    """

    def __init__(self, mode: str, *, crop: bool) -> None:
        super().__init__()
        self.mode = mode
        self.crop_px = up_crop_px(mode, padded=not crop)

    def forward(self, x: Tensor) -> Tensor:
        """The maps at twice the resolution."""
        doubled = functional.interpolate(x, scale_factor=2, mode=self.mode)
        return cropped(doubled, doubled.shape[-2] - 2 * self.crop_px, doubled.shape[-1] - 2 * self.crop_px)


def up_crop_px(up_sampling: str, *, padded: bool) -> int:
    """Pixels that up-sampling loses on each side, at the finer resolution."""
    return 1 if up_sampling == "bilinear" and not padded else 0


def cropped(x: Tensor, height: int, width: int) -> Tensor:
    """The middle ``(N, C, height, width)`` of ``(N, C, H, W)``."""
    if tuple(x.shape[-2:]) == (height, width):
        return x
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def _conv3(in_channels: int, out_channels: int, *, padded: bool, bias: bool, separable: bool) -> nn.Module:
    padding = 1 if padded else 0
    if not separable:
        return nn.Conv2d(in_channels, out_channels, 3, padding=padding, bias=bias)
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=padding, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=bias),
    )


def _norm(channels: int, normalisation: str) -> nn.Module:
    if normalisation == "batch":
        return nn.BatchNorm2d(channels)
    if normalisation == "group":
        return nn.GroupNorm(gcd(channels, _MOST_GROUPS), channels)
    return nn.InstanceNorm2d(channels, affine=True)
