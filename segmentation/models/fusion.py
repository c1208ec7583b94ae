"""Objects and the borders between them, learned by two nets and joined by a third: touching patches come apart."""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segmentation.classes import PixelClass
from segmentation.models.layers import double_conv
from segmentation.models.net import Net
from segmentation.models.unet import UNet
from segmentation.training.borders import BORDER_BIT, PEAK_WEIGHT, SIGMA_PX, border_weights
from segmentation.training.labels import UNKNOWN, only

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segmentation.training.net_hooks import LabelLoss

SEPARATED: Final = PixelClass.RUST
"""The class whose touching instances are told apart."""
_SCALES = (1, 2, 4)


class FusionParts(NamedTuple):
    """What the three nets say of an image, all as logits at full size."""

    objects: Tensor
    """Of the object net: ``(N, classes, H, W)``."""
    borders: Tensor
    """Of the border net: ``(N, 1, H, W)``."""
    fused: Tensor
    """Of the third net: ``(N, classes + 1, H, W)``, the last one for "border inside the separated class"."""


class FusionNet(Net):
    """``(N, in_channels, H, W)`` → logits ``(N, classes, H, W)`` from an object net, a border net and a third on top.

    The object U-Net learns the classes, the border U-Net the ribbons between touching patches of `SEPARATED`; the
    third net takes both answers and gives classes + 1 exclusive scores, of which the last is "border". With
    `border_scale` 2 or 4 the border net sees the window at a half or a quarter of the resolution: as many layers
    then reach two or four times as far, at a quarter or a sixteenth of the cost.

    `forward` gives the product's classes. A border lies inside damage, so with `cut_borders` = False its
    probability is added to that of `SEPARATED` and areas are whole; with True it is added to the background:
    touching patches are then separate components of the mask, each smaller by half the ribbon where they touch.
    After Ronneberger, Fischer, Brox: "U-Net", MICCAI 2015, for the borders as a class of their own weight.

    >>> FusionNet(base_channels=4, depth=2, border_channels=4, border_depth=2, border_scale=4).alignment_px
    16
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        classes: int = 3,
        base_channels: int = 16,
        depth: int = 4,
        border_channels: int = 8,
        border_depth: int = 3,
        border_scale: int = 1,
        fusion_channels: int = 8,
        cut_borders: bool = False,
    ) -> None:
        super().__init__()
        if border_scale not in _SCALES:
            raise ValueError(f"border_scale must be one of {', '.join(map(str, _SCALES))}, got {border_scale}")
        if not 1 <= fusion_channels <= 256:
            raise ValueError(f"fusion_channels must lie in [1, 256], got {fusion_channels}")
        if classes <= SEPARATED:
            raise ValueError(f"classes must hold class {int(SEPARATED)}, which is separated, got {classes} classes")
        self.in_channels, self.classes = in_channels, classes
        self.border_scale, self.cut_borders = border_scale, cut_borders
        self.objects = UNet(in_channels=in_channels, classes=classes, base_channels=base_channels, depth=depth)
        self.borders = UNet(in_channels=in_channels, classes=1, base_channels=border_channels, depth=border_depth)
        self.shrink = nn.AvgPool2d(border_scale) if border_scale > 1 else nn.Identity()
        self.fusion = double_conv(classes + 1, fusion_channels, padded=True, normalisation="batch", separable=False)
        self.head = nn.Conv2d(fusion_channels, classes + 1, 1)

    @property
    def alignment_px(self) -> int:
        """The coarser of the two nets' steps, at full size; both are powers of two."""
        return max(self.objects.alignment_px, self.border_scale * self.borders.alignment_px)

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes, H, W)`` of a normalised image ``(N, in_channels, H, W)``."""
        fused = self.parts(image).fused
        return class_logits(fused, into=PixelClass.BACKGROUND if self.cut_borders else SEPARATED)

    def parts(self, image: Tensor) -> FusionParts:
        """What each of the three nets says of a normalised image ``(N, in_channels, H, W)``."""
        self.check_window(*image.shape[-2:])
        objects: Tensor = self.objects(image)
        borders: Tensor = self.borders(self.shrink(image))
        if self.border_scale > 1:
            borders = functional.interpolate(borders, scale_factor=self.border_scale, mode="nearest")
        fused: Tensor = self.head(self.fusion(torch.cat([objects, borders], dim=1)))
        return FusionParts(objects, borders, fused)

    def training_targets(self, labels: Tensor) -> "Mapping[str, Tensor]":
        """Where a border runs and what each pixel weighs in the border terms: float32 ``(N, H, W)`` each.

        Taken from the labels' border bits (`segmentation.training.borders.with_borders`); pixels of crops whose
        instances nobody told apart weigh 0.
        """
        weights = [
            border_weights(one, damage_label=only(SEPARATED), peak=PEAK_WEIGHT, sigma_px=SIGMA_PX)
            for one in labels.numpy()
        ]
        return {
            "border": ((labels & BORDER_BIT) > 0).float(),
            "border_weight": torch.from_numpy(np.stack(weights)),
        }

    def training_loss(
        self, images: Tensor, labels: Tensor, targets: "Mapping[str, Tensor]", *, label_loss: "LabelLoss"
    ) -> Tensor:
        """Classes of the joined answer and of the object net, borders of the joined answer and of the border net.

        log p(class) + log p(border | separated class) is the log-likelihood of the classes + 1 scores: so labels
        that leave the border open train the classes alone, and no special case is needed.
        """
        parts, classes = self.parts(images), labels & UNKNOWN
        loss = label_loss(class_logits(parts.fused, into=SEPARATED), classes) + label_loss(parts.objects, classes)
        fused = parts.fused.float()
        border, weight = targets["border"], targets["border_weight"]
        for logits in (fused[:, -1] - fused[:, SEPARATED], parts.borders[:, 0].float()):
            told = functional.binary_cross_entropy_with_logits(logits, border, reduction="none")
            loss = loss + (told * weight).sum() / weight.sum().clamp_min(1.0)
        return loss


def class_logits(fused: Tensor, *, into: PixelClass) -> Tensor:
    """Logits ``(N, classes, H, W)`` of fused ones ``(N, classes + 1, H, W)``: the border's share goes to a class.

    Exact: the soft-max of the result is that of `fused` with the two probabilities summed.
    """
    merged = torch.logaddexp(fused[:, into : into + 1], fused[:, -1:])
    return torch.cat([fused[:, :into], merged, fused[:, into + 1 : -1]], dim=1)


def border_probability(fused: Tensor) -> Tensor:
    """Probability ``(N, H, W)`` that a pixel is border, of fused logits ``(N, classes + 1, H, W)``."""
    return fused.float().softmax(1)[:, -1]
