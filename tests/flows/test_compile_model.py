"""`compile-model`: a net that the gate lets through lies in its folder with its figures, another leaves no trace."""

from pathlib import Path

import pytest

from flows import compile_model
from flows.settings import Settings
from segmentation.models.registry import save_model
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
    path = save_model(loaded.module, loaded.card, tmp_path / "weights")
    return Settings(home=tmp_path / "home", model=str(path))
