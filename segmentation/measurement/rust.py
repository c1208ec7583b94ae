"""Area and outline of a rust patch, what a rust percentage is of, and how far staining is told from rust.

The classes of a mask are crack and rust. Rust-coloured staining (of concrete below a bearing, of paint below a bolt)
falls into the class rust. Where components of steel are given, what lies off them is set apart as staining or rust of
something else; on the steel itself, and where no component is given, staining is not told from rust.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import shapes
from shapely.geometry import MultiPolygon, Polygon

from segmentation.georeference import PixelScale

Geometries = npt.NDArray[np.object_]

_EXACT_VERTICES = 4000
"""Up to here an outline is kept pixel for pixel."""
_SIMPLIFY_PX = 0.75
_AREA_TOLERANCE = 0.01

_STEEL = ("steel", "iron", "metal", "stahl", "acier", "acero")
_NOT_STEEL = ("concrete", "beton", "béton", "hormigón", "hormigon", "stainless", "edelstahl", "inox")

OF_FOOTPRINT: Final = "inspected area of the footprint, as seen in the raster"
"""Denominator of a rust percentage where no components of steel were inspected."""
OF_STEEL: Final = "inspected area of the steel components, as seen in the raster"
"""Denominator of a rust percentage where some were."""
OF_REST: Final = "inspected area of the footprint outside its components of other materials, as seen in the raster"
"""Denominator where a structure of steel has components, none of them of steel."""
STAINING_ON_STEEL: Final = "staining on the steel is not told from rust: one class holds both"
STAINING_BESIDE_STEEL: Final = (
    "what has the colour of rust off the steel components is set apart: staining, or rust of something else; "
    "staining on the steel is not told from rust: one class holds both"
)
STAINING_ELSEWHERE: Final = (
    "the material is not steel: what has the colour of rust is staining, or rust of embedded or attached steel; "
    "one class holds them all"
)


@dataclass(frozen=True, slots=True)
class RustResult:
    """Size and shape of one rust patch."""

    area_m2: float
    """Geodesic area of its pixels."""
    outline: MultiPolygon
    """Outline with holes as (col, row) in raster pixel-corner coordinates; a pixel's centre is index + 0.5."""


@lru_cache(maxsize=4096)
def is_steel(material: str) -> bool:
    """Whether a material rusts as a painted steel surface does: the rule of the shipped tables of rust."""
    told = material.casefold()
    return any(word in told for word in _STEEL) and not any(word in told for word in _NOT_STEEL)


def measure_rust(pixels: npt.NDArray[np.bool_], *, scale: PixelScale, origin: tuple[int, int]) -> RustResult:
    """Area and outline of the pixels of one patch, bool ``(H, W)``; `origin` is (row, col) of their window.

    The area is the number of pixels times the geodesic area of one pixel. The outline follows the pixels'
    borders; one of more than some thousand vertices is simplified, its area within 1 %. Raises ValueError
    where no pixel is set.
    """
    if not pixels.any():
        raise ValueError("a rust patch must have at least one pixel, got none")
    return measure_rust_parts(pixels.astype(np.int32) - 1, scale=scale, origin=origin)[0]


def measure_rust_parts(
    labels: npt.NDArray[np.int32], *, scale: PixelScale, origin: tuple[int, int]
) -> dict[int, RustResult]:
    """`measure_rust` of each part of a patch, by label in ascending order; `labels` int32 ``(H, W)``, < 0 for none."""
    if not (labels >= 0).any():
        return {}
    row, col = origin
    # Pixels that touch by a corner alone become two polygons: one ring through that corner would be invalid.
    found = list(shapes(labels, mask=labels >= 0, connectivity=4))
    polygons = _polygons([geometry["coordinates"] for geometry, _ in found], shift=(col, row))
    owner = np.array([label for _, label in found], np.intp)
    counts = np.bincount(labels[labels >= 0])
    return {
        int(label): RustResult(int(counts[label]) * scale.pixel_area_m2, _outline(polygons[owner == label]))
        for label in np.flatnonzero(counts)
    }


def _polygons(found: Sequence[Sequence[Sequence[tuple[float, float]]]], *, shift: tuple[int, int]) -> Geometries:
    """Polygons of rings ``(col, row)``, the outer one first, all moved by `shift`."""
    rings = [ring for polygon in found for ring in polygon]
    points = np.concatenate([np.empty((0, 2)), *(np.array(ring, np.float64) for ring in rings)]) + np.array(shift)
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    of_polygon = np.repeat(np.arange(len(found)), [len(polygon) for polygon in found])
    made: Geometries = shapely.polygons(shapely.linearrings(points, indices=of_ring), indices=of_polygon)
    return made


def _outline(polygons: Geometries) -> MultiPolygon:
    parts = _valid_polygons(polygons)
    exact = MultiPolygon(parts)
    if shapely.get_num_coordinates(exact) <= _EXACT_VERTICES:
        return exact
    simple = MultiPolygon(_valid_polygons(shapely.simplify(np.array(parts, np.object_), _SIMPLIFY_PX)))
    return simple if simple.is_valid and abs(simple.area - exact.area) <= _AREA_TOLERANCE * exact.area else exact


def _valid_polygons(parts: Geometries) -> list[Polygon]:
    valid: list[Polygon] = []
    for part, is_valid in zip(parts, shapely.is_valid(parts), strict=True):
        mended = part if is_valid else shapely.make_valid(part)
        valid.extend(piece for piece in getattr(mended, "geoms", [mended]) if isinstance(piece, Polygon))
    return valid
