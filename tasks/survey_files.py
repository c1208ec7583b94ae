"""Which objects of a prefix or folder make a survey."""

from dataclasses import dataclass
from pathlib import Path

from segmentation.errors import InputRejected
from tasks.input_limits import InputLimits
from tasks.slugs import survey_folder
from tasks.storage import ObjectInfo, Storage, open_storage, printable
from tasks.storage_local import LocalStorage
from tasks.survey_manifest import SurveyManifest, read_manifest

STRUCTURES_NAME = "structures.geojson"
MANIFEST_NAME = "survey.json"
_RASTER_SUFFIXES = (".tif", ".tiff")
_OTHER_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".jp2", ".img", ".vrt", ".ecw", ".dng", ".tif.gz", ".zip")


@dataclass(frozen=True, slots=True)
class SurveyFiles:
    """The objects of a survey before any of them is opened."""

    id: str
    """Last part of the prefix or folder, stem of a single raster, as `survey_folder` makes it safe as a path."""
    storage: Storage
    """Where they lie."""
    rasters: tuple[ObjectInfo, ...]
    """In the order of their names."""
    absent: tuple[str, ...]
    """Rasters that the manifest names and that are not there."""
    structures: ObjectInfo | None
    """structures.geojson."""
    manifest: SurveyManifest
    """survey.json, empty where there is none."""
    warnings: tuple[str, ...]
    """What was left out."""
    listed: tuple[ObjectInfo, ...] = ()
    """All that makes the survey, as it was listed, in the order of the keys."""


def is_raster_name(name: str) -> bool:
    """Whether a file directly in a survey's prefix is one of its rasters, by its name."""
    return name.lower().endswith(_RASTER_SUFFIXES) and not name.startswith(".")


def makes_survey(name: str) -> bool:
    """Whether a file directly in a survey's prefix changes what is inspected, by its name."""
    return is_raster_name(name) or name in (STRUCTURES_NAME, MANIFEST_NAME)


def find_survey_files(
    survey_uri: str, *, endpoint_url: str | None, region: str | None, limits: InputLimits
) -> SurveyFiles:
    """The objects of the survey at a prefix, in a folder, or of one raster.

    Raises InputRejected E_NOT_FOUND where nothing is there, E_NO_RASTERS where no raster is, E_LIMIT for too
    many, E_MANIFEST for an unreadable survey.json.
    """
    single = _single_raster(survey_uri, endpoint_url=endpoint_url, region=region)
    if single is not None:
        storage, found = single
        stem = found.key.rsplit(".", 1)[0]
        return SurveyFiles(survey_folder(stem), storage, (found,), (), None, SurveyManifest(), (), (found,))
    storage = open_storage(survey_uri, endpoint_url=endpoint_url, region=region)
    if isinstance(storage, LocalStorage) and not storage.root.is_dir():
        cause = "there must be a folder or a GeoTIFF at this path, got nothing"
        raise InputRejected("E_NOT_FOUND", printable(survey_uri), cause, "check the spelling of the path")
    objects = {found.key: found for found in _listed(storage, survey_uri, limits)}
    manifest = SurveyManifest()
    if MANIFEST_NAME in objects:
        _check_document_size(objects[MANIFEST_NAME], limits)
        manifest = read_manifest(storage.read(MANIFEST_NAME), name=MANIFEST_NAME, max_bytes=limits.max_document_bytes)
    rasters, absent, warnings = _chosen(objects, manifest)
    if not rasters and not absent:
        raise _no_rasters(survey_uri, objects)
    if len(rasters) + len(absent) > limits.max_rasters:
        cause = f"a survey must have at most {limits.max_rasters} rasters, got {len(rasters) + len(absent)}"
        raise InputRejected("E_LIMIT", printable(survey_uri), cause, "split it, or raise SPANSCAN_MAX_RASTERS")
    structures = objects.get(STRUCTURES_NAME)
    if structures is not None:
        _check_document_size(structures, limits)
    return SurveyFiles(
        _survey_id(survey_uri),
        storage,
        rasters,
        absent,
        structures,
        manifest,
        (*manifest.warnings, *warnings),
        tuple(found for found in objects.values() if makes_survey(found.key)),
    )


def listed_now(survey_uri: str, *, endpoint_url: str | None, region: str | None) -> tuple[ObjectInfo, ...]:
    """All that makes the survey at an address now, in the order of the keys; empty where nothing is there."""
    single = _single_raster(survey_uri, endpoint_url=endpoint_url, region=region)
    if single is not None:
        return (single[1],)
    storage = open_storage(survey_uri, endpoint_url=endpoint_url, region=region)
    return tuple(found for found in storage.list("", recursive=False) if makes_survey(found.key))


def _single_raster(
    survey_uri: str, *, endpoint_url: str | None, region: str | None
) -> tuple[Storage, ObjectInfo] | None:
    """The storage around one raster and the raster, where the address is that of an object."""
    if survey_uri.endswith("/"):
        return None
    if survey_uri.lower().startswith("s3://"):
        folder, _, file_name = survey_uri.rpartition("/")
        if folder.lower() == "s3:/" or not file_name.lower().endswith(_RASTER_SUFFIXES):
            return None
        storage = open_storage(folder, endpoint_url=endpoint_url, region=region)
        return (storage, storage.head(file_name)) if storage.exists(file_name) else None
    path = Path(survey_uri).expanduser().absolute()
    if "\0" in survey_uri or not path.is_file():
        return None
    storage = open_storage(str(path.parent), endpoint_url=None, region=None)
    return storage, storage.head(path.name)


def _listed(storage: Storage, survey_uri: str, limits: InputLimits) -> list[ObjectInfo]:
    most = 10 * limits.max_rasters + 1000
    found: list[ObjectInfo] = []
    for one in storage.list("", recursive=False):
        if len(found) == most:
            cause = f"a survey must have at most {most} objects, got more"
            raise InputRejected("E_LIMIT", printable(survey_uri), cause, "move what does not belong to it elsewhere")
        found.append(one)
    return found


def _chosen(
    objects: dict[str, ObjectInfo], manifest: SurveyManifest
) -> tuple[tuple[ObjectInfo, ...], tuple[str, ...], list[str]]:
    """(rasters to inspect, names that are absent, warnings)."""
    warnings = []
    visible = {key: found for key, found in objects.items() if is_raster_name(key)}
    hidden = [key for key in objects if key.lower().endswith(_RASTER_SUFFIXES) and key not in visible]
    others = [key for key in objects if key.lower().endswith(_OTHER_IMAGE_SUFFIXES)]
    for keys, why in ((hidden, "hidden files"), (others, "images that are no GeoTIFF")):
        if keys:
            warnings.append(f"left out {len(keys)} {why}: {', '.join(printable(key) for key in sorted(keys)[:5])}")
    if manifest.rasters is None:
        return tuple(visible[key] for key in sorted(visible)), (), warnings
    named = sorted(raster.name for raster in manifest.rasters)
    unnamed = sorted(set(visible) - set(named))
    if unnamed:
        shown = ", ".join(printable(key) for key in unnamed[:5])
        warnings.append(f"left out {len(unnamed)} rasters that {MANIFEST_NAME} does not name: {shown}")
    return (
        tuple(objects[name] for name in named if name in objects),
        tuple(n for n in named if n not in objects),
        warnings,
    )


def _no_rasters(survey_uri: str, objects: dict[str, ObjectInfo]) -> InputRejected:
    got = f"got none among {len(objects)} objects" if objects else "got nothing there"
    cause = f"a survey must hold .tif files directly in its prefix or folder, {got}"
    return InputRejected("E_NO_RASTERS", printable(survey_uri), cause, "check the address, or upload the rasters there")


def _check_document_size(found: ObjectInfo, limits: InputLimits) -> None:
    if found.size_bytes > limits.max_document_bytes:
        cause = f"the document must be at most {limits.max_document_bytes} bytes, got {found.size_bytes}"
        raise InputRejected("E_LIMIT", found.key, cause, "simplify it, or raise SPANSCAN_MAX_DOCUMENT_BYTES")


def _survey_id(survey_uri: str) -> str:
    is_s3 = survey_uri.lower().startswith("s3://")
    last = survey_uri.rstrip("/").rpartition("/")[2] if is_s3 else Path(survey_uri).expanduser().absolute().name
    return survey_folder(last)
