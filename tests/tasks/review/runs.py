"""A small run on a painted mask with its picture, published in a folder, and decisions on it."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
from distributed import Client

from segmentation.records import Defect
from tasks.cluster import dask_client
from tasks.mask_pyramid import write_pyramid
from tasks.report_settings import ReportSettings, ordered_formats
from tasks.report_survey import write_reports
from tasks.review.decisions import DecisionLog
from tasks.review.kept_results import KeptResults, read_kept_results
from tasks.review.place import ReviewPlace, find_run
from tests.tasks.given_masks import measured, write_mask
from tests.tasks.surveys import UTM, UTM_PLACE, write_raster

HEIGHT, WIDTH = 420, 700
HOSTILE = '<img src=x onerror="window.hacked=1"></script><script>window.hacked=2</script>'
FORMATS = ("html", "index", "csv", "stac", "pyramid", "cog")
STRUCTURES = (("deck", HOSTILE, "concrete", 0, 350), ("panel", "Panel", "steel", 350, 700))


def painted() -> np.ndarray:
    """Deck (left): two cracks, one patch of rust. Panel (right): two patches and a crack, one crack over the border."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[60:66, 40:240] = 1
    mask[150:154, 60:200] = 1
    mask[250:300, 80:160] = 2
    mask[60:120, 420:500] = 2
    mask[160:180, 600:640] = 2
    mask[230:235, 420:620] = 1
    mask[340:346, 250:450] = 1
    return mask


def write_structures(path: Path) -> Path:
    """Footprints in WGS 84 of the two halves."""
    from pyproj import Transformer

    to_lonlat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    features = []
    for identity, name, material, left, right in STRUCTURES:
        corners = [(left, 0), (left, HEIGHT), (right, HEIGHT), (right, 0), (left, 0)]
        ring = [list(to_lonlat.transform(*(UTM_PLACE @ corner))) for corner in corners]
        own = {"id": identity, "name": name, "kind": "deck", "material": material}
        features.append({"type": "Feature", "properties": own, "geometry": {"type": "Polygon", "coordinates": [ring]}})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def publish(folder: Path, client: Client, *, formats: tuple[str, ...] = FORMATS) -> Path:
    """The run, reported and with what a manifest must say; the address of the survey's results."""
    mask = painted()
    rng = np.random.default_rng(3)
    image = np.full((HEIGHT, WIDTH, 3), 150.0) + rng.normal(0, 6, (HEIGHT, WIDTH, 1))
    image[mask == 1] = 40
    image[mask == 2] = (140, 70, 40)
    picture = write_raster(folder / "deck.tif", np.moveaxis(image.clip(0, 255).astype(np.uint8), 2, 0))
    run = measured(
        folder,
        client,
        write_mask(folder / "labels.tif", mask),
        image=picture,
        structures=write_structures(folder / "structures.geojson"),
    )
    plan = dataclasses.replace(run.plan, report=ReportSettings(ordered_formats(formats), worst_count=3))
    write_pyramid(plan.survey.rasters, run.place, client)
    reported = write_reports(
        plan, run.place, run.measured, None, mask_files={}, workers=1, on_structure=lambda done, of: None
    )
    manifest = {"run_key": plan.run_key, "survey": {"id": plan.survey.id}, "outputs_sha256": dict(reported.sha256)}
    (Path(run.place.run_uri) / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    survey = Path(run.place.results.uri(""))
    pointer = {"run_key": plan.run_key, "run": f"runs/{plan.run_key}"}
    (survey / "latest.json").write_text(json.dumps(pointer), encoding="utf-8")
    return survey


def published_once(folder: Path) -> Path:
    """`publish` with a cluster of this process."""
    with dask_client(scheduler=None, workers=1) as client:
        return publish(folder, client)


@dataclasses.dataclass(frozen=True)
class Reviewed:
    """A run that a test may decide on."""

    place: ReviewPlace
    kept: KeptResults
    staging: Path

    @property
    def defects(self) -> tuple[Defect, ...]:
        return tuple(defect for one in self.kept.structures for defect in one.defects)

    def log(self) -> DecisionLog:
        """A log of its own, as another process has one."""
        classes = {defect.id: defect.pixel_class for defect in self.defects}
        return DecisionLog(self.place.review, run_key=self.place.run_key, classes=classes)


def opened(survey: Path, folder: Path) -> Reviewed:
    """The published run at `survey`, reviewed in a copy of its own below `folder`; its picture stays where it is."""
    copy = folder / "results" / survey.name
    shutil.copytree(survey, copy)
    place = find_run(str(copy), endpoint_url=None, region=None)
    return Reviewed(place, read_kept_results(place.run), folder / "staging")
