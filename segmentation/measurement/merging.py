"""Several findings put together to one: lengths and areas add up, widths are the largest, the ± is the largest."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import MultiLineString, MultiPolygon
from shapely.geometry.base import BaseGeometry

from segmentation.georeference import Georeference
from segmentation.records import CrackBranch, CrackMeasure, Defect
from segmentation.windows import Window


def merged_defect(parts: Sequence[Defect]) -> Defect:
    """One defect of parts of the same class and structure in the same raster, at least one."""
    if len(parts) == 1:
        return parts[0]
    weights = [max(part.area_m2, 1e-12) for part in parts]
    measures = [part.crack for part in parts if part.crack is not None]
    return replace(
        parts[0],
        window=reduce(Window.union, (part.window for part in parts)),
        pixel_geometry=put_together([part.pixel_geometry for part in parts]),
        geometry=None if parts[0].geometry is None else put_together([p.geometry for p in parts if p.geometry]),
        area_m2=sum(part.area_m2 for part in parts),
        confidence=float(np.average([part.confidence for part in parts], weights=weights)),
        crack=_merged_measure(measures) if measures else None,
        below_resolution=all(part.below_resolution for part in parts),
    )


def _merged_measure(measures: Sequence[CrackMeasure]) -> CrackMeasure:
    # A width told by the image stands above one told by the mask alone.
    told = [measure for measure in measures if measure.width_method == "profile"] or list(measures)
    lengths = [measure.length_m for measure in told]
    widest = max(told, key=lambda measure: measure.max_width_mm)
    branches = sorted((b for measure in measures for b in measure.branches), key=lambda b: -b.length_m)
    return replace(
        widest,
        length_m=sum(measure.length_m for measure in measures),
        p95_width_mm=max(measure.p95_width_mm for measure in told),
        mean_width_mm=float(np.average([measure.mean_width_mm for measure in told], weights=lengths)),
        median_width_mm=_median([(m.median_width_mm, m.length_m) for m in told if m.median_width_mm is not None]),
        width_uncertainty_mm=max(measure.width_uncertainty_mm for measure in told),
        mean_width_uncertainty_mm=max(
            (m.mean_width_uncertainty_mm for m in told if m.mean_width_uncertainty_mm is not None), default=None
        ),
        resolvable_width_mm=max(measure.resolvable_width_mm for measure in told),
        orientation_deg=_orientation_deg(branches),
        tortuosity=_tortuosity(branches),
        branches=tuple(branches),
        ends=tuple(end for measure in measures for end in measure.ends),
        junction_count=sum(measure.junction_count for measure in measures),
        bridged_m=sum(measure.bridged_m for measure in measures),
        bridged_gaps=sum(measure.bridged_gaps for measure in measures),
    )


def _median(weighted: Sequence[tuple[float, float]]) -> float | None:
    """Value at which half of the weight is reached."""
    if not weighted:
        return None
    ordered = sorted(weighted)
    reached = np.cumsum([weight for _, weight in ordered])
    return ordered[int(np.searchsorted(reached, reached[-1] / 2))][0]


def _orientation_deg(branches: Sequence[CrackBranch]) -> float | None:
    turn = np.radians([2 * branch.orientation_deg for branch in branches])
    length = np.array([branch.length_m for branch in branches])
    if not branches:
        return None
    return float(np.degrees(np.arctan2((length * np.sin(turn)).sum(), (length * np.cos(turn)).sum()) / 2)) % 180.0


def _tortuosity(branches: Sequence[CrackBranch]) -> float | None:
    open_ones = [(branch.length_m, branch.tortuosity) for branch in branches if branch.tortuosity is not None]
    if not open_ones:
        return None
    return sum(length for length, _ in open_ones) / sum(length / tortuosity for length, tortuosity in open_ones)


def put_together(geometries: Sequence[BaseGeometry]) -> BaseGeometry:
    """Centre lines as one MultiLineString, outlines united to one MultiPolygon."""
    if geometries[0].geom_type == "MultiLineString":
        return MultiLineString([line for geometry in geometries for line in geometry.geoms])
    union = shapely.union_all(geometries)
    return MultiPolygon([part for part in getattr(union, "geoms", [union]) if part.geom_type == "Polygon"])


def to_lonlat(geometry: BaseGeometry, georeference: Georeference) -> BaseGeometry | None:
    """A geometry in (col, row) as WGS 84 (lon, lat); None in a local frame."""
    if georeference.is_local:
        return None

    def place(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.stack(georeference.lonlat_from_pixel(points[:, 1], points[:, 0]), axis=1)

    moved: BaseGeometry = shapely.transform(geometry, place)
    return moved
