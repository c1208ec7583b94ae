"""The result of `spanscan evaluate` as one JSON object: figures are None where there is nothing to measure."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.evaluate_engine import PlannedModel
from flows.evaluate_model import ModelScore, UndamagedPicture
from segmentation.classes import DEFECT_CLASSES
from segmentation.training.business import review_minutes
from segmentation.training.calibration import calibration_error, reliability
from segmentation.training.curves import PixelHistogram, average_precision, best_point, operating_points
from segmentation.training.evaluation import EvaluationRules, ImageScore, PooledScore
from segmentation.training.intervals import Interval, image_draws, interval_of_counts, interval_of_sums
from segmentation.training.metrics import Counts

Floats = npt.NDArray[np.float64]

_SEED = 1
"""Of the bootstrap: the same pictures give the same intervals."""
_COUNTED = ("iou", "f1", "precision", "recall", "tolerant_f1", "cl_iou", "boundary_f1")


def model_record(result: ModelScore, *, rules: EvaluationRules, scale: float, draws: int) -> dict[str, Any]:
    """All figures of one model; intervals are of 95 %, by bootstrap over the pictures."""
    pooled, scores = result.pooled, [picture.score for picture in result.pictures]
    chosen = pooled.counts[rules.tolerance_px]
    best = best_point(pooled.histogram)
    return {
        "model": result.model.name,
        "sha256": result.model.sha256,
        "class": rules.pixel_class.name.lower(),
        "images": pooled.images,
        "pixels": pooled.pixels,
        "scale": scale,
        "tolerance_px": rules.tolerance_px,
        "gsd_mm": None if rules.gsd_m is None else rules.gsd_m * 1000,
        **{name: _finite(getattr(chosen, name)) for name in _COUNTED},
        "damaged_share": _finite(chosen.truth_share),
        "predicted_share": _finite(chosen.predicted_share),
        "by_tolerance": [_tolerance_record(px, counts) for px, counts in pooled.counts.items()],
        "average_precision": _finite(average_precision(pooled.histogram)),
        "best_threshold": None
        if best is None
        else {k: _finite(getattr(best, k)) for k in ("threshold", "precision", "recall", "f1")},
        "instances": {
            "ap50": _finite(pooled.instances.ap50),
            "ap": _finite(pooled.instances.ap),
            "pieces": pooled.instances.pieces,
            "findings": len(pooled.instances.confidence),
        },
        "calibration_error": _finite(calibration_error(pooled.histogram)),
        "business": _business_record(pooled, rules),
        "intervals_95": _intervals(scores, rules, draws=draws),
        "reliability": [
            {
                "low": row.low,
                "high": row.high,
                "pixels": row.pixels,
                "stated": _finite(row.stated),
                "observed": _finite(row.observed),
            }
            for row in reliability(pooled.histogram)
        ],
        "precision_recall": _curve_record(pooled.histogram),
        "per_image": [_image_record(score, rules) for score in scores],
    }


def undamaged_record(
    model: PlannedModel, pictures: Sequence[UndamagedPicture], *, scale: float, gsd_m: float | None, draws: int
) -> dict[str, Any]:
    """Share of pixels called damage, per class and in all, and findings listed, with intervals of 95 %."""
    names = [pixel_class.name.lower() for pixel_class in DEFECT_CLASSES]
    rows = np.array([[*(p.called_px[n] for n in names), p.pixels] for p in pictures], np.float64)
    total = rows.sum(axis=0)
    drawn = image_draws(len(pictures), draws=draws, seed=_SEED)
    shares: dict[str, Callable[[Floats], float]] = {
        "called_damage_share": lambda row: _per(float(row[:-1].sum()), float(row[-1])),
        **{
            f"called_{name}_share": (lambda row, k=k: _per(float(row[k]), float(row[-1])))  # type: ignore[misc]
            for k, name in enumerate(names)
        },
    }
    findings = {name: sum(p.findings[name].reported for p in pictures) for name in names}
    area_m2 = None if gsd_m is None else float(total[-1]) * gsd_m**2
    return {
        "model": model.name,
        "sha256": model.sha256,
        "undamaged": True,
        "images": len(pictures),
        "pixels": int(total[-1]),
        "scale": scale,
        "gsd_mm": None if gsd_m is None else gsd_m * 1000,
        **{name: _finite(share(total), digits=8) for name, share in shares.items()},
        "false_alarms": findings,
        "false_alarms_per_mpx": {n: _finite(_per(count, float(total[-1]) / 1e6)) for n, count in findings.items()},
        "false_alarms_per_100_m2": None
        if area_m2 is None
        else {name: _finite(_per(count, area_m2 / 100)) for name, count in findings.items()},
        "intervals_95": {
            name: _limits(interval_of_sums(rows, share, drawn=drawn), digits=8) for name, share in shares.items()
        },
        "per_image": [
            {
                "name": p.image.name,
                "pixels": p.pixels,
                **{f"called_{n}_share": _per(p.called_px[n], p.pixels) for n in names},
            }
            for p in pictures
        ],
    }


def _tolerance_record(tolerance_px: float, counts: Counts) -> dict[str, Any]:
    names = ("tolerant_precision", "tolerant_recall", "tolerant_f1", "cl_iou", "boundary_f1")
    return {"tolerance_px": tolerance_px, **{name: _finite(getattr(counts, name)) for name in names}}


def _business_record(pooled: PooledScore, rules: EvaluationRules) -> dict[str, Any]:
    counts, findings = pooled.counts[rules.tolerance_px], pooled.findings
    true_px = counts.true_positive + counts.false_negative
    said_px = counts.true_positive + counts.false_positive
    record: dict[str, Any] = {
        "findings": findings.reported,
        "false_alarms": findings.false_alarms,
        "false_alarms_per_mpx": _finite(_per(findings.false_alarms, pooled.pixels / 1e6)),
        "false_alarms_per_100_m2": None
        if rules.gsd_m is None
        else _finite(_per(findings.false_alarms, pooled.pixels * rules.gsd_m**2 / 100)),
        "pieces_of_damage": findings.pieces,
        "missed_pieces": findings.missed,
        "area_error": _finite(_per(said_px - true_px, true_px)),
        "true_area_m2": None if rules.gsd_m is None else _finite(true_px * rules.gsd_m**2),
        "predicted_area_m2": None if rules.gsd_m is None else _finite(said_px * rules.gsd_m**2),
        "grade_flips": {
            name: {"flipped": flipped, "graded": graded, "share": _finite(_per(flipped, graded))}
            for name, (flipped, graded) in pooled.flips.items()
        },
        "review_minutes": _finite(review_minutes(findings, images=pooled.images, costs=rules.review)),
        "review_assumptions_s": {
            "image": rules.review.image_s,
            "confirm": rules.review.confirm_s,
            "reject": rules.review.reject_s,
            "draw": rules.review.draw_s,
        },
    }
    if pooled.lengths is not None:
        record |= _lengths_record(pooled.lengths.total_px, pooled.lengths.missed_px, rules)
    return record


def _lengths_record(total_px: Floats, missed_px: Floats, rules: EvaluationRules) -> dict[str, Any]:
    unit, per_px = ("px", 1.0) if rules.gsd_m is None else ("m", rules.gsd_m)
    limits = (0.0, *rules.width_limits_px, None)
    return {
        "length_unit": unit,
        "crack_length": _finite(float(total_px.sum()) * per_px),
        "missed_length": _finite(float(missed_px.sum()) * per_px),
        "missed_share": _finite(_per(float(missed_px.sum()), float(total_px.sum()))),
        "by_width": [
            {
                "width_px": [limits[k], limits[k + 1]],
                "width_mm": None
                if rules.gsd_m is None
                else [None if limit is None else _finite(limit * rules.gsd_m * 1e3) for limit in limits[k : k + 2]],
                "length": _finite(float(total) * per_px),
                "missed": _finite(float(missed) * per_px),
                "missed_share": _finite(_per(float(missed), float(total))),
            }
            for k, (total, missed) in enumerate(zip(total_px, missed_px, strict=True))
        ],
    }


def _intervals(scores: Sequence[ImageScore], rules: EvaluationRules, *, draws: int) -> dict[str, Any]:
    drawn = image_draws(len(scores), draws=draws, seed=_SEED)
    chosen = [score.counts[rules.tolerance_px] for score in scores]
    levels = np.array([[*s.histogram.positives, *s.histogram.negatives] for s in scores])
    alarms = [[score.findings.false_alarms, score.pixels / 1e6] for score in scores]
    areas = [[c.true_positive + c.false_positive, c.true_positive + c.false_negative] for c in chosen]

    def pixel_precision(total: Floats) -> float:
        middle = total.size // 2
        return average_precision(PixelHistogram(total[:middle].astype(np.int64), total[middle:].astype(np.int64)))

    found: dict[str, Interval | None] = {
        name: interval_of_counts(chosen, lambda c, name=name: float(getattr(c, name)), drawn=drawn)  # type: ignore[misc]
        for name in _COUNTED
    }
    found["average_precision"] = interval_of_sums(levels, pixel_precision, drawn=drawn)
    found["false_alarms_per_mpx"] = interval_of_sums(alarms, lambda row: _per(row[0], row[1]), drawn=drawn)
    found["area_error"] = interval_of_sums(areas, lambda row: _per(row[0] - row[1], row[1]), drawn=drawn)
    lengths = [score.lengths for score in scores if score.lengths is not None]
    if lengths:
        rows = [[float(one.missed_px.sum()), float(one.total_px.sum())] for one in lengths]
        found["missed_share"] = interval_of_sums(rows, lambda row: _per(row[0], row[1]), drawn=drawn)
    return {name: _limits(interval) for name, interval in found.items()}


def _curve_record(histogram: PixelHistogram) -> dict[str, list[float | None]]:
    points = operating_points(histogram)
    return {name: [_finite(getattr(point, name)) for point in points] for name in ("threshold", "precision", "recall")}


def _image_record(score: ImageScore, rules: EvaluationRules) -> dict[str, Any]:
    counts = score.counts[rules.tolerance_px]
    return {
        "name": score.name,
        "pixels": score.pixels,
        **{name: _finite(getattr(counts, name)) for name in _COUNTED},
        "damaged_share": _finite(counts.truth_share),
        "predicted_share": _finite(counts.predicted_share),
        "average_precision": _finite(average_precision(score.histogram)),
        "false_alarms": score.findings.false_alarms,
        "missed_pieces": score.findings.missed,
        "grades": {name: {"truth": true, "prediction": said} for name, (true, said) in score.grade_pairs.items()},
    }


def _per(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _limits(interval: Interval | None, *, digits: int = 5) -> list[float | None] | None:
    return None if interval is None else [_finite(interval.low, digits=digits), _finite(interval.high, digits=digits)]


def _finite(value: float, *, digits: int = 5) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
