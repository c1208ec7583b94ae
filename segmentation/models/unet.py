"""The U-Net family: one encoder–decoder with skips, and what of it can be chosen."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from segmentation.models.layers import NORMALISATIONS, UP_SAMPLINGS, cropped, double_conv, up_conv, up_crop_px
from segmentation.models.net import Net

_FOLDS = (1, 2)


class UNet(Net):
    """Encoder–decoder with concatenated skips: ``(N, in_channels, H, W)`` → logits ``(N, classes, H', W')``.

    Two 3×3 convolutions per level (normalisation, ReLU), 2×2 max-pool down, twice the resolution up, 1×1 head.
    `padded` keeps the size (H' = H); else H' = H - 2·`margin_px`, and skips are cropped to what is left.
    `fold_px` = 2 takes 2×2 pixels into the channels of one before the encoder and spreads them again behind the
    head (space to depth), which makes full resolution cheap. `dropout` acts behind the two coarsest levels, in
    training only. Group and instance normalisation take mean and variance of the whole window, which no halo holds:
    `bounded_field` is False and tiles are blended; batch normalisation has fixed ones and stays exact.
    Raises ValueError for arguments out of range and for windows that do not suit (`check_window`).
    After Ronneberger, Fischer, Brox: "U-Net", MICCAI 2015.

    >>> UNet(in_channels=3, classes=3, base_channels=4, depth=2).alignment_px
    4
    >>> UNet(base_channels=4, depth=3, fold_px=2).alignment_px
    16
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        classes: int = 3,
        base_channels: int = 16,
        depth: int = 4,
        fold_px: int = 1,
        padded: bool = True,
        normalisation: str = "batch",
        up_sampling: str = "transposed",
        separable: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = {"in_channels": (in_channels, 64), "classes": (classes, 256), "base_channels": (base_channels, 512)}
        _check_sizes({**sizes, "depth": (depth, 8)})
        _check_choice("fold_px", fold_px, _FOLDS)
        _check_choice("padded", padded, (True, False))
        _check_choice("normalisation", normalisation, NORMALISATIONS)
        _check_choice("up_sampling", up_sampling, UP_SAMPLINGS)
        _check_choice("separable", separable, (True, False))
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.in_channels, self.classes, self.base_channels, self.depth = in_channels, classes, base_channels, depth
        self.fold_px, self.padded, self.normalisation, self.up_sampling = fold_px, padded, normalisation, up_sampling
        self.separable = separable

        def level(source: int, target: int) -> nn.Sequential:
            return double_conv(source, target, padded=padded, normalisation=normalisation, separable=separable)

        widths = [base_channels * 2**i for i in range(depth + 1)]
        finest_first, coarsest_first = widths[:-1], widths[-2::-1]
        self.encoder = nn.ModuleList(level(a, b) for a, b in pairwise([in_channels * fold_px**2, *finest_first]))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.bottom = level(widths[-2], widths[-1])
        self.ups = nn.ModuleList(up_conv(2 * c, c, padded=padded, up_sampling=up_sampling) for c in coarsest_first)
        self.decoder = nn.ModuleList(level(2 * c, c) for c in coarsest_first)
        self.head = nn.Conv2d(base_channels, classes * fold_px**2, 1)

    @property
    def alignment_px(self) -> int:
        """Tile origins must be multiples of this, so that pooling cells fall alike in every tile."""
        return int(self.fold_px * 2**self.depth)

    @property
    def margin_px(self) -> int:
        """Pixels lost on each side: 0 padded, 92 for four valid levels.

        Two valid convolutions lose 2 px of their own level; the bottom's count 2^depth, the others' twice.
        """
        if self.padded:
            return 0
        crop_px = up_crop_px(self.up_sampling, padded=False)
        lost_px = 2 * 2**self.depth + sum((4 + crop_px) * 2**level for level in range(self.depth))
        return int(self.fold_px * lost_px)

    @property
    def window_residue_px(self) -> int:
        """Remainder of valid windows modulo `alignment_px`, so that every map that is pooled has even sides."""
        return 0 if self.padded else self.fold_px * (-4 % 2**self.depth)

    @property
    def bounded_field(self) -> bool:
        """False with group or instance normalisation, whose mean and variance are those of the whole window."""
        return self.normalisation in ("batch", "none")

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes, H', W')`` of a normalised image ``(N, in_channels, H, W)``."""
        self.check_window(*image.shape[-2:])
        x = image
        if self.fold_px > 1:
            x = functional.pixel_unshuffle(x, self.fold_px).contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for i, encode in enumerate(self.encoder):
            x = encode(x)
            skips.append(self.dropout(x) if i == self.depth - 1 else x)
            x = self.pool(skips[-1])
        x = self.dropout(self.bottom(x))
        for up, decode in zip(self.ups, self.decoder, strict=True):
            x = decode(_joined(skips.pop(), up(x)))
        logits: Tensor = self.head(x)
        return functional.pixel_shuffle(logits, self.fold_px) if self.fold_px > 1 else logits


def _joined(skip: Tensor, below: Tensor) -> Tensor:
    """Crop-and-concatenate: the skip's middle before what comes from below."""
    return torch.cat([cropped(skip, below.shape[-2], below.shape[-1]), below], dim=1)


def _check_sizes(sizes: Mapping[str, tuple[object, int]]) -> None:
    for name, (value, highest) in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= highest:
            raise ValueError(f"{name} must lie in [1, {highest}] and be whole, got {value!r}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")
