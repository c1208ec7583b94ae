"""Masks as people store them: read as what they mean, or refused by name."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.labelled_folder import MaskForm, form_of_masks, image_files, read_image, read_truth
from segmentation.classes import PixelClass
from segmentation.errors import InputRejected, UsageError


def _save(path: Path, values: list[list[int]], mode: str = "L") -> Path:
    picture = Image.fromarray(np.array(values, np.uint8))
    if mode == "P":
        indices = picture
        picture = Image.frombytes("P", indices.size, indices.tobytes())
        picture.putpalette([0, 0, 0, 250, 10, 10, 10, 10, 250] + [0] * 759)
    else:
        picture = picture.convert(mode)
    picture.save(path)
    return path


@dataclass(frozen=True)
class MaskCase:
    name: str
    mode: str
    values: list[list[int]]
    form: MaskForm
    truth: list[list[bool]]
    labelled: list[list[bool]]


MASKS = [
    MaskCase(
        "damage with ignore", "L", [[0, 255, 128]], MaskForm.DAMAGE, [[False, True, False]], [[True, True, False]]
    ),
    MaskCase("class ids", "L", [[0, 1, 2]], MaskForm.CLASS_IDS, [[False, True, False]], [[True, True, True]]),
    MaskCase(
        "class ids not inspected",
        "L",
        [[1, 254, 255]],
        MaskForm.CLASS_IDS,
        [[True, False, False]],
        [[True, False, False]],
    ),
    MaskCase(
        "indices of a palette", "P", [[0, 1, 2]], MaskForm.CLASS_IDS, [[False, True, False]], [[True, True, True]]
    ),
    MaskCase("black and white", "1", [[0, 255, 0]], MaskForm.DAMAGE, [[False, True, False]], [[True, True, True]]),
    MaskCase(
        "grey stored as RGB", "RGB", [[0, 255, 128]], MaskForm.DAMAGE, [[False, True, False]], [[True, True, False]]
    ),
]


@pytest.mark.parametrize("case", MASKS, ids=lambda case: case.name)
def test_a_mask_is_read_as_what_it_means(tmp_path: Path, case: MaskCase) -> None:
    path = _save(tmp_path / "mask.png", case.values, case.mode)
    form = form_of_masks([path])
    truth, labelled = read_truth(path, form=form, pixel_class=PixelClass.CRACK, size=(1, 3))
    assert form is case.form
    assert truth.tolist() == case.truth
    assert labelled.tolist() == case.labelled


def test_one_mask_with_class_ids_decides_for_its_folder(tmp_path: Path) -> None:
    clean, ids = _save(tmp_path / "a.png", [[0, 0]]), _save(tmp_path / "b.png", [[0, 2]])
    assert form_of_masks([clean, ids]) is MaskForm.CLASS_IDS


@dataclass(frozen=True)
class BadMask:
    name: str
    values: list[list[list[int]]]
    told: str


@pytest.mark.parametrize(
    "case",
    [
        BadMask("a JPEG's shades", [[[0, 251, 3]]], "got \\[0, 3, 251\\]"),
        BadMask("both forms in one folder", [[[0, 1]], [[128, 255]]], "of one form"),
        BadMask("both forms in one mask", [[[1, 128]]], "mask values must be"),
    ],
    ids=lambda case: case.name,
)
def test_masks_that_cannot_be_told_are_refused(tmp_path: Path, case: BadMask) -> None:
    paths = [_save(tmp_path / f"{number}.png", values) for number, values in enumerate(case.values)]
    with pytest.raises(InputRejected, match=case.told):
        form_of_masks(paths)


def test_a_coloured_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[255, 0, 0]]], np.uint8)).save(tmp_path / "red.png")
    with pytest.raises(InputRejected, match="one channel"):
        form_of_masks([tmp_path / "red.png"])


def test_where_a_picture_is_transparent_it_holds_no_data(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[9, 8, 7, 255], [9, 8, 7, 0]]], np.uint8)).save(tmp_path / "cut.png")
    image, validity = read_image(tmp_path / "cut.png")
    assert image.tolist() == [[[9, 8, 7], [9, 8, 7]]]
    assert validity.tolist() == [[True, False]]


def test_a_picture_of_16_bits_is_refused_instead_of_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.array([[300, 70]], np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InputRejected, match="8 bits"):
        read_image(tmp_path / "deep.png")


def test_a_split_may_lie_beside_the_folder_or_in_it(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    _save(images / "a.png", [[0]])
    _save(images / "b.png", [[0]])
    (images / "splits.json").write_text('{"test": ["b.png"]}')
    assert [path.name for path in image_files(images, split="test")] == ["b.png"]
    (tmp_path / "splits.json").write_text('{"test": ["a.png"]}')
    assert [path.name for path in image_files(images, split="test")] == ["a.png"]
    assert len(image_files(images, split=None)) == 2


@pytest.mark.parametrize(
    ("content", "error", "told"),
    [
        (None, InputRejected, "splits.json must lie"),
        ("{", InputRejected, "must be JSON"),
        ('{"train": []}', UsageError, "one of train"),
        ('{"test": ["../x.png"]}', InputRejected, "list of file names"),
        ('{"test": ["gone.png"]}', InputRejected, "gone.png"),
    ],
)
def test_a_split_that_cannot_be_used_is_refused(
    tmp_path: Path, content: str | None, error: type[Exception], told: str
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    _save(images / "a.png", [[0]])
    if content is not None:
        (tmp_path / "splits.json").write_text(content)
    with pytest.raises(error, match=told):
        image_files(images, split="test")
