"""Borders between touching instances as training targets: where they are, what they weigh, what a label says of them.

Instances are integers ``(H, W)``: 0 background, one id per instance. A border pixel lies between two instances: its
square neighbourhood meets both. Arrays only, no torch.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segmentation.training.labels import UNKNOWN, Bools, Labels

Instances = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]

BORDER_BIT: Final = UNKNOWN + 1
"""Bit of a label beside those of the classes: the pixel lies on a border between touching instances."""
KNOWN_BIT: Final = 2 * BORDER_BIT
"""Bit of a label: whether a border runs here is known, because instances are told apart."""
PEAK_WEIGHT: Final = 10.0
"""w₀ of Ronneberger, Fischer, Brox: "U-Net", MICCAI 2015, section 3."""
SIGMA_PX: Final = 5.0
"""σ of the same."""
_REACH_SIGMAS = 3.5
"""Beyond this many σ of d₁ + d₂ the weight is below 0.3 % of its peak and taken as 0."""
_EIGHT = np.ones((3, 3), bool)


def touching_borders(instances: Instances, *, reach_px: int) -> Bools:
    """Pixels ``(H, W)`` whose square of side 2·`reach_px` + 1 meets two or more different instances.

    Between instances that share an edge this is a ribbon 2·`reach_px` wide, half of it on each side; the gap of
    instances that all but touch belongs to it as well.

    >>> touching_borders(np.array([[1, 1, 1, 2, 2, 2, 0, 0, 3]]), reach_px=1).astype(int)
    array([[0, 0, 1, 1, 0, 0, 0, 0, 0]])
    """
    if reach_px < 1:
        raise ValueError(f"reach_px must be >= 1, got {reach_px}")
    side_px = 2 * reach_px + 1
    ids = instances.astype(np.int64, copy=False)
    highest = ndimage.maximum_filter(ids, side_px, mode="constant", cval=0)
    beyond = 1 << 53  # the filter pads in double precision
    lowest = ndimage.minimum_filter(np.where(ids > 0, ids, beyond), side_px, mode="constant", cval=beyond)
    return np.asarray((lowest < highest) & (highest > 0), np.bool_)


def components(damage: Bools) -> npt.NDArray[np.int32]:
    """Instances ``(H, W)`` int32 of a mask that does not tell them apart: 8-connected components.

    Patches that touch become one, so no border can be learned from these, and none must be denied either: see
    `with_borders`.
    """
    return np.asarray(ndimage.label(damage, _EIGHT)[0], np.int32)


def separation_weights(instances: Instances, *, peak: float, sigma_px: float) -> Floats:
    """w₀ · exp(-(d₁ + d₂)² / 2σ²), float32 ``(H, W)``: the second term of equation 2 of the U-Net paper.

    d₁ and d₂ are the Euclidean distances (px) to the nearest and the second nearest instance, 0 inside an
    instance: the weight is `peak` where two all but touch and vanishes around an instance that stands alone.
    The first term, class balance, is the run's class weights.
    """
    reach_px = int(np.ceil(_REACH_SIGMAS * sigma_px))
    nearest = np.full(instances.shape, np.inf, np.float32)
    second = nearest.copy()
    ids, numbers = np.unique(instances, return_inverse=True)
    boxes = ndimage.find_objects(numbers.reshape(instances.shape) + 1)
    for identity, box in zip(ids, boxes, strict=True):
        if identity == 0 or box is None:
            continue
        around = tuple(
            slice(max(0, part.start - reach_px), min(length, part.stop + reach_px))
            for part, length in zip(box, instances.shape, strict=True)
        )
        distance = ndimage.distance_transform_edt(instances[around] != identity).astype(np.float32)
        distance[distance > reach_px] = np.inf
        second[around] = np.minimum(second[around], np.maximum(nearest[around], distance))
        nearest[around] = np.minimum(nearest[around], distance)
    weights = peak * np.exp(-((nearest + second) ** 2) / (2 * sigma_px**2))
    return np.asarray(weights, np.float32)


def with_borders(labels: Labels, instances: Instances, *, reach_px: int) -> Labels:
    """Labels ``(H, W)`` that also say where instances touch, for scenes whose instances are known.

    Labels without these bits leave it open whether a border runs through a damaged pixel: a mask that was drawn
    without telling patches apart teaches the classes, and nothing about borders.
    """
    borders = touching_borders(instances, reach_px=reach_px) & (instances > 0)
    told = labels | np.uint8(KNOWN_BIT)
    told[borders] |= np.uint8(BORDER_BIT)
    return told


def border_weights(labels: Labels, *, damage_label: int, peak: float, sigma_px: float) -> Floats:
    """1 + `separation_weights` where borders are known and the pixel's label is `damage_label`, else 0; ``(H, W)``.

    The instances are those that the borders leave: components of damage without its border pixels.
    """
    damage = (labels & UNKNOWN) == damage_label
    taught = damage & ((labels & KNOWN_BIT) > 0)
    if not taught.any():
        return np.zeros(labels.shape, np.float32)
    inside = components(damage & ((labels & BORDER_BIT) == 0))
    weights = 1 + separation_weights(inside, peak=peak, sigma_px=sigma_px)
    return np.asarray(np.where(taught, weights, 0), np.float32)
