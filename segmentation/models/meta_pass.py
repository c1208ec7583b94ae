"""A forward pass of shapes alone: every operation of a net is seen, no value is computed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from segmentation.models.net import Net

Watcher = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]
"""Told of each operation: (torch's operation, arguments, named arguments, output)."""


class _Shapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells a watcher of each operation; answers the commonest itself, whose rules in torch import its compiler."""

    def __init__(self, watch: Watcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watch = watch

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # guarding a mode against torch.compile imports the compiler: a second, for nothing here

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = _shape_of(operation_name(func), args)
        if output is None:
            output = func(*args, **(kwargs or {}))
        self._watch(func, args, kwargs or {}, output)
        return output


def operation_name(func: Any) -> str:
    """Name as in torch's native functions, ``convolution`` for instance."""
    return str(func._schema.name.removeprefix("aten::"))


def blank_image(module: Net, side_px: int) -> Tensor:
    """An image ``(1, in_channels, side_px, side_px)`` without values, in the type of the net's weights."""
    dtype = next(module.parameters()).dtype
    return torch.empty(1, module.in_channels, side_px, side_px, dtype=dtype, device="meta")


def meta_forward(module: Net, image: Tensor, *, watch: Watcher) -> Tensor:
    """Run `module` in eval mode on an image on the meta device; the module and its weights are left as they are."""
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    shapes = {name: tensor.detach().to("meta") for name, tensor in named}
    with _evaluating(module), torch.no_grad(), _Shapes(watch):
        logits: Tensor = functional_call(module, shapes, (image,))
    return logits


def _shape_of(name: str, args: tuple[Any, ...]) -> Any:
    if name == "convolution":
        return args[0].new_empty(_convolved_shape(*args))
    if name == "native_batch_norm" and not args[5]:
        return args[0].new_empty(args[0].shape), args[0].new_empty(0), args[0].new_empty(0)
    if name == "max_pool2d_with_indices" and len(args) < 6:  # without rounding up
        shape = _pooled_shape(*args)
        return args[0].new_empty(shape), args[0].new_empty(shape, dtype=torch.int64)
    if name == "cat":
        maps, axis = args[0], args[1] if len(args) > 1 else 0
        shape = list(maps[0].shape)
        shape[axis] = sum(m.shape[axis] for m in maps)
        return maps[0].new_empty(shape)
    if name in ("pixel_shuffle", "pixel_unshuffle"):
        (count, channels, height, width), factor = args[0].shape, args[1]
        if name == "pixel_shuffle":
            return args[0].new_empty(count, channels // factor**2, height * factor, width * factor)
        return args[0].new_empty(count, channels * factor**2, height // factor, width // factor)
    return None


def _pooled_shape(
    image: Tensor, kernel: list[int], stride: list[int], padding: Sequence[int] = (0,), dilation: Sequence[int] = (1,)
) -> list[int]:
    sides = []
    for axis, side in enumerate(image.shape[2:]):
        k, s, p, d = (values[axis % len(values)] for values in (kernel, stride or kernel, padding, dilation))
        sides.append((side + 2 * p - d * (k - 1) - 1) // s + 1)
    return [*image.shape[:2], *sides]


def _convolved_shape(
    image: Tensor, weight: Tensor, _bias: Tensor | None, stride: list[int], padding: list[int], dilation: list[int],
    transposed: bool, output_padding: list[int], groups: int,
) -> list[int]:  # fmt: skip
    kernel = list(weight.shape[2:])
    if not transposed:
        return [image.shape[0], weight.shape[0], *_pooled_shape(image, kernel, stride, padding, dilation)[2:]]
    sides = []
    for axis, side in enumerate(image.shape[2:]):
        options = (kernel, stride, padding, dilation, output_padding)
        k, s, p, d, more = (values[axis % len(values)] for values in options)
        sides.append((side - 1) * s - 2 * p + d * (k - 1) + more + 1)
    return [image.shape[0], weight.shape[1] * groups, *sides]


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    training = [layer for layer in module.modules() if layer.training]
    for layer in training:
        layer.training = False
    try:
        yield
    finally:
        for layer in training:
            layer.training = True
