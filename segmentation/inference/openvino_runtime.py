"""The net as OpenVINO runs it: another `Runtime`, behind the gate that its card tells of."""

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segmentation.models.compiled import GRAPH_NAME, CompiledCard, read_compiled
from segmentation.models.geometry import net_geometry
from segmentation.models.openvino_extra import openvino_module
from segmentation.models.quantisation import cpu_options
from segmentation.models.registry import LoadedModel

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def compiled_folder(home: Path, loaded: LoadedModel) -> Path:
    """Where the compiled form of a model lies in spanscan's own folder: one place for each checksum of weights."""
    return home / "compiled" / f"{loaded.card.name}-{loaded.sha256[:12]}"


class OpenvinoRuntime:
    """A compiled model on the CPU, one stream a thread, so that as many tiles run at once as there are workers."""

    def __init__(self, folder: Path, loaded: LoadedModel, *, threads: int, gated: bool = True) -> None:
        """Read the compiled form of `loaded` from its folder for `threads` callers at once.

        `gated` is False for the gate itself, which must run a model that has not passed yet.

        Raises InputRejected E_COMPILED where there is none, where it is damaged or made of other weights; UsageError
        E_EXTRA where OpenVINO is not installed.
        """
        self.card: CompiledCard = read_compiled(folder, loaded, gated=gated)
        openvino = openvino_module()
        core = openvino.Core()
        options = cpu_options(self.card.precision, threads=threads)
        self._compiled = core.compile_model(core.read_model(folder / GRAPH_NAME), "CPU", options)
        self._tensor = openvino.Tensor
        self._classes = loaded.module.classes
        self._margin_px = net_geometry(loaded.module).margin_px
        self._of_thread = threading.local()

    @property
    def sha256(self) -> str:
        """Checksum of the weights' safetensors file that it was compiled from."""
        return self.card.source_sha256

    def logits(self, pixels: Bytes, known: Flags) -> Tensor:
        """Logits float32 ``(N, K, H - 2·margin, W - 2·margin)``, see `runtime.Runtime`; normalised inside the graph."""
        request = getattr(self._of_thread, "request", None)
        if request is None:
            request = self._of_thread.request = self._compiled.create_infer_request()
        count, rows, cols, _ = pixels.shape
        lost_px = 2 * self._margin_px
        logits = torch.empty((count, self._classes, rows - lost_px, cols - lost_px))
        request.set_output_tensor(self._tensor(logits.numpy(), shared_memory=True))
        request.infer([np.ascontiguousarray(pixels), np.ascontiguousarray(known)], share_inputs=True)
        return logits
