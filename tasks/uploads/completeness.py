"""When the upload of a survey is whole, and what names its content. Pure: no clock, no storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from segmentation.errors import InputRejected
from tasks.storage import check_key
from tasks.survey_content import content_name
from tasks.survey_files import MANIFEST_NAME, is_raster_name


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One object directly in a survey's prefix or folder."""

    name: str
    size_bytes: int
    etag: str
    modified_at: datetime
    """By the server's clock; of a file put in parts, when the upload of its parts began."""


@dataclass(frozen=True, slots=True)
class Upload:
    """All that lies in the inbox for one survey, at one moment."""

    name: str
    """Its prefix or folder below the inbox."""
    files: tuple[UploadedFile, ...]
    """In the order of their names."""
    seen_at: datetime
    """When it was listed, by the clock that dates the files."""
    parts_under_way: bool = False
    """Whether a file is being put in parts just now."""

    @property
    def content(self) -> str:
        """Names the content, see `content_name`; put again in other parts, a run of it finds its own results."""
        return content_name((f.name, f.size_bytes, f.etag) for f in self.files)

    @property
    def changed_at(self) -> datetime:
        """When the last of its files was written."""
        return max(file.modified_at for file in self.files)

    @property
    def has_manifest(self) -> bool:
        """Whether survey.json is there."""
        return any(file.name == MANIFEST_NAME for file in self.files)


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether an upload is whole."""

    complete: bool
    why: str
    """What it waits for, or by which rule it is whole."""
    due_at: datetime | None
    """When it will be whole if nothing more arrives; None where something must arrive, or where it is whole."""


def judge(
    upload: Upload, *, listed_rasters: Sequence[str] | None, quiet_s: float, heard_at: datetime | None = None
) -> Completeness:
    """Whether the upload of a survey is whole: the one rule for events and for sweeps.

    With survey.json that lists rasters (`listed_rasters`): when all of them are there. With one that lists none: when
    a raster is there and nothing is newer than survey.json. Else, and where something is newer: after `quiet_s`
    without a change. `heard_at` is when its last event happened, by the same clock: a large file is dated by the
    start of its upload.
    """
    names = {file.name for file in upload.files}
    if listed_rasters is not None:
        missing = [name for name in listed_rasters if name not in names]
        if missing:
            shown = ", ".join(missing[:3])
            return Completeness(False, f"{len(missing)} of {len(listed_rasters)} rasters to come: {shown}", None)
        return Completeness(True, f"all {len(listed_rasters)} rasters of {MANIFEST_NAME} are there", None)
    if upload.has_manifest and any(is_raster_name(name) for name in names):
        manifest = next(file for file in upload.files if file.name == MANIFEST_NAME)
        if manifest.modified_at >= upload.changed_at and not upload.parts_under_way:
            return Completeness(True, f"{MANIFEST_NAME} arrived last", None)
    changed_at = max(upload.changed_at, heard_at) if heard_at is not None else upload.changed_at
    if upload.parts_under_way:
        return Completeness(False, "a file is being uploaded in parts", upload.seen_at + timedelta(seconds=quiet_s))
    due_at = changed_at + timedelta(seconds=quiet_s)
    if upload.seen_at >= due_at:
        return Completeness(True, f"nothing changed for {quiet_s:g} s", None)
    return Completeness(False, f"no {MANIFEST_NAME} closes it: {quiet_s:g} s must pass without a change", due_at)


def survey_and_file(key: str, *, prefix: str) -> tuple[str, str] | None:
    """(survey, file) of a key ``<prefix><survey>/<file>``; None for a key that belongs to no survey.

    >>> survey_and_file("inbox/bridge 7/deck.tif", prefix="inbox/"), survey_and_file("inbox/notes.txt", prefix="inbox/")
    (('bridge 7', 'deck.tif'), None)
    """
    survey, slash, name = key.removeprefix(prefix).partition("/")
    if not key.startswith(prefix) or not slash or not name or "/" in name:
        return None
    try:
        check_key(f"{survey}/{name}")
    except InputRejected:
        return None
    return survey, name
