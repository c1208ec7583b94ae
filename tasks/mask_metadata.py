"""What the mask store says of itself, in the words of several readers.

CF (`spatial_ref` with `GeoTransform`, coordinates of pixel centres) is what xarray and rioxarray read; the Zarr
conventions `proj`, `spatial` and `multiscales` (version 0.1, https://github.com/zarr-conventions) say the same of every
level for readers that know them.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyproj import CRS

from segmentation.classes import CLASS_NAMES, DEFECT_CLASSES, NODATA, NOT_INSPECTED
from segmentation.georeference import Georeference
from segmentation.mask_pooling import PRECEDENCE, level_shape
from segmentation.records import RasterInput

_NAMES: Final = {**dict(enumerate(CLASS_NAMES)), NODATA: "nodata", NOT_INSPECTED: "not_inspected"}
POOLED_BY: Final = "first of " + ", ".join(_NAMES[int(value)] for value in PRECEDENCE)
"""The rule of `segmentation.mask_pooling` in words."""

_CONVENTIONS: Final = {
    "proj": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
    "multiscales": ("d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets"),
}
_DIMENSIONS: Final = ("y", "x")


def level_georeference(georeference: Georeference, factor: int) -> Georeference:
    """The place of a level: the same corner, pixels `factor` times as long."""
    height, width = level_shape(georeference.height, georeference.width, factor)
    a, b, c, d, e, f = georeference.transform
    transform = (a * factor, b * factor, c, d * factor, e * factor, f)
    metres_per_unit = georeference.metres_per_unit
    return Georeference(height, width, transform, georeference.crs_wkt, metres_per_unit)


def group_attributes(raster: RasterInput, *, factor: int) -> dict[str, Any]:
    """Attributes of the group of a raster, or of one of its levels."""
    place = level_georeference(raster.georeference, factor)
    named = ["spatial"] if place.crs_wkt is None else ["proj", "spatial"]
    return {
        "raster": raster.name,
        "gsd_m": raster.gsd_m * factor,
        "Conventions": "CF-1.11",
        "zarr_conventions": [_convention(name) for name in named],
        **_proj(place.crs_wkt),
        "spatial:dimensions": list(_DIMENSIONS),
        "spatial:bbox": _bounds(place),
        **_spatial(place),
    }


def multiscales_attributes(raster: RasterInput, factors: Sequence[int]) -> dict[str, Any]:
    """Attributes of a raster's group once its levels are complete."""
    plain = group_attributes(raster, factor=1)
    layout: list[dict[str, Any]] = [{"asset": "mask", **_spatial(raster.georeference)}]
    for factor in factors:
        layout.append(
            {
                "asset": f"{factor}/mask",
                "derived_from": layout[-1]["asset"],
                "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]},
                **_spatial(level_georeference(raster.georeference, factor)),
            }
        )
    return plain | {
        "zarr_conventions": [*plain["zarr_conventions"], _convention("multiscales")],
        "multiscales": {"layout": layout, "resampling_method": POOLED_BY},
    }


def level_factors_of(attributes: dict[str, Any]) -> tuple[int, ...] | None:
    """Factors of the complete levels that a group's attributes name; None where they are not complete."""
    if "multiscales" not in attributes:
        return None
    return tuple(int(level["asset"].split("/")[0]) for level in attributes["multiscales"]["layout"][1:])


def mask_attributes() -> dict[str, Any]:
    """Attributes of an array of class ids."""
    return {
        "flag_values": list(_NAMES),
        "flag_meanings": " ".join(_NAMES.values()),
        "grid_mapping": "spatial_ref",
    }


def probability_attributes() -> dict[str, Any]:
    """Attributes of the array of quantised probabilities."""
    return {
        "classes": [CLASS_NAMES[c] for c in DEFECT_CLASSES],
        "scale_factor": 1 / 255,
        "grid_mapping": "spatial_ref",
    }


def spatial_ref(georeference: Georeference) -> dict[str, Any]:
    """The CF grid mapping; GDAL's `GeoTransform` in it holds rotations too."""
    a, b, c, d, e, f = georeference.transform
    attributes: dict[str, Any] = {"GeoTransform": f"{c!r} {a!r} {b!r} {f!r} {d!r} {e!r}"}
    if georeference.crs_wkt is None:
        return attributes
    named = {"crs_wkt": georeference.crs_wkt, "spatial_ref": georeference.crs_wkt}
    return CRS.from_wkt(georeference.crs_wkt).to_cf() | attributes | named


def centres(georeference: Georeference) -> dict[str, tuple[npt.NDArray[np.float64], dict[str, Any]]]:
    """Coordinates of the pixel centres along ``y`` and ``x`` with their CF attributes; empty where they are rotated."""
    a, b, c, d, e, f = georeference.transform
    if b or d:
        return {}
    axes = {} if georeference.crs_wkt is None else _cf_axes(georeference.crs_wkt)
    rows, cols = (np.arange(count, dtype=np.float64) + 0.5 for count in (georeference.height, georeference.width))
    ys, xs = np.asarray(f + e * rows, np.float64), np.asarray(c + a * cols, np.float64)
    return {"y": (ys, axes.get("Y", {"axis": "Y"})), "x": (xs, axes.get("X", {"axis": "X"}))}


def _cf_axes(crs_wkt: str) -> dict[str, dict[str, Any]]:
    return {axis["axis"]: dict(axis) for axis in CRS.from_wkt(crs_wkt).cs_to_cf() if "axis" in axis}


def _convention(name: str) -> dict[str, str]:
    uuid, description = _CONVENTIONS[name]
    return {
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{name}/blob/v0.1/README.md",
        "uuid": uuid,
        "name": name,
        "description": description,
    }


def _proj(crs_wkt: str | None) -> dict[str, str]:
    if crs_wkt is None:
        return {}
    crs = CRS.from_wkt(crs_wkt)
    stated = {"proj:wkt2": crs.to_wkt("WKT2_2019")}
    authority = crs.to_authority(min_confidence=100)
    return stated if authority is None else {"proj:code": ":".join(authority), **stated}


def _spatial(place: Georeference) -> dict[str, Any]:
    return {"spatial:shape": [place.height, place.width], "spatial:transform": list(place.transform)}


def _bounds(place: Georeference) -> list[float]:
    rows, cols = np.array([0.0, 0.0, place.height, place.height]), np.array([0.0, place.width, 0.0, place.width])
    xs, ys = place.crs_from_pixel(rows, cols)
    return [float(bound) for bound in (xs.min(), ys.min(), xs.max(), ys.max())]
