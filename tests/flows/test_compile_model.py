"""`compile-model`: a net that the gate lets through lies in its folder with its figures, another leaves no trace."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows import compile_model
from flows.compile_model import EvaluationFolder, compile_weights, compiled_lines, evaluation_folders
from flows.settings import Settings
from segmentation.errors import RunFailed, UsageError
from segmentation.inference.openvino_runtime import compiled_folder
from segmentation.models.compiled import MOST_LOSS, read_compiled
from segmentation.models.quantisation import Recipe
from segmentation.models.registry import load_model, save_model
from tests.segmentation.inference.nets import PADDED, small_model

pytest.importorskip("openvino", reason="the extra spanscan[openvino] is not installed")
pytest.importorskip("nncf", reason="the extra spanscan[openvino] is not installed")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a tiny net, with a gate of two small scenes."""
    monkeypatch.setattr(compile_model, "SYNTHETIC_SCENES", 2)
    monkeypatch.setattr(compile_model, "SYNTHETIC_PX", 160)
    monkeypatch.setattr(compile_model, "CALIBRATION_CROPS", 4)
    loaded = small_model(3, **PADDED)
    card = replace(loaded.card, architecture_kwargs={"base_channels": 4, **PADDED})
    save_model(loaded.module, card, tmp_path / "weights")
    return Settings(home=tmp_path / "home", model=str(tmp_path / "weights" / f"{card.name}.safetensors"))


@pytest.fixture
def scenes(tmp_path: Path) -> EvaluationFolder:
    """One picture of which the upper half is labelled as crack."""
    rng = np.random.default_rng(7)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(tmp_path / "images" / "a.png")
    mask = np.zeros((96, 128), np.uint8)
    mask[:48] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    return evaluation_folders([tmp_path / "images"], [tmp_path / "masks"], ["crack"], split=None)[0]


@pytest.mark.slow
def test_what_passes_the_gate_lies_in_its_folder_with_the_figures(
    settings: Settings, scenes: EvaluationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_model, "INT8_RECIPES", (Recipe("float32", False, False, "f32"),))
    folder, card = compile_weights(settings, evaluations=[scenes], calibration=None, out=None, allow_bf16=False)
    loaded = load_model(settings.model)
    assert folder == compiled_folder(settings.home, loaded)
    assert read_compiled(folder, loaded, gated=True) == card
    assert {figure.class_name for figure in card.gate} >= {"crack"}
    assert {figure.images for figure in card.gate} == {1, 2}
    assert abs(card.worst_loss) <= MOST_LOSS
    assert any("images" in line and "crack" in line for line in compiled_lines(card))
    assert [found.name for found in folder.parent.iterdir()] == [folder.name]


@pytest.mark.slow
def test_what_loses_too_much_is_refused_and_leaves_no_trace(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_model, "INT8_RECIPES", compile_model.INT8_RECIPES[:1])
    monkeypatch.setattr(compile_model, "MOST_LOSS", -1.0)
    with pytest.raises(RunFailed) as failure:
        compile_weights(settings, evaluations=[], calibration=None, out=None, allow_bf16=False)
    assert failure.value.code == "E_GATE"
    assert list((settings.home / "compiled").iterdir()) == []


def test_sets_of_the_gate_are_given_in_threes() -> None:
    with pytest.raises(UsageError) as failure:
        evaluation_folders([Path("images")], [Path("masks")], [], split=None)
    assert failure.value.code == "E_SETTING"
