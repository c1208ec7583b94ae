"""Crops depend on seed and step alone, hold what they should, and come from sets that are as they should be."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from segmentation.training.borders import BORDER_BIT, KNOWN_BIT
from segmentation.training.crop_sources import CropSource, cut, scene_source
from segmentation.training.datasets import DataSetSpec, image_names, read_split, with_uncertain_ring
from segmentation.training.labels import UNKNOWN, anything_but, only
from segmentation.training.prefetch import batches
from segmentation.training.sampling import CropContent, CropSampler
from segmentation.windows import Window
from tests.segmentation.training.walls import sampler_config, write_walls

NOT_CRACK, CRACK = anything_but(PixelClass.CRACK), only(PixelClass.CRACK)


@pytest.fixture(scope="module")
def crack_set(tmp_path_factory: pytest.TempPathFactory) -> DataSetSpec:
    return write_walls(tmp_path_factory.mktemp("walls"))


def wall(damage: Window, *, scale: float = 1.0) -> CropSource:
    """A picture of 61×83 px whose values are its row numbers, with one damaged window."""
    image = np.broadcast_to(np.arange(61, dtype=np.uint8)[:, None, None], (61, 83, 3))
    labels = np.full((61, 83), NOT_CRACK, np.uint8)
    labels[damage.slices()] = CRACK
    return CropSource(image, labels, NOT_CRACK, 0.5, (scale, scale))


def sampler_of(source: CropSource, content: CropContent, *, margin_px: int = 0) -> CropSampler:
    spec = DataSetSpec("wall", Path(), PixelClass.CRACK, 1.0, False, 0, source.scale_range)
    config = sampler_config(
        spec, synthetic_share=0.0, crop_px=20 + 2 * margin_px, margin_px=margin_px, batch=30, content=content
    )
    return CropSampler(config, [[source]])


def test_a_batch_depends_on_seed_and_step_alone(crack_set: DataSetSpec) -> None:
    content = CropContent(damaged_share=0.7, least_damage_px=30, background_share=(0.2, 1.0), border_px=5)
    config = sampler_config(crack_set, seed=3, crop_px=32, batch=4, synthetic_share=0.5, scenes=5, content=content)
    first, second = config.sampler(), config.sampler()
    first.batch_at(0)
    for field in ("images", "labels", "class_counts"):
        assert np.array_equal(getattr(first.batch_at(5), field), getattr(second.batch_at(5), field))
    assert not np.array_equal(first.batch_at(5).images, first.batch_at(6).images)


@pytest.mark.slow
def test_batches_prepared_by_other_processes_are_the_same(crack_set: DataSetSpec) -> None:
    config = sampler_config(crack_set, crop_px=32, batch=2)
    here = list(batches(config, first=2, last=6, processes=0))
    elsewhere = list(batches(config, first=2, last=6, processes=1))
    assert [step for step, _ in elsewhere] == [2, 3, 4, 5]
    for (_, a), (_, b) in zip(here, elsewhere, strict=True):
        assert np.array_equal(a.images, b.images)
        assert np.array_equal(a.labels, b.labels)


@pytest.mark.parametrize("scale", [1.0, 0.5], ids=["at-its-own-size", "reduced-to-half"])
def test_every_crop_that_is_drawn_for_its_damage_holds_enough_of_it(scale: float) -> None:
    least_px = 40
    content = CropContent(1.0, least_px, background_share=(0.5, 0.85), border_px=0)
    sampler = sampler_of(wall(Window(20, 44, 30, 50), scale=scale), content)
    counts = sampler.batch_at(0).class_counts
    area_px = round(20 / scale) ** 2
    assert (counts.sum(1) == area_px).all()
    assert (counts[:, PixelClass.CRACK] >= least_px / scale**2).all()
    assert (counts[:, PixelClass.BACKGROUND] >= 0.5 * area_px).all()
    assert (counts[:, PixelClass.BACKGROUND] <= 0.85 * area_px).all()


def test_counts_of_a_crop_are_those_of_its_labels() -> None:
    anywhere = CropContent(0.0, None, (0.0, 1.0), border_px=9)
    batch = sampler_of(wall(Window(20, 44, 30, 50)), anywhere).batch_at(0)
    assert batch.class_counts[:, PixelClass.CRACK].tolist() == (batch.labels == CRACK).sum((1, 2)).tolist()
    assert 0 < (batch.labels == CRACK).sum() < batch.labels.size


def test_of_a_valid_net_the_middle_that_is_answered_holds_the_damage() -> None:
    content = CropContent(1.0, 1, (0.0, 1.0), border_px=0)
    batch = sampler_of(wall(Window(0, 2, 0, 2)), content, margin_px=15).batch_at(0)
    middles = batch.labels[:, 15:-15, 15:-15]
    assert batch.labels.shape == (30, 50, 50)
    assert ((middles == CRACK).sum((1, 2)) > 0).all()
    assert batch.class_counts[:, PixelClass.CRACK].tolist() == (middles == CRACK).sum((1, 2)).tolist()


def test_where_no_position_holds_enough_the_crop_comes_from_anywhere() -> None:
    content = CropContent(1.0, 399, (0.0, 1.0), border_px=0)
    batch = sampler_of(wall(Window(20, 24, 30, 34)), content).batch_at(0)
    assert batch.images.shape == (30, 20, 20, 3)


def test_a_crop_larger_than_its_picture_is_mirrored_around_its_middle() -> None:
    source = wall(Window(0, 1, 0, 1))
    image, labels = cut(source, Window(-4, 65, -3, 87), side_px=90, border_reach_px=0)
    assert image.shape == (90, 90, 3)
    plain, _ = cut(source, Window(-4, 16, 0, 20), side_px=20, border_reach_px=0)
    assert plain[:, 0, 0].tolist() == [4, 3, 2, 1, *range(16)]
    assert set(np.unique(labels).tolist()) <= {NOT_CRACK, CRACK, UNKNOWN}


def test_reduced_damage_stays_damage_where_half_of_it_was_and_is_ignored_where_less() -> None:
    source = wall(Window(10, 13, 0, 83))  # covers a row and a half of the reduced crop
    _, labels = cut(source, Window(0, 40, 0, 40), side_px=20, border_reach_px=0)
    assert (labels[5] == CRACK).all()
    assert (labels[6] != NOT_CRACK).all()
    assert (labels[[0, 1, 2, 9, 15]] == NOT_CRACK).all()


def test_painted_patches_tell_where_they_touch_and_photographs_leave_it_open() -> None:
    for number in range(60):
        scene = scene_source((1, number), size_px=96, scale_range=(1.0, 1.0))
        assert scene.instances is not None
        assert np.array_equal(scene.instances > 0, scene.labels == only(PixelClass.RUST))
        _, labels = cut(scene, Window(0, 96, 0, 96), side_px=96, border_reach_px=2)
        assert (labels & KNOWN_BIT).all()
        if (labels & BORDER_BIT).any():
            break
    else:
        pytest.fail("60 scenes without two patches that touch")
    _, labels = cut(wall(Window(0, 9, 0, 9)), Window(0, 20, 0, 20), side_px=20, border_reach_px=2)
    assert not (labels & (KNOWN_BIT | BORDER_BIT)).any()


def test_class_shares_of_the_whole_data_set_are_weighed_by_the_sets_shares() -> None:
    source = wall(Window(0, 61, 0, 20))
    sampler = sampler_of(source, CropContent(0.0, None, (0.0, 1.0), 0))
    assert sampler.class_shares().tolist() == pytest.approx([63 / 83, 20 / 83, 0.0])


@pytest.mark.parametrize(
    "content", [(1.5, None, (0.0, 1.0), 0), (0.5, 0, (0.0, 1.0), 0), (0.5, 3, (0.9, 0.1), 0), (0.5, 3, (0.0, 1.0), -1)]
)
def test_contents_that_cannot_be_are_refused(content: tuple[float, int | None, tuple[float, float], int]) -> None:
    with pytest.raises(ValueError, match="got CropContent"):
        CropContent(*content)


_TRAINS_FOR_EVER = """
import sys
from tests.segmentation.training.walls import sampler_config
from segmentation.training.prefetch import batches

if __name__ == "__main__":
    import multiprocessing
    config = sampler_config(crop_px=32, batch=2, synthetic_share=1.0, scenes=2)
    for step, _ in batches(config, first=0, last=10**9, processes=1):
        if step == 0:
            print(multiprocessing.active_children()[0].pid, flush=True)
"""


@pytest.mark.slow
def test_killing_the_training_process_leaves_no_other_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    root = Path(__file__).parents[3]
    script.write_text(f"import sys\nsys.path.insert(0, {str(root)!r})\n{_TRAINS_FOR_EVER}")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = psutil.Process(int(process.stdout.readline()))
        process.kill()
    worker.wait(timeout=20)
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


def test_a_share_of_a_users_own_images_is_held_out_and_stays_so_when_more_come(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    spec = DataSetSpec(
        "own", tmp_path, PixelClass.RUST, 1.0, False, 0, (1.0, 1.0), images=tmp_path / "pictures",
        masks=tmp_path / "drawn", validation_share=0.2,
    )  # fmt: skip
    for i in range(20):
        (tmp_path / "pictures" / f"{i}.jpg").touch()
    held_out, trained = image_names(spec, "val"), image_names(spec, "train")
    assert len(held_out) == 4
    assert sorted(held_out + trained) == sorted(f"{i}.jpg" for i in range(20))
    (tmp_path / "pictures" / "20.jpg").touch()
    assert len(set(held_out) - set(image_names(spec, "val"))) <= 1


def test_a_folder_without_images_is_refused(tmp_path: Path, crack_set: DataSetSpec) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(InputRejected, match="must hold an image"):
        image_names(replace(crack_set, folder=tmp_path), "train")
