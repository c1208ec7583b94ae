"""A self-supervised vision transformer as encoder and a U-Net-like decoder that brings its answer to full detail."""

from copy import deepcopy
from math import lcm
from typing import TYPE_CHECKING, Any, Final, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from segmentation.errors import UsageError
from segmentation.models.backbone import backbone_sizes, blocks_of, build_backbone
from segmentation.models.layers import double_conv
from segmentation.models.net import Net

if TYPE_CHECKING:
    from segmentation.training.net_hooks import ParameterGroup

TUNINGS: Final = ("frozen", "last-blocks", "lora")
"""What of the backbone is trained: nothing; its last blocks and final norm; low-rank updates beside its weights."""
_STEM_LEVELS = 4
_TAPS = 4
_LAST_BLOCKS_RATE = 0.1
"""Learning rate of trained backbone blocks relative to the decoder's: they are not to forget what they know."""
_ADAPTED = ("q_proj", "v_proj")


class FoundationUNet(Net):
    """``(N, 3, H, W)`` → logits ``(N, classes, H, W)`` from tokens of a DINOv2/DINOv3 backbone and a conv stem.

    Four maps of tokens are tapped at even depths of the backbone, at 1 / patch size of the resolution. The deepest
    is the bottom of the U; the others join at 1/8, 1/4 and 1/2, and a light convolutional stem gives each level,
    full size included, the detail that patches of 14 or 16 px do not hold. Position embeddings are interpolated
    to the window (DINOv2) or rotary (DINOv3), so that any aligned window will do.

    `tuning` is one of `TUNINGS`; `trained_blocks` belongs to ``last-blocks``, `lora_rank` to ``lora``. The
    backbone stays in eval mode while it is trained: a step depends on weights and batch alone.
    The tokens attend to the whole window: `bounded_field` is False, and tiles are blended.
    Raises ValueError for arguments out of range and UsageError ``E_EXTRA`` without the optional libraries.
    After Oquab et al.: "DINOv2" (2023), Siméoni et al.: "DINOv3" (2025), Ranftl, Bochkovskiy, Koltun: "Vision
    transformers for dense prediction" (ICCV 2021) for the taps, and Hu et al.: "LoRA" (ICLR 2022).
    """

    def __init__(
        self,
        *,
        backbone: str,
        in_channels: int = 3,
        classes: int = 3,
        stem_channels: int = 16,
        tuning: str = "frozen",
        trained_blocks: int = 0,
        lora_rank: int = 0,
    ) -> None:
        """`backbone` is `Backbone.config`: sizes only, the weights come by ``load_state_dict``."""
        super().__init__()
        self._sizes = sizes = backbone_sizes(backbone)
        if not 1 <= stem_channels <= 256 or not 1 <= classes <= 256:
            raise ValueError(f"stem_channels and classes must lie in [1, 256], got {stem_channels} and {classes}")
        if in_channels != sizes.image_channels:
            raise ValueError(f"in_channels must be the backbone's {sizes.image_channels}, got {in_channels}")
        _check_tuning(tuning, trained_blocks, lora_rank, sizes.blocks)
        self.in_channels, self.classes = in_channels, classes
        self._kwargs: dict[str, int | float | str | bool] = {
            "backbone": backbone, "in_channels": in_channels, "classes": classes, "stem_channels": stem_channels,
        }  # fmt: skip
        self.tuning, self.trained_blocks = tuning, trained_blocks
        self.backbone = build_backbone(backbone, taps=_tapped(sizes.blocks)).eval()
        if tuning == "lora":
            self.backbone = _with_lora(self.backbone, lora_rank)
        widths = [stem_channels * 2**level for level in range(_STEM_LEVELS)]
        self.stem = nn.ModuleList(_level(a, b) for a, b in zip([in_channels, *widths], widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        self.bottom = nn.Sequential(nn.Conv2d(sizes.channels, 2 * widths[-1], 1), _level(2 * widths[-1], widths[-1]))
        self.laterals = nn.ModuleList(nn.Conv2d(sizes.channels, c, 1) for c in widths[1:])
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in widths[:-1])
        self.decoder = nn.ModuleList([_level(2 * widths[0], widths[0]), *(_level(3 * c, c) for c in widths[1:])])
        self.head = nn.Conv2d(stem_channels, classes, 1)
        self._freeze()

    @property
    def alignment_px(self) -> int:
        """Least common multiple of patch size and the stem's coarsest step: 56 for patches of 14, 16 for 16."""
        return lcm(self._sizes.patch_px, 2 ** (_STEM_LEVELS - 1))

    @property
    def bounded_field(self) -> bool:
        """False: every token attends to every other of its window."""
        return False

    @property
    def architecture_kwargs(self) -> dict[str, int | float | str | bool]:
        """Arguments that rebuild the net as `merged` gives it: what goes into a card."""
        return dict(self._kwargs)

    def train(self, mode: bool = True) -> Self:
        """Training mode for stem and decoder; the backbone stays in eval mode (no drop path, no jittered positions)."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes, H, W)`` of a normalised image ``(N, 3, H, W)``."""
        self.check_window(*image.shape[-2:])
        taps = list(self.backbone(image).feature_maps)
        skips: list[Tensor] = []
        x = image
        for level, encode in enumerate(self.stem):
            x = encode(x if level == 0 else self.pool(x))
            skips.append(x)
        x = self._resized(self.bottom(taps.pop()), skips[-1])
        for level in reversed(range(_STEM_LEVELS)):
            skip = skips.pop()
            if level < _STEM_LEVELS - 1:
                x = self.ups[level](x)
            joined = [x, skip]
            if level > 0:
                joined.append(self._resized(self.laterals[level - 1](taps.pop()), skip))
            x = self.decoder[level](torch.cat(joined, dim=1))
        logits: Tensor = self.head(x)
        return logits

    def parameter_groups(self) -> "list[ParameterGroup]":
        """Stem and decoder at the run's learning rate, trained blocks at a tenth of it, low-rank updates at all of it.

        The order follows from the constructor's arguments; what is in no group is frozen.
        """
        inside = {id(p) for p in self.backbone.parameters()}
        groups: list[ParameterGroup] = [{"params": [p for p in self.parameters() if id(p) not in inside]}]
        tuned = [p for p in self.backbone.parameters() if p.requires_grad]
        if tuned:
            factor = _LAST_BLOCKS_RATE if self.tuning == "last-blocks" else 1.0
            groups.append({"params": tuned, "learning_rate_factor": factor})
        return groups

    def merged(self) -> "FoundationUNet":
        """An equivalent net without low-rank layers, their updates added to the weights: what is stored and run."""
        plain = FoundationUNet(**self._kwargs)  # type: ignore[arg-type]
        state = self.state_dict()
        if self.tuning == "lora":
            backbone = cast("Any", deepcopy(self.backbone)).merge_and_unload().state_dict()
            state = {k: v for k, v in state.items() if not k.startswith("backbone.")}
            state |= {f"backbone.{key}": value for key, value in backbone.items()}
        plain.load_state_dict(state)
        return plain.train(self.training)

    def load_backbone_state(self, state: "dict[str, Tensor]") -> None:
        """Take the pre-trained weights of `Backbone.state`, under low-rank layers where there are some."""
        module = cast("Any", self.backbone)
        if self.tuning == "lora":
            adapted = {f"{name}.": f"{name}.base_layer." for name in _ADAPTED}
            state = {_renamed(key, adapted): value for key, value in state.items()}
            told = module.model.load_state_dict(state, strict=False)
            missing = [key for key in told.missing_keys if ".lora_" not in key]
            if missing or told.unexpected_keys:
                raise ValueError(f"the weights must be the backbone's, got {missing[:3]} {told.unexpected_keys[:3]}")
            return
        module.load_state_dict(state)

    def _freeze(self) -> None:
        if self.tuning == "lora":
            return  # the library has frozen all but its own
        self.backbone.requires_grad_(False)
        if self.tuning == "last-blocks":
            for block in blocks_of(self.backbone)[-1 - self.trained_blocks :]:
                block.requires_grad_(True)

    @staticmethod
    def _resized(x: Tensor, like: Tensor) -> Tensor:
        return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _level(in_channels: int, out_channels: int) -> nn.Sequential:
    return double_conv(in_channels, out_channels, padded=True, normalisation="batch", separable=False)


def _tapped(blocks: int) -> tuple[int, ...]:
    """Blocks, counted from 1, at even depths, the last one included: 3, 6, 9, 12 of 12."""
    if blocks < _TAPS:
        raise ValueError(f"the backbone must have at least {_TAPS} blocks to be tapped, got {blocks}")
    return tuple(blocks * (i + 1) // _TAPS for i in range(_TAPS))


def _renamed(key: str, adapted: dict[str, str]) -> str:
    for old, new in adapted.items():
        key = key.replace(f".{old}", f".{new}")
    return key


def _check_tuning(tuning: str, trained_blocks: int, lora_rank: int, blocks: int) -> None:
    if tuning not in TUNINGS:
        raise ValueError(f"tuning must be one of {', '.join(TUNINGS)}, got {tuning!r}")
    if (tuning == "last-blocks") != (trained_blocks > 0) or not 0 <= trained_blocks <= blocks:
        raise ValueError(
            f"trained_blocks must lie in [1, {blocks}] for last-blocks and be 0 else, got {trained_blocks}"
        )
    if (tuning == "lora") != (lora_rank > 0) or lora_rank > 256:
        raise ValueError(f"lora_rank must lie in [1, 256] for lora and be 0 else, got {lora_rank}")


def _with_lora(backbone: nn.Module, rank: int) -> nn.Module:
    try:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel
    except ImportError as error:
        raise UsageError(
            "E_EXTRA", "peft", "tuning by low-rank updates needs the library peft, got none",
            "pip install 'spanscan[foundation]'",
        ) from error  # fmt: skip
    config = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=list(_ADAPTED), bias="none")
    adapted: nn.Module = LoraModel(backbone, {"default": config}, "default")
    return adapted.eval()
