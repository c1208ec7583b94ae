"""`spanscan evaluate`: through the product's own engine, over folders of pictures and masks."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.evaluate_engine import BYTES_PER_PX, plan_model, refuse_too_large, segment_picture
from flows.evaluate_model import evaluation_rules
from flows.settings import Settings
from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from segmentation.synthetic.crops import sample_crop
from segmentation.training.evaluation import LabelledPrediction, score_image
from tasks.segment import predictor_of

Folders = tuple[Path, Path]


@pytest.fixture
def labelled(tmp_path: Path) -> Folders:
    images, masks = tmp_path / "walls" / "images", tmp_path / "walls" / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    rng = np.random.default_rng(2)
    for number in range(3):
        crop = sample_crop(rng, size_px=150)
        Image.fromarray(crop.image).save(images / f"{number}.png")
        Image.fromarray(np.where(crop.mask == 1, 255, 0).astype(np.uint8)).save(masks / f"{number}.png")
    return images, masks


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def evaluate(folders: Folders, *options: str | Path) -> Result:
    return run("--images", folders[0], "--masks", folders[1], "--class", "crack", *options)


def test_the_scores_are_one_json_object_and_nothing_is_written(labelled: Folders, tmp_path: Path) -> None:
    result = evaluate(labelled, "--json")
    assert result.exit_code == 0
    score = json.loads(result.stdout)
    assert score["images"] == 3
    assert {"iou", "f1", "precision", "recall", "tolerant_f1", "cl_iou"} <= set(score)
    assert {"average_precision", "best_threshold", "boundary_f1", "instances", "calibration_error"} <= set(score)
    assert [at["tolerance_px"] for at in score["by_tolerance"]] == [2.0, 4.0]
    assert len(score["precision_recall"]["recall"]) == 256
    assert 0 <= score["damaged_share"] < 1
    assert score["business"]["length_unit"] == "px"
    low, high = score["intervals_95"]["tolerant_f1"]
    assert 0 <= low <= score["tolerant_f1"] <= high <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["walls"]


def test_table_record_and_sheet_are_made_and_the_last_line_is_their_folder(labelled: Folders, tmp_path: Path) -> None:
    result = evaluate(labelled, "--gsd-mm", "2", "--tolerance-px", "3", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == str(tmp_path / "out")
    for words in ("F1 within 3 px", "missed crack length", "false alarms per 100 m²", "grade differs, aashto"):
        assert words in result.stdout
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [at["tolerance_px"] for at in record["by_tolerance"]] == [2.0, 3.0, 4.0]
    assert record["business"]["length_unit"] == "m"
    assert record["business"]["grade_flips"]["aashto-mbei-concrete-cracking"]["graded"] == 3
    with Image.open(tmp_path / "out" / "cases.png") as sheet:
        assert sheet.width > 1000


def test_pooled_figures_come_from_the_counts_of_all_images(labelled: Folders) -> None:
    score = json.loads(evaluate(labelled, "--json").stdout)
    of_images = sum(i["predicted_share"] * i["pixels"] for i in score["per_image"]) / score["pixels"]
    assert score["predicted_share"] == pytest.approx(of_images, abs=1e-4)
    assert score["business"]["false_alarms"] == sum(i["false_alarms"] for i in score["per_image"])


def test_two_models_stand_side_by_side_on_the_same_images(labelled: Folders, tmp_path: Path) -> None:
    twice = ("--model", "spanscan-unet", "--model", "spanscan-unet")
    record = json.loads(evaluate(labelled, *twice, "--json", "--out", tmp_path / "out").stdout)
    assert len(record["models"]) == 2
    assert record["models"][0] == record["models"][1]
    sheets = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert sheets == ["cases-1-spanscan-unet.png", "cases-2-spanscan-unet.png", "evaluation.json"]


def test_a_split_takes_only_its_images(labelled: Folders) -> None:
    (labelled[0].parent / "splits.json").write_text(json.dumps({"test": ["2.png", "0.png"]}))
    score = json.loads(evaluate(labelled, "--json", "--split", "test").stdout)
    assert [image["name"] for image in score["per_image"]] == ["0.png", "2.png"]


def test_what_is_to_be_ignored_is_not_scored(labelled: Folders) -> None:
    for path in labelled[1].iterdir():
        Image.fromarray(np.full((150, 150), 128, np.uint8)).save(path)
    score = json.loads(evaluate(labelled, "--json").stdout)
    assert score["iou"] is None
    assert score["predicted_share"] is None
    assert score["business"]["false_alarms"] == 0


def test_undamaged_pictures_need_no_masks_and_give_the_share_called_damage(labelled: Folders, tmp_path: Path) -> None:
    result = run("--images", labelled[0], "--undamaged", "--json", "--out", tmp_path / "out")
    record = json.loads(result.stdout)
    called = record["called_crack_share"] + record["called_rust_share"]
    assert record["called_damage_share"] == pytest.approx(called, abs=1e-7)
    assert record["images"] == 3
    assert record["pixels"] == 3 * 150 * 150
    assert (tmp_path / "out" / "cases.png").is_file()


def test_the_table_of_undamaged_pictures_names_both_classes(labelled: Folders) -> None:
    result = run("--images", labelled[0], "--undamaged", "--gsd-mm", "2")
    assert result.exit_code == 0
    for words in ("pixels called damage", "called crack", "called rust", "per 100 m²"):
        assert words in result.stdout


Spoil = Callable[[Folders], object]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(lambda f: (f[1] / "1.png").unlink(), "1.png: E_NO_MASK", id="an image without a mask"),
        pytest.param(
            lambda f: Image.fromarray(np.zeros((10, 10), np.uint8)).save(f[1] / "0.png"),
            "0.png: E_MASK_SIZE",
            id="a mask of another size",
        ),
        pytest.param(
            lambda f: Image.fromarray(np.full((150, 150), 77, np.uint8)).save(f[1] / "0.png"),
            "0.png: E_MASK_VALUES",
            id="a mask of other values",
        ),
        pytest.param(lambda f: (f[0] / "2.png").write_bytes(b"no picture"), "2.png: E_IMAGE", id="no picture"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(labelled: Folders, spoil: Spoil, code: str) -> None:
    spoil(labelled)
    result = evaluate(labelled)
    assert result.exit_code == 3
    assert code in result.stderr


@pytest.mark.parametrize("options", [("--undamaged", "--masks", "."), ()], ids=["masks of undamaged", "neither"])
def test_options_that_do_not_go_together_are_wrong_usage(labelled: Folders, options: tuple[str, ...]) -> None:
    result = run("--images", labelled[0], *options)
    assert result.exit_code == 2
    assert "E_OPTIONS" in result.stderr


def test_a_picture_larger_than_block_and_tile_comes_out_as_by_one_forward_pass() -> None:
    settings = Settings(block_px=512, tile_core_px=256, workers=1, precision="fp32")
    inference = plan_model(settings, gsd_m=None, scale=1.0).inference
    image = sample_crop(np.random.default_rng(8), size_px=520).image[:, :40]
    validity = np.ones(image.shape[:2], np.bool_)
    cut = segment_picture(image, validity, inference=inference, scale=1.0)
    whole = predictor_of(inference).segment_whole(image, validity)
    assert (cut.mask == whole.mask).all()
    assert np.abs(cut.probability.astype(int) - whole.probability).max() <= 1


def test_a_resized_picture_comes_back_at_its_own_size_with_mask_and_probability_in_step() -> None:
    inference = plan_model(Settings(workers=1), gsd_m=None, scale=0.5).inference
    image = sample_crop(np.random.default_rng(8), size_px=151).image[:, :101]
    found = segment_picture(image, np.ones((151, 101), np.bool_), inference=inference, scale=0.5)
    assert found.mask.shape == (151, 101)
    assert found.probability.shape == (2, 151, 101)
    assert (found.probability[0][found.mask == PixelClass.CRACK] >= 85).all()


def test_a_picture_that_would_not_fit_the_memory_limit_is_refused_with_the_figures() -> None:
    settings = Settings(workers=2, memory_limit_bytes=10**9)
    refuse_too_large("small.png", 10**6, settings=settings)
    with pytest.raises(InputRejected, match="2,400 MB"):
        refuse_too_large("large.png", 10**7, settings=settings)


@pytest.mark.slow
@pytest.mark.parametrize("class_name", ["crack", "rust"])
def test_scoring_holds_no_more_bytes_per_pixel_than_is_reserved_for_it(class_name: str) -> None:
    rules = evaluation_rules(Settings(), class_name=class_name, tolerance_px=4.0, gsd_m=0.001)
    crop = sample_crop(np.random.default_rng(4), size_px=400)
    truth = crop.mask == rules.pixel_class
    everything, probability = np.ones((400, 400), np.bool_), np.zeros((2, 400, 400), np.uint8)
    shown = LabelledPrediction(crop.image, np.roll(truth, 3, 0), probability, truth, everything)
    score_image("imports what is imported late", shown, rules=rules)
    tracemalloc.start()
    score_image("crop", shown, rules=rules)
    held_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    decoded_bytes_per_px = 4 + 3 + 1 + 1 + 2 + 2  # RGBA, RGB, validity, mask, probability, truth and labelled
    assert held_bytes / 400**2 + decoded_bytes_per_px <= BYTES_PER_PX
