"""Scores of a mask against a truth, as counts that can be added over images before any ratio is taken."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import skeletonize

Mask = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


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
    predicted_boundary_near: int = 0
    """Boundary pixels of the prediction with a true boundary pixel within the tolerance."""
    predicted_boundary_far: int = 0
    """The other boundary pixels of the prediction."""
    truth_boundary_near: int = 0
    """Boundary pixels of the truth with a predicted boundary pixel within the tolerance."""
    truth_boundary_far: int = 0
    """The other boundary pixels of the truth."""

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
    def boundary_f1(self) -> float:
        """Harmonic mean of the shares of the predicted and of the true boundary that lie near the other.

        After Csurka, Larlus, Perronnin: "What is a good evaluation measure for semantic segmentation?", BMVC 2013.
        NaN where neither has a boundary, 0 where only one has.
        """
        predicted = self.predicted_boundary_near + self.predicted_boundary_far
        true = self.truth_boundary_near + self.truth_boundary_far
        if predicted + true == 0:
            return float("nan")
        precision = self.predicted_boundary_near / predicted if predicted else 0.0
        recall = self.truth_boundary_near / true if true else 0.0
        return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)

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
    `truth` is `ignore_value`. The rest is as in `score_at_tolerances`.
    """
    if predicted.shape != truth.shape or predicted.ndim != 2:
        raise ValueError(f"masks must be (H, W) and of one shape, got {predicted.shape} and {truth.shape}")
    (counts,) = score_at_tolerances(
        predicted == pixel_class, truth == truth_value, counted=truth != ignore_value, tolerances_px=(tolerance_px,)
    )
    return counts


def score_at_tolerances(
    predicted: Bools, truth: Bools, *, counted: Bools, tolerances_px: Sequence[float]
) -> tuple[Counts, ...]:
    """Counts at each tolerance of a prediction ``(H, W)`` against a truth ``(H, W)``, on the pixels `counted` alone.

    A tolerance is a Euclidean distance between pixel centres. Centre lines are those of Zhang and Suen's thinning.
    A boundary pixel is one of the mask with a counted pixel outside the mask above, below, left or right of it: the
    image's edge and what is left out make no boundary. Raises ValueError where the shapes differ.
    """
    if not predicted.shape == truth.shape == counted.shape or predicted.ndim != 2:
        raise ValueError(
            f"masks must be (H, W) and of one shape, got {predicted.shape}, {truth.shape}, {counted.shape}"
        )
    said, true = predicted & counted, truth & counted
    said_line, true_line = centre_line(said), centre_line(true)
    said_edge, true_edge = _boundary(said, counted), _boundary(true, counted)
    said_far, true_far = _distances_px(said, to=true), _distances_px(true, to=said)
    said_line_far, true_line_far = _distances_px(said_line, to=true_line), _distances_px(true_line, to=said_line)
    said_edge_far, true_edge_far = _distances_px(said_edge, to=true_edge), _distances_px(true_edge, to=said_edge)
    hits = int((said & true).sum())
    return tuple(
        Counts(
            true_positive=hits,
            false_positive=int(said.sum()) - hits,
            false_negative=int(true.sum()) - hits,
            true_negative=int((counted & ~said & ~true).sum()),
            predicted_near_truth=_within(said_far, tolerance),
            truth_near_predicted=_within(true_far, tolerance),
            predicted_line_near=_within(said_line_far, tolerance),
            predicted_line_far=said_line_far.size - _within(said_line_far, tolerance),
            truth_line_far=true_line_far.size - _within(true_line_far, tolerance),
            images=1,
            predicted_boundary_near=_within(said_edge_far, tolerance),
            predicted_boundary_far=said_edge_far.size - _within(said_edge_far, tolerance),
            truth_boundary_near=_within(true_edge_far, tolerance),
            truth_boundary_far=true_edge_far.size - _within(true_edge_far, tolerance),
        )
        for tolerance in tolerances_px
    )


def centre_line(mask: Bools) -> Bools:
    """Centre line ``(H, W)`` of a mask, one pixel wide, by Zhang and Suen's thinning."""
    return np.asarray(skeletonize(mask), np.bool_)


def distance_px(mask: Bools) -> Floats:
    """Euclidean distance ``(H, W)`` of each pixel's centre to that of the nearest set one; infinity where none is."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~mask), np.float64)


def _distances_px(mask: Bools, *, to: Bools) -> Floats:
    """Distance ``(N,)`` of each set pixel of a mask to the nearest set one of another."""
    if not mask.any():
        return np.empty(0)
    return distance_px(to)[mask]


def _boundary(mask: Bools, counted: Bools) -> Bools:
    outside = ndimage.binary_dilation(counted & ~mask, structure=ndimage.generate_binary_structure(2, 1))
    return np.asarray(mask & outside, np.bool_)


def _within(distances: Floats, tolerance_px: float) -> int:
    return int((distances <= tolerance_px).sum())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
