"""A mask with the probability it was cut from: confidence is that probability, and cracks may grow into it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from segmentation.classes import NOT_INSPECTED, PixelClass
from segmentation.errors import SpanscanError
from segmentation.windows import Window
from tasks.cluster import dask_client
from tests.tasks.given_masks import GROUND_GSD_M, measured, planned, write_mask
from tests.tasks.surveys import write_raster

SHAPE = (150, 700)
WHOLE = Window(0, SHAPE[0], 0, SHAPE[1])


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with dask_client(scheduler=None, workers=1) as client:
        yield client


def broken_crack() -> tuple[np.ndarray, np.ndarray]:
    """A line of 640 px of which the mask shows two stretches, farther apart than a gap that is bridged."""
    classes, chance = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    chance[70:73, 30:670] = 90
    chance[120:123, 30:670] = 90
    chance[70:73, 30:80] = 200
    classes[70:73, 30:80] = PixelClass.CRACK
    classes[70:73, 600:670] = PixelClass.CRACK
    classes[:10] = NOT_INSPECTED
    return classes, chance


@pytest.mark.parametrize("block_px", [512, 1024])
def test_a_crack_grows_over_blocks_and_what_the_store_shows_is_what_was_measured(
    block_px: int, client: Client, tmp_path: Path
) -> None:
    classes, chance = broken_crack()
    mask, probability = write_mask(tmp_path / "m.tif", classes), write_raster(tmp_path / "p.tif", chance[None])
    run = measured(tmp_path, client, mask, probability=probability, grow_above=0.3, block_px=block_px)
    (crack,) = run.measured.results[0].defects
    assert crack.crack is not None
    assert crack.crack.length_m == pytest.approx(640 * GROUND_GSD_M, rel=0.01)
    stored = run.place.masks.read_mask(run.plan.rasters[0].raster.slug, WHOLE)
    assert np.count_nonzero(stored == PixelClass.CRACK) * GROUND_GSD_M**2 == pytest.approx(crack.area_m2, rel=1e-3)
    assert np.flatnonzero((stored == PixelClass.CRACK).any(axis=1)).tolist() == [70, 71, 72]
    assert crack.confidence == pytest.approx((50 * 200 + 590 * 90) / 640 / 255, abs=0.002)
    assert run.plan.settings_that_matter()["grow_cracks_above"] == 0.3
    assert "probability 0.3 and above became crack" in run.plan.survey.warnings[0]


def test_without_a_lower_threshold_the_mask_stays_and_the_confidence_is_the_probability(
    client: Client, tmp_path: Path
) -> None:
    classes, chance = broken_crack()
    mask = write_mask(tmp_path / "m.tif", classes)
    probability = write_raster(tmp_path / "p.tif", (chance / np.float32(255)).astype(np.float32)[None], dtype="float32")
    run = measured(tmp_path, client, mask, probability=probability)
    lengths = sorted(defect.crack.length_m for defect in run.measured.results[0].defects if defect.crack)
    assert lengths == pytest.approx([50 * GROUND_GSD_M, 70 * GROUND_GSD_M], rel=0.02)
    assert run.plan.run_key != planned(tmp_path, mask, probability=probability, grow_above=0.3).run_key
    assert run.plan.run_key != planned(tmp_path, mask).run_key


@dataclass(frozen=True)
class Refused:
    id: str
    write: Callable[[Path], Path]
    code: str


def other(
    shape: tuple[int, int] = SHAPE, dtype: str = "uint8", bands: int = 1, **options: Any
) -> Callable[[Path], Path]:
    return lambda folder: write_raster(folder / "p.tif", np.zeros((bands, *shape), dtype), dtype=dtype, **options)


REFUSED = [
    Refused("another-size", other((150, 701)), "E_GRID"),
    Refused("two-bands", other(bands=2), "E_BANDS"),
    Refused("integers-of-no-stated-unit", other(dtype="uint16"), "E_DTYPE"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_a_probability_that_does_not_belong_to_the_mask_is_refused(case: Refused, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.tif", broken_crack()[0])
    with pytest.raises(SpanscanError) as refusal:
        planned(tmp_path, mask, probability=case.write(tmp_path))
    assert refusal.value.code == case.code


def test_scores_are_no_probabilities(client: Client, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.tif", broken_crack()[0])
    scores = write_raster(tmp_path / "p.tif", np.full((1, *SHAPE), 3.5, np.float32), dtype="float32")
    with pytest.raises(SpanscanError, match="not scores") as refusal:
        measured(tmp_path, client, mask, probability=scores)
    assert refusal.value.code == "E_MASK_VALUES"


def test_the_probability_of_crack_beside_a_mask_of_rust_is_wrong_usage(tmp_path: Path) -> None:
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[20:40, 20:40] = 255
    mask, chance = write_mask(tmp_path / "m.tif", drawn), write_raster(tmp_path / "p.tif", drawn[None])
    with pytest.raises(SpanscanError) as refusal:
        planned(tmp_path, mask, probability=chance, single=PixelClass.RUST)
    assert refusal.value.code == "E_OPTIONS"
