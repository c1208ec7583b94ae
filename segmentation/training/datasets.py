"""Folders of images and masks as training sets: how they are labelled, and what may be concluded from it."""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from segmentation.training.labels import Bools

DAMAGE_VALUE: Final = 255
"""Mask value of the set's class of damage."""
IGNORE_VALUE: Final = 128
"""Mask value of a pixel that is left out of losses and metrics."""

_SUFFIXES: Final = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp")
Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class DataSetSpec:
    """One folder with ``images/``, ``masks/`` (same stem) and, if it is split, ``splits.json``; or two such folders."""

    name: str
    """Name in logs and metrics."""
    folder: Path
    """Where it lies."""
    pixel_class: PixelClass
    """The one class of damage that its masks label."""
    share: float
    """Share of the training crops, relative to the other sets'."""
    line_labels: bool
    """Cracks are drawn as centre lines, not at their true width."""
    uncertain_px: int
    """Ring around the damage that is ignored in training: no width is taught by lines, no edge by coarse masks."""
    scale_range: tuple[float, float]
    """Lowest and highest factor by which training crops are resized (drawn log-uniformly)."""
    validation_scale: float = 1.0
    """Factor by which images are resized before they are scored."""
    leave_out: tuple[str, ...] = ()
    """Patterns of image file names that are not used."""
    others_absent: tuple[str, ...] = ()
    """Patterns of image file names in which somebody looked for the other classes of damage and found none."""
    images: Path | None = None
    """Folder of the images where it is not ``folder/images``."""
    masks: Path | None = None
    """Folder of the masks where it is not ``folder/masks``."""
    validation_share: float = 0.0
    """Share of the images that is held out for validation where there is no ``splits.json``."""

    @property
    def images_dir(self) -> Path:
        """Folder of the images."""
        return self.images or self.folder / "images"

    @property
    def masks_dir(self) -> Path:
        """Folder of the masks."""
        return self.masks or self.folder / "masks"


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image of a set, decoded."""

    name: str
    """File name."""
    image: npt.NDArray[np.uint8]
    """RGB ``(H, W, 3)``."""
    damage: Bools
    """Pixels labelled as damage, ``(H, W)``."""
    ignore: Bools
    """Pixels that must not be used, ``(H, W)``."""
    others_absent: bool
    """No other class of damage is in the image."""


def image_names(spec: DataSetSpec, split: Split) -> list[str]:
    """Image file names of a split, sorted.

    Without ``splits.json`` the `validation_share` of the images whose names' checksums are lowest is ``val`` (so
    that a further image moves few others), at least one of two or more; the rest is ``train``.
    Raises InputRejected ``E_DATASET`` where the folder or the split cannot be used.
    """
    splits = spec.folder / "splits.json"
    try:
        if splits.is_file():
            names = [str(name) for name in json.loads(splits.read_text())[split]]
        else:
            names = _held_out_or_not(_pictures(spec.images_dir), spec.validation_share)[split]
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = f"the set must be a folder with images/, masks/ and a readable splits.json, got {error!r}"
        raise InputRejected("E_DATASET", str(spec.folder), cause, "give the folder of the set") from error
    kept = sorted(name for name in names if not _matches(name, spec.leave_out))
    if split == "train" and not kept:
        cause = "the set must hold an image to train on, got none"
        raise InputRejected("E_DATASET", str(spec.images_dir), cause, "give the folder of the images")
    return kept


def read_labelled(spec: DataSetSpec, name: str) -> LabelledImage:
    """Decode one image with its mask.

    Raises InputRejected ``E_DATASET`` where one of the two is missing, unreadable or of another size.
    """
    image_path, mask_path = spec.images_dir / name, _mask_of(spec, name)
    try:
        with Image.open(image_path) as picture, Image.open(mask_path) as drawn:
            image, mask = np.array(picture.convert("RGB")), np.array(drawn.convert("L"))
    except OSError as error:
        cause = f"the image and its mask {mask_path.name} must be readable, got {error}"
        raise InputRejected("E_DATASET", str(image_path), cause, "mend or remove the pair") from error
    if image.shape[:2] != mask.shape:
        cause = f"the mask must have the image's size {image.shape[:2]}, got {mask.shape}"
        raise InputRejected("E_DATASET", str(mask_path), cause, "mend or remove the pair")
    unknown = sorted(set(np.unique(mask).tolist()) - {0, IGNORE_VALUE, DAMAGE_VALUE})
    if unknown:
        cause = f"mask values must be 0, {IGNORE_VALUE} (ignore) or {DAMAGE_VALUE} (damage), got {unknown[:5]}"
        raise InputRejected("E_DATASET", str(mask_path), cause, "store the mask with these values, losslessly")
    return LabelledImage(name, image, mask == DAMAGE_VALUE, mask == IGNORE_VALUE, _matches(name, spec.others_absent))


def read_split(spec: DataSetSpec, split: Split) -> list[LabelledImage]:
    """Decode a whole split into memory."""
    return [read_labelled(spec, name) for name in image_names(spec, split)]


def with_uncertain_ring(item: LabelledImage, spec: DataSetSpec) -> LabelledImage:
    """The image with the ring of `spec.uncertain_px` around its damage ignored (for area labels: on both sides)."""
    if spec.uncertain_px == 0 or not item.damage.any():
        return item
    outside_px = ndimage.distance_transform_edt(~item.damage)
    ring = (outside_px > 0) & (outside_px <= spec.uncertain_px)
    if not spec.line_labels:
        inside_px = ndimage.distance_transform_edt(item.damage)
        ring |= (inside_px > 0) & (inside_px <= spec.uncertain_px)
    return LabelledImage(item.name, item.image, item.damage & ~ring, item.ignore | ring, item.others_absent)


def known_sets(data_root: Path, *, shares: dict[str, float]) -> tuple[DataSetSpec, ...]:
    """The three sets that the shipped weights are trained on, below `data_root`, in the shares given by name."""
    cracks_uav75 = DataSetSpec(
        "cracks_uav75", data_root / "cracks_uav75", PixelClass.CRACK, shares.get("cracks_uav75", 0.0),
        line_labels=True, uncertain_px=3, scale_range=(0.6, 2.0),
        leave_out=("val_DSC00572.*",),  # shows the same crack as an image of the test split
    )  # fmt: skip
    cracks_masonry = DataSetSpec(
        "cracks_masonry", data_root / "cracks_masonry", PixelClass.CRACK, shares.get("cracks_masonry", 0.0),
        line_labels=False, uncertain_px=0, scale_range=(0.7, 2.0),
        others_absent=("*",),  # every training image was looked at: brick, mortar and plaster, no rust
    )  # fmt: skip
    rust_folder = data_root / "rust_photos"
    rust_photos = DataSetSpec(
        "rust_photos", rust_folder, PixelClass.RUST, shares.get("rust_photos", 0.0),
        line_labels=False, uncertain_px=2, scale_range=(0.3, 1.25),
        leave_out=_doubtful(rust_folder / "masks.csv"), others_absent=_RUST_PHOTOS_WITHOUT_CRACKS,
    )  # fmt: skip
    return tuple(spec for spec in (cracks_uav75, cracks_masonry, rust_photos) if spec.share > 0)


_RUST_PHOTOS_WITHOUT_CRACKS: Final = tuple(
    f"IMG_20250705_{time}.*"
    for time in ("122040", "122216", "122237", "122244", "122513", "122532", "123231", "123855", "123938")
)
"""Looked at: tools on cloth, a heater, steel against the sky. The walls and roofs of the others may be cracked."""


def _doubtful(grades: Path) -> tuple[str, ...]:
    """Photos whose masks are graded C: doubtful whether it is rust at all."""
    if not grades.is_file():
        return ()
    with grades.open(newline="") as file:
        return tuple(row["file"] for row in csv.DictReader(file) if row["quality"] == "C")


def _pictures(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]


def _mask_of(spec: DataSetSpec, name: str) -> Path:
    """The mask of an image's stem, PNG before all else: masks must not be stored with loss."""
    stem = Path(name).stem
    candidates = [spec.masks_dir / f"{stem}{suffix}" for suffix in _SUFFIXES]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _held_out_or_not(names: list[str], share: float) -> dict[Split, list[str]]:
    by_checksum = sorted(names, key=lambda name: (crc32(name.encode()), name))
    held_out = min(max(1, round(share * len(names))), len(names) - 1) if share > 0 and len(names) > 1 else 0
    return {"val": by_checksum[:held_out], "train": by_checksum[held_out:], "test": []}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
