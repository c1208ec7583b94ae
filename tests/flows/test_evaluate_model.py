"""`spanscan evaluate`: through the product's own predictor, with masks that say damage, ignore or neither."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli import app
from segmentation.synthetic.crops import sample_crop


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, Path]:
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    rng = np.random.default_rng(2)
    for number in range(3):
        crop = sample_crop(rng, size_px=150)
        Image.fromarray(crop.image).save(images / f"{number}.png")
        Image.fromarray(np.where(crop.mask == 1, 255, 0).astype(np.uint8)).save(masks / f"{number}.png")
    return images, masks


def evaluate(folders: tuple[Path, Path], *options: str) -> Result:
    arguments = ["evaluate", "--images", str(folders[0]), "--masks", str(folders[1]), "--class", "crack", *options]
    return CliRunner().invoke(app, arguments)


def test_the_scores_are_one_json_object(labelled: tuple[Path, Path]) -> None:
    result = evaluate(labelled, "--json")
    assert result.exit_code == 0
    score = json.loads(result.stdout)
    assert score["images"] == 3
    assert {"iou", "f1", "precision", "recall", "tolerant_f1", "cl_iou"} <= set(score)
    assert 0 <= score["damaged_share"] < 1


def test_what_is_to_be_ignored_is_not_scored(labelled: tuple[Path, Path]) -> None:
    for path in labelled[1].iterdir():
        Image.fromarray(np.full((150, 150), 128, np.uint8)).save(path)
    score = json.loads(evaluate(labelled, "--json").stdout)
    assert score["iou"] is None
    assert score["predicted_share"] is None


def test_an_image_without_a_mask_is_refused_by_name(labelled: tuple[Path, Path]) -> None:
    (labelled[1] / "1.png").unlink()
    result = evaluate(labelled)
    assert result.exit_code == 3
    assert "1.png: E_NO_MASK" in result.stderr


def test_a_mask_of_another_size_is_refused(labelled: tuple[Path, Path]) -> None:
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(labelled[1] / "0.png")
    result = evaluate(labelled)
    assert result.exit_code == 3
    assert "E_MASK_SIZE" in result.stderr
