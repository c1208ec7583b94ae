"""The masks of a revision: rejected pixels are background, re-classed ones the other class, all others as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from segmentation.mask_pooling import pool_mask
from segmentation.records import Defect
from segmentation.windows import Window
from tasks.layers.stac_item import ITEM_FILE
from tasks.mask_store import MaskStore
from tasks.review.reviewed_masks import reviewed_masks
from tests.tasks.layers.stac_validation import validate
from tests.tasks.review.runs import HEIGHT, WIDTH, Reviewed, painted
from tests.tasks.review.test_issue import decide, issue

pytestmark = pytest.mark.slow

WHOLE = Window(0, HEIGHT, 0, WIDTH)


def at(reviewed: Reviewed, row: int, col: int) -> Defect:
    """The defect whose window holds a painted pixel."""
    return next(one for one in reviewed.defects if one.window.intersect(Window(row, row + 1, col, col + 1)) is not None)


def expected(reviewed: Reviewed) -> np.ndarray:
    """Decide on a crack, a patch and another crack; the mask as it then must be."""
    crack, patch, other = at(reviewed, 62, 50), at(reviewed, 260, 90), at(reviewed, 151, 70)
    decide(reviewed.log(), reviewed, {crack.id: "reject", patch.id: "reclass", other.id: "accept"})
    mask = painted()
    mask[60:66, 40:240] = 0
    mask[250:300, 80:160] = 1
    return mask


def masks_of(reviewed: Reviewed) -> MaskStore:
    log = reviewed.log()
    log.refresh()
    return reviewed_masks(reviewed.place.masks, reviewed.kept.of.rasters, reviewed.defects, log.latest())


def test_every_window_at_every_step_shows_what_was_decided(reviewed: Reviewed) -> None:
    mask, masks = expected(reviewed), masks_of(reviewed)
    (raster,) = reviewed.kept.of.rasters
    assert (masks.read_mask(raster.slug, WHOLE) == mask).all()
    part = Window(61, 280, 100, 333)
    assert (masks.read_mask(raster.slug, part) == mask[part.slices()]).all()
    for step in (2, 4, 7):
        read = masks.read_mask(raster.slug, WHOLE, step=step)
        pooled = pool_mask(mask, factor=step)
        assert (read[40 // step : 80 // step] == pooled[40 // step : 80 // step]).all(), step
        assert (read[260 // step, 100 // step : 140 // step] == 1).all()


def test_the_store_of_the_run_is_the_same_where_nothing_was_rejected(reviewed: Reviewed) -> None:
    decide(reviewed.log(), reviewed, {reviewed.defects[0].id: "accept"})
    assert masks_of(reviewed) == reviewed.place.masks


def test_mask_file_and_catalogue_entry_of_a_revision_follow_the_decisions(reviewed: Reviewed) -> None:
    mask = expected(reviewed)
    revision = issue(reviewed)
    folder = Path(revision.uri)
    with rasterio.open(folder / "mask.tif") as dataset:
        assert (dataset.read(1) == mask).all()
        half = dataset.read(1, out_shape=(-(-HEIGHT // 2), -(-WIDTH // 2)))
    assert (half[30:33, 25:110] == 0).all()
    item = json.loads((folder / ITEM_FILE).read_text(encoding="utf-8"))
    assert validate(folder / ITEM_FILE)
    assert item["id"].endswith("-r1")
    hrefs = [one["href"] for one in (*item["assets"].values(), *item["links"]) if "collection.json" not in one["href"]]
    assert any(href.endswith(f"runs/{reviewed.place.run_key}/{ITEM_FILE}") for href in hrefs)
    assert [href for href in hrefs if not (folder / "stac" / href).exists()] == []
