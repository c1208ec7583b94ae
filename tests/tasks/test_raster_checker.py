"""A raster that ends, hangs or bloats the process that reads it is refused; the next one is read as if nothing was."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmentation.errors import InputRejected, RunFailed
from tasks.discover import InputRules, discover
from tasks.raster_checked import CheckedRaster
from tasks.raster_checker import RasterChecker, raster_checker
from tasks.staging import staged
from tasks.storage_local import file_sha256
from tests.tasks.surveys import LIMITS, checked, picture, write_raster


def ask(checker: RasterChecker, path: Path, **knobs: Any) -> CheckedRaster:
    defaults: dict[str, Any] = {"gsd_range_m": None, "gsd_m_override": None, "rgb_bands": None}
    return checker.check(path, name=path.name, most_decoded_bytes=None, **(defaults | knobs))


@pytest.fixture
def checker() -> Iterator[RasterChecker]:
    with raster_checker(replace(LIMITS, max_read_s=3)) as checker:
        yield checker


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "good.tif")


def test_what_the_process_finds_is_what_is_found_here(checker: RasterChecker, good: Path, tmp_path: Path) -> None:
    wide = write_raster(tmp_path / "wide.tif", picture(dtype="uint16") * np.uint16(16), photometric="RGB")
    for path in (good, wide):
        assert ask(checker, path, gsd_range_m=(0.0005, 0.005)) == checked(path)
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(InputRejected) as there:
        ask(checker, tmp_path / "text.tif")
    with pytest.raises(InputRejected) as here:
        checked(tmp_path / "text.tif")
    assert str(there.value) == str(here.value)


def test_a_raster_that_hangs_is_refused_and_the_next_one_is_read(
    checker: RasterChecker, good: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "endless.tif")
    with pytest.raises(InputRejected) as refused:
        ask(checker, tmp_path / "endless.tif")
    assert refused.value.code == "E_DECODER"
    assert "no answer within 3 s (SPANSCAN_MAX_INPUT_READ_S)" in str(refused.value)
    assert ask(checker, good) == checked(good)


@pytest.mark.parametrize("ending", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGXCPU])
def test_a_raster_that_ends_the_process_is_refused_and_the_next_one_is_read(
    checker: RasterChecker, good: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    ask(checker, good)
    process = checker._process
    assert process is not None
    os.mkfifo(tmp_path / "deadly.tif")
    threading.Timer(0.5, process.send_signal, [ending]).start()
    with pytest.raises(InputRejected) as refused:
        ask(checker, tmp_path / "deadly.tif")
    assert refused.value.code == "E_DECODER"
    assert ("too many seconds" if ending == signal.SIGXCPU else ending.name) in str(refused.value)
    assert ask(checker, good) == checked(good)


def test_a_raster_that_needs_too_much_memory_is_refused(good: Path, tmp_path: Path) -> None:
    side = 9000
    large = write_raster(
        tmp_path / "large.tif",
        np.zeros((3, side, side), np.uint8),
        compress="deflate",
        tiled=False,
        blockxsize=None,
        blockysize=side,
    )
    with raster_checker(replace(LIMITS, max_block_bytes=1 << 20)) as checker:
        ask(checker, good)
        checker._limits = replace(LIMITS, max_block_bytes=1 << 30)  # as if the header had lied about its strip
        with pytest.raises(InputRejected) as refused:
            ask(checker, large)
        assert refused.value.code in ("E_DECODER", "E_TILE_DECODE")
        assert ask(checker, good) == checked(good)


def test_the_process_sees_no_credentials_and_is_gone_with_its_owner(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-4711")
    monkeypatch.setenv("PREFECT_API_KEY", "canary-4712")
    with raster_checker(LIMITS) as checker:
        ask(checker, good)
        process = checker._process
        assert process is not None
        assert b"canary" not in Path(f"/proc/{process.pid}/environ").read_bytes()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert "Max address space         unlimited" not in limits
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is not None


def test_what_is_read_later_are_the_bytes_that_the_process_has_decoded(tmp_path: Path) -> None:
    """Rasters are inspected outside of that process, so nobody may put others in their place in between."""
    path = write_raster(tmp_path / "bridge" / "deck.tif")
    rules = InputRules(None, None, tmp_path / "staging", None, None, None, LIMITS)
    (raster,) = discover(str(path.parent), rules=rules, skip_rejected=False).rasters
    decoded = file_sha256(path)
    assert raster.source.sha256 == decoded
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(RunFailed) as failed:
        staged(raster.source, staging_dir=rules.staging_dir, endpoint_url=None, region=None)
    assert failed.value.code == "E_CHANGED"
