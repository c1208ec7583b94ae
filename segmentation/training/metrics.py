"""Scores of a mask against a truth, as counts that can be added over images before any ratio is taken."""

from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import skeletonize

Mask = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Counts:
    """Pixels of one class, counted; the properties are NaN where they would divide by nothing."""

    true_positive: int = 0
    """Predicted and true."""
    false_positive: int = 0
    """Predicted, not true."""
    false_negative: int = 0
    """True, not predicted."""
    true_negative: int = 0
    """Neither."""
    predicted_near_truth: int = 0
    """Predicted pixels with a true pixel within the tolerance."""
    truth_near_predicted: int = 0
    """True pixels with a predicted pixel within the tolerance."""
    predicted_line_near: int = 0
    """Pixels of the predicted centre line with the true centre line within the tolerance."""
    predicted_line_far: int = 0
    """The other pixels of the predicted centre line."""
    truth_line_far: int = 0
    """Pixels of the true centre line without the predicted one within the tolerance."""
    images: int = 0
    """Masks counted."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def iou(self) -> float:
        """Intersection over union."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive + self.false_negative)

    @property
    def precision(self) -> float:
        """Share of the predicted pixels that are true."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """Share of the true pixels that are predicted."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall (Dice)."""
        double = 2 * self.true_positive
        return _ratio(double, double + self.false_positive + self.false_negative)

    @property
    def tolerant_precision(self) -> float:
        """Share of the predicted pixels that lie within the tolerance of a true one."""
        return _ratio(self.predicted_near_truth, self.true_positive + self.false_positive)

    @property
    def tolerant_recall(self) -> float:
        """Share of the true pixels that lie within the tolerance of a predicted one."""
        return _ratio(self.truth_near_predicted, self.true_positive + self.false_negative)

    @property
    def tolerant_f1(self) -> float:
        """Harmonic mean of tolerant precision and tolerant recall; 0 where damage is missed altogether."""
        if self.true_positive + self.false_positive == 0 and self.false_negative > 0:
            return 0.0
        precision, recall = self.tolerant_precision, self.tolerant_recall
        return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)

    @property
    def cl_iou(self) -> float:
        """Intersection over union of centre lines with tolerance.

        After Benz, Rodehorst: "Image-based detection of structural defects using hierarchical multi-scale
        attention", DAGM GCPR 2022.
        """
        union = self.predicted_line_near + self.predicted_line_far + self.truth_line_far
        return _ratio(self.predicted_line_near, union)

    @property
    def truth_share(self) -> float:
        """Share of the counted pixels that are true: the IoU and precision of calling every pixel damaged."""
        true = self.true_positive + self.false_negative
        return _ratio(true, true + self.false_positive + self.true_negative)

    @property
    def predicted_share(self) -> float:
        """Share of the counted pixels that are predicted."""
        predicted = self.true_positive + self.false_positive
        return _ratio(predicted, predicted + self.false_negative + self.true_negative)


def score_masks(
    predicted: Mask, truth: Mask, *, pixel_class: int, truth_value: int, ignore_value: int, tolerance_px: float
) -> Counts:
    """Count one predicted mask ``(H, W)`` of class ids against a truth ``(H, W)``.

    A pixel is predicted where `predicted` is `pixel_class`, true where `truth` is `truth_value`, and left out where
    `truth` is `ignore_value`. The tolerance is a Euclidean distance between pixel centres. Centre lines are those
    of Zhang and Suen's thinning. Raises ValueError where the shapes differ.
    """
    if predicted.shape != truth.shape or predicted.ndim != 2:
        raise ValueError(f"masks must be (H, W) and of one shape, got {predicted.shape} and {truth.shape}")
    counted = truth != ignore_value
    said, true = (predicted == pixel_class) & counted, (truth == truth_value) & counted
    said_line, true_line = skeletonize(said), skeletonize(true)  # type: ignore[no-untyped-call]
    near_true_line = _near(true_line, tolerance_px)
    hits = int((said & true).sum())
    return Counts(
        true_positive=hits,
        false_positive=int(said.sum()) - hits,
        false_negative=int(true.sum()) - hits,
        true_negative=int((counted & ~said & ~true).sum()),
        predicted_near_truth=int((said & _near(true, tolerance_px)).sum()),
        truth_near_predicted=int((true & _near(said, tolerance_px)).sum()),
        predicted_line_near=int((said_line & near_true_line).sum()),
        predicted_line_far=int((said_line & ~near_true_line).sum()),
        truth_line_far=int((true_line & ~_near(said_line, tolerance_px)).sum()),
        images=1,
    )


def _near(mask: Bools, distance_px: float) -> Bools:
    if not mask.any():
        return np.zeros_like(mask)
    return np.asarray(ndimage.distance_transform_edt(~mask) <= distance_px, np.bool_)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
