"""``spanscan train``: a user's own folders become weights that load, and mistakes are told before any work."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli import app
from flows.train_model import TrainRequest, recipe
from segmentation.errors import UsageError
from segmentation.models.registry import load_model

OWN = "--images {0}/images --masks {0}/masks --class rust"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["train", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def own_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bridge")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    rng = np.random.default_rng(2)
    for i in range(4):
        mask = np.zeros((70, 80), np.uint8)
        mask[10 + 5 * i : 40 + 5 * i, 20:60] = 255
        image = np.where(mask[..., None] > 0, (140, 70, 40), (120, 125, 130)) + rng.normal(0, 9, (70, 80, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{i}.jpg")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    return folder


def request(out: Path, **changes: object) -> TrainRequest:
    fields: dict[str, object] = {
        "out": out, "data": None, "folders": (), "others_absent": False, "synthetic_share": 0.4, "model": "unet",
        "net_arguments": (), "backbone": None, "initial_model": None, "steps": 100, "batch": 8, "accumulate": 1,
        "crop_px": 256, "learning_rate": 1e-3, "schedule": "cosine", "class_weights": "fixed", "least_damage_px": None,
        "centre_line": 0.0, "patience": None, "seed": 1, "deterministic": False, "mixed_precision": True,
    }  # fmt: skip
    return TrainRequest(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        "--model unet --set base_channels=4 --set depth=2 --set padded=false",
        "--model fusion --set base_channels=4 --set depth=1 --set border_channels=4 --set border_depth=1",
    ],
    ids=["valid-u-net", "fusion"],
)
def test_own_folders_become_weights_that_load(model: str, own_set: Path, tmp_path: Path) -> None:
    arguments = f"{OWN.format(own_set)} --synthetic-share 0 {model} --steps 1 --batch 2 --crop-px 64 --out {tmp_path}"
    code, stdout, stderr = run(*arguments.split(), "--accumulate", "2", "--least-damage-px", "30", "--deterministic")
    assert code == 0, stderr
    loaded = load_model(stdout.strip().splitlines()[-1])
    assert loaded.card.training_data[0].name == own_set.name
    assert loaded.card.licence == "LicenseRef-of-its-training-data"
    assert {path.name for path in tmp_path.iterdir()} >= {"log.csv", "learning-curves.png", "config.json", "model.json"}


def test_the_recipe_is_that_of_the_shipped_architecture(tmp_path: Path) -> None:
    config = recipe(request(tmp_path), device="cpu", threads=2)
    assert dict(config.net.kwargs) == dict(load_model("spanscan-unet").card.architecture_kwargs)
    assert config.sampler.synthetic_share == 1.0  # there are no sets


def test_own_folders_share_what_synthetic_damage_leaves(own_set: Path, tmp_path: Path) -> None:
    folder = (own_set / "images", own_set / "masks", "rust")
    config = recipe(request(tmp_path, folders=(folder, folder)), device="cpu", threads=2)
    assert [spec.share for spec in config.sampler.sets] == pytest.approx([0.3, 0.3])
    assert [spec.name for spec in config.sampler.sets] == [own_set.name, f"{own_set.name}#2"]


def test_a_crop_is_rounded_up_to_what_a_valid_net_takes(tmp_path: Path) -> None:
    config = recipe(request(tmp_path, model="unet-2015", crop_px=500), device="cpu", threads=2)
    assert (config.sampler.crop_px, config.sampler.margin_px) == (508, 92)


@pytest.mark.parametrize("argument", ["depth", "=3", "depth=", "de-pth=3"])
def test_an_argument_of_the_net_must_be_key_and_value(argument: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be key=value"):
        recipe(request(tmp_path, net_arguments=(argument,)), device="cpu", threads=2)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("--images {0}/images --class rust", 2, "equally often"),
        ("--images {0}/images --masks {0}/nothing --class rust", 3, "E_NOT_FOUND"),
        ("--data {0}", 3, "cracks_uav75"),
        ("--model u-net", 2, "E_ARCHITECTURE"),
    ],
    ids=["no-masks", "a-folder-that-is-not-there", "no-known-sets", "no-such-architecture"],
)
def test_a_mistake_is_told_in_one_line(arguments: str, code: int, said: str, own_set: Path, tmp_path: Path) -> None:
    told = run(*arguments.format(own_set).split(), "--out", str(tmp_path / "run"))
    assert told[0] == code
    assert said in told[2]
    assert not (tmp_path / "run").exists()
