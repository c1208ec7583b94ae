"""Score weights on a folder of labelled images, through the same predictor that inspects surveys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from flows.settings import Settings
from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from segmentation.inference.geometry import aligned_window, plan_read
from segmentation.inference.predictor import Predictor, pick_device, pick_precision, tile_geometry
from segmentation.models.geometry import net_geometry
from segmentation.models.registry import load_model
from segmentation.training.metrics import Counts, score_masks
from segmentation.windows import Window
from tasks.plan import MOST_CORE_PX

DAMAGE_VALUE = 255
IGNORE_VALUE = 128
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})

Bytes = npt.NDArray[np.uint8]


def evaluate_folder(
    images: Path, masks: Path, *, class_name: str, scale: float, tolerance_px: float, settings: Settings
) -> dict[str, Any]:
    """Scores over all images with a mask of the same stem; masks hold 255 damage, 128 ignore, 0 the rest.

    Images are resized by `scale` before inference and the mask is brought back to full size before it is scored.
    Raises InputRejected where a folder or a mask is missing or sizes differ.
    """
    loaded = load_model(settings.model)
    device = pick_device(settings.device)
    predictor = Predictor(
        loaded,
        geometry=tile_geometry(net_geometry(loaded.module), core_px=settings.tile_core_px or MOST_CORE_PX),
        device=device,
        precision=pick_precision(settings.precision, device=device),
        batch=settings.batch,
    )
    pixel_class = PixelClass[class_name.upper()]
    counts = Counts()
    for image_path, mask_path in _pairs(images, masks):
        image, truth = _read(image_path, "RGB"), _read(mask_path, "L")
        if image.shape[:2] != truth.shape:
            raise InputRejected(
                "E_MASK_SIZE",
                mask_path.name,
                f"a mask must have the size of its image {image.shape[:2]}, got {truth.shape}",
                "make the mask anew at the image's size",
            )
        counts += score_masks(
            _segment(predictor, image, scale=scale),
            truth,
            pixel_class=pixel_class,
            truth_value=DAMAGE_VALUE,
            ignore_value=IGNORE_VALUE,
            tolerance_px=tolerance_px,
        )
    return {
        "model": loaded.card.name,
        "sha256": loaded.sha256,
        "class": class_name,
        "images": counts.images,
        "scale": scale,
        "tolerance_px": tolerance_px,
        "iou": _finite(counts.iou),
        "f1": _finite(counts.f1),
        "precision": _finite(counts.precision),
        "recall": _finite(counts.recall),
        "tolerant_f1": _finite(counts.tolerant_f1),
        "cl_iou": _finite(counts.cl_iou),
        "damaged_share": _finite(counts.truth_share),
        "predicted_share": _finite(counts.predicted_share),
    }


def score_lines(score: dict[str, Any]) -> list[str]:
    """The scores in lines for a terminal."""
    lines = [f"{score['model']} ({score['sha256'][:12]}) on {score['images']} images, class {score['class']}"]
    labels = {
        "iou": "IoU",
        "f1": "F1",
        "precision": "precision",
        "recall": "recall",
        "tolerant_f1": f"F1 within {score['tolerance_px']:g} px",
        "cl_iou": f"centre-line IoU within {score['tolerance_px']:g} px",
        "damaged_share": "damaged share (chance IoU)",
        "predicted_share": "predicted share",
    }
    for key, label in labels.items():
        value = score[key]
        lines.append(f"  {label:<30} {'undefined' if value is None else f'{value:.4f}'}")
    return lines


def _segment(predictor: Predictor, image: Bytes, *, scale: float) -> Bytes:
    height, width = image.shape[:2]
    if scale != 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(
            Image.fromarray(image).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
        )
    rows, cols = image.shape[:2]
    owned = Window(0, rows, 0, cols)
    read = aligned_window(owned, predictor.geometry)
    plan = plan_read(read, rows, cols)
    validity = np.ones((rows, cols), np.bool_)
    mask = predictor.segment(plan.fill(image), plan.fill(validity), read=read, owned=owned).mask
    if scale == 1.0:
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def _pairs(images: Path, masks: Path) -> Iterator[tuple[Path, Path]]:
    for folder in (images, masks):
        if not folder.is_dir():
            raise InputRejected("E_NOT_FOUND", str(folder), "the folder must exist, got none", "mend the path")
    found = sorted(p for p in images.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)
    if not found:
        raise InputRejected("E_NO_IMAGES", str(images), "the folder must hold images, got none", "mend the path")
    by_stem = {p.stem: p for p in masks.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES}
    for path in found:
        if path.stem not in by_stem:
            raise InputRejected(
                "E_NO_MASK",
                path.name,
                f"{masks.name} must hold a mask of its stem, got none",
                "add it or move the image",
            )
        yield path, by_stem[path.stem]


def _read(path: Path, mode: str) -> Bytes:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert(mode))
    except (OSError, UnidentifiedImageError) as error:
        raise InputRejected(
            "E_IMAGE", path.name, f"the picture must decode, got {error}", "write it again from its source"
        ) from error


def _finite(value: float) -> float | None:
    return round(value, 5) if value == value else None
