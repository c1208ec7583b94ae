"""The U-Net as published."""

from segmentation.models.unet import UNet


class UNet2015(UNet):
    """The net of figure 1 of Ronneberger, Fischer, Brox: "U-Net", MICCAI 2015.

    Valid 3×3 convolutions without normalisation, 64 channels at the top and 1024 at the bottom, dropout at the end of
    the contracting path: 572×572×1 → 388×388×`classes`, 28×28×1024 at the bottom, 31.0 M parameters.
    `up_sampling` is that of the family: "transposed" is the 2×2 up-convolution; "nearest" gives the same shapes;
    "bilinear" loses one more pixel on each side of each level, since its border values are not valid: 572 → 358.

    >>> UNet2015().margin_px
    92
    """

    def __init__(
        self, *, in_channels: int = 1, classes: int = 2, up_sampling: str = "transposed", dropout: float = 0.5
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            classes=classes,
            base_channels=64,
            depth=4,
            padded=False,
            normalisation="none",
            up_sampling=up_sampling,
            dropout=dropout,
        )

    @property
    def reference_window_px(self) -> int:
        """Side of the published window."""
        return 572
