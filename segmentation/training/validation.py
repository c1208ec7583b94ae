"""Whole-image forward passes over small labelled images, and their scores during training."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segmentation.classes import DEFECT_CLASSES
from segmentation.inference.geometry import mirrored
from segmentation.models.geometry import net_geometry
from segmentation.models.net import Net
from segmentation.synthetic.crops import Sample
from segmentation.training.augmentation import resized_to
from segmentation.training.datasets import DAMAGE_VALUE, IGNORE_VALUE, DataSetSpec, LabelledImage
from segmentation.training.metrics import Counts, score_masks

PIXEL_MEAN = (123.7, 116.3, 103.5)
"""Mean of natural photographs per channel, 0–255: fixed, so that weights trained on any sets can be continued."""
PIXEL_STD = (58.4, 57.1, 57.4)
"""Standard deviation that goes with `PIXEL_MEAN`."""
_TOLERANCE_PX = 4.0
_CORE_PX = 1024
_EVERYTHING = -1


def normalised(images: npt.NDArray[np.uint8], *, device: str) -> Tensor:
    """``(N, H, W, 3)`` uint8 → ``(N, 3, H, W)`` float32, channels last in memory, by the fixed mean and deviation."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def on_device(module: Net, device: str) -> Net:
    """The same net on a device, its weights laid out channels last, which is the faster layout on CPUs and GPUs."""
    for parameter in module.to(device).parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def whole_image_logits(
    module: Net, image: npt.NDArray[np.uint8], *, device: str, mixed_precision: bool
) -> npt.NDArray[np.float32]:
    """Logits ``(C, H, W)`` of an image ``(H, W, 3)``, mirrored around by the receptive field, as one pass gives them.

    Large images are passed in cores of about 1024 px with their field around them, which gives the same. A net
    whose field is not bounded sees each core alone, so that its scores are those of pictures of that size.
    """
    height, width = image.shape[:2]
    geometry = net_geometry(module)
    halo_px = geometry.halo_px if geometry.bounded_field else 0
    core_px = -(-_CORE_PX // geometry.alignment_px) * geometry.alignment_px
    logits = np.empty((module.classes, height, width), np.float32)
    for top in range(0, height, core_px):
        for left in range(0, width, core_px):
            sides = min(core_px, height - top), min(core_px, width - left)
            spans = [geometry.valid_window_px(side + 2 * halo_px) for side in sides]
            rows = mirrored(top - halo_px, top - halo_px + spans[0], height)
            cols = mirrored(left - halo_px, left - halo_px + spans[1], width)
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=mixed_precision):
                out = module(normalised(image[np.ix_(rows, cols)][None], device=device))
            at = halo_px - geometry.margin_px
            inner = out[0, :, at : at + sides[0], at : at + sides[1]]
            logits[:, top : top + sides[0], left : left + sides[1]] = inner.float().cpu().numpy()
    return logits


def score_set(
    module: Net, spec: DataSetSpec, items: Sequence[LabelledImage], *, device: str, mixed_precision: bool
) -> Counts:
    """Scores of the class that the set labels, at the set's validation scale; `module` must be in eval mode."""
    total = Counts()
    for item in items:
        height, width = (max(1, round(n * spec.validation_scale)) for n in item.damage.shape)
        image, damage, ignore = resized_to(
            item.image, item.damage, item.ignore, height=height, width=width, line_labels=spec.line_labels
        )
        logits = whole_image_logits(module, image, device=device, mixed_precision=mixed_precision)
        truth = np.where(ignore, IGNORE_VALUE, np.where(damage, DAMAGE_VALUE, 0)).astype(np.uint8)
        total += score_masks(
            logits.argmax(0).astype(np.uint8), truth, pixel_class=spec.pixel_class, truth_value=DAMAGE_VALUE,
            ignore_value=IGNORE_VALUE, tolerance_px=_TOLERANCE_PX,
        )  # fmt: skip
    return total


def score_scenes(module: Net, scenes: Sequence[Sample], *, device: str, mixed_precision: bool) -> dict[str, Counts]:
    """Scores per class of damage on synthetic scenes, by class name."""
    totals = {pixel_class.name.lower(): Counts() for pixel_class in DEFECT_CLASSES}
    for scene in scenes:
        logits = whole_image_logits(module, scene.image, device=device, mixed_precision=mixed_precision)
        predicted = logits.argmax(0).astype(np.uint8)
        for pixel_class in DEFECT_CLASSES:
            totals[pixel_class.name.lower()] += score_masks(
                predicted, scene.mask, pixel_class=pixel_class, truth_value=pixel_class,
                ignore_value=_EVERYTHING, tolerance_px=_TOLERANCE_PX,
            )  # fmt: skip
    return totals
