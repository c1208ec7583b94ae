"""What a net needs around a pixel and what a pixel costs, computed from the net itself."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

from segmentation.models.activations import peak_values
from segmentation.models.meta_pass import blank_image, meta_forward
from segmentation.models.net import Net
from segmentation.models.receptive_field import operation_that_sees_everything, receptive_field_radius_px


@dataclass(frozen=True, slots=True)
class NetGeometry:
    """The figures that the tile planner and the memory model work with.

    >>> from segmentation.models.unet import UNet
    >>> net_geometry(UNet(base_channels=16, depth=4)).halo_px
    112
    >>> net_geometry(UNet(base_channels=4, depth=4, padded=False)).valid_window_px(388 + 2 * 92)
    572
    """

    alignment_px: int
    """Tile origins must be multiples of this, and the sizes of windows too where `window_residue_px` is 0."""
    margin_px: int
    """Pixels lost on each side between window and logits: 0 for padded nets."""
    window_residue_px: int
    """Sides of valid windows leave this remainder modulo `alignment_px`."""
    bounded_field: bool
    """Whether tiles can be exact; False: an output pixel may depend on the whole window, tiles must be blended."""
    receptive_field_radius_px: int | None
    """No input pixel farther away (Chebyshev distance) than this changes an output pixel; None: there is no bound."""
    parameters: int
    """Trainable values."""
    multiply_adds_per_px: float
    """Multiply-adds of one forward pass per input pixel; at the reference window where it depends on the window."""
    peak_activation_values_per_px: float
    """Upper bound of the values alive at once in a forward pass, per input pixel."""

    @property
    def halo_px(self) -> int:
        """Context that makes a tile exact: the margin of a valid net, else the smallest aligned that holds the field.

        Raises ValueError where no halo is enough.
        """
        if self.receptive_field_radius_px is None:
            raise ValueError("a net that sees the whole window has no halo: blend its tiles (bounded_field is False)")
        if self.margin_px:
            return self.margin_px
        return -(-self.receptive_field_radius_px // self.alignment_px) * self.alignment_px

    def valid_window_px(self, at_least_px: int) -> int:
        """The smallest valid side of a window that holds `at_least_px` and leaves at least one pixel of logits."""
        least_px = max(at_least_px, 2 * self.margin_px + 1)
        return least_px + (self.window_residue_px - least_px) % self.alignment_px

    def activation_bytes_per_px(self, dtype: torch.dtype) -> float:
        """Peak bytes of activations per input pixel when the net runs in `dtype`."""
        return self.peak_activation_values_per_px * dtype.itemsize


def net_geometry(module: Net) -> NetGeometry:
    """All figures of a net at once, by forward passes of shapes alone.

    Raises ValueError where a net says that its field is bounded and an operation in it sees everything.
    """
    radius_px = receptive_field_radius_px(module) if module.bounded_field else None
    if module.bounded_field and radius_px is None:
        culprit = operation_that_sees_everything(module)
        raise ValueError(
            f"{type(module).__name__} says that its field is bounded, but {culprit or 'it'} sees the whole window"
        )
    return NetGeometry(
        alignment_px=module.alignment_px,
        margin_px=module.margin_px,
        window_residue_px=module.window_residue_px,
        bounded_field=module.bounded_field,
        receptive_field_radius_px=radius_px,
        parameters=sum(p.numel() for p in module.parameters()),
        multiply_adds_per_px=multiply_adds(module, module.reference_window_px) / module.reference_window_px**2,
        peak_activation_values_per_px=module.peak_activation_values_per_px,
    )


def multiply_adds(module: Net, side_px: int) -> int:
    """Multiply-adds of one forward pass of one window: convolutions and matrix products, as torch counts them.

    Normalisation, activation, pooling and interpolation are not counted, as is usual.
    """
    flops = 0

    def watch(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        nonlocal flops
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            flops += int(count(*args, **kwargs, out_val=output))

    meta_forward(module, blank_image(module, side_px), watch=watch)
    return flops // 2


def activation_bytes(module: Net, side_px: int, dtype: torch.dtype) -> int:
    """Upper bound of the bytes of activations alive at once in one forward pass of one window in `dtype`."""
    return int(peak_values(module, side_px) * dtype.itemsize)
