"""Where a run keeps its things: imports no model, so that a process that only reports stays small."""

from dataclasses import dataclass
from pathlib import Path

from segmentation.records import RasterInput
from tasks.mask_store import MaskStore
from tasks.staging import staged
from tasks.storage import Storage


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run keeps its things; cheap to send to a worker."""

    results: Storage
    """The survey's prefix, ``<results>/<survey_id>``, which holds the pointer to the published run."""
    storage: Storage
    """The run's own prefix, ``<results>/<survey_id>/runs/<run_key>``."""
    run_uri: str
    """Address of that prefix."""
    masks: MaskStore
    """Its mask store."""
    staging_dir: Path
    """Folder for staged rasters on whichever machine works."""
    endpoint_url: str | None
    """S3 endpoint of the rasters."""
    region: str | None
    """S3 region of the rasters."""
    root: Storage | None = None
    """The place of all surveys' results, which holds their STAC collection; None: none is kept."""

    def local_path(self, raster: RasterInput) -> Path:
        """The raster's bytes on this machine, staged if need be."""
        return staged(raster.source, staging_dir=self.staging_dir, endpoint_url=self.endpoint_url, region=self.region)
