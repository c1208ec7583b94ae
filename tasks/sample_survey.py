"""Write the sample survey: two painted rasters with their truth, laid out as an uploaded survey is.

Purpose: something to inspect, of known damage, for the demo and for tests. Limitation: the truss panel is a façade that
is laid flat on the map, as façade orthos in a projected CRS are.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.windows import Window as RasterioWindow
from shapely.geometry import MultiPolygon, Polygon, mapping
from shapely.geometry.polygon import orient

from segmentation.georeference import Floats, Georeference
from segmentation.synthetic.demo import demo_scenes
from segmentation.synthetic.scenes import Scene, SceneTruth

_LOG = logging.getLogger(__name__)
_CRS = CRS.from_epsg(32632)
_ORIGINS = {"deck": (691_600.0, 5_334_800.0), "truss": (691_640.0, 5_334_800.0)}
"""Upper left corners in the CRS, metres."""
_CAPTURED_AT = "2025-05-14T09:30:00Z"
_OPERATOR = "spanscan sample survey"
_TILE_PX = 512
_CACHE_MB = 32
_STRIP_ROWS = 1024
"""Rows written at once: whole tiles, and little memory."""


@dataclass(frozen=True, slots=True)
class RasterTruth:
    """What is to be found in one raster of the sample survey."""

    raster_name: str
    """File name of the raster."""
    structure_id: str
    """Id of the structure it shows."""
    scene: SceneTruth
    """Sizes of the damage."""
    georeference: Georeference
    """Place of the raster."""


@dataclass(frozen=True, slots=True)
class SampleTruth:
    """What is to be found in the sample survey."""

    rasters: tuple[RasterTruth, ...]
    """One per raster, in the order of their names."""

    @property
    def total_crack_length_m(self) -> float:
        """Length of all cracks."""
        return sum(raster.scene.total_crack_length_m for raster in self.rasters)

    @property
    def rust_area_m2(self) -> float:
        """Area of all rust."""
        return sum(raster.scene.rust_area_m2 for raster in self.rasters)


def write_sample_survey(folder: Path, *, seed: int, scale: float = 1.0) -> SampleTruth:
    """Write ``deck.tif``, ``truss.tif``, ``structures.geojson``, ``survey.json`` and ``truth.json`` into `folder`.

    The same seed and scale give the same pixels. Raises ValueError for a scale outside [0.1, 1].
    """
    folder.mkdir(parents=True, exist_ok=True)
    truths: list[RasterTruth] = []
    features: list[dict[str, Any]] = []
    for scene in demo_scenes(seed, scale=scale):
        name = f"{scene.name}.tif"
        georeference = _georeference(scene)
        _write_raster(folder / name, scene, georeference)
        features.append(_feature(scene, georeference))
        truths.append(RasterTruth(name, scene.name, scene.truth, georeference))
        _LOG.info("wrote %s: %d x %d px", name, scene.image.shape[1], scene.image.shape[0])
        del scene
    truth = SampleTruth(tuple(truths))
    _write_json(folder / "truth.json", _truth_as_json(truth))
    _write_json(folder / "structures.geojson", {"type": "FeatureCollection", "features": features})
    manifest = {"captured_at": _CAPTURED_AT, "operator": _OPERATOR, "rasters": [t.raster_name for t in truths]}
    _write_json(folder / "survey.json", manifest)
    return truth


def _georeference(scene: Scene) -> Georeference:
    """North-up in UTM, its pixels as large on the ground as stated (a metre of UTM is up to 4e-4 off a true one)."""
    height, width = scene.validity.shape
    x, y = _ORIGINS[scene.name]
    gsd_m = scene.truth.gsd_m
    as_if_true = Georeference(height, width, (gsd_m, 0.0, x, 0.0, -gsd_m, y), _CRS.to_wkt())
    pixel = gsd_m * gsd_m / as_if_true.centre_scale().gsd_m
    return Georeference(height, width, (pixel, 0.0, x, 0.0, -pixel, y), _CRS.to_wkt())


def _write_raster(path: Path, scene: Scene, georeference: Georeference) -> None:
    has_alpha = not bool(scene.validity.all())
    options: dict[str, Any] = {
        "driver": "GTiff",
        "height": georeference.height,
        "width": georeference.width,
        "count": 4 if has_alpha else 3,
        "dtype": "uint8",
        "crs": _CRS,
        "transform": Affine(*georeference.transform),
        "tiled": True,
        "blockxsize": _TILE_PX,
        "blockysize": _TILE_PX,
        "interleave": "pixel",
        "photometric": "RGB",
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 1,
        "num_threads": 2,
    }
    if has_alpha:
        options["alpha"] = "NON-PREMULTIPLIED"
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB), rasterio.open(path, "w", **options) as target:
        for start in range(0, georeference.height, _STRIP_ROWS):
            stop = min(start + _STRIP_ROWS, georeference.height)
            bands = np.moveaxis(scene.image[start:stop], 2, 0)
            if has_alpha:
                alpha = scene.validity[start:stop].astype(np.uint8) * np.uint8(255)
                bands = np.concatenate([bands, alpha[None]])
            target.write(bands, window=RasterioWindow(0, start, georeference.width, stop - start))


def _feature(scene: Scene, georeference: Georeference) -> dict[str, Any]:
    def to_lonlat(col_row: Floats) -> Floats:
        return np.stack(georeference.lonlat_from_pixel(col_row[:, 1], col_row[:, 0]), axis=1)

    footprint = shapely.transform(scene.truth.footprint, to_lonlat)
    names = {"deck": "Sample bridge deck", "truss": "Sample truss panel"}
    properties = {"id": scene.name, "name": names[scene.name], "kind": scene.kind, "material": scene.material}
    geometry = mapping(_counter_clockwise(footprint))
    return {"type": "Feature", "id": scene.name, "properties": properties, "geometry": geometry}


def _counter_clockwise(shape: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """Exterior rings counter-clockwise and holes clockwise, as RFC 7946 (3.1.6) wants them."""
    if isinstance(shape, MultiPolygon):
        return MultiPolygon([orient(part, 1.0) for part in shape.geoms])
    return orient(shape, 1.0)


def _truth_as_json(truth: SampleTruth) -> dict[str, Any]:
    rasters = []
    for raster in truth.rasters:
        scene = raster.scene
        rasters.append(
            {
                "raster": raster.raster_name,
                "structure_id": raster.structure_id,
                "gsd_m": scene.gsd_m,
                "footprint_area_m2": scene.footprint_area_m2,
                "total_crack_length_m": scene.total_crack_length_m,
                "rust_area_m2": scene.rust_area_m2,
                "cracks": [asdict(crack) for crack in scene.cracks],
            }
        )
    totals = {"total_crack_length_m": truth.total_crack_length_m, "rust_area_m2": truth.rust_area_m2}
    return {**totals, "rasters": rasters}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
