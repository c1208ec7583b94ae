"""Coordinate reference systems by their codes; a code is stated only where it is certain."""

from functools import lru_cache

from pyproj import CRS
from pyproj.exceptions import CRSError

from segmentation.georeference import Georeference


def crs_code(georeference: Georeference) -> str | None:
    """``EPSG:32632`` and the like; None for a local frame and for a CRS that no authority's code names exactly."""
    if georeference.is_local or georeference.crs_wkt is None:
        return None
    return _code(georeference.crs_wkt)


def crs_wkt2(georeference: Georeference) -> str | None:
    """The CRS as WKT2:2019; None for a local frame."""
    if georeference.is_local or georeference.crs_wkt is None:
        return None
    return _wkt2(georeference.crs_wkt)


def crs_label(georeference: Georeference) -> str:
    """The code, else the name, in one text."""
    if georeference.is_local or georeference.crs_wkt is None:
        return "local frame"
    return crs_code(georeference) or CRS.from_wkt(georeference.crs_wkt).name


@lru_cache(maxsize=64)
def _code(wkt: str) -> str | None:
    try:
        authority = CRS.from_wkt(wkt).to_authority(min_confidence=100)
    except CRSError:
        return None
    return None if authority is None else ":".join(authority)


@lru_cache(maxsize=64)
def _wkt2(wkt: str) -> str:
    return CRS.from_wkt(wkt).to_wkt("WKT2_2019")
