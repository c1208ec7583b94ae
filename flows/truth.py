"""What was painted against what was measured: the honest table of the demo."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from shapely.geometry import MultiLineString, shape
from shapely.geometry.base import BaseGeometry

from segmentation.synthetic.scenes import CrackTruth
from tasks.publish import StructureLine
from tasks.sample_survey import RasterTruth, SampleTruth

_NEAR_PX = 12.0
"""A measured centre line belongs to the painted crack that most of it lies this close to."""


@dataclass(frozen=True, slots=True)
class CrackPair:
    """One painted crack with all that was measured on it."""

    structure_id: str
    truth: CrackTruth
    measured_length_m: float
    """Length of the defects on it; 0: missed."""
    measured_mean_width_mm: float | None
    """Their mean width by length; None where missed or below resolution."""
    uncertainty_mm: float | None
    """Largest ± of their widths."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Truth against measurement of a whole sample survey."""

    truth: SampleTruth
    structures: Sequence[StructureLine]
    pairs: tuple[CrackPair, ...]
    false_alarm_m: float
    """Measured crack length that lies on no painted crack."""

    @property
    def crack_length_error(self) -> float:
        """Relative error of the total crack length, false alarms and all."""
        measured = sum(s.crack_length_m or 0.0 for s in self.structures)
        return measured / self.truth.total_crack_length_m - 1

    @property
    def rust_area_error(self) -> float:
        """Relative error of the total rust area."""
        return sum(s.rust_area_m2 or 0.0 for s in self.structures) / self.truth.rust_area_m2 - 1

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """(structure, quantity, true, measured, difference) per structure, then the totals."""
        lines = {s.id: s for s in self.structures}
        for raster in self.truth.rasters:
            line, scene = lines[raster.structure_id], raster.scene
            yield _row(line.name, "crack length, m", scene.total_crack_length_m, line.crack_length_m or 0.0)
            yield _row(line.name, "rust area, m²", scene.rust_area_m2, line.rust_area_m2 or 0.0)
        for pair in self.pairs:
            true_mm = pair.truth.width_mm
            label = f"mean width of {pair.truth.id}, mm"
            if pair.measured_mean_width_mm is None:
                word = "missed" if pair.measured_length_m == 0 else "below resolution"
                yield (lines[pair.structure_id].name, label, f"{true_mm:.2f}", word, "")
            else:
                measured_mm = pair.measured_mean_width_mm
                stated = f"{measured_mm:.2f} ± {pair.uncertainty_mm:.2f}"
                yield (
                    lines[pair.structure_id].name,
                    label,
                    f"{true_mm:.2f}",
                    stated,
                    f"{measured_mm - true_mm:+.2f} mm",
                )
        measured_m = sum(s.crack_length_m or 0.0 for s in self.structures)
        measured_m2 = sum(s.rust_area_m2 or 0.0 for s in self.structures)
        yield _row("all", "crack length, m", self.truth.total_crack_length_m, measured_m)
        yield _row("all", "rust area, m²", self.truth.rust_area_m2, measured_m2)

    def sentences(self) -> Iterator[str]:
        """What the totals hide: errors of opposite sign cancel."""
        found = [p for p in self.pairs if p.measured_length_m > 0]
        yield (
            f"{len(found)} of {len(self.pairs)} painted cracks were found; {self.false_alarm_m:.2f} m of the measured "
            "crack length lie on no painted crack (false alarms, counted in the length above)."
        )


def compare(truth: SampleTruth, structures: Sequence[StructureLine], defects: Mapping[str, Any]) -> Comparison:
    """Match the defects (GeoJSON as published) to the painted cracks."""
    cracks = [f for f in defects["features"] if f["properties"]["class"] == "crack"]
    pairs: list[CrackPair] = []
    matched_m = 0.0
    for raster in truth.rasters:
        own = [f for f in cracks if f["properties"]["structure_id"] == raster.structure_id]
        owner = [_painted_crack(_in_pixels(shape(f["geometry"]), raster), raster.scene.cracks) for f in own]
        for number, painted in enumerate(raster.scene.cracks):
            found = [f["properties"] for f, at in zip(own, owner, strict=True) if at == number]
            pairs.append(_pair(raster.structure_id, painted, found))
            matched_m += pairs[-1].measured_length_m
    total_m = sum(f["properties"]["length_m"] for f in cracks)
    return Comparison(truth, structures, tuple(pairs), max(0.0, total_m - matched_m))


def _painted_crack(lines: BaseGeometry, painted: Sequence[CrackTruth]) -> int | None:
    """Index of the painted crack that most of `lines` lies on, None where less than half lies on any."""
    best, best_px = None, lines.length / 2
    for number, crack in enumerate(painted):
        true_lines = MultiLineString([[(col, row) for row, col in path] for path in crack.paths])
        near_px = lines.intersection(true_lines.buffer(_NEAR_PX)).length
        if near_px > best_px:
            best, best_px = number, near_px
    return best


def _pair(structure_id: str, painted: CrackTruth, found: Sequence[Mapping[str, Any]]) -> CrackPair:
    wide = [f for f in found if f["width_mean_mm"] is not None]
    length_m = sum(f["length_m"] for f in found)
    wide_m = sum(f["length_m"] for f in wide)
    return CrackPair(
        structure_id,
        painted,
        length_m,
        sum(f["width_mean_mm"] * f["length_m"] for f in wide) / wide_m if wide_m else None,
        max((f["width_mean_uncertainty_mm"] for f in wide), default=None),
    )


def _in_pixels(geometry: BaseGeometry, raster: RasterTruth) -> BaseGeometry:
    def to_pixels(lonlat: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        rows, cols = raster.georeference.pixel_from_lonlat(lonlat[:, 0], lonlat[:, 1])
        return np.stack([cols, rows], 1)

    return shapely.transform(geometry, to_pixels)


def _row(structure: str, quantity: str, true: float, measured: float) -> tuple[str, str, str, str, str]:
    difference = f"{measured / true - 1:+.1%}" if true else f"{measured:+.4f}"
    return structure, quantity, f"{true:.4f}", f"{measured:.4f}", difference
