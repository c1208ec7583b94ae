"""What a forward pass holds at its fullest moment, counted over the shapes of every map while it is alive."""

import weakref
from typing import Any, Final

from torch import Tensor
from torch.utils._pytree import tree_leaves

from segmentation.models.meta_pass import blank_image, meta_forward, operation_name
from segmentation.models.net import Net

_LARGE_WINDOW_PX: Final = 16384
"""A side at which the borders that a valid net loses no longer count."""
_SMALLEST_FLOAT_BYTES: Final = 2
_COPIES: Final = {"convolution": 1, "native_group_norm": 2, "native_batch_norm": 2}


def peak_values_per_px(module: Net) -> float:
    """Upper bound of `peak_values` per input pixel, for any window; with attention for the reference window."""
    side_px = module.reference_window_px
    if module.bounded_field:
        side_px = -(-_LARGE_WINDOW_PX // module.alignment_px) * module.alignment_px + module.window_residue_px
    return peak_values(module, side_px) / side_px**2


def peak_values(module: Net, side_px: int) -> float:
    """Upper bound of the values alive at once in a forward pass of one window without gradients; weights not counted.

    Counted are the maps that are alive, image included, and copies of what a layer reads and writes: libraries may
    bring both into a layout of their own for a convolution, and into another and to float32 for the statistics of a
    whole window. Integers count as the values of 2 bytes they take the room of. Not counted is what a library holds
    whatever the window: some 20 MB of oneDNN's compiled kernels and scratch.
    """
    alive = _Alive()
    image = blank_image(module, side_px)
    alive.add(image)
    alive.float_bytes = image.itemsize
    meta_forward(module, image, watch=alive.watch)
    return alive.peak


class _Alive:
    def __init__(self) -> None:
        self.now = self.peak = 0.0
        self.float_bytes = 4
        self._known: set[int] = set()

    def watch(self, func: Any, args: tuple[Any, ...], _: dict[str, Any], output: Any) -> None:
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        for tensor in tensors:
            self.add(tensor)
        name = operation_name(func)
        copies = 0 if name == "native_batch_norm" and not args[5] else _COPIES.get(name, 0)
        read_and_written = args[0].numel() + tensors[0].numel() if copies else 0
        self.peak = max(self.peak, self.now + copies * read_and_written)

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        size = _SMALLEST_FLOAT_BYTES if not tensor.is_floating_point() else self.float_bytes
        values = storage.nbytes() / size
        self._known.add(key)
        self.now += values
        weakref.finalize(storage, self._freed, key, values)

    def _freed(self, key: int, values: float) -> None:
        self._known.discard(key)
        self.now -= values
