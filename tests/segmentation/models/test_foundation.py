"""A transformer that was taught by pictures alone, as an encoder: tiny seeded ones, read from a folder."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from segmentation.classes import CLASS_NAMES
from segmentation.errors import InputRejected
from segmentation.models.backbone import Backbone, backbone_sizes, blocks_of, build_backbone, load_backbone
from segmentation.models.card import ModelCard
from segmentation.models.foundation import TUNINGS, FoundationUNet
from segmentation.models.geometry import net_geometry
from segmentation.models.registry import load_model, save_model
from segmentation.training.net_hooks import OwnBackbone, OwnParameterGroups, OwnRelease, groups_of
from tests.segmentation.inference.nets import all_valid, assert_same, by_tiles, noise, predictor_of, shipped
from tests.segmentation.models.allocations import measured_peak_values

transformers = pytest.importorskip("transformers", reason="the extra spanscan[foundation] is not installed")
pytest.importorskip("peft", reason="the extra spanscan[foundation] is not installed")

_TINY: dict[str, Any] = {
    "hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 2, "image_size": 56, "layerscale_value": 0.5,
}  # fmt: skip
_KINDS: dict[str, Callable[[], Any]] = {
    "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**_TINY, mlp_ratio=2)),
    "dinov2_with_registers": lambda: transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(**_TINY, mlp_ratio=2, num_register_tokens=3, patch_size=14)
    ),
    "dinov3_vit": lambda: transformers.DINOv3ViTModel(
        transformers.DINOv3ViTConfig(**_TINY, intermediate_size=48, num_register_tokens=4)
    ),
}


def _saved(kind: str, folder: Path) -> Path:
    torch.manual_seed(8)
    _KINDS[kind]().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=sorted(_KINDS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _saved(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return load_backbone(str(folder))


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """One kind stands for all where the backbone's own code plays no part."""
    return load_backbone(str(_saved("dinov2", tmp_path_factory.mktemp("one"))))


def _net(backbone: Backbone, **changes: Any) -> FoundationUNet:
    torch.manual_seed(1)
    net = FoundationUNet(backbone=backbone.config, stem_channels=8, **changes)
    net.load_backbone_state(dict(backbone.state))
    return net.eval()


@dataclass(frozen=True)
class Published:
    name: str
    config: Callable[[], Any]
    patch_px: int
    tokens: int
    """Of an image of 224 × 224 px, class and register tokens included."""
    parameters: int
    alignment_px: int


_PUBLISHED = [
    Published("dinov2-small", lambda: transformers.Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518),
              14, 256 + 1, 22_056_576, 56),
    Published("dinov2-base", lambda: transformers.Dinov2Config(image_size=518), 14, 256 + 1, 86_580_480, 56),
    Published("dinov3-small", lambda: transformers.DINOv3ViTConfig(num_register_tokens=4), 16, 196 + 5, 21_596_544, 16),
]  # fmt: skip


@pytest.mark.parametrize("case", _PUBLISHED, ids=lambda c: c.name)
def test_a_published_backbone_has_its_patches_tokens_and_parameters(case: Published) -> None:
    from segmentation.models.backbone import _FIELDS

    settings = case.config()
    kind = settings.model_type
    config = json.dumps({"kind": kind, **{field: getattr(settings, field) for field in _FIELDS[kind]}})
    with torch.device("meta"):
        module = build_backbone(config, taps=(3, 6, 9, 12))
        net = FoundationUNet(backbone=config)
        maps = module(torch.zeros(1, 3, 224, 224)).feature_maps
    sizes = backbone_sizes(config)
    assert sizes.patch_px == case.patch_px
    assert sizes.prefix_tokens + maps[0].shape[2] * maps[0].shape[3] == case.tokens
    assert sum(p.numel() for p in module.parameters()) == case.parameters
    assert net.alignment_px == case.alignment_px


def test_the_library_needs_no_torchvision() -> None:
    assert "torchvision" not in sys.modules


def test_a_folder_is_read_into_what_rebuilds_it(folder: Path, backbone: Backbone) -> None:
    image = torch.randn(1, 3, 56, 112)
    module = build_backbone(backbone.config, taps=(5,)).eval()
    module.load_state_dict(dict(backbone.state))
    original = transformers.AutoModel.from_pretrained(folder).eval()
    image = torch.randn(1, 3, 112, 224)
    patch_px, prefix = backbone_sizes(backbone.config).patch_px, backbone_sizes(backbone.config).prefix_tokens
    tokens = original(image).last_hidden_state[:, prefix:]
    found = module(image).feature_maps[0]
    assert found.shape == (1, 24, 112 // patch_px, 224 // patch_px)
    assert torch.allclose(found.flatten(2).transpose(1, 2), tokens, atol=1e-5)
    assert any(key.endswith("lambda1") for key in backbone.state)


@pytest.mark.parametrize("side_px", [112, 224, 336])
def test_any_aligned_window_gets_logits_of_its_size(backbone: Backbone, side_px: int) -> None:
    net = _net(backbone)
    assert net(torch.randn(1, 3, side_px, 112)).shape == (1, 3, side_px, 112)
    with pytest.raises(ValueError, match=f"multiples of {net.alignment_px}"):
        net(torch.randn(1, 3, side_px + 4, 112))


def test_the_whole_window_is_seen_and_so_tiles_are_blended(backbone: Backbone) -> None:
    net = _net(backbone)
    geometry = net_geometry(net)
    assert (geometry.bounded_field, geometry.receptive_field_radius_px) == (False, None)
    assert geometry.multiply_adds_per_px > 0
    image = torch.randn(1, 3, 224, 224)
    changed = image.clone()
    changed[..., 0, 0] += 50
    assert not torch.equal(net(image)[..., -1, -1], net(changed)[..., -1, -1])


def test_a_forward_pass_allocates_at_most_what_was_said(dinov2: Backbone) -> None:
    net = _net(dinov2).requires_grad_(False)
    side_px = 448
    assert measured_peak_values(net, side_px) <= net.peak_activation_values_per_px * side_px**2


def test_every_block_that_is_tapped_and_every_level_of_the_stem_reaches_the_logits(backbone: Backbone) -> None:
    net = _net(backbone, tuning="last-blocks", trained_blocks=5).train()
    torch.autograd.backward(net(torch.randn(1, 3, 112, 112)).square().mean())
    silent = [name for name, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert [name for name in silent if not name.endswith("k_proj.bias")] == []  # a constant key shifts no soft-max


def test_the_engine_blends_its_tiles_and_blocks_agree(dinov2: Backbone) -> None:
    image = noise(3, 120, 150)
    predictor = predictor_of(replace(shipped(), module=_net(dinov2)), core_px=56)
    assert predictor.geometry.method == "blended"
    found = by_tiles(predictor, image, all_valid(image), block_px=112)
    assert (found.mask < 3).all()
    assert_same(found, predictor.segment_whole(image, all_valid(image)))


def test_what_is_frozen_gets_no_gradient_and_stays_in_eval_mode(dinov2: Backbone) -> None:
    net = _net(dinov2).train()
    assert isinstance(net, OwnParameterGroups)
    assert isinstance(net, OwnBackbone)
    assert isinstance(net, OwnRelease)
    groups_of(net)
    torch.autograd.backward(net(torch.randn(1, 3, 112, 112)).sum())
    assert net.stem[0].training
    assert not any(layer.training for layer in net.backbone.modules())
    assert all(p.grad is None for p in net.backbone.parameters())
    assert all(p.grad is not None for name, p in net.named_parameters() if not name.startswith("backbone."))


def test_last_blocks_are_trained_slower_and_the_others_not_at_all(backbone: Backbone) -> None:
    net = _net(backbone, tuning="last-blocks", trained_blocks=2)
    groups = groups_of(net)
    assert [g.get("learning_rate_factor", 1.0) for g in groups] == [1.0, 0.1]
    blocks = blocks_of(net.backbone)
    assert len(blocks) == 6
    assert [all(p.requires_grad for p in block.parameters()) for block in blocks] == [False] * 3 + [True] * 3
    assert not any(p.requires_grad for block in blocks[:3] for p in block.parameters())


def test_low_rank_updates_change_nothing_at_the_start(backbone: Backbone) -> None:
    image = torch.randn(1, 3, 112, 112)
    plain, adapted = _net(backbone), _net(backbone, tuning="lora", lora_rank=4)
    own = {key: value for key, value in plain.state_dict().items() if not key.startswith("backbone.")}
    adapted.load_state_dict(own, strict=False)
    assert torch.equal(adapted(image), plain(image))


def test_merged_updates_say_what_they_said_apart(backbone: Backbone) -> None:
    image = torch.randn(1, 3, 112, 112)
    adapted = _net(backbone, tuning="lora", lora_rank=4)
    before = adapted(image)
    tuned = groups_of(adapted)[1]["params"]
    # five blocks, two adapted projections each, two factors of rank 4 each
    assert sum(p.numel() for p in tuned) == 5 * 2 * 2 * 4 * 24
    for parameter in tuned:
        torch.nn.init.normal_(parameter, std=2.0)
    merged = adapted.merged()
    assert (adapted(image) - before).abs().max() > 1e-3
    assert torch.allclose(merged(image), adapted(image), atol=1e-4)
    assert merged.state_dict().keys() == _net(backbone).state_dict().keys()
    assert merged.architecture_kwargs["backbone"] == backbone.config


@pytest.mark.parametrize("tuning", TUNINGS)
def test_stored_weights_need_no_folder_and_no_hub(tuning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    net = _net(
        load_backbone(str(_saved("dinov3_vit", source))), tuning=tuning,
        trained_blocks=2 if tuning == "last-blocks" else 0, lora_rank=2 if tuning == "lora" else 0,
    )  # fmt: skip
    for path in source.iterdir():
        path.unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    card = ModelCard("tiny", "foundation", net.architecture_kwargs, CLASS_NAMES, (1.0,) * 3, (1.0,) * 3, (0.001, 0.002),
                     (), "Apache-2.0", (), (), "")  # fmt: skip
    save_model(net.merged(), card, tmp_path)
    module = load_model(str(tmp_path / "tiny.safetensors")).module
    image = torch.randn(1, 3, 64, 64)
    assert torch.allclose(module(image), net(image), atol=1e-6)


@dataclass(frozen=True)
class Refused:
    name: str
    change: Callable[[dict[str, Any]], None]
    says: str


_REFUSED = [
    Refused("another-kind", lambda c: c.update(kind="bert"), "must be one of dinov2"),
    Refused("a-field-too-few", lambda c: c.pop("image_size"), "got image_size"),
    Refused("code-from-elsewhere", lambda c: c.update(auto_map="x--y"), "got auto_map"),
    Refused("no-whole-size", lambda c: c.update(patch_size=[16, 8]), r"patch_size .* got \[16, 8\]"),
    Refused("too-many-blocks", lambda c: c.update(num_hidden_layers=10**9), "num_hidden_layers"),
    Refused("too-few-blocks-to-tap", lambda c: c.update(num_hidden_layers=3), "at least 4 blocks"),
    Refused("other-channels", lambda c: c.update(num_channels=5), "in_channels must be the backbone's 5"),
]


@pytest.mark.parametrize("case", _REFUSED, ids=lambda c: c.name)
def test_a_configuration_that_no_backbone_has_is_refused(case: Refused, dinov2: Backbone) -> None:
    fields = json.loads(dinov2.config)
    case.change(fields)
    with pytest.raises(ValueError, match=case.says):
        FoundationUNet(backbone=json.dumps(fields))


@pytest.mark.parametrize(
    "wrong",
    [{"tuning": "all"}, {"trained_blocks": 2}, {"tuning": "last-blocks", "trained_blocks": 6}, {"tuning": "lora"}],
    ids=["unknown", "blocks-of-a-frozen-one", "more-blocks-than-there-are", "no-rank"],
)
def test_a_tuning_that_cannot_be_is_refused(wrong: dict[str, Any], dinov2: Backbone) -> None:
    with pytest.raises(ValueError, match=r"tuning|trained_blocks|lora_rank"):
        FoundationUNet(backbone=dinov2.config, **wrong)


@pytest.mark.parametrize("flaw", ["nothing", "another-model", "a-weight-missing", "pickled"])
def test_a_source_that_is_no_backbone_is_refused(flaw: str, tmp_path: Path) -> None:
    if flaw == "another-model":
        transformers.ViTConfig().save_pretrained(tmp_path)
    elif flaw != "nothing":
        weights = _saved("dinov2", tmp_path) / "model.safetensors"
        tensors = load_file(weights)
        weights.unlink()
        if flaw == "pickled":
            torch.save(tensors, tmp_path / "pytorch_model.bin")
        else:
            tensors.pop(next(key for key in tensors if "norm2" in key))
            save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(InputRejected) as error:
        load_backbone(str(tmp_path))
    assert error.value.code == "E_BACKBONE"
