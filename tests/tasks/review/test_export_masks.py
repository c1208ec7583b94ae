"""Decisions as training data: what was decided is labelled, and nothing else is."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from flows.labelled_folder import MaskForm, form_of_masks, labelled_pictures
from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from segmentation.training.datasets import DAMAGE_VALUE, IGNORE_VALUE
from tasks.review.decisions import Verdict
from tasks.review.export_masks import CELL_PX, Exported, export_masks
from tasks.review.issue import run_place_of
from tests.tasks.review.runs import HEIGHT, WIDTH, Reviewed, painted

Bytes = npt.NDArray[np.uint8]

pytestmark = pytest.mark.slow


def export(reviewed: Reviewed, verdicts: dict[str, Verdict], out: Path) -> Exported:
    log = reviewed.log()
    for defect_id, verdict in verdicts.items():
        log.decide(defect_id, verdict, comment="", reviewer="Ada", saw=0)
    return export_masks(
        out,
        rasters=reviewed.kept.of.rasters,
        place=run_place_of(reviewed.place, reviewed.staging),
        defects=reviewed.defects,
        latest=log.latest(),
    )


def whole(folder: Path, kind: str) -> Bytes:
    """The exported cells put together again, `IGNORE_VALUE` where there is none."""
    raster = np.full((HEIGHT, WIDTH), IGNORE_VALUE, np.uint8)
    for path in sorted((folder / kind).glob("*.png")):
        row, col = (int(word[1:]) for word in path.stem.rsplit("-", 2)[1:])
        cell = np.asarray(Image.open(path))
        raster[row : row + CELL_PX, col : col + CELL_PX] = cell
    return raster


def test_each_decision_labels_its_pixels_in_both_classes_and_the_rest_is_ignored(
    reviewed: Reviewed, tmp_path: Path
) -> None:
    deck_cracks = [d for d in reviewed.defects if d.crack is not None and d.structure_id == "deck"]
    accepted = next(d for d in deck_cracks if d.window.row_start < 100)
    reclassed = next(d for d in deck_cracks if 100 < d.window.row_start < 200)
    patches = [d for d in reviewed.defects if d.crack is None]
    rejected = next(d for d in patches if d.structure_id == "deck")
    kept_rust = next(d for d in patches if d.structure_id == "panel" and d.window.row_start < 100)
    undecided = next(d for d in patches if d.structure_id == "panel" and d.window.row_start > 100)
    verdicts: dict[str, Verdict] = {accepted.id: "accept", reclassed.id: "reclass", rejected.id: "reject"}
    exported = export(reviewed, {**verdicts, kept_rust.id: "accept"}, tmp_path / "masks")
    crack, rust = (whole(folder, "masks") for folder in exported.folders.values())
    mask = painted()
    places = {"accepted": accepted, "reclassed": reclassed, "rejected": rejected, "rust": kept_rust, "none": undecided}
    values = {}
    for name, defect in places.items():
        rows, cols = defect.window.slices()
        inside = mask[rows, cols] == defect.pixel_class
        values[name] = [set(labels[rows, cols][inside].tolist()) for labels in (crack, rust)]
    assert values == {
        "accepted": [{DAMAGE_VALUE}, {0}],
        "reclassed": [{0}, {DAMAGE_VALUE}],
        "rejected": [{0}, {0}],
        "rust": [{0}, {DAMAGE_VALUE}],
        "none": [{IGNORE_VALUE}, {IGNORE_VALUE}],
    }
    for labels in (crack, rust):
        assert set(labels[mask == PixelClass.BACKGROUND].tolist()) == {0, IGNORE_VALUE}
        assert labels[72, 140] == 0, "beside an accepted crack"
        assert labels[HEIGHT - 1, WIDTH - 1] == IGNORE_VALUE, "far from every decision"
    assert exported.damage_px == {"crack": int((crack == 255).sum()), "rust": int((rust == 255).sum())}


def test_the_folders_are_such_as_the_training_and_the_evaluation_read(reviewed: Reviewed, tmp_path: Path) -> None:
    exported = export(reviewed, {one.id: "accept" for one in reviewed.defects}, tmp_path / "masks")
    for folder in exported.folders.values():
        pairs = labelled_pictures(folder / "images", folder / "masks", split=None)
        assert len(pairs) == exported.pictures > 0
        assert form_of_masks([pair.mask for pair in pairs]) is MaskForm.DAMAGE


def test_nothing_is_exported_over_something_or_without_a_decision(reviewed: Reviewed, tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match="E_NO_DECISIONS"):
        export(reviewed, {}, tmp_path / "masks")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/mine.png").touch()
    with pytest.raises(InputRejected, match="E_NOT_EMPTY"):
        export(reviewed, {reviewed.defects[0].id: "accept"}, tmp_path / "masks")
