"""What the checks found out about a raster; imports nothing of GDAL, since it travels between processes."""

from dataclasses import dataclass
from typing import Any

from segmentation.georeference import Georeference


@dataclass(frozen=True, slots=True)
class Look:
    """How much of a raster was decoded."""

    windows: int
    """Windows that hold a strip or tile that was written."""
    looked_at: int
    """Of these, how many were decoded."""


@dataclass(frozen=True, slots=True)
class CheckedRaster:
    """What the checks found out about a raster that may be inspected."""

    georeference: Georeference
    """Its place, size and scale."""
    gsd_m: float
    """GSD at its centre, metres per pixel."""
    dtype: str
    """``uint8`` or ``uint16``."""
    rgb_bands: tuple[int, int, int]
    """1-based bands of red, green and blue."""
    value_range: tuple[float, float]
    """Values mapped to 0 and 255."""
    warnings: tuple[str, ...]
    """What was assumed, for the reader of the report."""
    look: Look
    """How much of it was decoded."""


def checked_from(record: dict[str, Any]) -> CheckedRaster:
    """The record that `dataclasses.asdict` and JSON made plain."""
    place = record["georeference"]
    return CheckedRaster(
        georeference=Georeference(**{**place, "transform": tuple(place["transform"])}),
        gsd_m=record["gsd_m"],
        dtype=record["dtype"],
        rgb_bands=tuple(record["rgb_bands"]),
        value_range=tuple(record["value_range"]),
        warnings=tuple(record["warnings"]),
        look=Look(**record["look"]),
    )
