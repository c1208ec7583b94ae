"""Self-supervised vision transformers (DINOv2, DINOv3) as encoders: read from a folder or hub id, rebuilt from text.

What is stored with weights of ours is the transformer's own sizes as one line of JSON, so that a run needs the
library ``transformers`` (extra ``spanscan[foundation]``) but neither a hub nor the folder it was trained from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import torch
from torch import Tensor, nn

from segmentation.errors import InputRejected, UsageError

_COMMON = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act", "layer_norm_eps", "image_size",
    "patch_size", "num_channels", "layerscale_value",
)  # fmt: skip
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "dinov2": (*_COMMON, "mlp_ratio", "qkv_bias", "use_swiglu_ffn"),
    "dinov2_with_registers": (*_COMMON, "mlp_ratio", "qkv_bias", "use_swiglu_ffn", "num_register_tokens"),
    "dinov3_vit": (
        *_COMMON, "intermediate_size", "rope_theta", "query_bias", "key_bias", "value_bias", "proj_bias", "mlp_bias",
        "use_gated_mlp", "num_register_tokens",
    ),
}  # fmt: skip
"""By kind, the fields of a configuration that decide what is computed. Only these are taken from a card, since a
configuration can also name code that the library would fetch."""
_CLASSES: Final = {
    "dinov2": ("Dinov2Config", "Dinov2Backbone"),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersBackbone"),
    "dinov3_vit": ("DINOv3ViTConfig", "DINOv3ViTBackbone"),
}
_MOST = {"hidden_size": 8192, "num_hidden_layers": 100, "num_attention_heads": 128, "patch_size": 64}


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone's sizes and weights, as read from a folder or a hub."""

    config: str
    """What `build_backbone` rebuilds it from: JSON of its kind and sizes."""
    state: Mapping[str, Tensor]
    """Its weights, float32, by the names of `build_backbone`'s module."""


@dataclass(frozen=True, slots=True)
class BackboneSizes:
    """What the net around a backbone must know of it."""

    patch_px: int
    """Side of the square of pixels that one token stands for."""
    channels: int
    """Values of a token."""
    blocks: int
    """Transformer blocks."""
    image_channels: int
    """Channels of the image."""
    prefix_tokens: int
    """Tokens before those of the image: the class token and the registers."""


def load_backbone(source: str) -> Backbone:
    """Read a backbone of `source`: a folder as ``save_pretrained`` leaves it, or the id of a model on the hub.

    Only safetensors are read and no code of the source is run. Raises UsageError ``E_EXTRA`` without the library
    ``transformers`` and InputRejected ``E_BACKBONE`` where the source is none of the kinds known or lacks a weight.
    """
    transformers = _library()
    try:
        kind = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False).model_type
        if kind not in _CLASSES:
            raise ValueError(f"a model of kind {kind!r}")
        module, told = getattr(transformers, _CLASSES[kind][1]).from_pretrained(
            source, trust_remote_code=False, use_safetensors=True, attn_implementation="sdpa", dtype=torch.float32,
            output_loading_info=True,
        )  # fmt: skip
        missing = sorted(key for key in told["missing_keys"] if not key.endswith("mask_token"))
        if missing:  # the library would go on with random values in their place
            raise ValueError(f"weights without {', '.join(missing[:3])}")
        known = {"kind": kind, **{field: getattr(module.config, field) for field in _FIELDS[kind]}}
        config = json.dumps(known, sort_keys=True)
        backbone_sizes(config)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _rejected(source, " ".join(str(error).split())[:200]) from error
    return Backbone(config, module.state_dict())


def build_backbone(config: str, *, taps: tuple[int, ...]) -> nn.Module:
    """The module of `Backbone.config` with random weights; ``forward(image).feature_maps`` are the tapped blocks'.

    `taps` count blocks from 1. Each map is ``(N, channels, H / patch_px, W / patch_px)`` behind the final layer
    norm, without class and register tokens. Raises ValueError for a configuration that no backbone has.
    """
    backbone_sizes(config)
    transformers, fields = _library(), json.loads(config)
    config_class, module_class = _CLASSES[fields.pop("kind")]
    settings = getattr(transformers, config_class)(**fields, out_indices=list(taps))
    settings._attn_implementation = "sdpa"
    module: nn.Module = getattr(transformers, module_class)(settings)
    return module


def backbone_sizes(config: str) -> BackboneSizes:
    """The sizes that stand in `Backbone.config`; ValueError where they are incomplete, unknown or out of range."""
    fields = json.loads(config)
    kind = str(fields.get("kind")) if isinstance(fields, dict) else "no object"
    if kind not in _FIELDS:
        raise ValueError(f"the backbone must be one of {', '.join(_FIELDS)}, got {kind!r}")
    if fields.keys() != {"kind", *_FIELDS[kind]}:
        odd = sorted(fields.keys() ^ {"kind", *_FIELDS[kind]})
        raise ValueError(f"the configuration of a {kind} must have its fields and no others, got {', '.join(odd)}")
    for name, most in _MOST.items():
        value = fields[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ValueError(f"{name} of the backbone must lie in [1, {most}] and be whole, got {value!r}")
    return BackboneSizes(
        patch_px=fields["patch_size"],
        channels=fields["hidden_size"],
        blocks=fields["num_hidden_layers"],
        image_channels=fields["num_channels"],
        prefix_tokens=1 + fields.get("num_register_tokens", 0),
    )


def blocks_of(backbone: nn.Module) -> list[nn.Module]:
    """The transformer blocks in order, and the final layer norm behind them."""
    for encoder, norm in product(("encoder", "model"), ("layernorm", "norm")):
        if hasattr(backbone, encoder) and hasattr(backbone, norm):
            return [*getattr(backbone, encoder).layer, getattr(backbone, norm)]
    raise ValueError(f"a backbone must have an encoder and a layer norm, got {type(backbone).__name__}")


def _library() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UsageError(
            "E_EXTRA", "transformers", "a net on a foundation backbone needs the library transformers, got none",
            "pip install 'spanscan[foundation]'",
        ) from error  # fmt: skip
    return transformers


def _rejected(source: str, got: str) -> InputRejected:
    cause = f"the backbone must be a DINOv2 or DINOv3 vision transformer with config.json and safetensors, got {got}"
    return InputRejected("E_BACKBONE", source, cause, "give the folder of such a model, or its id on the hub")
