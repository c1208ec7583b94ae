"""The product as an operator uses it, on surveys that the tests write, and the control that must stay as it is."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from affine import Affine
from pyproj import Geod, Transformer
from typer.testing import CliRunner

from segmentation.synthetic.deck import deck_scene
from tests.tasks.surveys import write_raster

GSD_M = 0.0015
DULUTH, HELSINKI_LATITUDE = (-91.9946, 46.8426), (25.0, 60.0)
"""Longitude and latitude."""
NOT_COMPARED = ("manifest.json", "blocks/")
"""They tell when and how fast, which differs from run to run."""
MOST_RSS_BYTES = 500_000_000
_CHECK = """
import sys
from flows.cli import main
try:
    main()
finally:
    (peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    sys.stderr.write(f" {int(peak.split()[1]) * 1024}")
"""
"""`spanscan` that tells its own peak at the end: what the kernel tells its parent begins at the parent's size."""


@dataclass(frozen=True)
class Row:
    """One case of the scorecard's table."""

    id: str
    """Row number and words, as ``01 zero-byte file``."""

    @property
    def number(self) -> int:
        """The row of the scorecard."""
        return int(self.id.split()[0])


@dataclass(frozen=True)
class Told:
    """What a command said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def record(self) -> dict[str, Any]:
        """The JSON object on stdout."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


def spanscan(*arguments: str | Path, home: Path) -> Told:
    """The command line in this process, with an environment of its own."""
    from flows.cli import app

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPANSCAN_HOME", str(home))
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return Told(result.exit_code, result.stdout, result.stderr)


def check(survey: str | Path, *options: str, home: Path) -> Told:
    """`spanscan check SURVEY --json`."""
    return spanscan("check", survey, "--json", *options, home=home)


def check_apart(survey: Path, *, home: Path, settings: Mapping[str, str] = MappingProxyType({})) -> tuple[Told, int]:
    """The same in a process of its own, and the most that it ever held, in bytes; settings as the environment has them.

    What decodes the rasters is a further process, which bounds its own address space.
    """
    environment = {**os.environ, **settings, "SPANSCAN_HOME": str(home)}
    command = [sys.executable, "-c", _CHECK, "check", str(survey), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return Told(done.returncode, done.stdout, done.stderr), int(done.stderr.split()[-1])


def discovered(survey: str | Path, *, home: Path, results: Path, **settings: Any) -> Any:
    """An inspection's first stage with the record that it keeps of itself; raises what it raises."""
    from flows.check_survey import input_rules
    from flows.settings import Settings
    from flows.uploads import recorded_run
    from tasks.discover import discover

    chosen = Settings(**{"home": home, "results": str(results), **settings})
    with recorded_run(str(survey), chosen):
        return discover(str(survey), rules=input_rules(chosen), skip_rejected=chosen.skip_rejected)


def inspected_with(survey: str, settings: dict[str, Any]) -> Any:
    """What the flow `inspect-survey` publishes, each of its stages called as it is and not as a task of Prefect."""
    from flows.inspect_survey import inspect_survey

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.stopwatch.task", lambda **_: lambda stage: stage)
        return inspect_survey.fn(survey, settings={"workers": 1, **settings})


def inspected(survey: Path, *, home: Path, results: Path, **settings: Any) -> Path:
    """The folder of the run that an inspection published."""
    published = inspected_with(str(survey), {"home": str(home), "results": str(results), **settings})
    return Path(published.results)


def published_bytes(run: Path) -> dict[str, bytes]:
    """Masks, reports and layers of a run, by their paths."""
    files = {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    return {key: data for key, data in files.items() if not key.startswith(NOT_COMPARED)}


def reports(run: Path) -> dict[str, Any]:
    """report.json of each structure, by the structure's id."""
    read = [json.loads(path.read_text()) for path in sorted(run.glob("structures/*/report.json"))]
    return {report["structure"]["id"]: report for report in read}


def mask_of(run: Path, slug: str = "deck") -> npt.NDArray[np.uint8]:
    """The mask of a raster, ``(H, W)``."""
    masks = zarr.open_group(str(run / "masks.zarr"), mode="r")
    return np.asarray(masks[f"{slug}/mask"])


@cache
def picture() -> npt.NDArray[np.uint8]:
    """A deck with cracks and rust, ``(3, H, W)``, the same at each call."""
    scene = deck_scene(np.random.default_rng([2, 0]), scale=0.1)
    return np.ascontiguousarray(np.moveaxis(scene.image, 2, 0))


def grid(crs: str, *, at: tuple[float, float] = DULUTH, turned_deg: float = 0.0) -> Affine:
    """A north-up transform, turned if asked, whose pixels measure `GSD_M` on the ground along both axes at a place."""
    geod, to_crs = Geod(ellps="WGS84"), Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    origin = to_crs.transform(*at)
    steps = []
    for azimuth_deg in (90.0 + turned_deg, 180.0 + turned_deg):
        lon, lat, _ = geod.fwd(*at, azimuth_deg, 10.0)
        x, y = to_crs.transform(lon, lat)
        steps.append(((x - origin[0]) / 10 * GSD_M, (y - origin[1]) / 10 * GSD_M))
    (a, d), (b, e) = steps
    return Affine(a, b, origin[0], d, e, origin[1])


def write_picture(path: Path, values: npt.NDArray[Any] | None = None, **options: Any) -> Path:
    """A GeoTIFF of the picture at its place in UTM; `options` as of `write_raster`."""
    place = {"crs": "EPSG:32615", "transform": grid("EPSG:32615"), "photometric": "RGB"}
    return write_raster(path, picture() if values is None else values, **(place | options))


class Control:
    """A good survey, and what its inspection published before anything hostile came near."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self._runs = folder, folder / "home", 0
        self.inbox = folder / "inbox"
        write_picture(self.inbox / "good" / "deck.tif")
        self.run = self._inspected()
        self.published = published_bytes(self.run)

    def _inspected(self) -> Path:
        self._runs += 1
        return inspected(self.inbox / "good", home=self.home, results=self.folder / f"results-{self._runs}")

    def assert_unchanged(self) -> None:
        """Inspected again, the good survey gives the same bytes: masks, reports and layers."""
        run = self._inspected()
        again = published_bytes(run)
        assert sorted(again) == sorted(self.published)
        assert [key for key in again if again[key] != self.published[key]] == []
        shutil.rmtree(run)
