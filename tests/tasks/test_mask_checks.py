"""Which masks may be measured, and with which picture and structures: each refusal has one code and one remedy."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from tests.tasks.given_masks import planned, write_mask
from tests.tasks.surveys import UTM_PLACE, picture, write_raster

CLASSES = np.zeros((96, 130), np.uint8)
CLASSES[20:30, 20:100] = 1
CLASSES[50:80, 30:60] = 2
BESIDE = [[-100.0, 40.0], [-100.0, 40.1], [-99.9, 40.1], [-100.0, 40.0]]


def mask(folder: Path, values: Any = CLASSES, **options: Any) -> dict[str, Any]:
    return {"mask": write_mask(folder / "m.tif", np.asarray(values), **options)}


def with_image(folder: Path, *, shift_px: float = 0.0, **options: Any) -> dict[str, Any]:
    place = {"transform": UTM_PLACE @ Affine.translation(shift_px, 0), **options}
    return {**mask(folder), "image": write_raster(folder / "i.tif", photometric="RGB", **place)}


def with_structures(folder: Path, ring: Any = BESIDE, **options: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [ring]}
    (folder / "s.geojson").write_text(json.dumps(geometry))
    return {**mask(folder, **options), "structures": folder / "s.geojson"}


def file_of(folder: Path, content: bytes) -> dict[str, Any]:
    (folder / "m.tif").write_bytes(content)
    return {"mask": folder / "m.tif"}


@dataclass(frozen=True)
class Refused:
    id: str
    given: Callable[[Path], dict[str, Any]]
    code: str
    words: str


REFUSED = [
    Refused("no-file", lambda f: {"mask": f / "absent.tif"}, "E_NOT_FOUND", "check the spelling"),
    Refused("a-folder", lambda f: {"mask": f}, "E_NOT_FOUND", "got nothing or a folder"),
    Refused("a-png", lambda f: file_of(f, b"\x89PNG\r\n"), "E_NOT_TIFF", "got a PNG"),
    Refused("an-empty-file", lambda f: file_of(f, b""), "E_EMPTY", "0 bytes"),
    Refused("a-picture", lambda f: {"mask": write_raster(f / "m.tif", photometric="RGB")}, "E_BANDS", "got 3 bands"),
    Refused("probabilities", lambda f: mask(f, CLASSES.astype(np.float32)), "E_DTYPE", "got float32"),
    Refused("16-bit-ids", lambda f: mask(f, CLASSES.astype(np.uint16)), "E_DTYPE", "got uint16"),
    Refused("values-that-are-no-class", lambda f: mask(f, picture(1)[0]), "E_MASK_VALUES", "lossy"),
    Refused(
        "one-stray-value", lambda f: mask(f, np.where(CLASSES == 2, 3, CLASSES)), "E_MASK_VALUES", "got 3 (first in"
    ),
    Refused(
        "class-ids-given-as-one-class",
        lambda f: {**mask(f), "single": PixelClass.RUST},
        "E_MASK_VALUES",
        "leave --class out",
    ),
    Refused("0-and-255-with-a-stray-128", lambda f: mask(f, CLASSES * 128), "E_MASK_VALUES", "give --class"),
    Refused("background-as-nodata", lambda f: mask(f, nodata=0), "E_MASK_NODATA", "which is background"),
    Refused(
        "damage-as-nodata",
        lambda f: {**mask(f, CLASSES // 2 * 255, nodata=255), "single": PixelClass.RUST},
        "E_MASK_NODATA",
        "which is rust",
    ),
    Refused("no-place", lambda f: mask(f, crs=None, transform=None), "E_NO_GEOREF", "--gsd-mm"),
    Refused("no-crs", lambda f: mask(f, crs=None), "E_NO_CRS", "--gsd-mm"),
    Refused(
        "a-picture-of-another-size",
        lambda f: {**mask(f), "image": write_raster(f / "i.tif", picture(width=131), photometric="RGB")},
        "E_GRID",
        "96 × 130 px, got 96 × 131 px",
    ),
    Refused(
        "a-picture-in-another-crs", lambda f: with_image(f, crs="EPSG:32616"), "E_GRID", "got WGS 84 / UTM zone 16N"
    ),
    Refused("a-picture-a-pixel-aside", lambda f: with_image(f, shift_px=1.0), "E_GRID", "corners 1 px apart"),
    Refused(
        "a-picture-of-other-pixels",
        lambda f: with_image(f, transform=UTM_PLACE @ Affine.scale(1.01)),
        "E_GRID",
        "within 0.5 px",
    ),
    Refused("a-mask-as-the-picture", lambda f: {**mask(f), "image": mask(f)["mask"]}, "E_BANDS", "RGB"),
    Refused("structures-beside-the-mask", with_structures, "E_STRUCTURES_MISS", "longitude first"),
    Refused(
        "structures-that-are-no-geojson", lambda f: {**mask(f), "structures": mask(f)["mask"]}, "E_GEOJSON", "JSON"
    ),
    Refused(
        "structures-on-a-mask-without-a-place",
        lambda f: {**with_structures(f, crs=None, transform=None), "gsd_m": 0.002},
        "E_STRUCTURES_MISS",
        "leave --structures out",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_must_not_be_measured_is_refused_in_one_line(case: Refused, tmp_path: Path) -> None:
    with pytest.raises(InputRejected) as caught:
        planned(tmp_path, **case.given(tmp_path))
    assert caught.value.code == case.code
    assert case.words in str(caught.value)
    assert "Remedy:" in str(caught.value)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Taken:
    id: str
    given: Callable[[Path], dict[str, Any]]
    warning: str | None


TAKEN = [
    Taken("class-ids", mask, None),
    Taken("nobody-looked-and-no-data", lambda f: mask(f, np.where(CLASSES == 0, 254, CLASSES)), None),
    Taken("a-nodata-value-of-its-own", lambda f: mask(f, np.where(CLASSES == 0, 77, CLASSES), nodata=77), None),
    Taken("255-declared-as-nodata", lambda f: mask(f, nodata=255), None),
    Taken(
        "one-class", lambda f: {**mask(f, CLASSES // 2 * 255), "single": PixelClass.RUST}, "crack was not looked for"
    ),
    Taken("the-gsd-given", lambda f: {**mask(f, crs=None, transform=None), "gsd_m": 0.002}, "given GSD of 2 mm"),
    Taken("its-picture", with_image, None),
    Taken("a-picture-by-rounding-aside", lambda f: with_image(f, shift_px=0.004), None),
    Taken("a-picture-a-third-of-a-pixel-aside", lambda f: with_image(f, shift_px=0.3), "up to 0.30 px beside the grid"),
]


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.id)
def test_what_may_be_measured_is_taken_and_says_what_it_assumed(case: Taken, tmp_path: Path) -> None:
    plan = planned(tmp_path, **case.given(tmp_path))
    given, *others = (w for w in plan.survey.warnings if "No picture was given" not in w)
    assert "given and not made by a model" in given
    assert len(others) == (case.warning is not None)
    if case.warning is not None:
        assert case.warning in others[0]


def test_the_run_key_is_that_of_the_content_and_not_of_the_folder(tmp_path: Path) -> None:
    keys = []
    for folder, classes in (("a", CLASSES), ("b", CLASSES), ("c", CLASSES // 2)):
        (tmp_path / folder).mkdir()
        keys.append(planned(tmp_path, **mask(tmp_path / folder, classes)).run_key)
    pictured = planned(tmp_path, **with_image(tmp_path)).run_key
    assert keys[0] == keys[1]
    assert len({keys[0], keys[2], pictured}) == 3
