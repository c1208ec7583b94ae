"""A padded U-Net whose geometry the tile planner can ask for."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class UNet(nn.Module):
    """Encoder–decoder with concatenated skips: ``(N, in_channels, H, W)`` → logits ``(N, classes, H, W)``.

    Two padded 3×3 convolutions per level (batch normalisation, ReLU), 2×2 max-pool down, 2×2 transposed
    convolution up, 1×1 head. H and W must be multiples of `alignment_px`, else ValueError.
    After Ronneberger, Fischer, Brox: "U-Net", MICCAI 2015, with padding so that the size is kept.

    >>> UNet(in_channels=3, classes=3, base_channels=4, depth=2).alignment_px
    4
    """

    def __init__(self, *, in_channels: int = 3, classes: int = 3, base_channels: int = 16, depth: int = 4) -> None:
        super().__init__()
        bounds = {"in_channels": (in_channels, 64), "classes": (classes, 256), "base_channels": (base_channels, 512)}
        for name, (value, highest) in {**bounds, "depth": (depth, 8)}.items():
            if not 1 <= value <= highest:
                raise ValueError(f"{name} must lie in [1, {highest}], got {value}")
        self.in_channels = in_channels
        self.classes = classes
        self.base_channels = base_channels
        self.depth = depth
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(_double_conv(a, b) for a, b in pairwise([in_channels, *widths[:-1]]))
        self.pool = nn.MaxPool2d(2)
        self.bottom = _double_conv(widths[-2], widths[-1])
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(_double_conv(2 * c, c) for c in reversed(widths[:-1]))
        self.head = nn.Conv2d(base_channels, classes, 1)

    @property
    def alignment_px(self) -> int:
        """Tile origins and sizes must be multiples of this, so that pooling cells fall alike in every tile."""
        return int(2**self.depth)

    @property
    def peak_activation_values_per_px(self) -> float:
        """Upper bound of the values alive at once in a forward pass without gradients, per input pixel.

        The fullest moment of a decoder level: its concatenated input (2c) and the copy in its own layout that
        a convolution library may make of it (2c), three maps of c (a convolution's input, its output and the
        normalised output), the coarser map it came from (2c/4), and the skips of the finer levels.
        Against the resident memory of 1024² px on a CPU: 119 measured for 123 said (bf16), 89 for fp32.
        """
        fullest, finer_skips = 0.0, 0.0
        for level in range(self.depth):
            channels_per_px = self.base_channels * 0.5**level
            fullest = max(fullest, finer_skips + 7.5 * channels_per_px)
            finer_skips += channels_per_px
        bottom_channels_per_px = self.base_channels * 0.5**self.depth
        return float(self.in_channels) + max(fullest, finer_skips + 5.5 * bottom_channels_per_px)

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes, H, W)`` of a normalised image ``(N, in_channels, H, W)``."""
        height, width = image.shape[-2:]
        if height % self.alignment_px or width % self.alignment_px:
            raise ValueError(f"height and width must be multiples of {self.alignment_px}, got {height}×{width}")
        skips: list[Tensor] = []
        x = image
        for encode in self.encoder:
            skips.append(encode(x))
            x = self.pool(skips[-1])
        x = self.bottom(x)
        for up, decode in zip(self.ups, self.decoder, strict=True):
            x = decode(torch.cat([skips.pop(), up(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def fold_batch_norm(module: UNet) -> UNet:
    """An equivalent copy in eval mode whose batch normalisations are folded into the convolutions before them.

    The differences are rounding only (below 1e-4 in the logits of a trained net); the input is not changed.
    """
    folded = UNet(
        in_channels=module.in_channels,
        classes=module.classes,
        base_channels=module.base_channels,
        depth=module.depth,
    )
    folded.load_state_dict(module.state_dict())
    folded.eval()
    for block in [*folded.encoder, folded.bottom, *folded.decoder]:
        assert isinstance(block, nn.Sequential)
        for i, (conv, norm) in enumerate(pairwise(list(block))):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[i] = fuse_conv_bn_eval(conv, norm)
                block[i + 1] = nn.Identity()
    return folded


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
