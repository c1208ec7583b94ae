"""The pixels of a run's rasters: where they are today, if they are still what the run inspected."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from segmentation.errors import SpanscanError
from segmentation.records import RasterInput
from tasks.compare.published import PublishedRun, RunRaster
from tasks.input_limits import InputLimits
from tasks.raster_checks import check_raster
from tasks.staging import staged
from tasks.storage_local import file_sha256

_LOOK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """How the rasters of a run are found and read again."""

    staging_dir: Path
    rgb_bands: tuple[int, int, int] | None
    limits: InputLimits


@dataclass(frozen=True, slots=True)
class FoundRaster:
    """A raster whose pixels are still there."""

    path: Path
    raster: RasterInput


FoundRasters = Mapping[str, FoundRaster | str]
"""By its name a raster, or why it cannot be read; cheap to send to another process."""


def found_rasters(run: PublishedRun, names: Collection[str], *, rules: ReadingRules) -> FoundRasters:
    """The rasters of a run that are asked for, each looked up and its checksum taken once, whoever reads it then."""
    found: dict[str, FoundRaster | str] = {}
    for name in sorted(names):
        raster = run.rasters()[name]
        if raster.is_mask:
            found[name] = "the mask was given without a picture"
            continue
        try:
            found[name] = _found(run, raster, rules)
        except SpanscanError as error:
            found[name] = error.cause
    return found


def _found(run: PublishedRun, raster: RunRaster, rules: ReadingRules) -> FoundRaster:
    path = _path(run, raster, rules)
    checked = check_raster(
        path,
        name=raster.name,
        gsd_range_m=None,
        gsd_m_override=raster.gsd_m,
        rgb_bands=rules.rgb_bands,
        limits=rules.limits,
        most_decoded_bytes=_LOOK_BYTES,  # its own run has looked at all of it
        on_window=lambda _: None,
    )
    one = RasterInput(
        raster.name,
        raster.slug,
        raster.source,
        raster.georeference,
        raster.gsd_m,
        checked.dtype,
        checked.rgb_bands,
        checked.value_range,
    )
    return FoundRaster(path, one)


def _path(run: PublishedRun, raster: RunRaster, rules: ReadingRules) -> Path:
    source = raster.source
    path = Path(source.uri)
    if not source.uri.startswith("s3://") and path.is_file() and file_sha256(path) == source.sha256:
        return path  # moved or copied since, with the same content
    return staged(source, staging_dir=rules.staging_dir, endpoint_url=run.endpoint_url, region=run.region)
