"""A folder of pictures with a folder of masks, as somebody else made them: found, paired, decoded, checked."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from segmentation.classes import NODATA, NOT_INSPECTED, PixelClass
from segmentation.errors import InputRejected, UsageError
from segmentation.training.datasets import DAMAGE_VALUE, IGNORE_VALUE

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
_DAMAGE_VALUES = frozenset({0, IGNORE_VALUE, DAMAGE_VALUE})
_CLASS_IDS = frozenset({*PixelClass, NODATA, NOT_INSPECTED})


class MaskForm(Enum):
    """What the values of a folder's masks mean; one form for the whole folder."""

    DAMAGE = "255 damage, 128 ignore, 0 the rest"
    CLASS_IDS = "0 background, 1 crack, 2 rust, 254 and 255 ignore"


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """An image and its mask."""

    image: Path
    mask: Path


def image_files(images: Path, *, split: str | None) -> list[Path]:
    """The images of a folder by name, or those of a split: of ``splits.json`` beside the folder or in it.

    Raises InputRejected where there is no folder, image or such split.
    """
    _must_be_folder(images)
    if split is None:
        found = _pictures(images)
    else:
        found = [images / name for name in sorted(_split_names(images, split))]
        missing = [path.name for path in found if not path.is_file()]
        if missing:
            cause = f"the folder must hold every image of the split {split}, got none for {missing[0]}"
            raise InputRejected("E_NO_IMAGES", str(images), cause, "mend splits.json or the folder")
    if not found:
        raise InputRejected("E_NO_IMAGES", str(images), "the folder must hold images, got none", "mend the path")
    return found


def labelled_pictures(images: Path, masks: Path, *, split: str | None) -> list[LabelledPicture]:
    """Every image with the mask of its stem; raises InputRejected E_NO_MASK where there is none."""
    _must_be_folder(images)
    _must_be_folder(masks)
    by_stem = {path.stem: path for path in _pictures(masks)}
    paired = []
    for path in image_files(images, split=split):
        if path.stem not in by_stem:
            cause = f"{masks.name} must hold a mask of its stem, got none"
            raise InputRejected("E_NO_MASK", path.name, cause, "add it or move the image")
        paired.append(LabelledPicture(path, by_stem[path.stem]))
    return paired


def form_of_masks(masks: Iterable[Path]) -> MaskForm:
    """The one form in which all masks are written: class ids where any pixel is 1 or 2.

    Raises InputRejected E_MASK_VALUES for other values, and for a folder that mixes the forms.
    """
    first_of: dict[MaskForm, Path] = {}
    for path in masks:
        values = set(np.unique(_read_mask(path)).tolist())
        if not (values <= _DAMAGE_VALUES or values <= _CLASS_IDS):
            allowed = " or ".join(f"({form.value})" for form in MaskForm)
            raise _bad_values(path, f"mask values must be {allowed}, got {sorted(values)[:8]}")
        if values & {PixelClass.CRACK, PixelClass.RUST}:
            first_of.setdefault(MaskForm.CLASS_IDS, path)
        elif IGNORE_VALUE in values:
            first_of.setdefault(MaskForm.DAMAGE, path)
    if len(first_of) == 2:
        ids, damage = first_of[MaskForm.CLASS_IDS].name, first_of[MaskForm.DAMAGE]
        raise _bad_values(damage, f"all masks must be of one form, got class ids in {ids} and {IGNORE_VALUE} here")
    return MaskForm.CLASS_IDS if MaskForm.CLASS_IDS in first_of else MaskForm.DAMAGE


def read_image(path: Path) -> tuple[Bytes, Bools]:
    """RGB ``(H, W, 3)`` as stored (no EXIF turn, as masks are drawn on stored pixels) and validity ``(H, W)``.

    Where there is an alpha channel, pixels of alpha 0 hold no data. Raises InputRejected E_IMAGE.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
                cause = f"the picture must have 8 bits a channel, got mode {picture.mode}"
                raise InputRejected("E_IMAGE", path.name, cause, "convert it, with the scaling that you mean")
            pixels = np.asarray(picture.convert("RGBA"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _undecodable(path, error) from error
    return np.ascontiguousarray(pixels[..., :3]), pixels[..., 3] > 0


def picture_size(path: Path) -> tuple[int, int]:
    """(rows, columns) from the header."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _undecodable(path, error) from error


def read_truth(path: Path, *, form: MaskForm, pixel_class: PixelClass, size: tuple[int, int]) -> tuple[Bools, Bools]:
    """(pixels of the class, pixels labelled either way), both ``(H, W)``.

    Raises InputRejected E_MASK_SIZE where the mask does not have the image's `size`.
    """
    mask = _read_mask(path)
    if mask.shape != size:
        cause = f"a mask must have the size of its image {size}, got {mask.shape}"
        raise InputRejected("E_MASK_SIZE", path.name, cause, "make the mask anew at the image's size")
    if form is MaskForm.DAMAGE:
        return mask == DAMAGE_VALUE, mask != IGNORE_VALUE
    return mask == pixel_class, (mask != NODATA) & (mask != NOT_INSPECTED)


def _read_mask(path: Path) -> Bytes:
    """Values ``(H, W)`` as stored: a palette's indices, never its colours."""
    try:
        with Image.open(path) as picture:
            values = np.asarray(picture)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _undecodable(path, error) from error
    if values.ndim == 3:
        if (values[..., :3] != values[..., :1]).any():
            raise _bad_values(path, "a mask must have one channel, got colours")
        values = values[..., 0]
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * DAMAGE_VALUE
    if values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise _bad_values(path, f"mask values must be 0 … 255, got up to {values.max()}")
    return values.astype(np.uint8)


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


def _split_names(images: Path, split: str) -> Sequence[str]:
    where = next((p for p in (images.parent / "splits.json", images / "splits.json") if p.is_file()), None)
    if where is None:
        cause = "splits.json must lie beside the folder of images or in it, got none"
        raise InputRejected("E_SPLIT", str(images), cause, "leave --split out or add the file")
    try:
        content = json.loads(where.read_text(encoding="utf-8"))
        names = content[split]
    except (OSError, ValueError, TypeError) as error:
        raise InputRejected("E_SPLIT", str(where), f"the file must be JSON, got {error}", "mend it") from error
    except KeyError as error:
        cause = f"the split must be one of {', '.join(map(str, content))}, got none of that name"
        raise UsageError("E_SPLIT", split, cause, "name one of them") from error
    if not isinstance(names, list) or not all(isinstance(n, str) and Path(n).name == n for n in names):
        cause = f"a split must be a list of file names, got {str(names)[:60]}"
        raise InputRejected("E_SPLIT", str(where), cause, "mend it")
    return names


def _must_be_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputRejected("E_NOT_FOUND", str(folder), "the folder must exist, got none", "mend the path")


def _undecodable(path: Path, error: Exception) -> InputRejected:
    cause = f"the picture must decode, got {error}"
    return InputRejected("E_IMAGE", path.name, cause, "write it again from its source, or cut a larger one")


def _bad_values(path: Path, cause: str) -> InputRejected:
    return InputRejected("E_MASK_VALUES", path.name, cause, "store the mask losslessly with these values, one channel")
