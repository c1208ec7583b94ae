"""What runs the net: pixels in, logits out. Everything around it is the same for every runtime."""

from copy import deepcopy
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segmentation.inference.devices import PRECISIONS
from segmentation.inference.normalisation import Normalisation
from segmentation.models.net import fold_batch_norm
from segmentation.models.registry import LoadedModel

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class Runtime(Protocol):
    """A net with its weights, ready to run; shared by the threads of a process."""

    @property
    def sha256(self) -> str:
        """Checksum of the weights' safetensors file, also where they run in another form."""
        ...

    def logits(self, pixels: Bytes, known: Flags) -> Tensor:
        """Logits, floating, ``(N, K, H - 2·margin, W - 2·margin)`` of `pixels` uint8 ``(N, H, W, 3)``, in any layout.

        Where `known` bool ``(N, H, W)`` is False the net is shown its mean colour. Both may be views of larger
        arrays, and read-only. The logits may lie on a device and still be in the making there. What needs more
        memory than there is raises an error that `devices.is_out_of_memory` knows.
        """
        ...


class TorchRuntime:
    """The net in torch: batch-norm folded, channels last, on its device, in its precision."""

    def __init__(self, loaded: LoadedModel, *, device: str, precision: str, compiled: bool) -> None:
        """`device` and `precision` as `pick_device` and `pick_precision` give them.

        `compiled` hands the net to `torch.compile`, which needs a C++ compiler on a CPU and pays where many tiles
        of one size follow.
        """
        self._sha256 = loaded.sha256
        self._device = torch.device(device)
        dtype = PRECISIONS[precision]
        own = deepcopy(fold_batch_norm(loaded.module)).to(device=self._device, dtype=dtype)
        net = own.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._net = torch.compile(net) if compiled else net
        card = loaded.card
        self._normalisation = Normalisation(mean=card.mean, std=card.std, device=self._device, dtype=dtype)
        self._copies = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @property
    def sha256(self) -> str:
        """Checksum of the weights' file."""
        return self._sha256

    @torch.inference_mode()
    def logits(self, pixels: Bytes, known: Flags) -> Tensor:
        """Logits of `pixels`, see `Runtime`; on CUDA returned while they are computed."""
        if self._copies is None:
            torch.set_num_threads(1)  # one thread a block: the blocks are the parallelism
            logits: Tensor = self._net(self._normalisation.on_cpu(pixels, known))
            return logits
        try:
            return self._logits_on_cuda(pixels, known, self._copies)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            raise

    def _logits_on_cuda(self, pixels: Bytes, known: Flags, copies: torch.cuda.Stream) -> Tensor:
        """The copy runs on a stream of its own, beside the kernels of the batch before."""
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(copies):
            on_device = [self._copied(values) for values in (pixels, known)]
        computing.wait_stream(copies)
        for tensor in on_device:
            tensor.record_stream(computing)  # else its memory could be given away before these kernels have read it
        logits: Tensor = self._net(self._normalisation.on_device(*on_device))
        return logits

    def _copied(self, values: Bytes | Flags) -> Tensor:
        pinned = torch.empty(values.shape, dtype=torch.from_numpy(np.empty(0, values.dtype)).dtype, pin_memory=True)
        pinned.numpy()[...] = values
        return pinned.to(self._device, non_blocking=True)
