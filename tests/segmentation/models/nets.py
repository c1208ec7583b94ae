"""Nets of the family for tests: one list of kinds, each with weights that show every path."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from segmentation.models.unet import UNet


@dataclass(frozen=True)
class Kind:
    """One choice of the family."""

    name: str
    arguments: dict[str, Any]


BOUNDED = (
    Kind("one-level", {"depth": 1}),
    Kind("two-levels", {"depth": 2}),
    Kind("three-levels", {"depth": 3}),
    Kind("folded", {"depth": 2, "fold_px": 2}),
    Kind("nearest", {"depth": 2, "up_sampling": "nearest"}),
    Kind("bilinear", {"depth": 2, "up_sampling": "bilinear"}),
    Kind("separable", {"depth": 2, "separable": True}),
    Kind("no-normalisation", {"depth": 2, "normalisation": "none"}),
    Kind("valid", {"depth": 2, "padded": False}),
    Kind("valid-three-levels", {"depth": 3, "padded": False}),
    Kind("valid-nearest", {"depth": 2, "padded": False, "up_sampling": "nearest"}),
    Kind("valid-bilinear", {"depth": 2, "padded": False, "up_sampling": "bilinear"}),
    Kind("valid-folded", {"depth": 2, "padded": False, "fold_px": 2}),
)
UNBOUNDED = (
    Kind("group", {"depth": 2, "normalisation": "group"}),
    Kind("instance", {"depth": 2, "normalisation": "instance"}),
    Kind("valid-group", {"depth": 2, "padded": False, "normalisation": "group"}),
)


def random_net(**arguments: Any) -> UNet:
    """A seeded net in eval mode whose batch normalisations have statistics of their own."""
    torch.manual_seed(3)
    net = UNet(**arguments).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.1, 0.5)
    return net.requires_grad_(False)


def transparent_net(**arguments: Any) -> UNet:
    """A net of positive weights in float64: nothing cancels, no ReLU cuts a path, what can be reached is reached."""
    net = random_net(**arguments).double()
    for parameter in net.parameters():
        parameter.abs_()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.abs_().neg_()
    return net
