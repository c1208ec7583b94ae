"""A survey with an older upload that is published and a newer one to be inspected, put back before each kill."""

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import rasterio
from rasterio.windows import Window

from tasks.storage import Storage, open_storage
from tasks.uploads.listing import uploads
from tests.scorecard.forked_runs import Job, run
from tests.scorecard.inputs import picture
from tests.scorecard.readers import published_now
from tests.servers.running import RunningS3
from tests.tasks.surveys import UTM_PLACE

SURVEY: Final = "bridge"
FORMATS: Final = ["html", "index", "csv", "geopackage", "geoparquet", "stac", "cog"]
DATA_COLS, WIDTH = 600, 1100


def write_deck(path: Path, *, shifted_px: int) -> Path:
    """Two blocks of a painted deck, and one that the file holds no tile of."""
    values = np.maximum(np.roll(picture()[:, :200, :DATA_COLS], shifted_px, axis=2), 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=values.shape[1], width=WIDTH, dtype="uint8", crs="EPSG:32615",
        transform=UTM_PLACE, tiled=True, blockxsize=64, blockysize=64, sparse_ok=True, nodata=0, photometric="RGB",
    ) as dataset:  # fmt: skip
        dataset.write(values, window=Window(0, 0, DATA_COLS, values.shape[1]))
    return path


@dataclass(frozen=True)
class Place(ABC):
    """Where the survey and its results are."""

    folder: Path
    job: Job

    @property
    def storage(self) -> Storage:
        """The results."""
        return self._open(self.job.results)

    def content(self) -> str:
        """Names the present upload."""
        (upload,) = uploads(self._open(self.job.survey.rstrip("/").rpartition("/")[0]), only=SURVEY)
        return upload.content

    def with_older_upload_published(self) -> str:
        """Publish an older upload, keep that state to begin from, and put the newer one; the older run's key."""
        self.put(write_deck(self.folder / "older.tif", shifted_px=0))
        assert run(self.job) == 0
        self.keep()
        self.put(write_deck(self.folder / "newer.tif", shifted_px=40))
        published = published_now(self.storage, SURVEY)
        assert published is not None
        return published

    def begin(self) -> None:
        """Put the results back to the older run's, and forget what was staged."""
        shutil.rmtree(self.job.home, ignore_errors=True)
        self.put_back()

    @abstractmethod
    def put(self, raster: Path) -> None:
        """Upload a raster as the survey's."""

    @abstractmethod
    def keep(self) -> None:
        """Remember the results as they are."""

    @abstractmethod
    def put_back(self) -> None:
        """Make the results what they were when they were kept."""

    @abstractmethod
    def temporaries_of(self, run_key: str) -> list[Path]:
        """Files half written that nobody removed."""

    def _open(self, uri: str) -> Storage:
        endpoint_url = self.job.settings.get("s3_endpoint_url")
        return open_storage(uri, endpoint_url=endpoint_url, region=None)


class _InFolders(Place):
    def put(self, raster: Path) -> None:
        Path(self.job.survey).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(raster, Path(self.job.survey) / "deck.tif")

    def keep(self) -> None:
        shutil.copytree(self.job.results, self.folder / "kept")

    def put_back(self) -> None:
        shutil.rmtree(self.job.results, ignore_errors=True)
        shutil.copytree(self.folder / "kept", self.job.results)

    def temporaries_of(self, run_key: str) -> list[Path]:
        below = Path(self.job.results, SURVEY, "runs", run_key)
        found = [*below.rglob(".spanscan-*"), *below.rglob("*.partial")]
        return [*found, *(path for path in self.job.home.glob("staging/*") if path.suffix in (".tif", ".part"))]

    def with_text_for_a_raster(self) -> Self:
        """The same place with an upload that must be refused, in an inbox of its own."""
        survey = self.folder / "refused" / SURVEY
        survey.mkdir(parents=True, exist_ok=True)
        (survey / "deck.tif").write_text("no raster")
        return replace(self, job=replace(self.job, survey=str(survey)))


class _InS3(Place):
    def put(self, raster: Path) -> None:
        self._open(self.job.survey).upload(raster, "deck.tif", content_type="image/tiff")

    def keep(self) -> None:
        for found in self.storage.list("", recursive=True):
            path = self.folder / "kept" / found.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.storage.read(found.key))

    def put_back(self) -> None:
        for found in list(self.storage.list("", recursive=True)):
            self.storage.delete(found.key)
        for path in sorted((self.folder / "kept").rglob("*")):
            if path.is_file():
                key = path.relative_to(self.folder / "kept").as_posix()
                self.storage.write(key, path.read_bytes(), content_type="application/octet-stream")

    def temporaries_of(self, run_key: str) -> list[Path]:
        return list(self.job.home.glob("staging/*.part"))


def local_place(folder: Path) -> "_InFolders":
    """Inbox and results in folders."""
    settings = {"block_px": 512, "report_formats": FORMATS}
    return _InFolders(folder, Job(str(folder / "inbox" / SURVEY), folder / "home", str(folder / "results"), settings))


def fetched_place(folder: Path, server: RunningS3, bucket: str) -> "_InS3":
    """Inbox and results in a bucket."""
    settings = {"block_px": 512, "report_formats": ["csv"], "s3_endpoint_url": server.endpoint_url}
    survey = f"s3://{bucket}/inbox/{SURVEY}/"
    return _InS3(folder, Job(survey, folder / "home", f"s3://{bucket}/results", settings, server.environment))
