"""Touching patches told apart: from where damage is and where its inner borders run to one id per patch."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

_EIGHT = np.ones((3, 3), bool)


def separate_instances(damage: Bools, border: Floats, *, border_threshold: float, least_seed_px: int) -> Ids:
    """One id per patch: damage minus borders gives the seeds, which a watershed grows back over all of the damage.

    `damage` bool ``(H, W)``; `border` probability float ``(H, W)`` that a pixel lies between two touching
    patches. → int32 ``(H, W)``, 0 exactly where there is no damage, ids 1, 2, … without gaps. Seeds smaller than
    `least_seed_px` are crumbs of a ragged border and join a neighbour; a patch none of whose seeds is large
    enough stays whole. Without borders the ids are those of 8-connected components.
    The flood follows the border probability, so that patches meet on its crest (Beucher, Meyer 1993).
    """
    if not damage.shape == border.shape:
        raise ValueError(f"damage and border must have one shape, got {damage.shape} and {border.shape}")
    whole, patches = ndimage.label(damage, _EIGHT)
    seeds, count = ndimage.label(damage & (border < border_threshold), _EIGHT)
    large = np.bincount(seeds.ravel(), minlength=count + 1) >= least_seed_px
    large[0] = False
    seeds = np.where(large[seeds], seeds, 0)
    seeded = np.zeros(patches + 1, bool)
    seeded[whole[seeds > 0]] = True
    unseeded = damage & ~seeded[whole]
    seeds = np.where(unseeded, count + whole, seeds)
    flooded = watershed(border, markers=seeds, connectivity=2, mask=damage)
    found = np.unique(flooded)
    return np.asarray(np.searchsorted(found[found > 0], flooded, side="right"), np.int32)
