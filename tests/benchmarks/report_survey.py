"""A large measured survey for the reports: painted damage of known size on many structures, without inference.

A raster of concrete noise is cut into square cells, one structure each. Every structure bears cracks and rust patches
in turns, each in a place of its own, so that their number is known; a few long cracks run along its upper edge. The
painted mask goes through the product's own stages for a given mask up to the measurement.
"""

import hashlib
import json
import pickle
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from PIL import Image, ImageDraw
from rasterio.windows import Window as RasterioWindow

from flows.check_survey import input_rules
from flows.settings import Settings
from flows.stages import measure_settings, report_settings, run_place
from segmentation.classes import PixelClass
from tasks.cluster import dask_client
from tasks.given_mask import copy_mask
from tasks.given_mask_plan import GivenMaskPlan, MaskRequest, discover_mask, plan_mask
from tasks.measure import Measured, measure_survey
from tasks.run_place import RunPlace
from tasks.stitch import StitchOutcome, join_components

Bytes = npt.NDArray[np.uint8]

CELL_PX = 1000
MARGIN_PX = 20
"""Of each cell on every side; the footprint lies within."""
LONG_CRACKS = 2
CROWN_PX = 60
"""Height of the band that one long crack lies in."""
GSD_M = 0.002
ORIGIN = (576_000.0, 5_188_000.0)
CRS = "EPSG:32615"
KINDS = (("deck", "concrete"), ("girder", "steel"), ("pier", "concrete"), ("pavement", "asphalt"))


@dataclass(frozen=True, slots=True)
class LargeSurvey:
    """A survey that was measured and has yet to be reported."""

    plan: GivenMaskPlan
    place: RunPlace
    measured: Measured


def large_survey(cache: Path, *, structures: int, defects: int) -> LargeSurvey:
    """The survey of `structures` × `defects`, made where `cache` does not hold it; reports go below `cache` too.

    What other code measured is not taken: its records may have had other fields.
    """
    folder = cache / f"reports-{structures}-{defects}-{_code_digest()}"
    kept = folder / "measured.pickle"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write_rasters(folder, structures, defects)
        kept.write_bytes(pickle.dumps(measured_folder(folder)))
    survey: LargeSurvey = pickle.loads(kept.read_bytes())
    return survey


def _code_digest() -> str:
    """Names what plans and measures."""
    packages = [Path(str(files(package))) for package in ("flows", "tasks", "segmentation")]
    sources = sorted(path for package in packages for path in package.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def grid_of(structures: int) -> tuple[int, int]:
    """(rows, columns) of cells, twice as wide as high."""
    rows = max(1, round((structures / 2) ** 0.5))
    return rows, -(-structures // rows)


def painted_cell(rng: np.random.Generator, defects: int) -> Bytes:
    """Class ids ``(CELL_PX, CELL_PX)`` of one structure with `defects` pieces of damage, apart from each other."""
    image = Image.new("L", (CELL_PX, CELL_PX))
    draw = ImageDraw.Draw(image)
    for number in range(min(LONG_CRACKS, defects)):
        xs = np.arange(60, CELL_PX - 60, 8)
        wander = rng.normal(0, 0.7, xs.size).cumsum() / 4
        ys = 70 + number * CROWN_PX + 10 * np.sin(xs / 37 + rng.uniform(0, 6)) + wander
        draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), PixelClass.CRACK, width=int(rng.integers(4, 9)))
    small = max(0, defects - LONG_CRACKS)
    per_row = max(1, int(np.ceil(small**0.5)))
    top, left = MARGIN_PX + 20 + LONG_CRACKS * CROWN_PX + 30, MARGIN_PX + 20
    step_y, step_x = (CELL_PX - MARGIN_PX - 20 - top) / per_row, (CELL_PX - 2 * left) / per_row
    for number in range(small):
        row, column = divmod(number, per_row)
        _damage(draw, rng, left + (column + 0.5) * step_x, top + (row + 0.5) * step_y, is_crack=number % 2 == 0)
    return np.asarray(image, np.uint8)


def _damage(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, *, is_crack: bool) -> None:
    if is_crack:
        # Neighbours in a row are not in line with each other, so that none are joined across the gap.
        angle, reach = rng.uniform(0.9, 2.2), rng.uniform(16, 24)
        dx, dy = reach * np.cos(angle), reach * np.sin(angle)
        bend = rng.uniform(-5, 5)
        path = [(x - dx, y - dy), (x + bend, y), (x + dx, y + dy)]
        draw.line(path, PixelClass.CRACK, width=int(rng.integers(3, 8)), joint="curve")
    else:
        wide, high = rng.uniform(6, 18, 2)
        draw.ellipse((x - wide, y - high, x + wide, y + high), PixelClass.RUST)


def _write_rasters(folder: Path, structures: int, defects: int) -> None:
    rows, columns = grid_of(structures)
    place: dict[str, Any] = {
        "driver": "GTiff",
        "height": rows * CELL_PX,
        "width": columns * CELL_PX,
        "dtype": "uint8",
        "crs": CRS,
        "transform": Affine(GSD_M, 0, ORIGIN[0], 0, -GSD_M, ORIGIN[1]),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
    }
    rng = np.random.default_rng(5)
    ground = rng.normal(150, 12, (CELL_PX, CELL_PX)) + 8 * np.sin(np.arange(CELL_PX) / 90)
    with (
        rasterio.Env(GDAL_CACHEMAX=512 << 20),
        rasterio.open(folder / "ortho.tif", "w", count=3, photometric="ycbcr", compress="jpeg", **place) as image,
        rasterio.open(folder / "painted.tif", "w", count=1, compress="deflate", **place) as mask,
    ):
        for row, column in product(range(rows), range(columns)):
            window = RasterioWindow(column * CELL_PX, row * CELL_PX, CELL_PX, CELL_PX)
            cell = painted_cell(rng, defects if row * columns + column < structures else 0)
            image.write(pictured(ground, cell), window=window)
            mask.write(cell[None], window=window)
    (folder / "structures.geojson").write_text(json.dumps(footprints(structures)))


def pictured(ground: npt.NDArray[np.float64], cell: Bytes) -> Bytes:
    """RGB ``(3, H, W)`` of a cell whose damage lies on some grey."""
    grey = np.where(cell == PixelClass.CRACK, 40.0, ground).clip(0, 255).astype(np.uint8)
    bands = np.stack([grey, grey, grey])
    bands[:, cell == PixelClass.RUST] = np.array([[150], [80], [40]], np.uint8)
    return bands


def footprints(structures: int) -> dict[str, Any]:
    """``structures.geojson``: the cells without their margins."""
    from pyproj import Transformer

    to_lonlat = Transformer.from_crs(CRS, 4326, always_xy=True)
    _, columns = grid_of(structures)
    near, far = MARGIN_PX * GSD_M, (CELL_PX - MARGIN_PX) * GSD_M
    ring = np.array([(near, near), (near, far), (far, far), (far, near), (near, near)])
    features = []
    for number in range(structures):
        row, column = divmod(number, columns)
        x = ORIGIN[0] + column * CELL_PX * GSD_M + ring[:, 0]
        y = ORIGIN[1] - row * CELL_PX * GSD_M - ring[:, 1]
        lons, lats = to_lonlat.transform(x, y)
        line = np.column_stack([lons, lats]).round(10).tolist()
        kind, material = KINDS[number % len(KINDS)]
        own = {"id": f"S{number:04d}", "name": f"Panel {number + 1}, bay {row + 1}", "kind": kind, "material": material}
        features.append({"type": "Feature", "properties": own, "geometry": {"type": "Polygon", "coordinates": [line]}})
    return {"type": "FeatureCollection", "features": features}


def measured_folder(folder: Path) -> LargeSurvey:
    """A survey of ``ortho.tif``, ``painted.tif`` and ``structures.geojson`` through the stages of a given mask."""
    chosen = Settings(results=str(folder / "results"), home=folder / "home")
    painted, ortho, structures = (str(folder / name) for name in ("painted.tif", "ortho.tif", "structures.geojson"))
    survey, mask = discover_mask(MaskRequest(painted, ortho, structures, None), input_rules(chosen))
    plan = plan_mask(
        survey,
        mask,
        measure=measure_settings(chosen),
        report=report_settings(chosen),
        block_px=chosen.block_px,
        workers=chosen.workers,
        memory_limit_bytes=chosen.memory_limit_bytes,
    )
    place = run_place(plan, chosen)
    with dask_client(scheduler=None, workers=chosen.workers) as client:
        copied = copy_mask(plan, place, client, on_block=lambda done, of: None)
        stitched = StitchOutcome(join_components(plan, place, client, segmented=copied), None)
        measured = measure_survey(plan, place, client, segmented=copied, stitched=stitched)
    return LargeSurvey(plan, place, measured)
