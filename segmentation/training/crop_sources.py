"""Pictures that training crops are cut from: labelled photographs, painted scenes, painted structures."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.inference.geometry import mirrored
from segmentation.synthetic.crops import sample_crop
from segmentation.synthetic.deck import deck_scene, random_railing
from segmentation.synthetic.truss import truss_scene
from segmentation.training.augmentation import AREA_KEPT, DOUBTFUL, LINE_KEPT, share_of
from segmentation.training.borders import with_borders
from segmentation.training.datasets import DataSetSpec, LabelledImage
from segmentation.training.labels import (
    UNKNOWN,
    Labels,
    anything_but,
    labels_from_damage,
    labels_from_mask,
    only,
)
from segmentation.training.validation import PIXEL_MEAN
from segmentation.windows import Window

Pixels = npt.NDArray[np.uint8]

_STRUCTURE_SCALE = 0.25
_LABELS_OF_DAMAGE = tuple(only(c) for c in DEFECT_CLASSES)


@dataclass(frozen=True, slots=True, eq=False)
class CropSource:
    """A picture with the labels of its pixels."""

    image: Pixels
    """RGB ``(H, W, 3)``."""
    labels: Labels
    """Bit fields ``(H, W)``."""
    elsewhere: int
    """Label of what is neither damage nor unknown."""
    kept_share: float
    """Share of a pixel of a resized crop that must have been damage for it to be damage."""
    scale_range: tuple[float, float]
    """Lowest and highest factor by which crops are resized (drawn log-uniformly)."""
    instances: npt.NDArray[np.uint16] | None = None
    """Ids of patches ``(H, W)``, 0 elsewhere, where they are told apart."""


def photograph_source(item: LabelledImage, spec: DataSetSpec) -> CropSource:
    """A labelled image of a set, its uncertain ring already ignored."""
    labels = labels_from_damage(
        item.damage, item.ignore, pixel_class=spec.pixel_class, others_absent=item.others_absent
    )
    elsewhere = only(PixelClass.BACKGROUND) if item.others_absent else anything_but(spec.pixel_class)
    kept_share = LINE_KEPT if spec.line_labels else AREA_KEPT
    return CropSource(item.image, labels, elsewhere, kept_share, spec.scale_range)


def scene_source(seed: tuple[int, ...], *, size_px: int, scale_range: tuple[float, float]) -> CropSource:
    """A painted scene of `size_px` × `size_px`, always the same for the same seed."""
    sample = sample_crop(np.random.default_rng(seed), size_px=size_px)
    return CropSource(
        sample.image, labels_from_mask(sample.mask), only(PixelClass.BACKGROUND), AREA_KEPT, scale_range,
        sample.instances,
    )  # fmt: skip


def structure_source(seed: tuple[int, ...], *, is_deck: bool, scale_range: tuple[float, float]) -> CropSource:
    """A painted deck or truss as the demo survey's, always the same for the same seed.

    Its railing throws any shadow: on a small deck the demo's own stripes would be too short to be taken for cracks.
    """
    rng = np.random.default_rng(seed)
    if is_deck:
        railing = random_railing(np.random.default_rng((*seed, 1)))
        scene = deck_scene(rng, scale=_STRUCTURE_SCALE, railing=railing)
    else:
        scene = truss_scene(rng, scale=_STRUCTURE_SCALE)
    labels = labels_from_mask(scene.mask)
    labels[~scene.validity] = UNKNOWN
    scene.image[~scene.validity] = np.rint(PIXEL_MEAN)  # as the predictor shows it to the net
    return CropSource(scene.image, labels, only(PixelClass.BACKGROUND), AREA_KEPT, scale_range)


def cut(source: CropSource, window: Window, *, side_px: int, border_reach_px: int) -> tuple[Pixels, Labels]:
    """The crop in a window, mirrored where it reaches outside, resized to `side_px` squared: image and labels.

    With `border_reach_px` > 0 the labels say where instances touch, if the source tells them apart.
    """
    at = _indices(source, window)
    instances = None if source.instances is None else source.instances[at]
    crop = _resized(replace(source, image=source.image[at], labels=source.labels[at], instances=instances), side_px)
    if border_reach_px and crop.instances is not None:
        return crop.image, with_borders(crop.labels, crop.instances, reach_px=border_reach_px)
    return crop.image, crop.labels


def labels_in(source: CropSource, window: Window) -> Labels:
    """The labels ``(H, W)`` of a window, mirrored where it reaches outside."""
    return source.labels[_indices(source, window)]


def _indices(source: CropSource, window: Window) -> tuple[slice, slice] | tuple[npt.NDArray[np.intp], ...]:
    """Index of a window into the picture: slices, which copy nothing, where it lies inside."""
    height, width = source.labels.shape
    if window.clip(height, width) == window:
        return window.slices()
    rows = mirrored(window.row_start, window.row_stop, height)
    return np.ix_(rows, mirrored(window.col_start, window.col_stop, width))


def _resized(crop: CropSource, side_px: int) -> CropSource:
    """Image and labels resized with antialiasing: `augmentation.resized_to`'s rule for every class of damage."""
    if crop.labels.shape == (side_px, side_px):
        return crop
    size = (side_px, side_px)
    image = np.asarray(Image.fromarray(crop.image).resize(size, Image.Resampling.BICUBIC))
    labels = np.full((side_px, side_px), crop.elsewhere, np.uint8)
    unsure = share_of(crop.labels == UNKNOWN, size) >= DOUBTFUL
    kept = np.zeros_like(unsure)
    for label in _LABELS_OF_DAMAGE:
        damage = crop.labels == label
        if damage.any():
            covered = share_of(damage, size)
            labels[covered >= crop.kept_share] = label
            kept |= covered >= crop.kept_share
            unsure |= covered >= DOUBTFUL
    labels[unsure & ~kept] = UNKNOWN
    instances = crop.instances
    if instances is not None:
        instances = np.asarray(Image.fromarray(instances).resize(size, Image.Resampling.NEAREST))
    return replace(crop, image=image, labels=labels, instances=instances)
