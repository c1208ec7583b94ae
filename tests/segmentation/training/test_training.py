"""A run learns, and a run that was stopped goes on as if it had not been."""

import csv
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segmentation.errors import InputRejected, RunFailed, UsageError
from segmentation.models.net import Net
from segmentation.training.checkpoint import Patience, read_checkpoint
from segmentation.training.datasets import DataSetSpec
from segmentation.training.learning_curves import TrainProgress, read_log
from segmentation.training.loop import TrainResult, train
from segmentation.training.losses import combined_loss
from segmentation.training.nets import blank_net
from segmentation.training.run_config import NetConfig, TrainConfig
from segmentation.training.validation import normalised, whole_image_logits
from tests.segmentation.training.walls import train_config, write_walls

Run = tuple[TrainResult, list[TrainProgress]]


@pytest.fixture(scope="module")
def crack_set(tmp_path_factory: pytest.TempPathFactory) -> DataSetSpec:
    return write_walls(tmp_path_factory.mktemp("walls"))


def go(config: TrainConfig, **how: Any) -> Run:
    reports: list[TrainProgress] = []
    result = train(config, on_progress=reports.append, on_step=lambda done, loss: None, **how)
    return result, reports


@pytest.fixture(scope="module")
def whole_run(crack_set: DataSetSpec, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return go(train_config(tmp_path_factory.mktemp("whole"), crack_set))


def assert_same_weights(one: TrainResult, other: TrainResult) -> None:
    for key, value in one.module.state_dict().items():
        assert torch.equal(other.module.state_dict()[key], value), key


def test_the_loss_falls_on_crops_that_were_not_trained_on(whole_run: Run, crack_set: DataSetSpec) -> None:
    config = train_config(whole_run[0].run_dir, crack_set, batch=24)
    batch = config.sampler.sampler().batch_at(10**6)
    weights = torch.tensor(config.class_weights)

    def loss(net: Net) -> float:
        logits = net.eval()(normalised(batch.images, device="cpu")).detach()
        return float(combined_loss(logits, torch.from_numpy(batch.labels), config=config.loss, class_weights=weights))

    assert [report.step for report in whole_run[1]] == [4, 8, 12, 16, 20, 24]
    torch.manual_seed(config.sampler.seed)
    assert loss(whole_run[0].module) < 0.8 * loss(blank_net(config.net))


def test_a_stopped_run_ends_with_the_very_same_weights(whole_run: Run, crack_set: DataSetSpec, tmp_path: Path) -> None:
    config = train_config(tmp_path, crack_set)
    go(config, stop_after=8)
    # what kill -9 leaves: a half-written temporary file and a log that ran ahead of the checkpoint
    (tmp_path / ".checkpoint.pt.1.partial").write_bytes(b"half")
    assert_same_weights(go(config)[0], whole_run[0])
    with (tmp_path / "log.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["set"] == "train"]
    assert steps == [4, 8, 12, 16, 20, 24]


_CHILD = """
import sys
from pathlib import Path
from segmentation.training.loop import train
from tests.segmentation.training.walls import train_config, walls

config = train_config(Path(sys.argv[1]), walls(Path(sys.argv[2])), net={"dropout": 0.3}, accumulate=2)
train(config, on_progress=lambda report: None, on_step=lambda done, loss: None)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_very_same_weights(crack_set: DataSetSpec, tmp_path: Path) -> None:
    """With dropout and two batches a step: neither may depend on what the process did before."""
    how: dict[str, Any] = {"net": {"dropout": 0.3}, "accumulate": 2}
    never_stopped, _ = go(train_config(tmp_path / "whole", crack_set, **how))
    folder = tmp_path / "killed"
    with subprocess.Popen([sys.executable, "-c", _CHILD, str(folder), str(crack_set.folder)]) as process:
        while process.poll() is None and not (folder / "checkpoint.pt").is_file():
            time.sleep(0.01)
        process.kill()
    checkpoint = read_checkpoint(folder)
    assert checkpoint is not None
    assert checkpoint.step < 24
    assert_same_weights(go(train_config(folder, crack_set, **how))[0], never_stopped)


def test_a_finished_run_is_not_trained_again(whole_run: Run, crack_set: DataSetSpec) -> None:
    again, reports = go(train_config(whole_run[0].run_dir, crack_set))
    assert reports == []
    assert_same_weights(again, whole_run[0])


def test_validation_scores_every_set_and_both_synthetic_classes(whole_run: Run) -> None:
    assert set(whole_run[0].validation) == {"walls", "synthetic crack", "synthetic rust"}
    assert whole_run[0].validation["walls"].images == 1


def test_the_run_folder_holds_everything(whole_run: Run) -> None:
    folder = whole_run[0].run_dir
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "log.csv",
        "checkpoint.pt",
        "learning-curves.png",
    }
    with Image.open(folder / "learning-curves.png") as picture:
        assert min(picture.size) > 500
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
    assert {row["set"] for row in read_log(folder)} == {"train", "walls", "synthetic crack", "synthetic rust"}


def test_a_folder_of_another_run_is_refused(crack_set: DataSetSpec, tmp_path: Path) -> None:
    go(train_config(tmp_path, crack_set, steps=1, validation_scenes=0))
    with pytest.raises(UsageError, match=r"other values of sampler\.batch, sampler\.seed") as error:
        go(train_config(tmp_path, crack_set, steps=1, validation_scenes=0, seed=8, batch=2))
    assert error.value.code == "E_RUN_FOLDER"


def test_a_damaged_checkpoint_is_refused(crack_set: DataSetSpec, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputRejected) as error:
        go(train_config(tmp_path, crack_set))
    assert error.value.code == "E_CHECKPOINT"


def test_patience_counts_validations_without_a_better_score() -> None:
    stand = Patience(float("-inf"), 0)
    scores = [0.3, 0.5, 0.5, float("nan"), 0.4, 0.6]
    counts = []
    for score in scores:
        stand = stand.after(score)
        counts.append((stand.best_score, stand.validations_since))
    assert counts == [(0.3, 0), (0.5, 0), (0.5, 1), (0.5, 2), (0.5, 3), (0.6, 0)]


def test_a_run_out_of_patience_stops_with_its_best_weights_and_stays_stopped(
    crack_set: DataSetSpec, tmp_path: Path
) -> None:
    """At a learning rate of all but nothing no validation is better than the first."""
    config = train_config(tmp_path, crack_set, validate_every=2, patience=3, validation_scenes=0)
    config = replace(config, schedule=replace(config.schedule, highest=1e-30))
    result, reports = go(config)
    assert result.steps == reports[-1].step == 2 + 3 * 2
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint is not None
    for key, value in result.module.state_dict().items():
        assert torch.equal(checkpoint.best[key], value), key
    again, reports = go(config)
    assert reports == []
    assert_same_weights(again, result)


def test_class_weights_may_come_from_the_data_or_from_each_crop(crack_set: DataSetSpec, tmp_path: Path) -> None:
    results = {}
    for weighting in ("data-set", "crop", (1.0, 1.0, 1.0)):
        config = train_config(
            tmp_path / str(weighting), crack_set, class_weights=weighting, highest_class_weight=1000.0, steps=2,
            validation_scenes=0,
        )  # fmt: skip
        results[str(weighting)] = go(config)[1][-1].loss
    assert len(set(results.values())) == 3


NETS = {
    "folded": NetConfig("unet", {"base_channels": 4, "depth": 1, "fold_px": 2}, None, None),
    "valid": NetConfig("unet", {"base_channels": 4, "depth": 1, "padded": False}, None, None),
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS.keys())
@pytest.mark.parametrize("mixed_precision", [False, True], ids=["fp32", "bf16"])
def test_any_net_is_trained_deterministically(
    net: NetConfig, mixed_precision: bool, crack_set: DataSetSpec, tmp_path: Path
) -> None:
    margin_px = 8 if "padded" in net.kwargs else 0
    results = []
    for name in ("one", "other"):
        config = train_config(
            tmp_path / name, crack_set, steps=2, accumulate=2, validation_scenes=0, crop_px=44, margin_px=margin_px,
            mixed_precision=mixed_precision, deterministic=True,
        )  # fmt: skip
        results.append(go(replace(config, net=net))[0])
    assert_same_weights(results[0], results[1])
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_that_is_no_number_ends_the_run(crack_set: DataSetSpec, tmp_path: Path) -> None:
    config = train_config(tmp_path, crack_set, validation_scenes=0, class_weights=(float("nan"), 1.0, 1.0))
    with pytest.raises(RunFailed) as error:
        go(config)
    assert error.value.code == "E_DIVERGED"


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (NetConfig("u-net", {}, None, None), "must be one of"),
        (NetConfig("unet", {"depht": 3}, None, None), "depht"),
        (NetConfig("unet", {"depth": 2}, None, "somewhere"), "takes a backbone"),
    ],
    ids=["no-such-architecture", "no-such-argument", "a-backbone-for-a-u-net"],
)
def test_a_net_that_cannot_be_built_is_refused(
    net: NetConfig, said: str, crack_set: DataSetSpec, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said) as error:
        go(replace(train_config(tmp_path, crack_set), net=net))
    assert error.value.code == "E_ARCHITECTURE"


def test_weights_of_another_net_are_refused_as_a_start(crack_set: DataSetSpec, tmp_path: Path) -> None:
    config = train_config(tmp_path, crack_set)
    with pytest.raises(UsageError) as error:
        go(replace(config, net=replace(config.net, initial_model="spanscan-unet")))
    assert error.value.code == "E_INITIAL_MODEL"


def test_a_whole_image_of_any_size_gets_logits_of_its_size(whole_run: Run) -> None:
    image = np.random.default_rng(0).integers(0, 255, (13, 37, 3), dtype=np.uint8)
    logits = whole_image_logits(whole_run[0].module, image, device="cpu", mixed_precision=False)
    assert logits.shape == (3, 13, 37)
    wider = np.concatenate([image, image[:, -2:-12:-1]], axis=1)
    again = whole_image_logits(whole_run[0].module, wider, device="cpu", mixed_precision=False)
    assert np.allclose(logits[:, :, :16], again[:, :, :16], atol=1e-4)
