"""Where a raster lies and how large its pixels are, or why nobody can say."""

from math import isfinite, sqrt

import numpy as np
import rasterio
from pyproj import CRS
from pyproj.exceptions import ProjError

from segmentation.errors import InputRejected
from segmentation.georeference import Georeference, metres_per_unit_of_local_crs
from tasks.tiff_header import Layout

_GIVE_GSD = "write its CRS into it, or give its GSD (gsd_m in survey.json, or --gsd-mm)"
_IGNORED_OVERRIDE_DIFFERENCE = 0.02
_NO_LENGTHS = frozenset({"", "unknown", "unnamed", "unity", "pixel"})
"""Names of units whose factor nobody should take for metres: GDAL writes a degree in a local CRS as "unknown"."""


def place_of(
    dataset: rasterio.DatasetReader, layout: Layout, name: str, *, gsd_m_override: float | None
) -> tuple[Georeference, tuple[str, ...]]:
    """The georeference of an open raster, and warnings; raises InputRejected where it has none that can be trusted."""
    has_transform = _has_transform(layout, name)
    if not has_transform:
        _refuse_indirect_places(dataset, layout, name)
    crs_wkt = dataset.crs.to_wkt() if dataset.crs else None
    size = {"height": dataset.height, "width": dataset.width}
    transform = tuple(float(v) for v in dataset.transform[:6])
    if has_transform:
        _check_transform(transform, name)
    if not has_transform or crs_wkt is None:
        if gsd_m_override is None:
            raise _no_place(has_transform, name)
        frame = transform if has_transform else (1.0, 0.0, 0.0, 0.0, -1.0, float(dataset.height))
        place = Georeference(
            **size, transform=_six(frame), crs_wkt=None, metres_per_unit=_unit_m(frame, gsd_m_override)
        )
        given = f"scale from the given GSD of {gsd_m_override * 1000:g} mm"
        return place, (f"{name}: no place on the earth; {given}",)
    local_unit_m, is_local = _local_unit_m(crs_wkt, name)
    if is_local and layout.crs_code is not None:
        # GDAL then takes metres for the unit, whatever it is.
        cause = f"the CRS must be one that is known, got the code {layout.crs_code}"
        raise InputRejected("E_CRS", name, cause, "write its CRS again, or reproject the raster to its UTM zone")
    if is_local:
        return _local_place(size, transform, crs_wkt, local_unit_m, name, gsd_m_override=gsd_m_override)
    place = Georeference(**size, transform=_six(transform), crs_wkt=crs_wkt)
    _check_on_earth(place, name)
    return place, _unused_override(place, name, gsd_m_override)


def check_gsd(place: Georeference, name: str, *, gsd_range_m: tuple[float, float] | None) -> float:
    """GSD at the centre in metres; raises InputRejected E_GSD_RANGE outside of `gsd_range_m`."""
    gsd_m = place.centre_scale().gsd_m
    if not isfinite(gsd_m) or gsd_m <= 0:
        raise _bad_transform(name, f"a pixel of {gsd_m} m")
    if gsd_range_m is not None and not gsd_range_m[0] <= gsd_m <= gsd_range_m[1]:
        low_mm, high_mm = (limit * 1000 for limit in gsd_range_m)
        cause = f"the GSD must be within the model's range of {low_mm:g} … {high_mm:g} mm, got {gsd_m * 1000:.4g} mm"
        remedy = "resample the raster into that range, fly at another height, or choose another model"
        raise InputRejected("E_GSD_RANGE", name, cause, remedy)
    return gsd_m


def _has_transform(layout: Layout, name: str) -> bool:
    """Whether the file's own tags give an affine map; GDAL silently takes the identity for one that is void."""
    if layout.transformation:
        if len(layout.transformation) != 16 or not all(map(isfinite, layout.transformation)):
            raise _bad_transform(name, f"ModelTransformation {layout.transformation[:8]}")
        return True
    if len(layout.pixel_scale) < 2:
        return False
    if not all(isfinite(v) and v != 0 for v in layout.pixel_scale[:2]):
        raise _bad_transform(name, f"ModelPixelScale {layout.pixel_scale[:2]}")
    return layout.tiepoint_count > 0


def _refuse_indirect_places(dataset: rasterio.DatasetReader, layout: Layout, name: str) -> None:
    if dataset.gcps[0]:
        cause = f"the raster must be rectified, got {len(dataset.gcps[0])} ground control points and no transform"
        raise InputRejected("E_GCP_ONLY", name, cause, "rectify it, for instance with gdalwarp")
    if layout.has_rpc or dataset.rpcs is not None:
        cause = "the raster must be rectified, got rational polynomial coefficients and no transform"
        raise InputRejected(
            "E_RPC_ONLY", name, cause, "rectify it, for instance with gdalwarp -rpc and an elevation model"
        )


def _no_place(has_transform: bool, name: str) -> InputRejected:
    if has_transform:
        return InputRejected("E_NO_CRS", name, "the raster must have a CRS, got none", _GIVE_GSD)
    return InputRejected("E_NO_GEOREF", name, "the raster must be georeferenced, got no transform", _GIVE_GSD)


def _check_transform(transform: tuple[float, ...], name: str) -> None:
    a, b, _, d, e, _ = transform
    if not all(map(isfinite, transform)) or a * e - b * d == 0:
        raise _bad_transform(name, f"{transform}")


def _bad_transform(name: str, got: str) -> InputRejected:
    cause = f"the transform must give pixels a finite size above 0 and a place on the earth, got {got}"
    return InputRejected("E_TRANSFORM", name, cause, "write the georeference again")


def _local_unit_m(crs_wkt: str, name: str) -> tuple[float | None, bool]:
    """(metres per unit, whether the CRS is local); raises InputRejected E_CRS for one that maps no ground."""
    try:
        local_unit_m = metres_per_unit_of_local_crs(crs_wkt)
    except ValueError as error:
        raise InputRejected("E_CRS", name, str(error), "write its CRS again") from error
    crs = CRS.from_wkt(crs_wkt)
    if local_unit_m is not None:
        unit = crs.axis_info[0].unit_name.lower() if crs.axis_info else ""
        is_length = unit not in _NO_LENGTHS and "degree" not in unit and "radian" not in unit
        return (local_unit_m if is_length and isfinite(local_unit_m) and local_unit_m > 0 else None), True
    horizontal = crs.sub_crs_list[0] if crs.is_compound else crs
    if not (horizontal.is_geographic or horizontal.is_projected):
        cause = f"the CRS must be geographic, projected or local, got {crs.type_name}"
        raise InputRejected("E_CRS", name, cause, "reproject the raster, for instance to its UTM zone")
    return None, False


def _local_place(
    size: dict[str, int],
    transform: tuple[float, ...],
    crs_wkt: str,
    local_unit_m: float | None,
    name: str,
    *,
    gsd_m_override: float | None,
) -> tuple[Georeference, tuple[str, ...]]:
    unit_m = local_unit_m if gsd_m_override is None else _unit_m(transform, gsd_m_override)
    if unit_m is None:
        cause = "a local CRS must have a unit of length, got none"
        raise InputRejected("E_CRS_LOCAL", name, cause, "give its GSD (gsd_m in survey.json, or --gsd-mm)")
    place = Georeference(**size, transform=_six(transform), crs_wkt=crs_wkt, metres_per_unit=unit_m)
    return place, (f"{name}: local frame without a place on the earth",)


def _check_on_earth(place: Georeference, name: str) -> None:
    rows = np.array([0.0, 0.0, place.height, place.height, place.height / 2])
    cols = np.array([0.0, place.width, 0.0, place.width, place.width / 2])
    try:
        lons, lats = place.lonlat_from_pixel(rows, cols)
    except ProjError as error:
        raise InputRejected(
            "E_CRS", name, f"the CRS must lead to WGS 84, got: {error}", "reproject the raster"
        ) from error
    if not (
        np.isfinite(lons).all() and np.isfinite(lats).all() and (abs(lats) <= 90).all() and (abs(lons) <= 360).all()
    ):
        raise _bad_transform(name, f"longitudes {lons.tolist()} and latitudes {lats.tolist()} at its corners")


def _unused_override(place: Georeference, name: str, gsd_m_override: float | None) -> tuple[str, ...]:
    if gsd_m_override is None:
        return ()
    gsd_m = place.centre_scale().gsd_m
    if abs(gsd_m / gsd_m_override - 1) <= _IGNORED_OVERRIDE_DIFFERENCE:
        return ()
    return (f"{name}: the given GSD of {gsd_m_override * 1000:g} mm was not used: its CRS says {gsd_m * 1000:.4g} mm",)


def _unit_m(transform: tuple[float, ...], gsd_m: float) -> float:
    """Metres per unit with which a pixel's area is that of a square of `gsd_m`."""
    a, b, _, d, e, _ = transform
    return gsd_m / sqrt(abs(a * e - b * d))


def _six(transform: tuple[float, ...]) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = transform
    return a, b, c, d, e, f
