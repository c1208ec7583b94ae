"""The segment stage: what it skips, and what a killed run leaves to the next one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window as RasterioWindow
from shapely.geometry import box

from segmentation.classes import NODATA, NOT_INSPECTED
from segmentation.records import Structure
from segmentation.synthetic.crops import sample_crop
from segmentation.windows import Window
from tasks.cluster import dask_client
from tasks.outside import MARGIN_PX
from tasks.segment import SegmentOutcome, segment_blocks
from tests.tasks.runs import BLOCK_PX, files_of, place_in, plan_of, raster_at
from tests.tasks.surveys import UTM, UTM_PLACE, write_raster

SIDE_PX = 1100
SEEN = (slice(100, 400), slice(560, 1000))


def scene() -> np.ndarray:
    side = sample_crop(np.random.default_rng(3), size_px=512).image
    return np.ascontiguousarray(np.tile(side, (3, 3, 1))[:SIDE_PX, :SIDE_PX].transpose(2, 0, 1))


def sparse_raster(path: Path, *, written: bool) -> Path:
    """Data in one place of an RGBA raster; elsewhere transparent tiles, written or missing."""
    values = np.zeros((4, SIDE_PX, SIDE_PX), np.uint8)
    values[:3, *SEEN] = scene()[:, *SEEN]
    values[3, *SEEN] = 255
    profile = {"driver": "GTiff", "count": 4, "height": SIDE_PX, "width": SIDE_PX, "dtype": "uint8", "crs": UTM}
    profile |= {"transform": UTM_PLACE, "photometric": "RGB", "ALPHA": "YES", "tiled": True, "SPARSE_OK": not written}
    with rasterio.open(path, "w", blockxsize=64, blockysize=64, **profile) as dataset:
        if written:
            dataset.write(values)
        else:
            rows, cols = slice(64, 448), slice(512, 1024)
            dataset.write(values[:, rows, cols], window=RasterioWindow(512, 64, 512, 384))
    return path


def segmented(folder: Path, raster: Path, **knobs: object) -> SegmentOutcome:
    plan = plan_of(raster_at(raster), **knobs)
    with dask_client(scheduler=None, workers=2) as client:
        return segment_blocks(plan, place_in(folder), client, on_block=lambda _done, _all: None)


def stored(folder: Path) -> dict[str, bytes]:
    return files_of(folder / "results/runs/1/masks.zarr")


def test_blocks_that_were_never_written_give_the_bytes_of_blocks_read_and_found_empty(tmp_path: Path) -> None:
    missing = segmented(tmp_path / "missing", sparse_raster(tmp_path / "missing.tif", written=False))
    written = segmented(tmp_path / "written", sparse_raster(tmp_path / "written.tif", written=True))
    unread = [r for r in missing.records if r.class_px == {NODATA: r.block.window.area_px} and r.seconds == 0]
    assert len(unread) >= 5
    assert [r.class_px for r in missing.records] == [r.class_px for r in written.records]
    only_masks = {p: c for p, c in stored(tmp_path / "missing").items() if p.startswith("deck/") and "/c/" in p}
    assert only_masks
    assert only_masks == {p: c for p, c in stored(tmp_path / "written").items() if "/c/" in p}


def test_a_second_run_finds_all_blocks_finished_and_writes_no_shard(tmp_path: Path) -> None:
    raster = sparse_raster(tmp_path / "a.tif", written=False)
    first = segmented(tmp_path, raster)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "results").rglob("c/*/*") if p.is_file()}
    second = segmented(tmp_path, raster)
    assert [r.class_px for r in second.records] == [r.class_px for r in first.records]
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_what_lies_outside_every_structure_is_said_to_be_not_inspected(tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "a.tif", scene())
    place = raster_at(raster).georeference
    inside = Window(40, 300, 30, 400)
    corners = [(inside.row_start, inside.col_start), (inside.row_stop, inside.col_stop)]
    rows, cols = (np.array(axis, np.float64) for axis in zip(*corners, strict=True))
    (west, east), (north, south) = place.lonlat_from_pixel(rows, cols)
    structure = Structure("1", "pier", "pier", "pier", "concrete", box(west, south, east, north))
    everything = segmented(tmp_path / "all", raster)
    some = segmented(tmp_path / "some", raster, skip_outside_structures=True, structures=(structure,))
    whole_raster = Window(0, SIDE_PX, 0, SIDE_PX)
    masks, plain = (place_in(tmp_path / name).masks for name in ("some", "all"))
    mask, full = (m.read_mask("deck", whole_raster) for m in (masks, plain))
    seen = mask != NOT_INSPECTED
    assert seen[inside.grow(MARGIN_PX).clip(SIDE_PX, SIDE_PX).slices()].all()
    assert 0.1 < seen.mean() < 0.5
    assert (mask[seen] == full[seen]).all()
    assert not masks.read_probability("deck", whole_raster)[:, ~seen].any()
    assert sum(r.class_px.get(NOT_INSPECTED, 0) for r in some.records) == int((~seen).sum())
    assert all(NOT_INSPECTED not in r.class_px for r in everything.records)


CRASHES = ["before-the-shards", "within-a-shard", "between-shard-and-record", "within-a-record"]

CHILD = """
import os, signal, sys
from pathlib import Path
from tasks import storage_local
from tests.tasks.test_segment import segmented

point, folder, raster = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
puts = storage_local.LocalStorage._put
seen = []

def put(self, key, fill, **more):
    is_shard = "/mask/c/" in key
    is_record = key.startswith("blocks/") and not key.endswith("nodata.json")
    seen.append(key)
    late = sum("/mask/c/" in k for k in seen) > 2 or sum(k.startswith("blocks/") for k in seen) > 2
    if point == "before-the-shards" and "/c/" in key:
        die()
    if late and (point == "within-a-shard" and is_shard or point == "within-a-record" and is_record):
        puts(self, key, lambda handle: (fill(handle), handle.flush(), die()), **more)
    if late and point == "between-shard-and-record" and is_record:
        die()
    return puts(self, key, fill, **more)

storage_local.LocalStorage._put = put
segmented(folder, raster)
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", CRASHES)
def test_a_killed_run_is_resumed_to_the_same_bytes_and_leaves_nothing_half_written(point: str, tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "a.tif", scene())
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", CHILD, point, str(killed), str(raster)]
    child = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True, check=False)  # noqa: PTH109
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()[-2000:]
    run = killed / "results/runs/1"
    before = {p: p.stat().st_mtime_ns for p in run.glob("blocks/deck/*.json")}
    if point.startswith("within"):  # at other points another thread may or may not be within a shard of its own
        assert [p for p in run.rglob("*") if p.name.endswith((".tmp", ".partial"))]
    outcome = segmented(killed, raster)
    control = segmented(tmp_path / "control", raster)
    assert outcome.resumed == len(before)
    assert (outcome.resumed > 0) is (point != "before-the-shards")
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert stored(killed) == stored(tmp_path / "control")
    assert len(control.records) == len(outcome.records) == (-(-SIDE_PX // BLOCK_PX)) ** 2
    assert not [p for p in run.rglob("*") if p.name.startswith(".spanscan") or p.name.endswith(".partial")]
