"""From pixels to probabilities to classes: the one place where the model runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from segmentation.classes import DEFECT_CLASSES, NODATA
from segmentation.errors import InputRejected, UsageError
from segmentation.inference.geometry import Tile, TileGeometry, aligned_window, plan_read, tiles
from segmentation.models.geometry import NetGeometry
from segmentation.models.registry import LoadedModel
from segmentation.models.unet import fold_batch_norm
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class SegmentedWindow:
    """Classes and probabilities of one window."""

    mask: Bytes
    """(H, W) class ids; NODATA where the raster holds none."""
    probability: Bytes
    """(2, H, W) probability of CRACK and RUST, quantised: 255 is 1."""


def tile_geometry(net: NetGeometry, *, core_px: int) -> TileGeometry:
    """Tile geometry of a net: alignment and halo as computed from its layers, the core as asked for, rounded down."""
    aligned_core_px = max(net.alignment_px, core_px - core_px % net.alignment_px)
    return TileGeometry(alignment_px=net.alignment_px, halo_px=net.halo_px, core_px=aligned_core_px)


def pick_device(name: str) -> str:
    """The device that a setting names: ``auto`` takes CUDA where there is one.

    Raises UsageError E_DEVICE for CUDA where there is none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        raise UsageError("E_DEVICE", name, "the device must be present, got none", "set SPANSCAN_DEVICE=cpu or auto")
    return name


def pick_precision(name: str, *, device: str) -> str:
    """``float32`` or ``bfloat16``: ``auto`` takes bfloat16 where the processor multiplies it in hardware."""
    if name != "auto":
        return {"fp32": "float32", "bf16": "bfloat16"}[name]
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16", False) else "float32"


def bytes_per_value(precision: str) -> int:
    """Bytes of one value of ``float32`` or ``bfloat16``."""
    return _DTYPES[precision].itemsize


class Predictor:
    """A model ready to run: batch-norm folded, on its device, in its precision; shared by threads."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        geometry: TileGeometry,
        device: str,
        precision: str,
        batch: int,
    ) -> None:
        """`device` and `precision` as `pick_device` and `pick_precision` give them; `batch` tiles a forward pass."""
        self.geometry = geometry
        self.sha256 = loaded.sha256
        self._batch = batch
        self._device = torch.device(device)
        self._precision = _DTYPES[precision]
        module = fold_batch_norm(loaded.module).to(device=self._device, dtype=self._precision)
        self._module = module.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._mean = torch.tensor(loaded.card.mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(loaded.card.std, dtype=torch.float32, device=device).view(1, -1, 1, 1)

    def segment(self, image: Bytes, validity: Flags, *, read: Window, owned: Window) -> SegmentedWindow:
        """Segment the pixels of `owned` from `image` ``(H, W, 3)`` and `validity` ``(H, W)`` of the window `read`.

        `read` must hold the aligned window of `owned`. Tiles without a valid pixel in their core are not inferred.
        Raises InputRejected E_MODEL where the model returns NaN.
        """
        return self._segment_tiles(image, validity, read=read, owned=owned, geometry=self.geometry)

    def segment_whole(self, image: Bytes, validity: Flags) -> SegmentedWindow:
        """Segment a raster ``(H, W, 3)`` in one forward pass, mirrored at its edges: the reference for `segment`."""
        rows, cols = validity.shape
        side_px = -(-max(rows, cols) // self.geometry.alignment_px) * self.geometry.alignment_px
        geometry = replace(self.geometry, core_px=side_px)
        owned = Window(0, rows, 0, cols)
        read = aligned_window(owned, geometry)
        plan = plan_read(read, rows, cols)
        return self._segment_tiles(plan.fill(image), plan.fill(validity), read=read, owned=owned, geometry=geometry)

    def _segment_tiles(
        self, image: Bytes, validity: Flags, *, read: Window, owned: Window, geometry: TileGeometry
    ) -> SegmentedWindow:
        rows, cols = owned.shape
        mask = np.full((rows, cols), NODATA, dtype=np.uint8)
        probability = np.zeros((len(DEFECT_CLASSES), rows, cols), dtype=np.uint8)
        wanted = [t for t in tiles(owned, geometry=geometry) if validity[t.core.within(read)].any()]
        for batch in _batches(wanted, self._batch):
            logits = self._forward([(image[t.window.within(read)], validity[t.window.within(read)]) for t in batch])
            for tile, tile_logits in zip(batch, logits, strict=True):
                inner = tile.core.within(tile.window)
                ids, quantised = classes_and_probabilities(tile_logits[:, inner[0], inner[1]])
                target = tile.core.within(owned)
                known = validity[tile.core.within(read)]
                mask[target] = np.where(known, ids, np.uint8(NODATA))
                probability[:, target[0], target[1]] = np.where(known, quantised, np.uint8(0))
        return SegmentedWindow(mask, probability)

    @torch.inference_mode()
    def _forward(self, windows: Sequence[tuple[Bytes, Flags]]) -> torch.Tensor:
        """Logits (N, K, H, W) float32 of equally large windows; nodata is shown to the model as its mean colour."""
        if self._device.type == "cpu":
            torch.set_num_threads(1)  # one thread a block: the blocks are the parallelism
        pixels = torch.from_numpy(np.stack([image for image, _ in windows])).to(self._device)
        known = torch.from_numpy(np.stack([validity for _, validity in windows])).to(self._device)
        normalised = (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._std
        normalised = normalised * known.unsqueeze(1)
        batch = normalised.to(self._precision, memory_format=torch.channels_last)
        logits: torch.Tensor = self._module(batch).float()
        if torch.isnan(logits).any():
            raise InputRejected(
                "E_MODEL", "weights", "the logits must be finite, got NaN", "use weights that pass `spanscan models`"
            )
        return logits


def classes_and_probabilities(logits: torch.Tensor) -> tuple[Bytes, Bytes]:
    """The rule from scores to a class: the largest of the soft-max wins, the lower id on a tie.

    `logits` float32 ``(K, H, W)`` → class ids uint8 ``(H, W)`` and probabilities uint8 ``(2, H, W)`` of
    CRACK and RUST, quantised by rounding so that 255 is 1.
    """
    probabilities = torch.softmax(logits, dim=0)
    ids = logits.argmax(dim=0).to(torch.uint8)
    quantised = (probabilities[[int(c) for c in DEFECT_CLASSES]] * 255.0).round_().to(torch.uint8)
    return ids.cpu().numpy(), quantised.cpu().numpy()


def _batches(wanted: Sequence[Tile], size: int) -> list[list[Tile]]:
    """Tiles in runs of equal window shape, at most `size` each."""
    runs: list[list[Tile]] = []
    for tile in sorted(wanted, key=lambda t: (t.window.shape, t.core)):
        if runs and len(runs[-1]) < size and runs[-1][0].window.shape == tile.window.shape:
            runs[-1].append(tile)
        else:
            runs.append([tile])
    return runs
