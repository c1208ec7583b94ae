"""Area and outline of a rust patch, what a rust percentage is of, and how far staining is told from rust.

The classes of a mask are crack and rust. Rust-coloured staining (of concrete below a bearing, of paint below a bolt)
falls into the class rust. Where components of steel are given, what lies off them is set apart as staining or rust of
something else; on the steel itself, and where no component is given, staining is not told from rust.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import shapes
from shapely.geometry import MultiPolygon, Polygon, shape

from segmentation.georeference import PixelScale

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
    count = int(np.count_nonzero(pixels))
    if count == 0:
        raise ValueError("a rust patch must have at least one pixel, got none")
    return RustResult(count * scale.pixel_area_m2, _outline(pixels, origin))


def _outline(pixels: npt.NDArray[np.bool_], origin: tuple[int, int]) -> MultiPolygon:
    # Pixels that touch by a corner alone become two polygons: one ring through that corner would be invalid.
    found = shapes(pixels.astype(np.uint8), mask=pixels, connectivity=4)
    parts = _valid_polygons([shape(geometry) for geometry, _ in found])
    exact = MultiPolygon(parts)
    outline = exact
    if shapely.get_num_coordinates(exact) > _EXACT_VERTICES:
        simple = MultiPolygon(_valid_polygons([part.simplify(_SIMPLIFY_PX, preserve_topology=True) for part in parts]))
        if simple.is_valid and abs(simple.area - exact.area) <= _AREA_TOLERANCE * exact.area:
            outline = simple
    row, col = origin
    moved: MultiPolygon = shapely.transform(outline, lambda points: points + np.array([col, row], np.float64))
    return moved


def _valid_polygons(parts: list[Polygon]) -> list[Polygon]:
    valid: list[Polygon] = []
    for part in parts:
        mended = part if part.is_valid else shapely.make_valid(part)
        valid.extend(piece for piece in getattr(mended, "geoms", [mended]) if isinstance(piece, Polygon))
    return valid
