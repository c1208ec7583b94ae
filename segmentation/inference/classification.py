"""From scores to classes: one rule, in strips on a CPU and in one piece on a device."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segmentation.classes import DEFECT_CLASSES
from segmentation.errors import InputRejected

Bytes = npt.NDArray[np.uint8]

_STRIP_PX = 1 << 15
"""Pixels of a strip: its classes in float32 and what is computed from them, 0.8 MB, stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Classified:
    """Classes and probabilities of a window, on a CUDA device perhaps still in the making."""

    ids: Tensor
    """Class ids uint8 ``(H, W)``, in host memory."""
    probability: Tensor
    """Probabilities uint8 ``(2, H, W)`` of CRACK and RUST, quantised by rounding so that 255 is 1; in host memory."""
    checksum: Tensor
    """Sum of all logits: NaN or infinite where one of them is."""
    ready: torch.cuda.Event | None
    """When a device has written all of the above; None: it has."""

    def wait(self) -> tuple[Bytes, Bytes]:
        """Class ids and probabilities, once they are there; raises InputRejected E_MODEL for logits not finite."""
        if self.ready is not None:
            self.ready.synchronize()
        if not bool(torch.isfinite(self.checksum)):
            raise InputRejected(
                "E_MODEL",
                "weights",
                "the logits must be finite, got NaN or infinity",
                "use weights that pass `spanscan models`, or SPANSCAN_PRECISION=fp32",
            )
        return self.ids.numpy(), self.probability.numpy()


@torch.inference_mode()
def classify(logits: Tensor) -> Classified:
    """The rule from scores to a class: the largest of the soft-max wins, the lower id on a tie.

    `logits` floating ``(K, H, W)`` in any layout, not changed. On a device the results are on their way when this
    returns.
    """
    classes, rows, cols = logits.shape
    if logits.device.type == "cuda":
        scratch = torch.empty((classes + 3, rows, cols), dtype=torch.float32, device=logits.device)
        return _sent_home(*_classes(logits, scratch))
    ids = torch.empty((rows, cols), dtype=torch.uint8)
    probability = torch.empty((len(DEFECT_CLASSES), rows, cols), dtype=torch.uint8)
    checksum = torch.zeros(())
    strip_rows = min(max(1, _STRIP_PX // max(cols, 1)), rows)
    scratch = torch.empty((classes + 3, strip_rows, cols), dtype=torch.float32)
    for row in range(0, rows, strip_rows):
        strip = slice(row, min(row + strip_rows, rows))
        found, quantised, total = _classes(logits[:, strip], scratch[:, : strip.stop - row])
        ids[strip].copy_(found)
        probability[:, strip].copy_(quantised)
        checksum += total
    return Classified(ids, probability, checksum, None)


def classes_and_probabilities(logits: Tensor) -> tuple[Bytes, Bytes]:
    """Class ids uint8 ``(H, W)`` and probabilities uint8 ``(2, H, W)`` of `logits` ``(K, H, W)``, see `classify`."""
    return classify(logits).wait()


def _classes(logits: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Class ids and quantised probabilities, still float32 and in `scratch` ``(K + 3, H, W)``, and the logits' sum.

    Every step writes into memory that the step before has just used, and the comparisons give 0.0 and 1.0: with fresh
    memory this takes twice as long, with boolean masks three times.
    """
    scores, (ids, largest, other) = scratch[:-3].copy_(logits), scratch[-3:]
    checksum = scores.sum()
    torch.gt(scores[1], scores[0], out=ids)
    torch.maximum(scores[0], scores[1], out=largest)
    for k in range(2, len(scores)):
        torch.maximum(ids, torch.gt(scores[k], largest, out=other).mul_(k), out=ids)
        torch.maximum(largest, scores[k], out=largest)
    weights = scores.sub_(largest).exp_()
    total = torch.add(weights[0], weights[1], out=other)
    for k in range(2, len(weights)):
        total.add_(weights[k])
    first, last = int(DEFECT_CLASSES[0]), int(DEFECT_CLASSES[-1])
    return ids, weights[first : last + 1].mul_(total.reciprocal_().mul_(255.0)).round_(), checksum


def _sent_home(ids: Tensor, probability: Tensor, checksum: Tensor) -> Classified:
    """Copy to pinned host memory behind what the device is still doing."""

    def copied(tensor: Tensor, dtype: torch.dtype) -> Tensor:
        home = torch.empty(tensor.shape, dtype=dtype, pin_memory=True)
        return home.copy_(tensor.to(dtype), non_blocking=True)

    home = copied(ids, torch.uint8), copied(probability, torch.uint8), copied(checksum, torch.float32)
    ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
    ready.record(torch.cuda.current_stream(ids.device))
    return Classified(*home, ready)
