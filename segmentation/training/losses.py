"""Losses for labels that are sets of classes (see `segmentation.training.labels`)."""

import torch
from torch import Tensor

from segmentation.classes import PixelClass
from segmentation.training.labels import UNKNOWN, only


def marginal_cross_entropy(logits: Tensor, labels: Tensor, *, class_weights: Tensor) -> Tensor:
    """Mean of -log Σ p_c over the classes c that each pixel's label allows; scalar.

    `logits` float ``(N, C, H, W)``, `labels` uint8 bit fields ``(N, H, W)``. A pixel's weight is that of its
    class where the class is known and that of the background where several are possible; unknown pixels have
    weight 0. For known classes this is the weighted soft-max cross-entropy.
    After Cour, Sapp, Taskar: "Learning from partial labels", JMLR 12 (2011).
    """
    allowed = _allowed(labels, logits.shape[1])
    losses = torch.logsumexp(logits, 1) - torch.logsumexp(logits.masked_fill(~allowed, float("-inf")), 1)
    weights = class_weights[PixelClass.BACKGROUND].expand(losses.shape)
    for pixel_class in range(1, logits.shape[1]):
        weights = torch.where(labels == only(PixelClass(pixel_class)), class_weights[pixel_class], weights)
    weights = weights * (labels != UNKNOWN)
    loss: Tensor = (losses * weights).sum() / weights.sum().clamp_min(1.0)
    return loss


def marginal_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - soft Dice per image and class of damage, averaged over those that an image shows; scalar.

    A pixel takes part for class c where its label is c alone or rules c out. Averaged per image, because in a
    sum over the batch one wide crack outweighs every hairline beside it. 0 where no image shows damage.
    After Milletari, Navab, Ahmadi: "V-Net", 3DV 2016.
    """
    probabilities = logits.softmax(1)
    losses = []
    for pixel_class in range(1, logits.shape[1]):
        bit = only(PixelClass(pixel_class))
        truth = labels == bit
        true_px = truth.sum((1, 2))
        p = probabilities[:, pixel_class] * (truth | ((labels & bit) == 0))
        dice = (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + true_px + 1)
        losses.append((1 - dice)[true_px > 0])
    shown = torch.cat(losses)
    return shown.sum() / max(len(shown), 1)


def _allowed(labels: Tensor, classes: int) -> Tensor:
    bits = torch.tensor([only(PixelClass(c)) for c in range(classes)], dtype=labels.dtype, device=labels.device)
    return (labels[:, None] & bits[None, :, None, None]) != 0
