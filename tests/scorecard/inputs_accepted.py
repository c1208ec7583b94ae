"""Rows 9 to 34: rasters that must be accepted, with what they share with the control."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.enums import ColorInterp

from tests.scorecard.inputs import GSD_M, HELSINKI_LATITUDE, Row, grid, picture, write_picture
from tests.tasks.surveys import write_raster, write_sparse

R, G, B, A = ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha
SHOWN_COLS = 360
"""Columns that hold data in a raster whose other columns hold none."""
SPARSE_SIDE_PX = 38_000
"""Three bands of it are 4.3 GB."""
STRIPS: Mapping[str, Any] = {"tiled": False, "blockxsize": None}


@dataclass(frozen=True)
class Accepted(Row):
    """A raster of the control's picture that must give the control's result."""

    make: Callable[[Path], object]
    """Writes the raster."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """survey.json."""
    shown_cols: int | None = None
    """Columns that hold data; None: all."""
    tolerance: float = 0.01
    """Largest share by which lengths and areas may differ."""


def _in(crs: str, **options: Any) -> Callable[[Path], object]:
    return lambda path: write_picture(path, crs=crs, transform=grid(crs, **options))


def _options(**options: Any) -> Callable[[Path], object]:
    return lambda path: write_picture(path, **options)


def _local(unit: str, unit_m: float) -> Callable[[Path], object]:
    side = GSD_M / unit_m
    return _options(crs=f'LOCAL_CS["pier 3, east face",UNIT[{unit}]]', transform=Affine(side, 0, 0, 0, -side, 9))


def _shown() -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    _, height, width = picture().shape
    return np.arange(width)[None].repeat(height, 0) < SHOWN_COLS


def _half_transparent(path: Path) -> None:
    alpha = _shown().astype(np.uint8)[None] * np.uint8(255)
    write_picture(path, np.concatenate([picture(), alpha]), alpha="YES")


def _nodata_value(path: Path) -> None:
    write_picture(path, picture() * _shown().astype(np.uint8), nodata=0)


def _bgr(path: Path) -> None:
    write_picture(path, picture()[::-1], photometric="MINISBLACK", colorinterp=[B, G, R])


def _alpha_first(path: Path) -> None:
    alpha = np.full((1, *picture().shape[1:]), 255, np.uint8)
    bands = np.concatenate([alpha, picture()])
    write_picture(path, bands, photometric="MINISBLACK", colorinterp=[A, R, G, B])


def _hostile_sidecars(path: Path) -> None:
    write_picture(path)
    write_raster(path.with_name(f"{path.name}.ovr"), picture() * 0, driver="GTiff")
    write_raster(path.with_name(f"{path.name}.msk"), picture()[:1] * 0, driver="GTiff")
    path.with_suffix(".tfw").write_text("9\n0\n0\n-9\n0\n0\n")
    path.with_name(f"{path.name}.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>0,7,0,0,0,-7</GeoTransform><PAMRasterBand band='1'>"
        "<NoDataValue>1</NoDataValue><ColorInterp>Gray</ColorInterp></PAMRasterBand></PAMDataset>"
    )


def _utm(d_col: float = 1.0, d_row: float = 1.0) -> Affine:
    return grid("EPSG:32615") @ Affine.scale(d_col, d_row)


GSD = {"gsd_m": GSD_M}
ACCEPTED = [
    Accepted("10 no CRS, the manifest gives the GSD", _options(crs=None), GSD),
    Accepted("11 no georeference, the manifest gives the GSD", _options(crs=None, transform=None), GSD),
    Accepted("12 local metres", _local('"metre",1', 1.0)),
    Accepted("12 local feet", _local('"foot",0.3048', 0.3048)),
    Accepted("16 rotated 30 degrees", _in("EPSG:32615", turned_deg=30.0)),
    Accepted("17 south-up", _options(transform=_utm(d_row=-1.0))),
    Accepted("17 mirrored", _options(transform=_utm(d_col=-1.0))),
    Accepted("18 US feet", _in("EPSG:26852")),
    Accepted("19 web-mercator", _in("EPSG:3857")),
    Accepted("19 web-mercator at 60 degrees north", _in("EPSG:3857", at=HELSINKI_LATITUDE)),
    Accepted("20 degrees", _in("EPSG:4326")),
    Accepted("20 degrees at 60 degrees north", _in("EPSG:4326", at=HELSINKI_LATITUDE)),
    Accepted("23 RGBA", _half_transparent, shown_cols=SHOWN_COLS),
    Accepted("23 internal mask", lambda path: write_picture(path, mask=_shown()), shown_cols=SHOWN_COLS),
    Accepted("23 nodata value", _nodata_value, shown_cols=SHOWN_COLS),
    Accepted("24 BGR by colour interpretation", _bgr),
    Accepted("24 alpha first", _alpha_first),
    Accepted("25 uint16", lambda path: write_picture(path, picture().astype(np.uint16) * np.uint16(257))),
    Accepted("28 strips of a row", _options(**STRIPS, blockysize=1)),
    Accepted("28 one strip", _options(**STRIPS, blockysize=None)),
    Accepted("28 planar", _options(interleave="band")),
    Accepted("28 BigTIFF", _options(bigtiff="YES")),
    Accepted("28 big-endian deflate with a predictor", _options(endianness="BIG", compress="deflate", predictor=2)),
    Accepted("34 hostile sidecars", _hostile_sidecars),
]
"""Their pixels are the control's, so their masks are too, byte by byte."""

OTHER_ACCEPTED = [
    Accepted("23 black pixels without a nodata value", lambda path: write_picture(path, picture() * 0)),
    Accepted("28 one pixel", lambda path: write_picture(path, picture()[:, :1, :1], **STRIPS, blockysize=None)),
    Accepted(
        "28 a row of 10,000 pixels",
        lambda path: write_picture(path, np.tile(picture()[:, :1], (1, 1, 16))[:, :, :10_000], **STRIPS),
    ),
    Accepted(
        "28 BigTIFF of more than 4 GB, sparse",
        lambda path: write_sparse(
            path, side_px=SPARSE_SIDE_PX, tile_px=1024, image_at=(17, 31), nodata=0, compress="deflate"
        ),
    ),
]
"""What must be accepted with another picture than the control's."""
