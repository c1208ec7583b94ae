"""What a net needs around a pixel and what a pixel costs, computed from its own layers."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from segmentation.models.unet import UNet

_LEAVES = (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d)


@dataclass(frozen=True, slots=True)
class NetGeometry:
    """The figures that the tile planner and the memory model work with.

    >>> net_geometry(UNet(base_channels=16, depth=4)).halo_px
    112
    """

    alignment_px: int
    """Tile origins and sizes must be multiples of this."""
    receptive_field_radius_px: int
    """No input pixel farther away (Chebyshev distance) than this changes an output pixel."""
    parameters: int
    """Trainable values."""
    multiply_adds_per_px: float
    """Multiply-adds of one forward pass per input pixel."""
    peak_activation_values_per_px: float
    """Upper bound of the values alive at once in a forward pass, per input pixel."""

    @property
    def halo_px(self) -> int:
        """The smallest aligned halo that holds the receptive field."""
        return -(-self.receptive_field_radius_px // self.alignment_px) * self.alignment_px

    def activation_bytes_per_px(self, dtype: torch.dtype) -> float:
        """Peak bytes of activations per input pixel when the net runs in `dtype`."""
        return self.peak_activation_values_per_px * dtype.itemsize


@dataclass(frozen=True, slots=True)
class _LayerCall:
    layer: nn.Module
    inputs_per_px: float
    outputs_per_px: float


def net_geometry(module: UNet) -> NetGeometry:
    """All figures of a net at once, by one forward pass of a few zeros."""
    calls = _layer_calls(module)
    return NetGeometry(
        alignment_px=module.alignment_px,
        receptive_field_radius_px=_radius_px([c.layer for c in calls], module.alignment_px),
        parameters=sum(p.numel() for p in module.parameters()),
        multiply_adds_per_px=sum(map(_multiply_adds_per_px, calls)),
        peak_activation_values_per_px=module.peak_activation_values_per_px,
    )


def receptive_field_radius_px(module: UNet) -> int:
    """Chebyshev radius beyond which no input pixel changes an output pixel, from the layers' kernels and strides.

    The layers are taken in series, in the order in which they run. For nets with skips this is exact: the way
    through the bottom sees everything that a skip sees.
    """
    return net_geometry(module).receptive_field_radius_px


def _layer_calls(module: UNet) -> list[_LayerCall]:
    side_px = 2 * module.alignment_px
    pixels = side_px * side_px
    calls: list[_LayerCall] = []

    def record(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.append(_LayerCall(layer, inputs[0].numel() / pixels, output.numel() / pixels))

    hooks = [m.register_forward_hook(record) for m in module.modules() if isinstance(m, _LEAVES)]
    was_training = module.training
    try:
        module.eval()
        weight = next(module.parameters())
        with torch.inference_mode():
            module(torch.zeros(1, module.in_channels, side_px, side_px, dtype=weight.dtype, device=weight.device))
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    return calls


def _radius_px(layers: list[nn.Module], alignment_px: int) -> int:
    radius_px = 0
    for phase in range(alignment_px):
        first = last = phase
        for layer in reversed(layers):
            first, last = _seen_by(layer, first, last)
        radius_px = max(radius_px, phase - first, last - phase)
    return radius_px


def _seen_by(layer: nn.Module, first: int, last: int) -> tuple[int, int]:
    """Inputs (closed interval, along one axis) that the outputs `first`…`last` of a layer depend on."""
    kernel, stride, padding, dilation = (
        _square(layer, name) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    reach = dilation * (kernel - 1)
    if isinstance(layer, nn.ConvTranspose2d):
        return -((reach - first - padding) // stride), (last + padding) // stride
    return first * stride - padding, last * stride - padding + reach


def _square(layer: nn.Module, name: str) -> int:
    value = getattr(layer, name)
    sides = (value, value) if isinstance(value, int) else tuple(value)
    if sides[0] != sides[1]:
        raise ValueError(f"layers must be square, got {name}={sides}")
    return int(sides[0])


def _multiply_adds_per_px(call: _LayerCall) -> float:
    layer = call.layer
    if isinstance(layer, nn.ConvTranspose2d):
        return call.inputs_per_px * layer.weight[0].numel()
    if isinstance(layer, nn.Conv2d):
        return call.outputs_per_px * layer.weight[0].numel()
    return 0.0
