"""How far a net sees: the input pixels that an output pixel depends on, followed through every operation.

Each map of a forward pass is given, per axis, the closed interval of input pixels that each of its rows (columns)
depends on. A convolution joins the intervals under its kernel, a skip joins those of its branches, interpolation those
of the neighbours it mixes. The intervals are hulls: nothing outside matters, though something inside may not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from segmentation.models.meta_pass import blank_image, meta_forward, operation_name
from segmentation.models.net import Net

_NOWHERE: Final = 1 << 40
_MOST_SIDE_PX: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class _Spans:
    """Closed intervals of input positions, one per position of a map's axis; first > last: depends on nothing."""

    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]

    def gather(self, index: npt.NDArray[np.int64]) -> "_Spans":
        """Join the intervals at ``index[i, :]`` for each i; an index outside the map contributes nothing."""
        inside = (index >= 0) & (index < len(self.first))
        at = np.where(inside, index, 0)
        first = np.where(inside, self.first[at], _NOWHERE).min(axis=1)
        return _Spans(first, np.where(inside, self.last[at], -_NOWHERE).max(axis=1))

    def join(self, other: "_Spans") -> "_Spans":
        """Join with the intervals of a map of the same length."""
        return _Spans(np.minimum(self.first, other.first), np.maximum(self.last, other.last))


_Field = tuple[_Spans, _Spans]
_Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Axis:
    """One operation along one axis."""

    name: str
    args: tuple[Any, ...]
    index: int
    """0 rows, 1 columns."""
    inputs: int
    outputs: int

    def number(self, position: int, default: int = 0) -> int:
        """The argument at a position, that of this axis where it is one per axis."""
        given = self.args[position] if len(self.args) > position else None
        if given is None or given == []:
            return default
        return int(given[self.index % len(given)] if isinstance(given, list) else given)


def receptive_field_radius_px(module: Net) -> int | None:
    """Chebyshev radius beyond which no input pixel changes an output pixel; None where there is no such radius.

    An operation that this module has no rule for is taken to see everything: a net may then be blended where it could
    have been exact, never the reverse.
    """
    step_px, side_px = module.alignment_px, 16 * module.alignment_px
    while side_px <= _MOST_SIDE_PX:
        window_px = side_px + module.window_residue_px
        if window_px > 2 * module.margin_px + 2 * step_px:
            field, _ = _field_of_logits(module, window_px)
            if field is None:
                return None
            radius_px = _radius_px(field, window_px, margin_px=module.margin_px, step_px=step_px)
            if radius_px is not None:
                return radius_px
        side_px *= 2
    return None


def operation_that_sees_everything(module: Net) -> str | None:
    """Name of the first operation after which an output depends on the whole window; None for a bounded field."""
    return _field_of_logits(module, module.reference_window_px)[1]


def _radius_px(field: _Field, window_px: int, *, margin_px: int, step_px: int) -> int | None:
    """Radius over one period of output positions in the middle; None where the window is too small to tell."""
    radius_px = 0
    for spans in field:
        middle = len(spans.first) // 2 // step_px * step_px
        at = np.arange(middle, middle + step_px)
        first, last = spans.first[at], spans.last[at]
        if first.min() <= 0 or last.max() >= window_px - 1:
            return None
        radius_px = max(radius_px, int((at + margin_px - first).max()), int((last - at - margin_px).max()))
    return radius_px


def _field_of_logits(module: Net, window_px: int) -> tuple[_Field | None, str | None]:
    image = blank_image(module, window_px)
    each = np.arange(window_px, dtype=np.int64)
    fields: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
    fields[image] = (_Spans(each, each), _Spans(each, each))
    culprits: list[str] = []

    def watch(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        name = operation_name(func)
        maps = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf in fields]
        if not maps:
            return
        for result in (leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)):
            known = [fields[m] for m in maps]
            field = None if None in known else _field_after(name, args, result, maps, known)
            if field is None and None not in known:
                culprits.append(name)
            fields[result] = field

    logits = meta_forward(module, image, watch=watch)
    return fields[logits], culprits[0] if culprits and fields[logits] is None else None


def _field_after(
    name: str, args: tuple[Any, ...], output: Tensor, maps: Sequence[Tensor], known: Sequence[_Field]
) -> _Field | None:
    if _is_pointwise(name, args) and all(m.shape[-2:] == output.shape[-2:] for m in maps):
        rows, cols = known[0]
        for other_rows, other_cols in known[1:]:
            rows, cols = rows.join(other_rows), cols.join(other_cols)
        return rows, cols
    if name not in _RULES or len(known) != 1 or output.dim() != 4:
        return None
    rows, cols = (
        spans.gather(_RULES[name](_Axis(name, args, index, len(spans.first), output.shape[2 + index])))
        for index, spans in enumerate(known[0])
    )
    return rows, cols


def _is_pointwise(name: str, args: tuple[Any, ...]) -> bool:
    if name == "native_batch_norm":
        return not args[5]  # in training mode, as instance normalisation uses it, it takes the window's statistics
    if name in ("_softmax", "_log_softmax"):
        return args[1] in (1, -3)
    return name in _POINTWISE


def _convolution(axis: _Axis) -> _Index:
    stride, padding, dilation = (axis.number(i) for i in (3, 4, 5))
    taps, outputs = np.arange(axis.args[1].shape[2 + axis.index]) * dilation, np.arange(axis.outputs)[:, None]
    if not axis.args[6]:
        return np.asarray(outputs * stride - padding + taps, dtype=np.int64)
    above = outputs + padding - taps
    return np.asarray(np.where(above % stride == 0, above // stride, -1), dtype=np.int64)


def _pool(axis: _Axis) -> _Index:
    kernel = axis.number(1)
    stride, padding = axis.number(2, kernel), axis.number(3, 0)
    dilation = axis.number(4, 1) if axis.name.startswith("max") else 1
    return np.arange(axis.outputs)[:, None] * stride - padding + np.arange(kernel) * dilation


def _nearest(axis: _Axis) -> _Index:
    return (np.arange(axis.outputs) * axis.inputs // axis.outputs)[:, None]


def _bilinear(axis: _Axis) -> _Index:
    centres = (np.arange(axis.outputs) + 0.5) * axis.inputs / axis.outputs - 0.5
    if axis.args[2]:  # align_corners
        centres = np.arange(axis.outputs) * (axis.inputs - 1) / max(1, axis.outputs - 1)
    both = np.floor(centres).astype(np.int64)[:, None] + np.arange(2)
    return np.asarray(np.clip(both, 0, axis.inputs - 1))


def _unshuffle(axis: _Axis) -> _Index:
    factor = axis.number(1)
    return np.arange(axis.outputs)[:, None] * factor + np.arange(factor)


def _shuffle(axis: _Axis) -> _Index:
    return np.arange(axis.outputs)[:, None] // axis.number(1)


def _slice(axis: _Axis) -> _Index:
    along = axis.number(1, 0) % 4 == 2 + axis.index
    start, step = (axis.number(2, 0), axis.number(4, 1)) if along else (0, 1)
    return max(0, start + axis.inputs if start < 0 else start) + np.arange(axis.outputs)[:, None] * step


def _zero_pad(axis: _Axis) -> _Index:
    pads = [*axis.args[1], 0, 0]
    before = int(pads[2 - 2 * axis.index])
    return np.arange(axis.outputs)[:, None] - before


_RULES: Final[dict[str, Callable[[_Axis], _Index]]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pool,
    "avg_pool2d": _pool,
    "upsample_nearest2d": _nearest,
    "upsample_bilinear2d": _bilinear,
    "pixel_unshuffle": _unshuffle,
    "pixel_shuffle": _shuffle,
    "slice": _slice,
    "constant_pad_nd": _zero_pad,
}
"""Operations that move pixels: positions of the input ``(outputs, …)`` that each position of the output is made of."""
_POINTWISE: Final = frozenset(
    {
        "relu",
        "relu_",
        "leaky_relu",
        "leaky_relu_",
        "silu",
        "silu_",
        "gelu",
        "sigmoid",
        "tanh",
        "hardtanh",
        "clamp",
        "logaddexp",
    }
    | {"add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "neg", "cat", "clone", "detach", "_to_copy"}
    | {"view", "_unsafe_view", "split", "split_with_sizes", "_native_batch_norm_legit_no_training"}
)
