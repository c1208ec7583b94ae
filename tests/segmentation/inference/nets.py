"""Small nets of random weights, and the way the segment stage takes a raster through a predictor."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segmentation.inference.geometry import Method, aligned_window, blocks, plan_read
from segmentation.inference.predictor import Predictor, SegmentedWindow, tile_geometry
from segmentation.inference.runtime import Runtime, TorchRuntime
from segmentation.models.geometry import net_geometry
from segmentation.models.registry import LoadedModel, load_model
from segmentation.models.unet import UNet
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

PADDED: dict[str, Any] = {"depth": 2}
VALID: dict[str, Any] = {"depth": 2, "padded": False}
FOLDED: dict[str, Any] = {"depth": 1, "fold_px": 2}
VALID_BILINEAR: dict[str, Any] = {"depth": 1, "padded": False, "up_sampling": "bilinear"}
WHOLE_WINDOW: dict[str, Any] = {"depth": 1, "normalisation": "group"}
"""Group normalisation looks at the whole window: no halo holds that."""


@lru_cache(maxsize=1)
def shipped() -> LoadedModel:
    return load_model("spanscan-unet")


@lru_cache(maxsize=64)
def small_model(seed: int, **changes: Any) -> LoadedModel:
    """A net of random weights whose classes are all common, under the shipped card; not to be changed."""
    torch.manual_seed(seed)
    module = UNet(base_channels=4, **{**PADDED, **changes}).eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(layer.running_var, 0.3, 1.3)
    side_px = net_geometry(module).valid_window_px(128)
    with torch.inference_mode():
        noise = torch.randn(1, 3, side_px, side_px, generator=torch.Generator().manual_seed(seed))
        module.head.weight *= 3 / module(noise).std()
        module.head.bias -= (
            module(noise).mean(dim=(0, 2, 3)).view(3, -1).mean(dim=1).repeat_interleave(module.fold_px**2)
        )
    return replace(shipped(), module=module)


geometry_of = lru_cache(maxsize=64)(net_geometry)


def torch_runtime(loaded: LoadedModel, *, precision: str = "float32", compiled: bool = False) -> TorchRuntime:
    return TorchRuntime(loaded, device="cpu", precision=precision, compiled=compiled)


def predictor_of(
    loaded: LoadedModel,
    *,
    core_px: int,
    precision: str = "float32",
    batch: int = 1,
    method: Method | None = None,
    runtime: Runtime | None = None,
) -> Predictor:
    geometry = tile_geometry(geometry_of(loaded.module), core_px=core_px, method=method)
    return Predictor(runtime or torch_runtime(loaded, precision=precision), geometry=geometry, batch=batch)


def by_tiles(
    predictor: Predictor, image: Bytes, validity: Flags, *, block_px: int, wanted: Flags | None = None
) -> SegmentedWindow:
    """What the segment stage does: block by block, each read with its halo, mirrored at the edges."""
    height, width = validity.shape
    mask = np.full((height, width), 77, np.uint8)
    probability = np.zeros((2, height, width), np.uint8)
    for block in blocks(height, width, block_px=block_px):
        found = of_window(predictor, image, validity, block.window, wanted=wanted)
        mask[block.window.slices()] = found.mask
        probability[(slice(None), *block.window.slices())] = found.probability
    return SegmentedWindow(mask, probability)


def of_window(
    predictor: Predictor, image: Bytes, validity: Flags, owned: Window, *, wanted: Flags | None = None
) -> SegmentedWindow:
    read = aligned_window(owned, predictor.geometry)
    plan = plan_read(read, *validity.shape)
    source = plan.source.slices()
    return predictor.segment(
        plan.fill(image[source]),
        plan.fill(validity[source]),
        read=read,
        owned=owned,
        wanted=None if wanted is None else wanted[owned.slices()],
    )


def noise(seed: int, height: int, width: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def all_valid(image: Bytes) -> Flags:
    return np.ones(image.shape[:2], np.bool_)


def assert_same(found: SegmentedWindow, expected: SegmentedWindow, *, steps: int = 1, share: float = 1e-3) -> None:
    """Probabilities within `steps` of 1/255; classes differ on at most `share` of the pixels, where two classes tie."""
    differences = np.abs(found.probability.astype(int) - expected.probability.astype(int))
    assert differences.max(initial=0) <= steps
    differing = found.mask != expected.mask
    assert differing.mean() <= share
    assert (found.mask[differing] < 3).all()
    assert (expected.mask[differing] < 3).all()
