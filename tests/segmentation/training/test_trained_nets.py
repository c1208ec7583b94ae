"""The loop trains the nets that bring their own loss, parameter groups and released form."""

from pathlib import Path
from typing import Any

import pytest
import torch

from segmentation.classes import CLASS_NAMES
from segmentation.models.backbone import load_backbone
from segmentation.models.card import ModelCard
from segmentation.models.foundation import TUNINGS, FoundationUNet
from segmentation.models.registry import load_model, save_model
from segmentation.training.loop import TrainResult, train
from segmentation.training.losses import LossConfig
from segmentation.training.run_config import NetConfig, TrainConfig
from segmentation.training.sampling import CropContent, SamplerConfig
from segmentation.training.schedules import Schedule

pytestmark = pytest.mark.slow


def _config(run_dir: Path, net: NetConfig, *, border_reach_px: int = 0) -> TrainConfig:
    return TrainConfig(
        run_dir=run_dir,
        sampler=SamplerConfig(
            sets=(), seed=5, crop_px=64, margin_px=0, batch=2, content=CropContent(0.7, None, (0.0, 1.0), border_px=0),
            synthetic_share=1.0, scenes=4, structures=0, synthetic_scale_range=(1.0, 1.0),
            border_reach_px=border_reach_px,
        ),
        net=net,
        loss=LossConfig(
            cross_entropy=1.0, focal_gamma=0.0, region=0.7, missed_share=0.5, centre_line=0.0, centre_line_px=1
        ),
        class_weights=(1.0, 2.0, 1.5), highest_class_weight=10.0,
        schedule=Schedule("cosine", 1e-2, 0.01, warm_up_share=0.0, constant_share=0.0),
        weight_decay=1e-3, steps=4, accumulate=1, average_decay=0.5, validation_scenes=0, validate_every=4,
        patience=None, checkpoint_every=2, threads=1, crop_processes=0, device="cpu", mixed_precision=False,
        deterministic=False,
    )  # fmt: skip


def _run(config: TrainConfig, *, stop_after: int | None = None) -> TrainResult:
    return train(config, on_progress=lambda _: None, on_step=lambda *_: None, stop_after=stop_after)


def _stored_and_loaded(result: TrainResult, architecture: str, folder: Path) -> torch.nn.Module:
    card = ModelCard("trained", architecture, result.architecture_kwargs, CLASS_NAMES, (1.0,) * 3, (1.0,) * 3,
                     (0.001, 0.002), (), "Apache-2.0", (), (), "")  # fmt: skip
    save_model(result.module, card, folder)
    return load_model(str(folder / "trained.safetensors")).module


def test_a_fusion_net_is_trained_on_painted_patches_and_a_stopped_run_ends_alike(tmp_path: Path) -> None:
    kwargs = {"base_channels": 4, "depth": 2, "border_channels": 4, "border_depth": 1, "cut_borders": True}
    net = NetConfig("fusion", kwargs, None, None)
    config, stopped = (_config(tmp_path / name, net, border_reach_px=2) for name in ("whole", "stopped"))
    whole = _run(config)
    _run(stopped, stop_after=2)
    resumed = _run(stopped)
    for key, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[key], value), key
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(_stored_and_loaded(whole, "fusion", tmp_path)(image), whole.module(image))


@pytest.fixture(scope="module")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers", reason="the extra spanscan[foundation] is not installed")
    pytest.importorskip("peft", reason="the extra spanscan[foundation] is not installed")
    folder = tmp_path_factory.mktemp("backbone")
    torch.manual_seed(8)
    settings = transformers.DINOv3ViTConfig(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, intermediate_size=48, image_size=64,
        num_register_tokens=2,
    )  # fmt: skip
    transformers.DINOv3ViTModel(settings).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_foundation_net_is_trained_as_far_as_its_tuning_says(
    tuning: str, backbone_folder: Path, tmp_path: Path
) -> None:
    given = load_backbone(str(backbone_folder))
    kwargs: dict[str, Any] = {"backbone": given.config, "stem_channels": 4, "tuning": tuning}
    kwargs |= {"last-blocks": {"trained_blocks": 1}, "lora": {"lora_rank": 2}}.get(tuning, {})
    result = _run(_config(tmp_path / "run", NetConfig("foundation", kwargs, None, str(backbone_folder))))
    assert isinstance(result.module, FoundationUNet)
    state = result.module.backbone.state_dict()
    changed = {key for key, value in given.state.items() if not torch.equal(state[key], value)}
    blocks = {key.split(".")[2] for key in changed if key.startswith("model.layer.")}
    assert blocks == {"frozen": set(), "last-blocks": {"3"}, "lora": {"0", "1", "2", "3"}}[tuning]
    if tuning == "lora":
        assert all("q_proj.weight" in key or "v_proj.weight" in key for key in changed)
    image = torch.randn(1, 3, 64, 64)
    loaded = _stored_and_loaded(result, "foundation", tmp_path)
    assert torch.allclose(loaded(image), result.module(image), atol=1e-6)
