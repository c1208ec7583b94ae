"""A given mask is worked in windows: sixteen times the pixels need no more memory, and less than was projected."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from tests.tasks.surveys import UTM_PLACE

SPOTS = 24
CHILD = """
import json, sys
from dataclasses import replace
from pathlib import Path
from tasks.allocator import peak_rss_bytes
from tasks.cluster import dask_client
from tests.tasks.given_masks import measured
from tasks.report_settings import ReportSettings, ordered_formats
from tasks.report_survey import write_reports

folder = Path(sys.argv[1])
with dask_client(scheduler=None, workers=2) as client:
    run = measured(folder, client, folder / "m.tif", block_px=512)
plan = replace(run.plan, report=ReportSettings(ordered_formats(("html", "index")), worst_count=2))
write_reports(plan, run.place, run.measured, None, mask_files={}, workers=1, on_structure=lambda done, of: None)
(result,) = run.measured.results
print(json.dumps({
    "peak_bytes": peak_rss_bytes(), "projected_bytes": run.plan.memory.total_bytes,
    "patches": result.rust.patch_count, "cracks": result.cracks.count, "coverage": result.coverage_percent,
    "length_m": result.cracks.total_length_m,
}))
"""


def write_spotted(path: Path, *, side_px: int) -> None:
    """A mask with the same few patches and cracks whatever its size, spread over its diagonal."""
    path.parent.mkdir()
    options: dict[str, Any] = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    spot = np.zeros((512, 512), np.uint8)
    spot[50:150, 50:150] = 2
    spot[300:304, 20:420] = 1
    place = {"crs": "EPSG:32615", "transform": UTM_PLACE}
    with rasterio.open(
        path, "w", driver="GTiff", width=side_px, height=side_px, count=1, dtype="uint8", **place, **options
    ) as dataset:
        for row in range(0, side_px, 512):
            dataset.write(np.zeros((1, 512, side_px), np.uint8), window=Window(0, row, side_px, 512))
        for number in range(SPOTS):
            at = number * (side_px // SPOTS) // 512 * 512
            col = at if number % 2 else side_px - 512 - at
            dataset.write(spot[None], window=Window(col, at, 512, 512))


def peak_of(folder: Path, *, side_px: int) -> dict[str, Any]:
    write_spotted(folder / "m.tif", side_px=side_px)
    child = [sys.executable, "-c", CHILD, str(folder)]
    done = subprocess.run(child, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_memory_does_not_grow_with_the_mask(tmp_path: Path) -> None:
    small = peak_of(tmp_path / "small", side_px=2048)
    large = peak_of(tmp_path / "large", side_px=8192)
    assert large["patches"] == large["cracks"] == SPOTS
    assert large["length_m"] == pytest.approx(SPOTS * 400 * 0.0020007, rel=0.02)
    assert large["coverage"] == pytest.approx(100.0, abs=1e-6)
    assert large["peak_bytes"] <= 1.15 * small["peak_bytes"]
    assert large["peak_bytes"] <= large["projected_bytes"]
