"""Rows 43 and 44 of the scorecard: weights that must be refused before the first tile, and of which nothing may run."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segmentation.errors import InputRejected
from segmentation.models.card import card_from_json
from segmentation.models.catalogue import WEIGHTS_DIR
from tests.scorecard.inputs import Control, Row, check, inspected, spanscan
from tests.tasks.surveys import write_raster

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class RefusedModel(Row):
    """Weights that must be refused."""

    make: Callable[[Path, Path], Path]
    """From a copy of the shipped weights and a path that code would create if it ran: the file to be given."""


class _Runs:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"import pathlib; pathlib.Path({str(self._mark)!r}).touch()",)


def _sign(weights: Path) -> Path:
    card = card_from_json(weights.with_suffix(".json").read_bytes())
    signed = replace(card, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    weights.with_suffix(".json").write_text(signed.to_json())
    return weights


def _pickled(suffix: str) -> Callable[[Path, Path], Path]:
    def make(weights: Path, mark: Path) -> Path:
        path = weights.with_name(f"mine{suffix}")
        torch.save(_Runs(mark), path)
        path.with_suffix(".json").write_text(weights.with_suffix(".json").read_text())
        return _sign(path)

    return make


def _torchscript(weights: Path, mark: Path) -> Path:
    path = weights.with_name("mine.safetensors")
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(3, 3, 1)), str(path))
    path.with_suffix(".json").write_text(weights.with_suffix(".json").read_text())
    return _sign(path)


def _changed(change: Callable[[Tensors], Tensors]) -> Callable[[Path, Path], Path]:
    def make(weights: Path, mark: Path) -> Path:
        save_file(change(load_file(weights)), weights)
        return _sign(weights)

    return make


def _first(tensors: Tensors, ending: str) -> str:
    return next(key for key in sorted(tensors) if key.endswith(ending))


def _filled(ending: str, value: float) -> Callable[[Path, Path], Path]:
    def change(tensors: Tensors) -> Tensors:
        key = _first(tensors, ending)
        return {**tensors, key: torch.full_like(tensors[key], value)}

    return _changed(change)


def _without_one(tensors: Tensors) -> Tensors:
    gone = _first(tensors, "weight")
    return {key: tensor for key, tensor in tensors.items() if key != gone}


def _other_shape(tensors: Tensors) -> Tensors:
    key = _first(tensors, "weight")
    return {**tensors, key: torch.cat([tensors[key], tensors[key]])}


def _other_dtype(tensors: Tensors) -> Tensors:
    key = _first(tensors, "weight")
    return {**tensors, key: tensors[key].double()}


def _flipped_bit(weights: Path, mark: Path) -> Path:
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
    return weights


REFUSED_MODELS = [
    RefusedModel("43 pickled .pt", _pickled(".pt")),
    RefusedModel("43 pickled, named .safetensors", _pickled(".safetensors")),
    RefusedModel("43 TorchScript, named .safetensors", _torchscript),
    RefusedModel("43 wrong shape", _changed(_other_shape)),
    RefusedModel("43 wrong dtype", _changed(_other_dtype)),
    RefusedModel("43 missing key", _changed(_without_one)),
    RefusedModel("44 NaN", _filled("weight", float("nan"))),
    RefusedModel("44 infinity", _filled("bias", float("inf"))),
    RefusedModel("44 all zero", _changed(lambda tensors: {key: t * 0 for key, t in tensors.items()})),
    RefusedModel("44 negative variance", _filled("running_var", -1.0)),
    RefusedModel("44 sha256 mismatch", _flipped_bit),
]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A copy of the shipped weights with their card."""
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"mine{suffix}").write_bytes((WEIGHTS_DIR / f"spanscan-unet{suffix}").read_bytes())
    return tmp_path / "mine.safetensors"


@pytest.mark.parametrize("command", ["check", pytest.param("plan", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", REFUSED_MODELS, ids=lambda case: case.id)
def test_hostile_weights_are_refused_and_nothing_runs(
    case: RefusedModel, command: str, weights: Path, tmp_path: Path
) -> None:
    survey, mark = write_raster(tmp_path / "bridge" / "deck.tif").parent, tmp_path / "was-run"
    told = spanscan(command, survey, "--model", case.make(weights, mark), home=tmp_path)
    assert told.exit_code == 3
    (line,) = told.stderr.splitlines()
    assert ": E_MODEL: " in line
    assert "Remedy: " in line
    assert not mark.exists()


def test_a_copy_of_the_shipped_weights_is_taken(weights: Path, tmp_path: Path) -> None:
    survey = write_raster(tmp_path / "bridge" / "deck.tif").parent
    assert check(survey, "--model", str(weights), home=tmp_path).exit_code == 0


@pytest.mark.slow
def test_an_inspection_refuses_them_before_the_first_tile_and_the_good_survey_is_as_before(
    weights: Path, control: Control
) -> None:
    path = _filled("weight", float("nan"))(weights, weights)
    results = control.folder / "models"
    with pytest.raises(InputRejected) as refused:
        inspected(control.inbox / "good", home=control.home, results=results, model=str(path))
    assert refused.value.code == "E_MODEL"
    assert {entry.name for entry in (results / "good").iterdir()} == {"rejected.json", "uploads"}
    control.assert_unchanged()
