"""Training crops: varied, honest about what they show, and the same for the same seed."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from segmentation.classes import PixelClass
from segmentation.synthetic.crops import Sample, sample_crop

CROPS = 60
PRINT_DIGEST = """
import hashlib, numpy as np
from segmentation.synthetic.crops import sample_crop
digest = hashlib.sha256()
for seed in range(6):
    sample = sample_crop(np.random.default_rng(seed), size_px=96)
    digest.update(sample.image.tobytes() + sample.mask.tobytes())
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def crops() -> list[Sample]:
    return [sample_crop(np.random.default_rng([11, seed]), size_px=128) for seed in range(CROPS)]


def test_crops_are_bytes_of_the_size_asked_for_with_the_three_classes(crops: list[Sample]) -> None:
    seen: set[int] = set()
    for crop in crops:
        assert crop.image.shape == (128, 128, 3)
        assert crop.mask.shape == (128, 128)
        assert crop.image.dtype == crop.mask.dtype == np.uint8
        seen |= set(np.unique(crop.mask).tolist())
    assert seen == {int(c) for c in PixelClass}


def test_a_share_of_the_crops_is_free_of_damage(crops: list[Sample]) -> None:
    share = np.mean([not crop.mask.any() for crop in crops])
    assert 0.35 <= share <= 0.7


def test_cracks_are_darker_than_what_is_around_them(crops: list[Sample]) -> None:
    losses = []
    for crop in crops:
        crack = crop.mask == PixelClass.CRACK
        if np.count_nonzero(crack) > 60:
            grey = crop.image.mean(axis=2)
            losses.append(float(np.median(grey[crop.mask == PixelClass.BACKGROUND]) - grey[crack].mean()))
    assert len(losses) >= 10
    assert np.mean(np.array(losses) > 0) >= 0.8


def test_the_pictures_differ_widely_in_light(crops: list[Sample]) -> None:
    means = [crop.image.mean() for crop in crops]
    assert np.ptp(means) > 100
    assert max(np.mean(crop.image >= 254) for crop in crops) < 0.5


def test_the_same_seed_gives_the_same_crops_in_another_process() -> None:
    digest = hashlib.sha256()
    for seed in range(6):
        sample = sample_crop(np.random.default_rng(seed), size_px=96)
        digest.update(sample.image.tobytes() + sample.mask.tobytes())
    printed = subprocess.run([sys.executable, "-c", PRINT_DIGEST], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == digest.hexdigest()


def test_different_seeds_give_different_crops() -> None:
    first, second = (sample_crop(np.random.default_rng(seed), size_px=64) for seed in (1, 2))
    assert (first.image != second.image).any()
