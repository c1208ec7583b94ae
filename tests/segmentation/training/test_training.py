"""A run learns, and a run that was stopped goes on as if it had not been."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected, UsageError
from segmentation.training.datasets import DataSetSpec, image_names, read_split, with_uncertain_ring
from segmentation.training.loop import TrainConfig, TrainProgress, TrainResult, train
from segmentation.training.sampling import CropSampler, SamplerConfig, batches
from segmentation.training.validation import whole_image_logits


@pytest.fixture(scope="module")
def crack_set(tmp_path_factory: pytest.TempPathFactory) -> DataSetSpec:
    """Grey walls of 70×90 px with one dark line, 3 px wide, each."""
    folder = tmp_path_factory.mktemp("cracks")
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    rng = np.random.default_rng(5)
    for i in range(6):
        image = rng.normal(150, 8, (70, 90, 3))
        mask = np.zeros((70, 90), np.uint8)
        row = int(rng.integers(5, 60))
        image[row : row + 3], mask[row : row + 3] = 40, 255
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"wall_{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"wall_{i}.png")
    names = [f"wall_{i}.png" for i in range(6)]
    (folder / "splits.json").write_text(json.dumps({"train": names[:4], "val": names[4:5], "test": names[5:]}))
    return DataSetSpec(
        "walls", folder, PixelClass.CRACK, share=0.7, line_labels=False, uncertain_px=0, scale_range=(0.7, 1.4)
    )


def _config(run_dir: Path, crack_set: DataSetSpec, **changes: int) -> TrainConfig:
    config = TrainConfig(
        run_dir=run_dir, sets=(crack_set,), synthetic_share=0.3, synthetic_scenes=3, synthetic_structures=0,
        validation_scenes=1, seed=7,
        steps=24, batch=3, crop_px=48, base_channels=4, depth=2, learning_rate=2e-2, weight_decay=1e-4,
        class_weights=(1.0, 3.0, 3.0), dice_weight=1.0, average_decay=0.9, checkpoint_every=4, validate_every=12,
        threads=1, crop_processes=0, device="cpu", mixed_precision=False, initial_model=None,
    )  # fmt: skip
    return replace(config, **changes)


@pytest.fixture(scope="module")
def whole_run(
    crack_set: DataSetSpec, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, list[TrainProgress]]:
    reports: list[TrainProgress] = []
    result = train(_config(tmp_path_factory.mktemp("whole"), crack_set), on_progress=reports.append)
    return result, reports


def test_the_loss_falls(whole_run: tuple[TrainResult, list[TrainProgress]]) -> None:
    losses = [report.loss for report in whole_run[1]]
    assert [report.step for report in whole_run[1]] == [4, 8, 12, 16, 20, 24]
    assert losses[-1] < 0.8 * losses[0]


def test_a_stopped_run_ends_with_the_very_same_weights(
    whole_run: tuple[TrainResult, list[TrainProgress]], crack_set: DataSetSpec, tmp_path: Path
) -> None:
    config = _config(tmp_path, crack_set)
    train(config, on_progress=lambda _: None, stop_after=8)
    # what kill -9 leaves: a half-written temporary file and a log that ran ahead of the checkpoint
    (tmp_path / ".checkpoint.pt.1.partial").write_bytes(b"half")
    resumed = train(config, on_progress=lambda _: None)
    for key, value in whole_run[0].module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[key], value), key
    with (tmp_path / "log.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["set"] == "train"]
    assert steps == [4, 8, 12, 16, 20, 24]


def test_a_finished_run_is_not_trained_again(
    whole_run: tuple[TrainResult, list[TrainProgress]], crack_set: DataSetSpec
) -> None:
    reports: list[TrainProgress] = []
    again = train(_config(whole_run[0].run_dir, crack_set), on_progress=reports.append)
    assert reports == []
    assert torch.equal(again.module.head.weight, whole_run[0].module.head.weight)


def test_validation_scores_every_set_and_both_synthetic_classes(
    whole_run: tuple[TrainResult, list[TrainProgress]],
) -> None:
    assert set(whole_run[0].validation) == {"walls", "synthetic crack", "synthetic rust"}
    assert whole_run[0].validation["walls"].images == 1


def test_a_folder_of_another_run_is_refused(crack_set: DataSetSpec, tmp_path: Path) -> None:
    train(_config(tmp_path, crack_set, steps=1), on_progress=lambda _: None)
    with pytest.raises(UsageError, match="other values of batch, seed") as error:
        train(_config(tmp_path, crack_set, steps=1, seed=8, batch=2), on_progress=lambda _: None)
    assert error.value.code == "E_RUN_FOLDER"


def test_a_damaged_checkpoint_is_refused(crack_set: DataSetSpec, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputRejected) as error:
        train(_config(tmp_path, crack_set), on_progress=lambda _: None)
    assert error.value.code == "E_CHECKPOINT"


def test_a_batch_depends_on_seed_and_step_alone(crack_set: DataSetSpec) -> None:
    def sampler() -> CropSampler:
        sets = [(crack_set, read_split(crack_set, "train"))]
        return CropSampler(sets, seed=3, crop_px=32, batch=4, synthetic_share=0.5, scenes=5, structures=1)

    first, second = sampler(), sampler()
    first.batch_at(0)
    assert np.array_equal(first.batch_at(5).images, second.batch_at(5).images)
    assert np.array_equal(first.batch_at(5).labels, second.batch_at(5).labels)
    assert not np.array_equal(first.batch_at(5).images, first.batch_at(6).images)


def test_batches_prepared_by_other_processes_are_the_same(crack_set: DataSetSpec) -> None:
    config = SamplerConfig((crack_set,), seed=3, crop_px=32, batch=2, synthetic_share=0.3, scenes=5, structures=0)
    here = list(batches(config, first=2, last=6, processes=0))
    elsewhere = list(batches(config, first=2, last=6, processes=1))
    assert [step for step, _ in elsewhere] == [2, 3, 4, 5]
    for (_, a), (_, b) in zip(here, elsewhere, strict=True):
        assert np.array_equal(a.images, b.images)
        assert np.array_equal(a.labels, b.labels)


_TRAINS_FOR_EVER = """
import sys
from pathlib import Path
from segmentation.training.sampling import SamplerConfig, batches

if __name__ == "__main__":
    import multiprocessing
    config = SamplerConfig((), seed=3, crop_px=32, batch=2, synthetic_share=1.0, scenes=2, structures=0)
    for step, _ in batches(config, first=0, last=10**9, processes=1):
        if step == 0:
            print(multiprocessing.active_children()[0].pid, flush=True)
"""


def test_killing_the_training_process_leaves_no_other_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(_TRAINS_FOR_EVER)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = psutil.Process(int(process.stdout.readline()))
        process.kill()
    worker.wait(timeout=10)
    assert not worker.is_running()


def test_no_width_is_taught_by_line_labels(crack_set: DataSetSpec) -> None:
    lines = replace(crack_set, line_labels=True, uncertain_px=2)
    item = read_split(lines, "train")[0]
    taught = with_uncertain_ring(item, lines)
    assert np.array_equal(taught.damage, item.damage)
    assert taught.ignore.sum() == 2 * 2 * item.damage.shape[1]
    assert not (taught.ignore & item.damage).any()


@pytest.mark.parametrize("flaw", ["missing", "size", "values"])
def test_a_set_with_a_flaw_is_refused(flaw: str, tmp_path: Path, crack_set: DataSetSpec) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "images" / "a.png")
    if flaw == "size":
        Image.new("L", (10, 20)).save(tmp_path / "masks" / "a.png")
    if flaw == "values":
        Image.new("L", (20, 10), 7).save(tmp_path / "masks" / "a.png")
    spec = replace(crack_set, folder=tmp_path)
    assert image_names(spec, "train") == ["a.png"]
    with pytest.raises(InputRejected) as error:
        read_split(spec, "train")
    assert error.value.code == "E_DATASET"


def test_a_whole_image_of_any_size_gets_logits_of_its_size(
    whole_run: tuple[TrainResult, list[TrainProgress]],
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (13, 37, 3), dtype=np.uint8)
    logits = whole_image_logits(whole_run[0].module, image, device="cpu", mixed_precision=False)
    assert logits.shape == (3, 13, 37)
    wider = np.concatenate([image, image[:, -2:-12:-1]], axis=1)
    again = whole_image_logits(whole_run[0].module, wider, device="cpu", mixed_precision=False)
    assert np.allclose(logits[:, :, :16], again[:, :, :16], atol=1e-4)
