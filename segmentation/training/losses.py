"""Losses for labels that are sets of classes (see `segmentation.training.labels`), and how a run combines them.

All take logits float32 ``(N, C, H, W)`` and labels uint8 bit fields ``(N, H, W)`` and give a scalar, which is 0
(with a gradient of 0) where nothing is labelled. Bits of a label above the classes' are left out of account.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from segmentation.classes import PixelClass
from segmentation.training.centre_lines import soft_skeleton
from segmentation.training.labels import UNKNOWN, only

_SMOOTH: Final = 0.5
_LINES: Final = (PixelClass.CRACK,)
"""The classes that are long and thin: rust has no centre line."""


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the terms that a run minimises the sum of; a term of weight 0 is not computed."""

    cross_entropy: float
    """Of `marginal_cross_entropy`."""
    focal_gamma: float
    """Its focusing exponent γ: 0 weighs every pixel alike, 2 is usual for rare damage."""
    region: float
    """Of `marginal_tversky`."""
    missed_share: float
    """What a missed pixel weighs there of the two kinds of error: 0.5 is Dice, 0.7 finds more and alarms more."""
    centre_line: float
    """Of `centre_line_dice`, for cracks."""
    centre_line_px: int
    """Rounds of thinning there: at least half the width of the widest crack that should count as a line."""

    def __post_init__(self) -> None:
        weights = {"cross_entropy": self.cross_entropy, "region": self.region, "centre_line": self.centre_line}
        for name, value in {**weights, "focal_gamma": self.focal_gamma}.items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be >= 0, got {value}")
        if not any(weights.values()):
            raise ValueError(f"one of {', '.join(weights)} must be > 0, got none")
        if not 0 <= self.missed_share <= 1 or self.centre_line_px < 1:
            raise ValueError(
                "missed_share must lie in [0, 1] and centre_line_px be >= 1, "
                f"got {self.missed_share} and {self.centre_line_px}"
            )


def combined_loss(logits: Tensor, labels: Tensor, *, config: LossConfig, class_weights: Tensor) -> Tensor:
    """The sum of the terms that `config` weighs; `class_weights` as in `marginal_cross_entropy`.

    Labels may be larger than the logits by the same margin on each side, as those of a net of valid convolutions
    are: the labels' middle counts. Logits of lower precision are computed with in float32.
    """
    logits, labels = logits.float(), middle(labels, logits)
    total = logits.new_zeros(())
    if config.cross_entropy:
        cross_entropy = marginal_cross_entropy(logits, labels, class_weights=class_weights, gamma=config.focal_gamma)
        total = total + config.cross_entropy * cross_entropy
    if config.region:
        total = total + config.region * marginal_tversky(logits, labels, missed_share=config.missed_share)
    if config.centre_line:
        total = total + config.centre_line * centre_line_dice(logits, labels, rounds=config.centre_line_px)
    return total


def middle(labels: Tensor, logits: Tensor) -> Tensor:
    """The part of the labels ``(N, H, W)`` that the logits ``(N, C, h, w)`` speak of.

    Raises ValueError where the labels are smaller or not larger by an even number.
    """
    surplus = [have - want for have, want in zip(labels.shape[-2:], logits.shape[-2:], strict=True)]
    if min(surplus) < 0 or any(px % 2 for px in surplus):
        got = f"{tuple(labels.shape[-2:])} and {tuple(logits.shape[-2:])}"
        raise ValueError(f"labels must exceed the logits by the same margin on both sides, got {got}")
    top, left = (px // 2 for px in surplus)
    return labels[:, top : labels.shape[1] - top, left : labels.shape[2] - left]


def marginal_cross_entropy(logits: Tensor, labels: Tensor, *, class_weights: Tensor, gamma: float) -> Tensor:
    """Mean over pixels of -(1 - q)^γ · log q, where q = Σ p_c over the classes c that the pixel's label allows.

    `class_weights` are ``(C,)``, or ``(N, C)`` with weights of their own for each image. A pixel's weight is that of
    its class where the class is known and that of the background where several are possible; unknown pixels have
    weight 0; the mean is that of the weights. For known classes and γ = 0 this is the weighted soft-max
    cross-entropy. After Cour, Sapp, Taskar: "Learning from partial labels", JMLR 12 (2011), and for γ > 0 Lin et
    al.: "Focal loss for dense object detection", ICCV 2017.
    """
    labels = labels & UNKNOWN
    allowed = _allowed(labels, logits.shape[1])
    log_q = torch.logsumexp(logits.masked_fill(~allowed, float("-inf")), 1) - torch.logsumexp(logits, 1)
    losses = -log_q
    if gamma:
        missing = -torch.expm1(log_q.clamp_max(-1e-6))  # (1 - q), kept from 0, where a power's slope is infinite
        losses = losses * missing**gamma
    weights = _pixel_weights(labels, class_weights)
    loss: Tensor = (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(torch.float32).tiny)
    return loss


def marginal_tversky(logits: Tensor, labels: Tensor, *, missed_share: float) -> Tensor:
    """1 - soft Tversky index per image and class of damage, averaged over those that an image shows.

    TP / (TP + (1 - m)·FP + m·FN) with m = `missed_share`; m = 0.5 is the Dice coefficient. A pixel takes part for
    class c where its label is c alone or rules c out. Averaged per image, because in a sum over the batch one wide
    crack outweighs every hairline beside it. 0 where no image shows damage.
    After Milletari, Navab, Ahmadi: "V-Net", 3DV 2016, and Salehi, Erdogmus, Gholipour: "Tversky loss function", 2017.
    """
    probabilities, losses = logits.softmax(1), []
    for pixel_class in range(1, logits.shape[1]):
        truth, p = _of_class(probabilities, labels, PixelClass(pixel_class))
        true_px = truth.sum((1, 2))
        hit = (p * truth).sum((1, 2))
        false, missed = p.sum((1, 2)) - hit, true_px - hit
        index = (hit + _SMOOTH) / (hit + (1 - missed_share) * false + missed_share * missed + _SMOOTH)
        losses.append((1 - index)[true_px > 0])
    return _mean(torch.cat(losses), logits)


def centre_line_dice(logits: Tensor, labels: Tensor, *, rounds: int) -> Tensor:
    """1 - clDice per image that shows a crack, averaged: how much of each centre line lies inside the other mask.

    A broken line costs as much as its gap is long, whatever the crack's width. `rounds` of thinning; pixels take
    part as in `marginal_tversky`. 0 where no image shows a crack.
    After Shit et al.: "clDice – a novel topology-preserving loss function", CVPR 2021.
    """
    probabilities, losses = logits.softmax(1), []
    for pixel_class in _LINES:
        truth, p = _of_class(probabilities, labels, pixel_class)
        shown = truth.flatten(1).any(1)
        if not bool(shown.any()):
            continue
        mask, p = truth[shown].float(), p[shown]
        true_line, said_line = soft_skeleton(mask, rounds=rounds), soft_skeleton(p, rounds=rounds)
        precision = ((said_line * mask).sum((1, 2)) + _SMOOTH) / (said_line.sum((1, 2)) + _SMOOTH)
        sensitivity = ((true_line * p).sum((1, 2)) + _SMOOTH) / (true_line.sum((1, 2)) + _SMOOTH)
        losses.append(1 - 2 * precision * sensitivity / (precision + sensitivity))
    return _mean(torch.cat(losses) if losses else logits.new_zeros(0), logits)


def _of_class(probabilities: Tensor, labels: Tensor, pixel_class: PixelClass) -> tuple[Tensor, Tensor]:
    """Truth (bool) and probability of one class, ``(N, H, W)`` each; 0 where the label leaves the class open."""
    bit = only(pixel_class)
    truth = (labels & UNKNOWN) == bit
    return truth, probabilities[:, pixel_class] * (truth | ((labels & bit) == 0))


def _pixel_weights(labels: Tensor, class_weights: Tensor) -> Tensor:
    by_class = class_weights if class_weights.dim() == 2 else class_weights[None]
    weights = by_class[:, PixelClass.BACKGROUND, None, None].expand(labels.shape)
    for pixel_class in range(1, by_class.shape[1]):
        known = labels == only(PixelClass(pixel_class))
        weights = torch.where(known, by_class[:, pixel_class, None, None], weights)
    return weights * (labels != UNKNOWN)


def _allowed(labels: Tensor, classes: int) -> Tensor:
    bits = torch.tensor([only(PixelClass(c)) for c in range(classes)], dtype=labels.dtype, device=labels.device)
    return (labels[:, None] & bits[None, :, None, None]) != 0


def _mean(losses: Tensor, logits: Tensor) -> Tensor:
    """Mean of some losses; where there are none, a 0 that still depends on the logits, so that it can be derived."""
    return losses.mean() if len(losses) else logits.sum() * 0
