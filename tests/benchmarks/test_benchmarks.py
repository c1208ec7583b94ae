"""The benchmarks run, say what they promise to say, and compare patterns that do the same work."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import engine, layers_masks, memory
from tests.benchmarks.rasters import sparse_raster
from tests.benchmarks.sparse import main as sparse_main

FIELDS = {"pattern", "size", "wall_s", "cpu_s", "peak_rss_bytes", "mpx_per_s"}
SIZE_PX = 528
"""Not a multiple of the core nor of the file's tiles."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmarks")


@pytest.mark.slow
def test_every_pattern_runs_and_those_that_are_exact_give_the_mask_of_the_engine(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    arguments = ["--size", SIZE_PX, "--pairs", 1, "--precision", "fp32", "--core", 256, "--peer", 256, "--workers", 1]
    patterns = ",".join(engine.ALL)
    engine.main([*map(str, arguments), "--patterns", patterns, "--cache", str(cache), "--json", str(file)])
    rows = {row["pattern"]: row for row in json.loads(file.read_text())["rows"]}
    assert set(rows) == set(engine.ALL)
    for row in rows.values():
        assert "skipped" in row or set(row) >= FIELDS
        assert "skipped" in row or (row["cpu_s"] > 0 and row["peak_rss_bytes"] > 10**8)
    for exact in ("plain_loop", "whole", "map_overlap"):
        assert rows[exact]["differs_from_engine"] <= 1e-4
    assert rows["engine"]["projected_bytes"] > rows["engine"]["peak_rss_bytes"]


@pytest.mark.slow
def test_a_sparse_raster_is_planned_and_skipped(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "row.json"
    sparse_main(["--size", "4096", "--cache", str(cache), "--json", str(file)])
    row = json.loads(file.read_text())
    assert row["plan_s"] > 0
    assert row["blocks"] == 4
    assert (sparse_raster(cache, 4096) / "ortho.tif").stat().st_size < 3_000_000


@pytest.mark.slow
def test_pyramid_and_cog_are_measured_in_a_process_of_their_own(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "stages.json"
    layers_masks.main(["--height", "2500", "--width", "3000", "--cache", str(cache), "--json", str(file)])
    stages = json.loads(file.read_text())["stages"]
    assert [stage["name"] for stage in stages] == ["pyramid", "COG"]
    assert all(stage["cpu_s"] > 0 and stage["peak_rss_bytes"] > 10**8 for stage in stages)


def test_the_table_shows_ratios_and_why_a_pattern_was_skipped() -> None:
    row = {"pattern": "engine", "size": 64, "wall_s": 1.0, "cpu_s": 2.0, "peak_rss_bytes": 10**9, "mpx_per_s": 4.0}
    ratios = {"cpu_s_per_mpx": 0.5, "speed_to_limit": 0.97, "cpu_speed_to_limit": 0.96}
    text = engine.table([{**row, **ratios}, {"pattern": "monai", "size": 64, "skipped": "MONAI is not installed"}])
    assert "0.970" in text
    assert "MONAI is not installed" in text


@pytest.mark.parametrize(
    ("peaks_mb", "complaints"), [((500, 510, 520), 0), ((500, 510, 1300), 2), ((500, 500, 600), 1)]
)
def test_memory_must_stay_below_what_was_projected_and_flat(peaks_mb: tuple[int, ...], complaints: int) -> None:
    rows: list[dict[str, Any]] = [
        {"size": 1000 * 2**i, "projected_bytes": 10**9, "peak_rss_bytes": mb * 10**6} for i, mb in enumerate(peaks_mb)
    ]
    assert len(memory.verdicts(rows)) == complaints
