"""Weights are refused unless they are whole, those of their card, and harmless."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segmentation.classes import CLASS_NAMES
from segmentation.errors import InputRejected, UsageError
from segmentation.models.card import ModelCard, card_from_json
from segmentation.models.catalogue import WEIGHTS_DIR, available_models, card_of
from segmentation.models.registry import ARCHITECTURES, load_model, save_model
from segmentation.models.unet import UNet

Tensors = dict[str, torch.Tensor]


def _card() -> ModelCard:
    return ModelCard(
        name="tiny",
        architecture="unet",
        architecture_kwargs={"in_channels": 3, "classes": 3, "base_channels": 2, "depth": 2},
        classes=CLASS_NAMES,
        mean=(110.0, 111.0, 112.0),
        std=(50.0, 51.0, 52.0),
        gsd_range_m=(0.001, 0.002),
        training_data=(),
        licence="Apache-2.0",
        metrics=(),
        notes=(),
        sha256="",
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(UNet(base_channels=2, depth=2), _card(), tmp_path)
    return tmp_path / "tiny.safetensors"


def _rewrite(weights: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Change the tensors and sign the card anew, so that only the change itself can be the reason to refuse."""
    save_file(change(load_file(weights)), weights)
    _sign(weights)


def _sign(weights: Path) -> None:
    card = card_from_json(weights.with_suffix(".json").read_bytes())
    signed = replace(card, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    weights.with_suffix(".json").write_text(signed.to_json())


_CHOICES: list[dict[str, int | float | str | bool]] = [
    {"fold_px": 2},
    {"padded": False, "up_sampling": "nearest"},
    {"normalisation": "instance"},
    {"normalisation": "none", "separable": True, "dropout": 0.25},
]


@pytest.mark.parametrize("choices", _CHOICES, ids=lambda c: "-".join(c))
def test_every_choice_of_the_family_travels_in_the_card(
    choices: dict[str, int | float | str | bool], tmp_path: Path
) -> None:
    kwargs: dict[str, int | float | str | bool] = {"base_channels": 2, "depth": 2, **choices}
    torch.manual_seed(5)
    net = ARCHITECTURES["unet"](**kwargs).eval()
    save_model(net, replace(_card(), architecture_kwargs=kwargs), tmp_path)
    loaded = load_model(str(tmp_path / "tiny.safetensors"))
    assert {k: (v, type(v)) for k, v in loaded.card.architecture_kwargs.items()} == {
        k: (v, type(v)) for k, v in kwargs.items()
    }
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded.module(image), net(image))


def test_a_card_is_read_without_its_weights(weights: Path) -> None:
    expected = load_model(str(weights)).card
    weights.write_bytes(b"not these weights")
    assert card_of(str(weights)) == expected
    with pytest.raises(InputRejected, match="sha256 must be the card's"):
        load_model(str(weights))


def test_reading_a_card_imports_no_torch() -> None:
    script = "import sys; from segmentation.models.catalogue import card_of; card_of('spanscan-unet'); "
    run = subprocess.run([sys.executable, "-c", script + "sys.exit('torch' in sys.modules)"], check=False)
    assert run.returncode == 0


def test_the_registry_imports_no_optional_library() -> None:
    script = "import sys, segmentation.models.registry; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_what_is_saved_is_loaded_ready_to_use(weights: Path) -> None:
    model = load_model(str(weights))
    assert not model.module.training
    assert not any(p.requires_grad for p in model.module.parameters())
    assert model.sha256 == model.card.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert replace(model.card, sha256="") == _card()
    torch.manual_seed(0)
    assert torch.equal(model.module.head.weight, UNet(base_channels=2, depth=2).head.weight)


def test_half_precision_weights_are_loaded_as_float32(weights: Path) -> None:
    _rewrite(weights, lambda t: {k: v.half() for k, v in t.items()})
    assert load_model(str(weights)).module.head.weight.dtype == torch.float32


@dataclass(frozen=True)
class RefusedTensors:
    name: str
    change: Callable[[Tensors], Tensors]
    says: str


_REFUSED = [
    RefusedTensors(
        "a-missing-tensor", lambda t: {k: v for k, v in t.items() if k != "head.bias"}, "missing.*head.bias"
    ),
    RefusedTensors("an-unknown-tensor", lambda t: {**t, "backdoor": torch.ones(1)}, "unknown.*backdoor"),
    RefusedTensors("a-wrong-shape", lambda t: {**t, "head.bias": torch.ones(4)}, r"shape \(3,\), got \(4,\)"),
    RefusedTensors("a-wrong-dtype", lambda t: {**t, "head.bias": torch.ones(3).double()}, "float32 or float16"),
    RefusedTensors("integer-weights", lambda t: {**t, "head.bias": torch.ones(3).int()}, "float32 or float16"),
    RefusedTensors("a-nan", lambda t: {**t, "head.bias": torch.tensor([0, float("nan"), 0])}, "NaN or infinity"),
    RefusedTensors("an-infinity", lambda t: {**t, "head.bias": torch.tensor([0, float("inf"), 0])}, "NaN or infinity"),
    RefusedTensors("all-zero-weights", lambda t: {**t, "head.weight": t["head.weight"] * 0}, "must not be all zero"),
    RefusedTensors("a-negative-variance", lambda t: {**t, "bottom.1.running_var": -t["bottom.1.running_var"]}, ">= 0"),
]


@pytest.mark.parametrize("case", _REFUSED, ids=lambda c: c.name)
def test_weights_that_no_trained_net_has_are_refused(case: RefusedTensors, weights: Path) -> None:
    _rewrite(weights, case.change)
    with pytest.raises(InputRejected, match=case.says) as error:
        load_model(str(weights))
    assert error.value.code == "E_MODEL"


def test_weights_that_are_not_those_of_the_card_are_refused(weights: Path) -> None:
    tensors = load_file(weights)
    save_file({**tensors, "head.bias": tensors["head.bias"] + 1}, weights)
    with pytest.raises(InputRejected, match="sha256 must be the card's"):
        load_model(str(weights))


def test_a_truncated_file_is_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-40])
    _sign(weights)
    with pytest.raises(InputRejected, match="valid safetensors"):
        load_model(str(weights))


class _RunsWhenUnpickled:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("import pathlib; pathlib.Path('was_run').touch()",))


@pytest.mark.parametrize("file_name", ["tiny.pt", "tiny.pth", "other.safetensors"])
def test_a_pickle_is_refused_and_not_run(
    file_name: str, weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = tmp_path / file_name
    torch.save(_RunsWhenUnpickled(), pickled)
    pickled.with_suffix(".json").write_text(weights.with_suffix(".json").read_text())
    if pickled.suffix == ".safetensors":
        _sign(pickled)
    with pytest.raises(InputRejected) as error:
        load_model(str(pickled))
    assert error.value.code == "E_MODEL"
    assert not Path("was_run").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"unet"', '"resnet"'),
        ('"depth": 2', '"depth": 99'),
        ('"depth": 2', '"width": 2'),
        ('"rust"', '"moss"'),
        ("50.0", "0.0"),
        ("110.0", "NaN"),
        ('"licence"', '"license"'),
        ("{", ""),
    ],
    ids=["architecture", "depth", "argument", "classes", "zero-std", "nan-mean", "field", "not-json"],
)
def test_a_card_that_cannot_be_is_refused(old: str, new: str, weights: Path) -> None:
    card = weights.with_suffix(".json")
    assert old in card.read_text()
    card.write_text(card.read_text().replace(old, new, 1))
    with pytest.raises(InputRejected) as error:
        load_model(str(weights))
    assert error.value.code == "E_MODEL"


def test_weights_without_a_card_are_refused(weights: Path) -> None:
    weights.with_suffix(".json").unlink()
    with pytest.raises(InputRejected, match=r"card tiny\.json must be readable"):
        load_model(str(weights))


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match="spanscan-unet") as error:
        load_model("spanscan-unte")
    assert error.value.code == "E_MODEL_UNKNOWN"


@pytest.mark.parametrize("name", available_models())
def test_every_shipped_model_loads_and_says_what_it_is(name: str) -> None:
    model = load_model(name)
    assert model.card.name == name
    assert model.card.classes == CLASS_NAMES
    assert (WEIGHTS_DIR / f"{name}.safetensors").stat().st_size <= 20e6
    assert {m.split.split("/")[0] for m in model.card.metrics} >= {"cracks_masonry", "cracks_uav75", "rust_photos"}
    logits = model.module(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 3, 64, 64)
    assert bool(torch.isfinite(logits).all())


def test_a_model_is_shipped() -> None:
    assert "spanscan-unet" in available_models()
