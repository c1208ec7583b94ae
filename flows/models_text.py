"""Weights as a user chooses among them: cards, geometry, and what receptive field, memory and resolution cost."""

from typing import Any, Final

import torch

from segmentation.inference.predictor import tile_geometry
from segmentation.models.catalogue import available_models
from segmentation.models.geometry import NetGeometry, activation_bytes, multiply_adds, net_geometry
from segmentation.models.net import Net
from segmentation.models.registry import LoadedModel, load_model
from segmentation.models.unet import UNet

CORES_PX: Final = (256, 512, 1024, 2048)
"""Tile cores of the trade-off table."""
FAMILY: Final[tuple[dict[str, Any], ...]] = tuple(
    {"base_channels": 16 * fold_px, "depth": depth, "fold_px": fold_px} for fold_px in (1, 2) for depth in (2, 3, 4, 5)
)
"""Nets beside which a user sees what depth and resolution cost; the channels at the finest level grow as it folds."""
FAMILY_CORE_PX: Final = 1024
"""Tile core for which the family's memory is stated."""


def model_records(names: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
    """Card, geometry and tile costs of models by name or path; None: of each shipped one. Raises as `load_model`."""
    return [_record(load_model(name)) for name in (available_models() if names is None else names)]


def family_records() -> list[dict[str, Any]]:
    """Geometry and the cost of a tile for nets of the family that differ in depth and resolution."""
    records = []
    for arguments in FAMILY:
        module = UNet(**arguments)
        records.append(
            {
                "arguments": arguments,
                "geometry": _geometry(net_geometry(module)),
                "tile": _tile(module, core_px=FAMILY_CORE_PX),
            }
        )
    return records


def _record(loaded: LoadedModel) -> dict[str, Any]:
    return {
        "card": loaded.card.as_dict(),
        "geometry": _geometry(net_geometry(loaded.module)),
        "tiles": [_tile(loaded.module, core_px=core_px) for core_px in CORES_PX],
    }


def _geometry(net: NetGeometry) -> dict[str, Any]:
    radius_px = net.receptive_field_radius_px
    return {
        "alignment_px": net.alignment_px,
        "margin_px": net.margin_px,
        "window_residue_px": net.window_residue_px,
        "bounded_field": net.bounded_field,
        "receptive_field_radius_px": radius_px,
        "receptive_field_px": None if radius_px is None else 2 * radius_px + 1,
        "halo_px": None if radius_px is None else net.halo_px,
        "parameters": net.parameters,
        "gflop_per_mpx": round(2 * net.multiply_adds_per_px / 1e3, 1),
    }


def _tile(module: Net, *, core_px: int) -> dict[str, Any]:
    """What one tile costs as the engine would cut it: the core may come out a little smaller than asked for."""
    geometry = tile_geometry(net_geometry(module), core_px=core_px)
    core, window = geometry.core_px**2, geometry.window_px**2
    return {
        "method": geometry.method,
        "core_px": geometry.core_px,
        "window_px": geometry.window_px,
        "halo_share": round(1 - core / window, 3),
        "gflop_per_core_mpx": round(2 * multiply_adds(module, geometry.window_px) / core / 1e3, 1),
        "activation_bytes": {
            name: activation_bytes(module, geometry.window_px, dtype)
            for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        },
    }
